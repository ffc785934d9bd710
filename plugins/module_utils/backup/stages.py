# SPDX-License-Identifier: Apache-2.0
"""Stages of a restore on the monotonic clock, and what they say about production. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MIB = 1024 * 1024
FAR = 2  # times the measured size, beyond which a line proves little


@dataclass
class Stages:
    """How long each stage took, and how much it moved."""

    clock: Callable[[], float] = time.monotonic
    took: dict[str, float] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside, also when it fails."""
        begun = self.clock()
        try:
            yield
        finally:
            self.took[name] = self.took.get(name, 0.0) + self.clock() - begun

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.took.values())

    def until(self, last: str) -> float:
        """Seconds up to the end of a stage: the RTO ends when the engine answers, not when we have checked it."""
        names = list(self.took)
        return sum(self.took[name] for name in names[: names.index(last) + 1]) if last in self.took else self.total

    def as_result(self) -> dict[str, Any]:
        """Seconds and throughput of each stage."""
        rates = {n: round(b / MIB / self.took[n], 1) for n, b in self.moved.items() if self.took.get(n, 0) > 0}
        return {
            "stages_s": {n: round(s, 3) for n, s in self.took.items()},
            "bytes": dict(self.moved),
            "mib_per_s": rates,
        }


def extrapolated(seconds: float, size: int, real_size: int) -> dict[str, Any]:
    """What a restore of production's size may take, and how little that is worth."""
    if size <= 0 or real_size <= 0:
        return {"seconds": None, "factor": None, "uncertainty": "no size is known"}
    factor = real_size / size
    doubt = (
        "measured at its real size"
        if factor <= 1
        else "linear"
        if factor <= FAR
        else "linear, beyond twice the measured size"
    )
    return {"seconds": round(seconds * max(1.0, factor), 1), "factor": round(factor, 3), "uncertainty": doubt}
