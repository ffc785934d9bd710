# SPDX-License-Identifier: Apache-2.0
"""Who undoes a fault when nobody renews it: a lease of systemd, or where there is no systemd a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ansible_collections.rsp.platform.plugins.module_utils.chaos import steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.script import SCRIPT
from ansible_collections.rsp.platform.plugins.module_utils.lease import Lease, LeaseError
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError

PYTHON = "/usr/bin/python3"


class Watchdog(Protocol):
    """Undoes what a directory holds, in time and without us."""

    def arm(self, fault: str, folder: Path, ttl_s: int, reason: str) -> None:
        """Tick from now on. Raises ChaosError when it does not."""

    def renew(self, fault: str, folder: Path, ttl_s: int) -> None:
        """Start the time anew. Raises ChaosError when it has fired or was never there."""

    def fire(self, fault: str, folder: Path, wait_s: float) -> None:
        """Undo now. Raises ChaosError when the host is not as it was after `wait_s`; the watchdog goes on trying."""

    def armed(self, fault: str, folder: Path) -> bool:
        """Whether it ticks."""


@dataclass(frozen=True)
class SystemdWatchdog:
    """A lease: counts on the monotonic clock, undoes at boot too, tries again until it succeeded."""

    leases: Leases

    def arm(self, fault: str, folder: Path, ttl_s: int, reason: str) -> None:
        """See Watchdog."""
        argv = (PYTHON, str(folder / SCRIPT), "undo", str(folder))
        with _as_chaos():
            self.leases.arm(Lease(self._name(fault), (argv,), ttl_s, reason, 180))

    def renew(self, fault: str, folder: Path, ttl_s: int) -> None:
        """See Watchdog; the time is the one that the lease was armed with."""
        del folder, ttl_s
        with _as_chaos():
            self.leases.renew(self._name(fault))

    def fire(self, fault: str, folder: Path, wait_s: float) -> None:
        """See Watchdog. A lease that has fired already left a directory that says how it went."""
        with _as_chaos():
            gone = not self.leases.fire(self._name(fault), wait_s)
        if gone and not (folder / steps.UNDONE).exists() and not steps.undo_directory(folder):
            raise ChaosError(f"fault {fault} had no lease and could not be undone")

    def armed(self, fault: str, folder: Path) -> bool:
        """See Watchdog."""
        del folder
        with _as_chaos():
            found = self.leases.find(self._name(fault))
        return found is not None and found.state == "armed"

    @staticmethod
    def _name(fault: str) -> str:
        return f"chaos-{fault}"


@dataclass(frozen=True)
class ProcessWatchdog:
    """The undo script in a session of its own. It does not outlive a reboot: then chaos_recover is what helps."""

    start: Callable[[list[str]], bool] | None = None
    now: Callable[[], float] = time.monotonic

    def arm(self, fault: str, folder: Path, ttl_s: int, reason: str) -> None:
        """See Watchdog."""
        del reason
        self._deadline(folder, ttl_s)
        if not (self.start or _spawned)([sys.executable, str(folder / SCRIPT), "watch", str(folder)]):
            (folder / steps.DEADLINE).unlink()
            raise ChaosError(f"the watchdog of fault {fault} ended at once: nothing was injected")

    def renew(self, fault: str, folder: Path, ttl_s: int) -> None:
        """See Watchdog."""
        if not self.armed(fault, folder):
            raise ChaosError(f"fault {fault} is not armed any more: its watchdog has undone it")
        self._deadline(folder, ttl_s)

    def fire(self, fault: str, folder: Path, wait_s: float) -> None:
        """See Watchdog."""
        del wait_s  # the undo runs in this very process, and its steps end by themselves
        if not steps.undo_directory(folder):
            raise ChaosError(f"fault {fault} could not be undone; its watchdog goes on trying")
        (folder / steps.DEADLINE).unlink(missing_ok=True)

    def armed(self, fault: str, folder: Path) -> bool:
        """See Watchdog."""
        del fault
        return (folder / steps.DEADLINE).exists()

    def _deadline(self, folder: Path, ttl_s: int) -> None:
        steps.save(folder / steps.DEADLINE, str(self.now() + ttl_s))


@contextmanager
def _as_chaos() -> Iterator[None]:
    """A lease's refusal as ours."""
    try:
        yield
    except (LeaseError, UnitError) as err:
        raise ChaosError(str(err), **err.result) from err


def _spawned(argv: list[str]) -> bool:
    """Start a process that outlives us; whether it lives after its first moment."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    try:
        process.wait(0.3)
    except subprocess.TimeoutExpired:
        return True
    return False
