# SPDX-License-Identifier: Apache-2.0
"""What a client suffered: outage, errors, how slow writes were. Pure; times are of the client's monotonic clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import Operation


@dataclass(frozen=True, slots=True)
class Phase:
    """Writes that began in one phase: how many, with which outcome, how slow the acknowledged ones were (ms)."""

    attempted: int
    ok: int
    fail: int
    unknown: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of a run.

    Attributes:
        client_rto_s: the longest time without an acknowledgement that overlaps the fault; None when it can't be told.
        redundancy_rto_s: from the injection until the service was whole; None when it never was.
        last_ack_before, first_ack_after: the ends of that gap, in seconds after the injection.
        first_error_s: seconds after the injection; None without an error.
        errors: class → how often, over the whole run.
    """

    client_rto_s: float | None
    redundancy_rto_s: float | None
    last_ack_before: float | None
    first_ack_after: float | None
    first_error_s: float | None
    errors: dict[str, int]
    before: Phase
    during: Phase
    after: Phase

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return asdict(self)


def longest_gap(acks: Sequence[float], since: float, until: float) -> tuple[float, float] | None:
    """Begin and end of the longest time without an acknowledgement that overlaps [since, until].

    None when there was none before `since`: then nobody knows whether the client could write at all. A gap that was
    still open at `until` ends there, so the outage is at least that long.
    """
    times = sorted(acks)
    if not times or times[0] > since:
        return None
    if times[-1] < until:
        times.append(until)
    gaps = [(left, right) for left, right in pairwise(times) if right > since and left < until]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=None)


def measure(
    operations: Sequence[Operation], injected: float, undone: float, end: float, whole: float | None
) -> Measures:
    """All figures of a run.

    Args:
        injected: just before the first fault was fired.
        undone: when the last one was taken back.
        end: when the writers were stopped.
        whole: when the service had settled again; None when it did not.
    """
    acks = [operation.end for operation in operations if operation.acked]
    gap = longest_gap(acks, injected, end)
    failed = [operation for operation in operations if not operation.acked]
    later = [operation.end - injected for operation in failed if operation.end >= injected]
    return Measures(
        client_rto_s=None if gap is None else round(gap[1] - gap[0], 3),
        redundancy_rto_s=None if whole is None else round(max(0.0, whole - injected), 3),
        last_ack_before=None if gap is None else round(gap[0] - injected, 3),
        first_ack_after=None if gap is None else round(gap[1] - injected, 3),
        first_error_s=round(min(later), 3) if later else None,
        errors=dict(sorted(Counter(operation.error for operation in failed).items())),
        before=phase([o for o in operations if o.start < injected]),
        during=phase([o for o in operations if injected <= o.start < undone]),
        after=phase([o for o in operations if o.start >= undone]),
    )


def phase(operations: Sequence[Operation]) -> Phase:
    """Figures of some writes."""
    outcomes = Counter(operation.outcome for operation in operations)
    took = sorted((operation.end - operation.start) * 1000 for operation in operations if operation.acked)
    return Phase(len(operations), outcomes["ok"], outcomes["fail"], outcomes["unknown"],
                 percentile(took, 50), percentile(took, 99))  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` percent of the sorted values do not exceed (nearest rank); None for none."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)], 3)


def clock_offset(asked: float, answered: float, there: float) -> tuple[float, float]:
    """What to add to our monotonic clock to get another host's, and the error: half the way there and back."""
    return there - (asked + answered) / 2, (answered - asked) / 2
