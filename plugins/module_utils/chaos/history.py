# SPDX-License-Identifier: Apache-2.0
"""Runs of an experiment over time: is this one worse than those before it? Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

RECENT, WINDOW, FEWEST, FACTOR, SLACK_S = 3, 10, 5, 1.5, 1.0


def entry(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a report."""
    measures, findings = document.get("measures") or {}, document.get("findings") or {}
    return {
        "experiment": document["experiment"], "control": document["control"], "at": document["at"],
        "run": document["run"], "verdict": document["verdict"], "client_rto_s": measures.get("client_rto_s"),
        "redundancy_rto_s": measures.get("redundancy_rto_s"), "lost": (findings.get("counts") or {}).get("lost"),
    }  # fmt: skip


def parsed(text: str) -> list[dict[str, Any]]:
    """Runs of a history file, a line each, the oldest first."""
    return [json.loads(line) for line in text.splitlines()]


def regression(past: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> str | None:
    """Why runs got worse, this one and the two before it; None when they did not, or too few are known.

    Worse is that each outage of these three is above 1.5 times the median of up to ten runs before them, and more than
    a second above it. One long run is none: a client sometimes waits for two timeouts instead of one, and what no run
    may take is said by the experiment's own claim.
    """
    same = [e for e in past if e["experiment"] == now["experiment"] and e["control"] == now["control"]]
    good = [e for e in same if e["verdict"] == "held"]
    known = [float(e["client_rto_s"]) for e in (*good, now) if e["client_rto_s"] is not None]
    recent, before = known[-RECENT:], known[-RECENT - WINDOW : -RECENT]
    if len(before) < FEWEST or now["client_rto_s"] is None:
        return None
    median = statistics.median(before)
    if min(recent) > median * FACTOR and min(recent) > median + SLACK_S:
        outages = ", ".join(f"{value:.1f}" for value in recent)
        return (
            f"the client's last outages were {outages} s, the median of the {len(before)} runs before is {median:.1f} s"
        )
    return None


def table(entries: Sequence[Mapping[str, Any]], *, control: bool = False) -> list[str]:
    """A Markdown table: runs, those that came out as they had to, outage, lost writes of each experiment."""
    wanted = "violated" if control else "held"
    rows = [
        f"| experiment | runs | {wanted} | outage median s | max s | whole again median s | lost writes |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = [e for e in entries if e["control"] is control]
    for name in sorted({e["experiment"] for e in shown}):
        runs = [e for e in shown if e["experiment"] == name]
        rto = [e["client_rto_s"] for e in runs if e["client_rto_s"] is not None]
        whole = [e["redundancy_rto_s"] for e in runs if e["redundancy_rto_s"] is not None]
        lost = [e["lost"] for e in runs if e["lost"] is not None]
        right = sum(e["verdict"] == wanted for e in runs)
        rows.append(
            f"| {name} | {len(runs)} | {right} | {_figure(rto, statistics.median)} | {_figure(rto, max)} "
            f"| {_figure(whole, statistics.median)} | {sum(lost) if lost else '?'} |"
        )
    return rows


def merged(kept: Sequence[Mapping[str, Any]], more: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs of both, each once, in the order of their time; a run is what its experiment and its id say."""
    runs = {(e["experiment"], e["run"]): dict(e) for e in (*kept, *more)}
    return sorted(runs.values(), key=lambda e: (e["at"] or "", e["experiment"], e["run"]))


def _figure(values: Sequence[float], how: Any) -> str:
    return f"{how(values):.1f}" if values else "?"
