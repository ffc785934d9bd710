# SPDX-License-Identifier: Apache-2.0
"""pgBackRest's commands as argv lists, and what they say. Secrets are in its configuration file, never here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Stanza, parse
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

PROGRAM = "/usr/bin/pgbackrest"
LAST_LINES = 6
LOCKED = "LockAcquireError"
LOCKED_TRIES = 60
STANDBY = {"require": "y", "prefer": "prefer", "never": "n"}


@dataclass(frozen=True, slots=True)
class Pgbackrest:
    """One stanza's commands on this host, through an injected runner: exit code, stdout, stderr."""

    run: Run
    stanza: str
    sleep: Callable[[float], None] = time.sleep

    def info(self) -> Stanza:
        """What every repository has. Raises DriverError when it can't be asked."""
        return parse(self.checked("info", "--output=json", "--log-level-console=off"), self.stanza)

    def create(self) -> None:
        """Make the stanza in every repository; those that have it already stay as they are.

        A primary that archives already holds the stanza's lock for moments, because nothing can be archived yet.
        """
        for left in reversed(range(LOCKED_TRIES)):
            try:
                self.checked("stanza-create", "--log-level-console=warn")
            except DriverError as error:
                if LOCKED not in str(error) or not left:
                    raise
                self.sleep(1)
            else:
                return

    def upgrade(self) -> None:
        """Let the cluster that runs now go on in the stanza of the one before it; what is kept of that one stays."""
        self.checked("stanza-upgrade", "--log-level-console=warn")

    def check(self) -> None:
        """Archive one WAL segment now and see it arrive in every repository."""
        self.checked("check", "--log-level-console=warn")

    def backup(self, repo: int, kind: str, standby: str, note: Mapping[str, str]) -> str:
        """Make a backup; returns what was logged."""
        notes = [f"--annotation={key}={value}" for key, value in sorted(note.items())]
        options = [f"--repo={repo}", f"--type={kind}", f"--backup-standby={STANDBY[standby]}", "--start-fast", *notes]
        return self.checked("backup", *options, "--log-level-console=info")

    def expire(self, repo: int, label: str) -> None:
        """Take one full backup, and what hangs on it, out of a repository before its count says so."""
        self.checked("expire", f"--repo={repo}", f"--set={label}", "--log-level-console=warn")

    def checked(self, command: str, *options: str) -> str:
        """Standard output of a command. Raises DriverError with its last lines when it fails."""
        code, out, err = self.run([PROGRAM, f"--stanza={self.stanza}", *options, command])
        if code != 0:
            said = [line.strip() for line in f"{out}\n{err}".splitlines() if line.strip()][-LAST_LINES:]
            raise DriverError(f"pgbackrest {command} ended with {code}: {' | '.join(said)}", rc=code)
        return out
