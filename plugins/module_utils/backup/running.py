# SPDX-License-Identifier: Apache-2.0
"""Commands of the modules: as another user, with secrets in the environment, never in a list of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Run
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Execute


def as_user(module: Any, user: str) -> Run:
    """Runs commands as a user, whose environment is kept but for what is given."""

    def run(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
        words = ["runuser", "-u", user, "--", *argv] if user else list(argv)
        code, out, err = module.run_command(words, environ_update=dict(env), encoding=None, handle_exceptions=False)
        return int(code), text(out), text(err)

    return _guarded(run)


def as_root(module: Any) -> Execute:
    """Runs commands as they are, with a text for their standard input."""

    def execute(argv: Sequence[str], stdin: str) -> tuple[int, str, str]:
        code, out, err = module.run_command(list(argv), data=stdin.encode(), binary_data=True, encoding=None)
        return int(code), text(out), text(err)

    return execute


def text(data: bytes | str) -> str:
    """Output as text that can be turned back into the same bytes: a snapshot comes this way, too."""
    return data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")


def _guarded(run: Run) -> Run:
    def guarded(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
        try:
            return run(argv, env)
        except OSError as err:
            return 127, "", f"{argv[0]}: {err.strerror}"

    return guarded
