# SPDX-License-Identifier: Apache-2.0
"""A restore on one host: what is there goes aside, files come, recovery runs without clients up to the target.

A target that was not reached is a failure: PostgreSQL says so itself, and nothing is promoted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import PROGRAM
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.target import Plan, Target
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

POLL_S = 0.5
LOG_LINES = 12
ASIDE = ".damaged"
ENDED = "database system is shut down"
# In which a server that starts has made its own file
START_S = 15.0
# No client, no peer, no agreement with a standby: whatever the restored configuration says
ALONE = ("listen_addresses=", "synchronous_standby_names=", "logging_collector=off")


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this host."""

    data: Path
    bin_dir: Path
    socket_dir: Path
    port: int = 5432

    @property
    def aside(self) -> Path:
        """Where the data that were there are kept until the restore was looked at."""
        return self.data.with_name(self.data.name + ASIDE)

    @property
    def log(self) -> Path:
        """What the server says while it recovers."""
        return self.data.with_name(f"{self.data.name}.restore.log")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, so that tests need none."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore. `databases`: only these get their data (all if empty); `archive`: whether its WAL is archived."""

    run: Run
    stanza: str
    places: Places
    databases: Sequence[str] = ()
    archive: bool = True
    clock: Clock = field(default_factory=Clock)

    def refuse_leftovers(self) -> None:
        """Raises DriverError when data of an earlier restore are still aside, or a server runs."""
        if self.places.aside.exists():
            raise DriverError(f"{self.places.aside} is there from an earlier restore → look at it, then remove it")
        if (self.places.data / "postmaster.pid").exists():
            raise DriverError(f"a server runs in {self.places.data}, or ended without cleaning up → stop it first")

    def refuse_data(self) -> None:
        """Raises DriverError when the name is in use: for a side cluster, which puts nothing aside."""
        if self.places.data.exists():
            raise DriverError(f"{self.places.data} is there already → choose another name, or remove it")

    def take_aside(self) -> bool:
        """Give the data that are there another name; whether there were any."""
        if not self.places.data.exists():
            return False
        self.places.data.rename(self.places.aside)
        return True

    def put_back(self) -> bool:
        """Undo: the data that were there are there again. Harmless when it runs twice."""
        if not self.places.aside.exists():
            return False
        self._pg_ctl("stop", "-m", "immediate")
        self.run(["/usr/bin/rm", "-rf", "--", str(self.places.data)])
        self.places.aside.rename(self.places.data)
        return True

    def fetch(self, plan: Plan, target: Target) -> float:
        """Bring the files; seconds that it took. Raises DriverError."""
        begin, place = self.clock.now(), self.places.data
        place.mkdir(mode=0o700, parents=True)
        argv = [PROGRAM, f"--stanza={self.stanza}", f"--repo={plan.repository}", f"--set={plan.backup.label}"]
        argv += [f"--pg1-path={place}", *target.options(), *(f"--db-include={name}" for name in self.databases)]
        argv += [] if self.archive else ["--archive-mode=off"]
        code, out, err = self.run([*argv, "--log-level-console=warn", "restore"])
        if code != 0:
            raise DriverError(f"pgbackrest restore ended with {code}: {(err or out).strip()[-600:]}")
        return round(self.clock.now() - begin, 3)

    def recover(self, wait_s: float) -> dict[str, Any]:
        """Replay up to the target, until the server is promoted; what its log says of it. Raises DriverError."""
        begin = self.clock.now()
        options = [*ALONE, f"unix_socket_directories={self.places.socket_dir}", f"port={self.places.port}"]
        text = " ".join(f"-c {key}='{value}'" for key, value in (option.split("=", 1) for option in options))
        code, _out, _err = self._pg_ctl("start", "-W", "-l", str(self.places.log), "-o", text)
        end = begin + wait_s
        while code == 0 and self.clock.now() < end:
            if self._query("SELECT pg_is_in_recovery()") == "f":
                return {**reached(self._log()), "seconds": round(self.clock.now() - begin, 3)}
            if self._pg_ctl("status")[0] != 0 and (ENDED in self._log() or self.clock.now() > begin + START_S):
                break
            self.clock.sleep(POLL_S)
        said = [line for line in self._log().splitlines() if line.strip()][-LOG_LINES:]
        why = "the target was not reached" if "before configured recovery target" in self._log() else "recovery failed"
        raise DriverError(f"{why}: {' | '.join(said)}", reached=False)

    def stop(self) -> None:
        """Stop the server cleanly. Raises DriverError when it does not."""
        code, out, err = self._pg_ctl("stop", "-m", "fast", "-w", "-t", "600")
        if code != 0:
            raise DriverError(f"the recovered server does not stop: {(err or out).strip()[-300:]}")

    def system_id(self) -> str:
        """Identifier of the restored cluster."""
        _code, out, _err = self.run([str(self.places.bin_dir / "pg_controldata"), str(self.places.data)])
        found = re.search(r"system identifier:\s*(\d+)", out)
        if not found:
            raise DriverError(f"pg_controldata says nothing of {self.places.data}")
        return found[1]

    def _query(self, sql: str) -> str:
        argv = [
            str(self.places.bin_dir / "psql"),
            "--no-psqlrc",
            "-h",
            str(self.places.socket_dir),
            "-p",
            str(self.places.port),
        ]
        code, out, _err = self.run([*argv, "-U", "postgres", "-d", "postgres", "-Atc", sql])
        return out.strip() if code == 0 else ""

    def _pg_ctl(self, command: str, *options: str) -> tuple[int, str, str]:
        return self.run([str(self.places.bin_dir / "pg_ctl"), "-D", str(self.places.data), *options, command])

    def _log(self) -> str:
        return self.places.log.read_text(encoding="utf-8", errors="replace") if self.places.log.exists() else ""


def reached(log: str) -> dict[str, Any]:
    """Where recovery ended, in PostgreSQL's own words."""
    words = {
        "stopped": r"LOG:\s+(recovery stopping .*)",
        "last_transaction": r"last completed transaction was at log time (.*)",
        "timeline": r"selected new timeline ID: (\d+)",
        "redo_done": r"redo done at (\S+)",
    }
    return {name: (re.findall(pattern, log) or [""])[-1] for name, pattern in words.items()} | {"reached": True}
