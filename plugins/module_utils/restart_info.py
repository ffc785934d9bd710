# SPDX-License-Identifier: Apache-2.0
"""Why a unit waits for a restart: its files changed, its cluster's settings changed, or somebody asked for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.pending import Pending, outstanding
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState

# A standby must not have less of these than its primary, so a smaller value is taken by the primary first.
STANDBY_NEEDS_AS_MUCH = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
US_A_SECOND = 1_000_000
DPKG_INFO = Path("/var/lib/dpkg/info")


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks: seconds since the epoch and µs of the monotonic clock that systemd counts by."""

    epoch_s: float
    monotonic_us: int

    def epoch_of(self, monotonic_us: int) -> float:
        """Seconds since the epoch of a moment of the monotonic clock."""
        return self.epoch_s - (self.monotonic_us - monotonic_us) / US_A_SECOND


def reasons(
    unit: UnitState,
    pending: Pending | None,
    settings: Mapping[str, Mapping[str, Any]],
    asked_at: float | None,
    now: Moment,
    *,
    installed: Mapping[str, float] | None = None,
) -> list[str]:
    """Why the unit should be restarted, one sentence each; empty when it need not be.

    Args:
        unit: as systemd sees it.
        pending: what the files of the service need.
        settings: name → {old_value, new_value} of settings that wait for a restart.
        asked_at: when a restart was asked for regardless, seconds since the epoch; a later start has answered it.
        now: the present.
        installed: package → when its files were put in place, seconds since the epoch.
    """
    found = []
    if not unit.running:
        found.append(f"{unit.name} is {unit.active}")
        return found
    if outstanding(pending, unit) == "restart":
        found.append(f"files changed at {pending.wall if pending else 'an unknown time'}")
    found += [
        f"{name}: {change.get('old_value')} → {change.get('new_value')}" for name, change in sorted(settings.items())
    ]
    began = now.epoch_of(unit.started_us)
    found += [
        f"{name} was installed after {unit.name} started"
        for name, at in sorted((installed or {}).items())
        if at > began
    ]
    if asked_at is not None and began < asked_at:
        found.append("a restart was asked for")
    return found


def installed_at(packages: Sequence[str], root: Path = DPKG_INFO) -> dict[str, float]:
    """When dpkg last put the files of each package in place; packages that are not installed are left out."""
    moments = {}
    for package in packages:
        for path in (root / f"{package}.list", *root.glob(f"{package}:*.list")):
            with suppress(OSError):
                moments[package] = path.stat().st_mtime
    return moments


def leader_first(settings: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a setting that standbys need as much of as their primary gets smaller."""
    return any(_smaller(settings[name]) for name in STANDBY_NEEDS_AS_MUCH if name in settings)


def _smaller(change: Mapping[str, Any]) -> bool:
    try:
        return int(change["new_value"]) < int(change["old_value"])
    except (KeyError, TypeError, ValueError):
        return False
