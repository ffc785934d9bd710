# SPDX-License-Identifier: Apache-2.0
"""Which point is tried next, so that old ones are proved too, and how much is proved by now. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError, Point

NEWEST_SHARE = 2  # every second drill takes the newest point: that is the one that a disaster needs
DAY = 86400


def choose(points: Sequence[Point], proved: Mapping[str, float], seed: str, turn: int) -> Point:
    """The point of the next drill; the same seed and turn give the same point.

    Every second turn takes the newest one. The others draw from those that were never proved, then from those whose
    proof is oldest. Raises BackupError without points.
    """
    if not points:
        raise BackupError("there is no point to choose from")
    ordered = sorted(points, key=lambda p: p.stopped)
    if turn % NEWEST_SHARE == 0 or len(ordered) == 1:
        return ordered[-1]
    never = [p for p in ordered[:-1] if p.label not in proved]
    if never:
        drawn = hashlib.sha256(f"{seed}:{turn}".encode()).digest()
        return never[int.from_bytes(drawn, "big") % len(never)]
    return min(ordered[:-1], key=lambda p: proved[p.label])


def coverage(
    labels: Collection[str], proved: Mapping[str, float], now: float, days: Sequence[int] = (7, 30, 365)
) -> dict[str, Any]:
    """Share of the points that were proved by a restore, in all and within the last days. No points: no share."""
    labels = set(labels)
    known = {label: at for label, at in proved.items() if label in labels}

    def share(count: int) -> float | None:
        return round(count / len(labels), 4) if labels else None

    within = {f"{d}d": share(sum(1 for at in known.values() if now - at <= d * DAY)) for d in days}
    return {
        "points": len(labels),
        "proved": len(known),
        "share": share(len(known)),
        "within": within,
        "never": sorted(labels - set(known)),
        "last_proved_at": max(known.values(), default=None),
    }
