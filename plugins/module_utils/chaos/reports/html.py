# SPDX-License-Identifier: Apache-2.0
"""The report for people: one self-contained page, with a picture of each run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, BASE = 900, 150, 10, 110
COLOURS = {
    "held": "#2a7d3f",
    "violated": "#b3261e",
    "inconclusive": "#8a6d00",
    "aborted": "#8a6d00",
    "rollback_failed": "#7a0019",
}
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}"
    "pre{background:#f4f4f4;padding:.6em;overflow:auto}.v{color:#fff;padding:.1em .5em;border-radius:3px}"
)
MARKS = 8


def page(documents: Sequence[Mapping[str, Any]], title: str) -> str:
    """The whole page."""
    rows = "".join(
        f"<tr><td><a href='#r{n}'>{escape(d['experiment'])}{' (control)' if d['control'] else ''}</a></td>"
        f"<td>{_badge(d['verdict'])}</td><td>{_cell(d, 'client_rto_s')}</td><td>{_cell(d, 'redundancy_rto_s')}</td>"
        f"<td>{_lost(d)}</td></tr>"
        for n, d in enumerate(documents)
    )
    head = "<tr><th>experiment</th><th>verdict</th><th>outage s</th><th>whole again s</th><th>lost</th></tr>"
    parts = "".join(_section(n, document) for n, document in enumerate(documents))
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><table>{head}{rows}</table>{parts}</body></html>\n"
    )


def timeline(rates: Sequence[int], events: Sequence[Mapping[str, Any]], step_s: float) -> str:
    """Acknowledged writes as bars, one each `step_s` seconds, with events as lines; inline SVG.

    Args:
        rates: acknowledged writes in each step, from the first write on.
        events: {at: seconds from the first write, what: text}.
    """
    total = max(1e-9, len(rates) * step_s)
    top, scale = max(rates, default=1) or 1, (WIDTH - 2 * LEFT) / total
    bars = "".join(
        f'<rect x="{LEFT + n * step_s * scale:.1f}" y="{BASE - 90 * rate / top:.1f}" '
        f'width="{max(0.5, step_s * scale - 0.5):.1f}" '
        f'height="{90 * rate / top:.1f}" fill="#5b8def"/>'
        for n, rate in enumerate(rates)
        if rate
    )
    gaps = "".join(
        f'<rect x="{LEFT + n * step_s * scale:.1f}" y="{BASE}" width="{step_s * scale:.1f}" height="5" fill="#b3261e"/>'
        for n, rate in enumerate(rates)
        if not rate
    )
    lines = ""
    for n, event in enumerate(events):
        x = LEFT + min(max(float(event["at"]), 0.0), total) * scale
        y = 14 + 12 * (n % MARKS)
        lines += (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{BASE + 8}" stroke="#444" stroke-dasharray="3 2"/>'
            f'<text x="{x + 3:.1f}" y="{y}" font-size="11">{escape(str(event["what"]))} {event["at"]:.1f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>acknowledged writes over time</title>{bars}{gaps}{lines}"
        f'<text x="{LEFT}" y="{HEIGHT - 12}" font-size="11">0 s</text>'
        f'<text x="{WIDTH - 60}" y="{HEIGHT - 12}" font-size="11">{total:.0f} s</text></svg>'
    )


def _section(number: int, document: Mapping[str, Any]) -> str:
    reasons = (
        "".join(f"<li>{escape(reason)}</li>" for reason in document["reasons"])
        or "<li>everything that was claimed held</li>"
    )
    picture = document.get("timeline") or {}
    drawn = (
        timeline(picture["rates"], picture["events"], picture["step_s"])
        if picture.get("rates")
        else "<p>no picture: nothing was written</p>"
    )
    targets = ", ".join(document.get("targets") or ()) or "nobody"
    return (
        f"<h2 id='r{number}'>{escape(document['title'])} {_badge(document['verdict'])}</h2>"
        f"<p><b>{escape(document['hypothesis'])}</b> Targets: {escape(targets)}. "
        f"Run {escape(document['run'])}, {escape(document['at'])}.</p>"
        f"<ul>{reasons}</ul>{drawn}<pre>{escape(_figures(document))}</pre>"
    )


def _figures(document: Mapping[str, Any]) -> str:
    measures, findings = document.get("measures") or {}, document.get("findings") or {}
    lines = [f"{name}: {value}" for name, value in measures.items()]
    lines += [f"{name}: {count}" for name, count in (findings.get("counts") or {}).items()]
    return "\n".join(lines + [f"reads, {how}: {seen}" for how, seen in (findings.get("reads") or {}).items()])


def _badge(verdict: str) -> str:
    return f"<span class='v' style='background:{COLOURS[verdict]}'>{escape(verdict)}</span>"


def _cell(document: Mapping[str, Any], name: str) -> str:
    value = (document.get("measures") or {}).get(name)
    return "?" if value is None else f"{value:.1f}"


def _lost(document: Mapping[str, Any]) -> str:
    value = ((document.get("findings") or {}).get("counts") or {}).get("lost")
    return "?" if value is None else str(value)
