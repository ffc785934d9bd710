# SPDX-License-Identifier: Apache-2.0
"""A run of Ansible inside a job: the same inventory, variables and connection, recorded, in check mode or for real.

Check mode belongs to a whole run: no public setting makes `ansible_check_mode` true for some plays only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.plugin_utils.recording import RECORD_FILE

CALLBACK = "rsp.platform.record"
LOCK_OWNER = "RSP_LOCK_OWNER"
LAST_LINES = 60
# option of the command line → its key in CLIARGS
OPTIONS = {
    "--user": "remote_user",
    "--private-key": "private_key_file",
    "--connection": "connection",
    "--timeout": "timeout",
    "--ssh-common-args": "ssh_common_args",
    "--ssh-extra-args": "ssh_extra_args",
    "--become-method": "become_method",
    "--become-user": "become_user",
    "--forks": "forks",
}


class NestedRunError(Exception):
    """The run failed or could not be started; the message ends with its last lines."""


@dataclass(frozen=True)
class Controller:
    """How the job itself was called.

    Attributes:
        cli: options of its command line.
        extra: its extra vars, those left out that are the job's own.
        passwords: `connection` and `become`, where they were asked for.
        environment: of its process.
        callbacks: callbacks that are enabled by configuration.
        show: prints one line.
    """

    cli: Mapping[str, Any]
    extra: Mapping[str, Any]
    passwords: Mapping[str, str | None] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    callbacks: Sequence[str] = ()
    show: Callable[[str], None] = print


@dataclass(frozen=True)
class Wanted:
    """What to run.

    Attributes:
        playbooks: paths.
        tags: run only these; all when empty.
        extra: more extra vars.
        check: predict.
        owner: who holds the locks of clusters, when the run shall act in that name.
    """

    playbooks: Sequence[Path]
    tags: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    owner: str = ""


def run(wanted: Wanted, controller: Controller) -> list[dict[str, Any]]:
    """Run it and return what was recorded.

    Raises:
        NestedRunError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="rsp-run-") as folder:
        record = Path(folder) / "record.json"
        argv = arguments(wanted, controller, Path(folder))
        code, last = _streamed(argv, environment(wanted, controller, record), controller.show)
        if code != 0:
            names = ", ".join(path.name for path in wanted.playbooks)
            raise NestedRunError(f"{names}{' --check' if wanted.check else ''} failed (rc {code}):\n" + "\n".join(last))
        if not record.is_file():
            raise NestedRunError(
                f"{CALLBACK} wrote nothing: it was not loaded → see ansible-doc -t callback {CALLBACK}"
            )
        rows: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))
        return rows


def arguments(wanted: Wanted, controller: Controller, folder: Path) -> list[str]:
    """The command line. Variables and passwords stand in private files, not in arguments."""
    cli = controller.cli
    if cli.get("ask_vault_pass") or any(str(each).endswith("@prompt") for each in cli.get("vault_ids") or ()):
        raise NestedRunError("a vault password was typed → give it as a file: --vault-id NAME@FILE")
    argv = [sys.executable, "-m", "ansible", "playbook", *map(str, wanted.playbooks)]
    for source in cli.get("inventory") or ():
        argv += ["--inventory", str(source)]
    for each in cli.get("vault_ids") or ():
        argv += ["--vault-id", str(each)]
    argv += [f"{option}={cli[key]}" for option, key in OPTIONS.items() if cli.get(key)]
    argv += ["--become"] if cli.get("become") else []
    for name, password in controller.passwords.items():
        if password:
            argv.append(f"--{name}-password-file={_private(folder / name, password)}")
    argv.append(f"--extra-vars=@{_private(folder / 'extra.json', json.dumps({**controller.extra, **wanted.extra}))}")
    argv += [f"--tags={','.join(wanted.tags)}"] if wanted.tags else []
    return [*argv, *(["--check"] if wanted.check else [])]


def environment(wanted: Wanted, controller: Controller, record: Path) -> dict[str, str]:
    """What the run inherits: everything, but it is recorded on its own."""
    inherited = {name: value for name, value in controller.environment.items() if name != "RSP_CHANGES_FILE"}
    callbacks = ",".join(dict.fromkeys([*controller.callbacks, CALLBACK]))
    own = {"ANSIBLE_CALLBACKS_ENABLED": callbacks, RECORD_FILE: str(record), "ANSIBLE_NOCOLOR": "1"}
    return {**inherited, **own, **({LOCK_OWNER: wanted.owner} if wanted.owner else {})}


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def _streamed(argv: list[str], env: Mapping[str, str], show: Callable[[str], None]) -> tuple[int, list[str]]:
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                last.append(line.rstrip("\n"))
                show(last[-1])
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.terminate()
        return process.wait(), list(last)
