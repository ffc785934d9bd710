# SPDX-License-Identifier: Apache-2.0
"""What changed files need of a unit, and what of it the unit has not taken yet."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState

NEEDS = ("none", "reload", "restart")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Pending:
    """A need of files that are in place since `at_us` (µs of the monotonic clock of boot `boot_id`)."""

    need: str
    boot_id: str
    at_us: int
    wall: str


def strongest(needs: Iterable[str]) -> str:
    """The strongest of needs; none when there are none."""
    return max(needs, key=NEEDS.index, default="none")


def boot_id() -> str:
    """Identifier of this boot; empty where the kernel gives none."""
    with suppress(OSError):
        return BOOT_ID.read_text(encoding="ascii").strip()
    return ""


def outstanding(pending: Pending | None, unit: UnitState) -> str:
    """What of a need is left: nothing once the unit's process started after the files were in place."""
    if pending is None or not unit.running or _started_since(pending, unit):
        return "none"
    return pending.need


def read_since(armed: Pending | None, unit: UnitState) -> str:
    """What a unit needs because its process may have read files of a swap that was undone since."""
    if armed is None or not unit.running or not _started_since(armed, unit):
        return "none"
    return armed.need


def _started_since(moment: Pending, unit: UnitState) -> bool:
    return moment.boot_id != boot_id() or unit.started_us > moment.at_us


def pending_now(need: str) -> Pending:
    """A need that begins now."""
    return Pending(need, boot_id(), time.monotonic_ns() // 1000, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
