# SPDX-License-Identifier: Apache-2.0
"""Arms, renews, disarms and fires the leases of a host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.lease import (
    PREFIX,
    UNITS,
    WANTS,
    Lease,
    LeaseError,
    Present,
    check_name,
    judge,
    parse,
    paths,
)
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError, show
from ansible_collections.rsp.platform.plugins.module_utils.units_apply import Clock

POLL_S = 0.2
JOURNAL_LINES = 12


def can_run(program: Path) -> bool:
    """Whether a program is there and may be run."""
    return program.is_file() and os.access(program, os.X_OK)


@dataclass(frozen=True)
class Leases:
    """The leases of one host.

    Attributes:
        run: runs argv lists on the host.
        root: where its file system begins.
        clock: the monotonic clock, which systemd's timers count on.
        can_run: whether a program can be run.
    """

    run: Run
    root: Path = Path("/")
    clock: Clock = field(default_factory=Clock)
    can_run: Callable[[Path], bool] = can_run

    def all(self) -> list[Present]:
        """Every lease, by name."""
        names = sorted(f.name[len(PREFIX) : -len(".service")] for f in self._units.glob(f"{PREFIX}*.service"))
        return [found for name in names if (found := self.find(name))]

    def find(self, name: str) -> Present | None:
        """One lease, None when there is none. Raises LeaseError when it cannot be told."""
        check_name(name)
        try:
            lease = parse((self._units / f"{PREFIX}{name}.service").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as err:
            raise LeaseError(f"lease {name} cannot be read: {err}") from err
        try:
            states = show(self.run, [lease.timer, lease.service])
        except UnitError as err:
            raise LeaseError(str(err)) from err
        return judge(lease, states[lease.timer], states[lease.service], self.clock.now())

    def arm(self, lease: Lease, check: bool = False) -> tuple[bool, Present]:
        """Make it tick from now on: whether more than the time changed, and the lease.

        Raises:
            LeaseError: it is being undone, another undo has that name, a program is missing, or systemd refuses.
        """
        before = self.find(lease.name)
        if before is not None:
            _refuse_if_fired(before)
            if before.lease.undo != lease.undo:
                raise LeaseError(
                    f"lease {lease.name} is there with another undo, which would be lost → fire or disarm it first",
                    lease=before.as_result(),
                )
            if before.lease == lease and before.state == "armed":
                return False, self.renew(lease.name, check)
        if check:
            return True, Present(lease, "armed", float(lease.ttl_s))
        missing = [argv[0] for argv in lease.undo if not self.can_run(self.root / argv[0].lstrip("/"))]
        if missing:
            raise LeaseError(f"undo: {', '.join(missing)} cannot be run on this host, so nothing was armed")
        try:
            self._write(lease)
            self._systemctl("daemon-reload")
            self._systemctl("restart", lease.timer)
            return True, self._ticking(lease.name)
        except (LeaseError, OSError) as err:
            if before is None:
                with contextlib.suppress(LeaseError):
                    self._remove(lease)
            raise LeaseError(f"lease {lease.name} is not armed, do nothing temporary: {err}") from err

    def renew(self, name: str, check: bool = False) -> Present:
        """Start its time anew. Raises LeaseError when it is not there any more, or not ticking."""
        found = self.find(name)
        if found is None:
            raise LeaseError(f"lease {name} is not there: it was undone, or never armed → stop what relies on it")
        _refuse_if_fired(found)
        if found.state != "armed":
            raise LeaseError(f"lease {name} is not ticking → arm it again", lease=found.as_result())
        if check:
            return replace(found, remaining_s=float(found.lease.ttl_s))
        self._systemctl("restart", found.lease.timer)
        return self._ticking(name)

    def disarm(self, name: str, check: bool = False) -> bool:
        """Take it away without undoing; whether there was one. Raises LeaseError while the undo runs."""
        found = self.find(name)
        if found is not None and not check:
            self._systemctl("stop", found.lease.timer)
            found = self.find(name) or found  # it may have fired just before
        if found is not None and found.state == "undoing":
            raise LeaseError(f"lease {name} is being undone → wait until it is gone", lease=found.as_result())
        if found is None or check:
            return found is not None
        if found.state == "retrying":
            self._systemctl("stop", found.lease.service)
        self._remove(found.lease)
        return True

    def fire(self, name: str, wait_s: float, check: bool = False) -> bool:
        """Undo now and wait until it is gone; whether there was one.

        Raises:
            LeaseError: it is not undone after `wait_s`; it goes on trying. Carries the journal.
        """
        found = self.find(name)
        if found is None or check:
            return found is not None
        # A start would wait for systemd's next try.
        self._systemctl("--no-block", "restart" if found.state == "retrying" else "start", found.lease.service)
        end = self.clock.now() + wait_s
        while not self._gone(found.lease):
            if self.clock.now() >= end:
                raise self._late(found.lease, wait_s)
            self.clock.sleep(POLL_S)
        return True

    @property
    def _units(self) -> Path:
        return self.root / UNITS

    def _ticking(self, name: str) -> Present:
        found = self.find(name)
        if found is None or found.state != "armed":
            state = found.state if found else "gone"
            raise LeaseError(f"lease {name} is {state} instead of ticking: it has fired just now")
        return found

    def _gone(self, lease: Lease) -> bool:
        """Whether nothing is left of it, on disk and in systemd."""
        if any((self._units / path).is_symlink() or (self._units / path).exists() for path in paths(lease.name)):
            return False
        states = show(self.run, [lease.timer, lease.service]).values()
        return not any(state.exists for state in states)

    def _late(self, lease: Lease, wait_s: float) -> LeaseError:
        options = ["--no-pager", "--output", "cat", "--lines", str(JOURNAL_LINES)]
        _code, out, _err = self.run(["journalctl", *options, "--unit", lease.service])
        left = self.find(lease.name)
        seen = f"lease {lease.name} is {left.state if left else 'still known to systemd'} after {wait_s:g} s"
        text = "\n  ".join([f"{seen}; it goes on trying. Its last words:", *out.splitlines()])
        return LeaseError(text, journal=out.splitlines(), lease=left.as_result() if left else None)

    def _write(self, lease: Lease) -> None:
        """Both units and the link, on the disk when this returns: the host may lose its power next."""
        wants = self._units / WANTS
        wants.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in lease.files().items():
            staged = self._units / f".{name}.new"
            with staged.open("w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            staged.chmod(0o644)
            staged.replace(self._units / name)
        link = wants / lease.service
        if not link.is_symlink():
            link.symlink_to(f"/{UNITS}/{lease.service}")
        for directory in (self._units, wants):
            handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _remove(self, lease: Lease) -> None:
        self.run(["systemctl", "stop", lease.timer])  # not running is fine
        try:
            for path in paths(lease.name):
                (self._units / path).unlink(missing_ok=True)
        except OSError as err:
            raise LeaseError(f"lease {lease.name} is stopped, but its units stay: {err}") from err
        self._systemctl("daemon-reload")

    def _systemctl(self, *words: str) -> None:
        code, out, err = self.run(["systemctl", *words])
        if code != 0:
            raise LeaseError(f"systemctl {' '.join(words)}: {err.strip() or out.strip()}")


def _refuse_if_fired(found: Present) -> None:
    if found.state in ("undoing", "retrying"):
        raise LeaseError(f"lease {found.lease.name} has fired and is {found.state} → wait", lease=found.as_result())
