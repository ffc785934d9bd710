# SPDX-License-Identifier: Apache-2.0
"""From what a run saw to its report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import verdicts
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import Experiment
from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import (
    Findings,
    Operation,
    classify,
    expected_loss,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.measures import Measures, measure
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.document import SCHEMA
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Seen

STEP_S = 0.5
NOTHING = {"ttl_s": 0.0, "maximum_lag_bytes": 0.0, "row_bytes": 1.0}


def document(experiment: Experiment, seen: Seen, *, run: str, at: str, control: bool, loss: Mapping[str, float],
             seconds: float) -> dict[str, Any]:  # fmt: skip
    """The report of a run, see docs/chaos.md.

    Args:
        at: when it began, ISO 8601.
        loss: of an asynchronous service, see ledger.expected_loss.
        seconds: how long it took.
    """
    operations = [Operation.from_line(line) for line in (seen.ledger or {}).get("operations", ())]
    findings, measures = _findings(seen, operations), _measures(seen, operations)
    allowed, why = allowed_loss(experiment, seen, loss)
    judgement = verdicts.judge(verdicts.Run(
        expect=experiment.expect, findings=findings, measures=measures, undone=seen.undone, effective=seen.effective,
        allowed_loss=allowed, aborted=seen.aborted, unseen=tuple(seen.unseen),
    ))  # fmt: skip
    return {
        "schema": SCHEMA, "experiment": experiment.name, "service": experiment.service, "title": experiment.title,
        "hypothesis": experiment.hypothesis, "run": run, "at": at, "control": control, "seconds": round(seconds, 1),
        "targets": sorted({each.target for each in seen.fired.values()}),
        "faults": [dict(each.arguments) for each in seen.fired.values()],
        "expect": dict(experiment.expect), "allowed_loss": {"writes": allowed, "why": why},
        "measures": measures.as_dict() if measures else None,
        "findings": findings.as_dict() if findings else None,
        "clock_error_s": round(seen.offset_error, 4),
        "timeline": _timeline(seen, operations),
        **judgement.as_dict(),
    }  # fmt: skip


def allowed_loss(experiment: Experiment, seen: Seen, loss: Mapping[str, float]) -> tuple[int, str]:
    """The most acknowledged writes that may be lost: what the experiment says, or what live configuration promises."""
    lost = experiment.expect["lost"]
    if lost != "computed":
        return int(lost), "as the experiment says"
    synchronous = bool(seen.state and seen.state.synchronous)
    config = {**NOTHING, **loss}
    return expected_loss(experiment.service, synchronous=synchronous, config=config, rate=experiment.load["rate"])


def _findings(seen: Seen, operations: Sequence[Operation]) -> Findings | None:
    if seen.ledger is None:
        return None
    return classify(operations, seen.ledger["client"], seen.ledger["members"], seen.ledger["reads"])


def _measures(seen: Seen, operations: Sequence[Operation]) -> Measures | None:
    if seen.injected_at is None or seen.undone_at is None or seen.ended_at is None or not operations:
        return None
    injected, undone, ended = (moment + seen.offset for moment in (seen.injected_at, seen.undone_at, seen.ended_at))
    # The last write that was begun, not the stop: time after it is no outage.
    ended = min(ended, max(operation.end for operation in operations))
    whole = None if seen.whole_at is None else seen.whole_at + seen.offset
    return measure(operations, injected, undone, ended, whole)


def _timeline(seen: Seen, operations: Sequence[Operation]) -> dict[str, Any] | None:
    acks = [operation.end for operation in operations if operation.acked]
    if not acks:
        return None
    first, last = min(o.start for o in operations), max(o.end for o in operations)
    rates = [0] * (int((last - first) / STEP_S) + 1)
    for moment in acks:
        rates[int((moment - first) / STEP_S)] += 1
    events = [{"at": round(moment + seen.offset - first, 2), "what": what} for moment, what in seen.events]
    return {"step_s": STEP_S, "rates": rates, "events": events}
