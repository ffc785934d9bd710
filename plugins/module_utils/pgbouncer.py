# SPDX-License-Identifier: Apache-2.0
"""pgBouncer's admin console as far as a drain needs it: pause between transactions, resume, who is at work."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.command import Run

ADMIN_DATABASE = "pgbouncer"
NOT_PAUSED = "is not paused"
# What `timeout` answers when it ended the command
TIMED_OUT = 124


class PoolerError(Exception):
    """The pooler could not be asked, or clients did not let go in time."""


@dataclass(frozen=True, slots=True)
class Console:
    """The console on the pooler's socket; whoever runs it as the pooler's own system user needs no password.

    Attributes:
        run: runs argv lists on the member.
        user: the pooler's system user.
        socket_dir, port: where the socket is.
    """

    run: Run
    user: str
    socket_dir: str
    port: int

    def paused(self) -> bool:
        """Whether every database is paused."""
        rows = [row for row in self._rows("SHOW DATABASES") if row["name"] != ADMIN_DATABASE]
        state = {row["key"]: row["value"] for row in self._rows("SHOW STATE")}
        return state.get("paused") == "yes" or (bool(rows) and all(row["paused"] == "1" for row in rows))

    def pause(self, wait_s: float) -> None:
        """Let running transactions end, make new queries wait. On failure everything runs again.

        Raises:
            PoolerError: a transaction was still open after `wait_s`.
        """
        code, _out, err = self._ask("PAUSE", wait_s)
        if code == 0:
            return
        busy = ""
        if code == TIMED_OUT:
            busy = f"{self.busy()} transactions were still open after {wait_s:g} s"
            self.resume()
        raise PoolerError(f"pgBouncer did not pause: {busy or err.strip()}")

    def resume(self) -> None:
        """Let queries through; nothing to do when they are."""
        code, _out, err = self._ask("RESUME", 10)
        if code != 0 and NOT_PAUSED not in err:
            raise PoolerError(f"pgBouncer did not resume: {err.strip()}")

    def busy(self) -> int:
        """How many server connections are inside a transaction."""
        pools = [row for row in self._rows("SHOW POOLS") if row["database"] != ADMIN_DATABASE]
        return sum(int(row["sv_active"]) for row in pools)

    def _rows(self, question: str) -> list[dict[str, str]]:
        code, out, err = self._ask(question, 10)
        if code != 0:
            raise PoolerError(f"pgBouncer did not answer {question}: {err.strip()}")
        return list(csv.DictReader(io.StringIO(out)))

    def _ask(self, command: str, wait_s: float) -> tuple[int, str, str]:
        psql = ["psql", "--no-psqlrc", "--csv", "-h", self.socket_dir, "-p", str(self.port), "-U", ADMIN_DATABASE]
        as_pooler = ["runuser", "-u", self.user, "--", "timeout", f"{wait_s:g}"]
        return self.run([*as_pooler, *psql, "-d", ADMIN_DATABASE, "-c", command])
