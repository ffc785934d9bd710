"""The one status algebra: a verdict is open or closed, and what is unknown is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a gate.

    Attributes:
        open: whether the question is answered with yes. Unknown is never open.
        reasons: why it is closed, one sentence each; empty when open.
        evidence: what was looked at, JSON-serialisable.
    """

    open: bool
    reasons: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """All reasons in one line, or None when open."""
        return "; ".join(self.reasons) or None

    def as_result(self) -> dict[str, Any]:
        """The verdict as keys of a module result."""
        return {"open": self.open, "reason": self.reason, "reasons": list(self.reasons), "evidence": self.evidence}


def opened(**evidence: Any) -> Verdict:
    """An open verdict with its evidence."""
    return Verdict(open=True, evidence=evidence)


def closed(*reasons: str, **evidence: Any) -> Verdict:
    """A closed verdict; at least one reason is required."""
    if not reasons:
        raise ValueError("a closed verdict needs a reason")
    return Verdict(open=False, reasons=reasons, evidence=evidence)


def all_open(verdicts: list[Verdict]) -> Verdict:
    """Open only if there is at least one verdict and all are open: an empty loop proves nothing."""
    if not verdicts:
        return closed("nothing was checked")
    reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
    evidence = {key: value for verdict in verdicts for key, value in verdict.evidence.items()}
    return Verdict(open=all(verdict.open for verdict in verdicts), reasons=reasons, evidence=evidence)
