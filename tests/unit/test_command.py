"""Commands run through the module: no shell, plain types, the same options each time."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.command import runner


class Module:
    """What a runner needs of AnsibleModule."""

    def __init__(self):
        self.calls = []

    def run_command(self, argv, **options):
        self.calls.append((argv, options))
        return 3, "out", "err"


@pytest.mark.parametrize("options", [{}, {"environ_update": {"LC_ALL": "C"}, "cwd": "/"}])
def test_commands_run_through_the_module(options):
    module = Module()
    run = runner(module, **options)
    assert run(("systemctl", "show", "a b;c")) == (3, "out", "err")
    assert run(["true"]) == (3, "out", "err")
    assert module.calls == [(["systemctl", "show", "a b;c"], options), (["true"], options)]
