# SPDX-License-Identifier: Apache-2.0
"""Commands of the modules: as another user, with secrets in the environment, never in a list of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Run
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Execute
from ansible_collections.rsp.platform.plugins.module_utils.command import runner


def as_user(module: Any, user: str) -> Run:
    """Runs commands as a user, whose environment is kept but for what is given; 127 when there is no such program.

    What is no text comes with surrogates, so it can be turned back into the same bytes: a snapshot comes this way.
    """

    def run(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
        words = ["runuser", "-u", user, "--", *argv] if user else list(argv)
        try:
            return runner(module, environ_update=dict(env), handle_exceptions=False)(words)
        except OSError as err:
            return 127, "", f"{argv[0]}: {err.strerror}"

    return run


def as_root(module: Any) -> Execute:
    """Runs commands as they are, with a text for their standard input."""

    def execute(argv: Sequence[str], stdin: str) -> tuple[int, str, str]:
        return runner(module, data=stdin, binary_data=True)(argv)

    return execute
