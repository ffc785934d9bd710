# SPDX-License-Identifier: Apache-2.0
"""Commands on a member: the one shape in which rooms are given a runner, and how a module gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# argv → exit code, output, errors
Run = Callable[[Sequence[str]], tuple[int, str, str]]


def runner(module: AnsibleModule, **options: Any) -> Run:
    """Runs commands as this module does, without a shell.

    Args:
        module: whose `run_command` is used; a command that does not exist fails the module.
        options: keywords of `run_command`, the same for each command.
    """

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        code, out, err = module.run_command(list(argv), **options)
        return int(code), str(out), str(err)

    return run
