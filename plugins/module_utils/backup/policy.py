# SPDX-License-Identifier: Apache-2.0
"""What is promised about backups, as data, and whether it is kept: age, size, retention both ways, RPO, RTO. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Point,
    failed,
    found,
    passed,
    unknown,
)

DAY = 86400
AHEAD_S = 120  # clocks of hosts may differ by so much
USUAL_OF = 3  # so many points of a kind before its median says anything


@dataclass(frozen=True, slots=True)
class Policy:
    """What is promised. Zero means: nothing is promised about it.

    Attributes:
        max_age_s: age of the newest point.
        rpo_s: how much of the newest writes may be lost: how old the newest archived log may be.
        rto_s: how long a restore may take.
        min_points, min_span_s: how many points are kept, and how far back they must reach.
        max_keep_s: no personal data are kept longer: the term of 152-FZ, article 21.
        size_tolerance: how far a size may be from the median of its kind, as a share.
        proof_max_age_s: how old the last proof by a restore may be.
    """

    max_age_s: int = 26 * 3600
    rpo_s: int = 300
    rto_s: int = 3600
    min_points: int = 2
    min_span_s: int = 7 * DAY
    max_keep_s: int = 0
    size_tolerance: float = 0.5
    proof_max_age_s: int = 8 * DAY

    def __post_init__(self) -> None:
        """Refuse what contradicts itself. Raises BackupError."""
        for each in fields(self):
            if not getattr(self, each.name) >= 0:
                raise BackupError(f"policy {each.name} = {getattr(self, each.name)}: must not be below 0")
        if self.max_keep_s and self.max_keep_s <= self.min_span_s:
            raise BackupError(
                f"policy max_keep_s = {self.max_keep_s} is not above min_span_s = {self.min_span_s}: both can't be kept"
            )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Policy:
        """From the option of a module. Raises BackupError."""
        known = {each.name for each in fields(cls)}
        if strangers := sorted(set(params) - known):
            raise BackupError(f"policy has no {', '.join(strangers)} → it has {', '.join(sorted(known))}")
        numbers = {name: value for name, value in params.items() if value is not None}
        if bad := sorted(n for n, v in numbers.items() if isinstance(v, bool) or not isinstance(v, int | float)):
            raise BackupError(f"policy {', '.join(bad)} must be a number")
        return cls(**numbers)


def policy_options() -> dict[str, Any]:
    """Argument spec of the option `policy`."""
    kinds = {
        name: {"type": "float" if name == "size_tolerance" else "int"} for name in (f.name for f in fields(Policy))
    }
    return {"type": "dict", "default": {}, "options": kinds}


def fresh(newest: Point | None, policy: Policy, now: float) -> Finding:
    """Whether the newest point is young enough. A point of the future is as wrong as an old one."""
    if newest is None:
        return failed("fresh", "there is no point at all")
    age = now - newest.stopped
    evidence = {"age_s": round(age), "max_age_s": policy.max_age_s, "label": newest.label}
    if age < -AHEAD_S:
        return failed("fresh", f"{newest.label} is {-age:.0f} s in the future: a clock is wrong", **evidence)
    if policy.max_age_s and age > policy.max_age_s:
        return failed("fresh", f"{newest.label} is {age:.0f} s old, {policy.max_age_s} s are allowed", **evidence)
    return passed("fresh", **evidence)


def advancing(newest_log_at: float | None, policy: Policy, now: float) -> Finding:
    """Whether the archived log is young enough: this is the RPO without a restore."""
    if newest_log_at is None:
        return unknown("advancing", "when the newest log was archived is not known")
    age = now - newest_log_at
    evidence = {"rpo_s": round(age, 1), "promised_s": policy.rpo_s}
    if policy.rpo_s and age > policy.rpo_s:
        reason = f"the newest archived log is {age:.0f} s old, so that much is lost now; {policy.rpo_s} s are promised"
        return failed("advancing", reason, **evidence)
    return passed("advancing", **evidence)


def size_usual(point: Point, points: Sequence[Point], policy: Policy) -> Finding:
    """Whether a size is near the median of its kind. An empty point is always wrong."""
    others = [p.size for p in points if p.kind == point.kind and p.label != point.label and p.size > 0]
    evidence: dict[str, Any] = {"size": point.size, "compared": len(others)}
    if point.size <= 0:
        return failed("size_usual", f"{point.label} is empty", **evidence)
    if len(others) < USUAL_OF or not policy.size_tolerance:
        return passed("size_usual", **evidence, note="too few points of its kind to compare")
    usual = median(others)
    off = point.size / usual - 1
    evidence |= {"median": usual}
    if abs(off) > policy.size_tolerance:
        allowed = f"{policy.size_tolerance:.0%} are usual"
        return failed("size_usual", f"{point.label} is {off:+.0%} off the median of its kind, {allowed}", **evidence)
    return passed("size_usual", **evidence)


def enough_points(points: Sequence[Point], policy: Policy, now: float) -> Finding:
    """Retention, too short: as many points as promised, reaching as far back as promised."""
    wrong = []
    if len(points) < policy.min_points:
        wrong.append(f"{len(points)} points are kept, {policy.min_points} are promised")
    reach = now - min((p.stopped for p in points), default=now)
    if policy.min_span_s and reach < policy.min_span_s:
        wrong.append(f"the oldest point is {reach / DAY:.1f} days old, {policy.min_span_s / DAY:.1f} are promised")
    return found("enough_points", wrong, points=len(points), reach_s=round(reach))


def not_too_old(points: Sequence[Point], policy: Policy, now: float, oldest_log_at: float | None = None) -> Finding:
    """Retention, too long: what is older than its term must be gone, the log as well."""
    if not policy.max_keep_s:
        return passed("not_too_old", note="the policy has no term: nothing personal is said to be kept here")
    late = [p.label for p in points if now - p.stopped > policy.max_keep_s]
    wrong = [f"{', '.join(late)} should have been deleted after {policy.max_keep_s / DAY:.0f} days"] if late else []
    if oldest_log_at is not None and now - oldest_log_at > policy.max_keep_s:
        wrong.append("the log archive reaches behind the term")
    return found("not_too_old", wrong, late=late)


def within_rto(seconds: float, policy: Policy, factor: float = 1.0) -> Finding:
    """Whether the measured restore keeps the promise; `factor` is production's size over the measured one."""
    expected = seconds * factor
    evidence = {"measured_s": round(seconds, 3), "factor": round(factor, 3), "rto_s": policy.rto_s}
    if policy.rto_s and expected > policy.rto_s:
        return failed("within_rto", f"a restore takes {expected:.0f} s, {policy.rto_s} s are promised", **evidence)
    return passed("within_rto", **evidence)


def proof_fresh(proved_at: float | None, policy: Policy, now: float) -> str | None:
    """Why the last proof by a restore does not count; None when it does."""
    if proved_at is None:
        return "it was never proved by a restore"
    if policy.proof_max_age_s and now - proved_at > policy.proof_max_age_s:
        return (
            f"the last proof is {(now - proved_at) / DAY:.1f} days old, {policy.proof_max_age_s / DAY:.1f} are allowed"
        )
    return None
