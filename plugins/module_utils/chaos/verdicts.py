# SPDX-License-Identifier: Apache-2.0
"""The verdict over a run. Only `held` is green; whatever could not be seen makes it inconclusive. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import Findings
from ansible_collections.rsp.platform.plugins.module_utils.chaos.measures import Measures

# The loudest first
VERDICTS = ("rollback_failed", "aborted", "violated", "inconclusive", "held")
FEWEST_WRITES = 20
# What must never be, whatever an experiment expects
NEVER = ("resurrected", "duplicated", "reordered", "diverged", "foreign")


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that the verdict rests on. None stands for what nobody saw.

    Attributes:
        undone: host → what was wrong after the undo; empty lists are good.
        effective: fault id → whether its effect was proved.
        aborted: why the run was stopped; None when it was not.
        unseen: what could not be had (a probe, a read), one sentence each.
        allowed_loss: the most acknowledged writes that may be lost.
    """

    expect: Mapping[str, Any]
    findings: Findings | None
    measures: Measures | None
    undone: Mapping[str, list[str]]
    effective: Mapping[str, bool]
    allowed_loss: int
    aborted: str | None = None
    unseen: tuple[str, ...] = ()


@dataclass
class Judgement:
    """A verdict with every reason, by the verdict that each of them asks for."""

    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, verdict: str, reason: str) -> None:
        """One more reason."""
        self.reasons.setdefault(verdict, []).append(reason)

    @property
    def verdict(self) -> str:
        """The loudest that has a reason."""
        return next((verdict for verdict in VERDICTS if self.reasons.get(verdict)), "held")

    def as_dict(self) -> dict[str, Any]:
        """Keys of the report."""
        texts = [f"{verdict}: {text}" for verdict in VERDICTS for text in self.reasons.get(verdict, ())]
        return {"verdict": self.verdict, "green": self.verdict == "held", "reasons": texts}


def judge(run: Run) -> Judgement:
    """The verdict, with all reasons, not just the first."""
    found = Judgement()
    for where, wrong in run.undone.items():
        for text in wrong:
            found.add("rollback_failed", f"{where}: {text}")
    if run.aborted:
        found.add("aborted", run.aborted)
    if not run.effective:
        found.add("inconclusive", "no fault was injected")
    for fault, effective in run.effective.items():
        if not effective:
            found.add("inconclusive", f"nobody saw that {fault} took effect")
    for text in run.unseen:
        found.add("inconclusive", text)
    _judge_findings(run, found)
    _judge_measures(run, found)
    return found


def _judge_findings(run: Run, found: Judgement) -> None:
    if run.findings is None:
        found.add("inconclusive", "the ledger was not read back")
        return
    counts = run.findings.counts()
    if counts["lost"] > run.allowed_loss:
        found.add("violated", f"{counts['lost']} acknowledged writes are lost, {run.allowed_loss} may be")
    for name in NEVER:
        if counts[name]:
            found.add("violated", f"{counts[name]} {name}")
    for how, most in (run.expect.get("stale_max") or {}).items():
        seen = run.findings.reads.get(how, {})
        if not seen.get("answered"):
            found.add("inconclusive", f"no {how} read was answered")
        elif seen["stale"] > most:
            found.add("violated", f"{seen['stale']} stale reads in mode {how}, {most} may be")
    for member in run.findings.unread:
        found.add("inconclusive", f"the data of {member} could not be read")


def _judge_measures(run: Run, found: Judgement) -> None:
    seen = run.measures
    if seen is None:
        found.add("inconclusive", "nothing was measured")
        return
    if seen.before.ok < FEWEST_WRITES:
        found.add("inconclusive", f"{seen.before.ok} writes before the fault, {FEWEST_WRITES} are needed")
    if seen.after.ok == 0 and seen.during.ok == 0:
        found.add("violated", "no write was acknowledged after the fault any more")
    for key, text in (("client_rto_s", "the client's outage"), ("redundancy_rto_s", "until the service was whole")):
        limit, value = run.expect.get(key), getattr(seen, key)
        if limit is not None and value is None:
            found.add(
                "violated" if key == "redundancy_rto_s" else "inconclusive", f"{text} did not end, or was not seen"
            )
        elif limit is not None and value > limit:
            found.add("violated", f"{text} took {value:.1f} s, {limit:g} s are allowed")
    errors, limit = sum(seen.errors.values()), run.expect.get("errors_max")
    if limit is not None and errors > limit:
        found.add("violated", f"{errors} writes failed, {limit} may")
    least = run.expect.get("outage_min_s")
    if least is not None and (seen.client_rto_s or 0) < least:
        found.add("inconclusive", f"the client's outage was below {least:g} s: the fault did not reach it")
