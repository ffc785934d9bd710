# SPDX-License-Identifier: Apache-2.0
"""Writes a run's reports on the controller, keeps its history, and joins the reports of a game day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import history
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.document import (
    as_json,
    as_junit,
    as_prometheus,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.html import page
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain

HISTORY = "history.jsonl"


def compared(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with `worse`: why it is worse than the runs before it (None: it is not), which is a reason too."""
    worse = history.regression(read_history(folder), history.entry(report))
    return {**report, "worse": worse, "reasons": [*report["reasons"], *([worse] if worse else [])]}


def write(folder: Path, report: Mapping[str, Any], chain: Chain) -> dict[str, str]:
    """Write the reports of one run into a folder of its own below `folder`, and its line of history; form → path."""
    own = folder / f"{report['experiment']}-{report['run']}"
    own.mkdir(parents=True, mode=0o700)
    files = forms(own, [report], report["title"])
    evidence = seal(own, files, chain)
    entry = {**history.entry(report), "head": chain.head}
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, sort_keys=True) + "\n")
    return {**files, "evidence": str(evidence)}


def game_day(folder: Path, reports: Sequence[Mapping[str, Any]], title: str, key: bytes) -> dict[str, str]:
    """Write one report of several runs into a folder, with its evidence; form → path."""
    files, chain = forms(folder, reports, title), Chain(key)
    kept = ("experiment", "service", "run", "at", "control", "verdict")
    for report in reports:
        chain.add("run", now(), {name: report.get(name) for name in kept})
    return {**files, "evidence": str(seal(folder, files, chain))}


def seal(folder: Path, files: Mapping[str, str], chain: Chain) -> Path:
    """End a chain with the digests of report files, so that they can't be changed without being seen, and write it."""
    digests = {Path(path).name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files.values()}
    chain.add("reports", now(), digests)
    path = folder / "evidence.jsonl"
    path.write_text(chain.text(), encoding="utf-8")
    return path


def now() -> str:
    """Wall time in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def forms(folder: Path, reports: Sequence[Mapping[str, Any]], title: str) -> dict[str, str]:
    """JSON, JUnit, Prometheus and HTML of some runs; form → path."""
    texts = {
        "report.json": as_json(reports), "junit.xml": as_junit(reports), "chaos.prom": as_prometheus(reports),
        "report.html": page(reports, title),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name.rpartition(".")[2]: str(folder / name) for name in texts}


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Every run that was kept, the oldest first."""
    path = folder / HISTORY
    return history.parsed(path.read_text(encoding="utf-8")) if path.exists() else []
