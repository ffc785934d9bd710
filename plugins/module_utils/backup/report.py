# SPDX-License-Identifier: Apache-2.0
"""The report of backups: one document, then JSON, a page for people, and metrics with a dead man's alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy, proof_fresh
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import iso

LARGE = 1_000_000  # from here on, more digits than :g writes
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}"
    ".yes{color:#2a7d3f}.no{color:#b3261e}"
)
METRICS = {
    "rsp_backup_last_proven_timestamp_seconds": "When a restore last proved a point of this store.",
    "rsp_backup_proven_level": "Level that the last proof reached, -1 when none.",
    "rsp_backup_rto_seconds": "How long the last restore took until it had answered.",
    "rsp_backup_rpo_seconds": "How much of the newest writes the last restore had lost.",
    "rsp_backup_coverage_ratio": "Share of the points that a restore has proved.",
    "rsp_backup_problems": "Reasons against what was asked for.",
}


def document(entries: Sequence[Mapping[str, Any]], policies: Mapping[str, Policy], now: float) -> dict[str, Any]:
    """The model that every form is made from, so that all count alike.

    Args:
        entries: a store each: store, reached, reasons, proved_at, level (number or None), rto_s, rpo_s, coverage.
    """
    stores = []
    for entry in entries:
        late = proof_fresh(entry.get("proved_at"), policies.get(entry["store"], Policy()), now)
        reasons = [*entry.get("reasons", ()), *([late] if late else [])]
        stores.append({**entry, "reasons": reasons, "good": not reasons})
    wrong = [store["store"] for store in stores if not store["good"]]
    counts = {"stores": len(stores), "good": len(stores) - len(wrong), "bad": len(wrong)}
    # No store at all is not a platform whose backups are well.
    return {"version": 1, "at": iso(now), "good": bool(stores) and not wrong, "counts": counts, "stores": stores}


def page(data: Mapping[str, Any], title: str) -> str:
    """The page for people, with nothing from elsewhere."""
    rows = "".join(_row(store) for store in data["stores"])
    counts = data["counts"]
    columns = ("store", "proved", "last proof", "RTO s", "RPO s", "points proved", "reasons")
    head = "".join(f"<th>{column}</th>" for column in columns)
    said = f"{data['at']}: {counts['good']} of {counts['stores']} stores are restorable as promised."
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(said)}</p>"
        f"<table><tr>{head}</tr>{rows}</table></body></html>\n"
    )


def textfile(data: Mapping[str, Any]) -> str:
    """Metrics in Prometheus' text form. A value that is not known is left out: the alert fires on what is absent."""
    lines = []
    for name, about in METRICS.items():
        lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
        for store in data["stores"]:
            value = _value(name, store)
            if value is not None:
                text = f"{value:g}" if abs(value) < LARGE else f"{value:.0f}"
                lines.append(f'{name}{{store="{_label(store["store"])}"}} {text}')
    return "\n".join(lines) + "\n"


def alert_rules(policies: Mapping[str, Policy]) -> dict[str, Any]:
    """Rules for Prometheus. A store whose metric is absent fires too: a job that has died reports nothing."""
    rules = []
    for store, promised in sorted(policies.items()):
        metric = f'rsp_backup_last_proven_timestamp_seconds{{store="{_label(store)}"}}'
        rules.append({
            "alert": "BackupNotProven",
            "expr": f"time() - {metric} > {promised.proof_max_age_s} or absent({metric})",
            "for": "10m",
            "labels": {"severity": "critical", "store": store},
            "annotations": {"summary": f"No restore has proved a backup of {store} for {promised.proof_max_age_s} s"},
        })  # fmt: skip
    rules.append({
        "alert": "BackupProblems", "expr": "rsp_backup_problems > 0", "for": "10m", "labels": {"severity": "critical"},
        "annotations": {"summary": "Backups of {{ $labels.store }} are not as promised"},
    })  # fmt: skip
    return {"groups": [{"name": "rsp_backup", "rules": rules}]}


def write(files: Mapping[Path, str], check: bool) -> list[str]:
    """Put texts in place, each swapped at once; paths of those that change."""
    changed = []
    for path, text in files.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        changed.append(str(path))
        if not check:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            staged = path.with_name(f".{path.name}.new")
            staged.write_text(text, encoding="utf-8")
            staged.chmod(0o644)
            staged.replace(path)
    return changed


def _value(name: str, store: Mapping[str, Any]) -> float | None:
    level = store.get("level")
    values = {
        "rsp_backup_last_proven_timestamp_seconds": store.get("proved_at"),
        "rsp_backup_proven_level": -1 if level is None else level,
        "rsp_backup_rto_seconds": store.get("rto_s"),
        "rsp_backup_rpo_seconds": store.get("rpo_s"),
        "rsp_backup_coverage_ratio": (store.get("coverage") or {}).get("share"),
        "rsp_backup_problems": len(store["reasons"]),
    }
    value = values[name]
    return None if value is None else float(value)


def _row(store: Mapping[str, Any]) -> str:
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in store["reasons"])
    covered = store.get("coverage") or {}
    cells = [
        escape(str(store["store"])),
        f"<span class='{'yes' if store['good'] else 'no'}'>{escape(str(store.get('reached') or 'nothing'))}</span>",
        escape(iso(store["proved_at"]) if store.get("proved_at") else "never"),
        _number(store.get("rto_s")),
        _number(store.get("rpo_s")),
        f"{covered.get('proved', 0)} of {covered.get('points', 0)}",
        f"<ul>{reasons}</ul>" if reasons else "none",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: Any) -> str:
    return "not measured" if value is None else f"{float(value):.1f}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
