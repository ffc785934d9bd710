"""Calls a module as Ansible does: arguments in, one JSON result out."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args


def call(main, capsys, check=False, **arguments):
    """The result of a module; `rc` is its exit code."""
    with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as stopped:
        main()
    result = json.loads(capsys.readouterr().out)
    return {**result, "rc": stopped.value.code}
