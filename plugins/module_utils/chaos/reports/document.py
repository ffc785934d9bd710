# SPDX-License-Identifier: Apache-2.0
"""One report in four forms: JSON is the model, JUnit and Prometheus are read off it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

SCHEMA = "rsp.platform/chaos-report/1"
REQUIRED = (
    "schema",
    "experiment",
    "service",
    "title",
    "hypothesis",
    "run",
    "at",
    "control",
    "verdict",
    "green",
    "reasons",
)
WORSE = "held, but worse than before"
VERDICTS = ("held", "violated", "inconclusive", "aborted", "rollback_failed")


def as_json(documents: Sequence[Mapping[str, Any]]) -> str:
    """All reports of a game day; one report is a list of one. Raises ValueError for a report without its keys."""
    for document in documents:
        missing = [key for key in REQUIRED if key not in document]
        if missing or document["verdict"] not in VERDICTS or document["green"] != (document["verdict"] == "held"):
            raise ValueError(f"no report: {', '.join(missing) or document['verdict']}")
    return (
        json.dumps({"schema": SCHEMA, "reports": list(documents)}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    )


def as_junit(documents: Sequence[Mapping[str, Any]]) -> str:
    """A test case a run. Only held passes: violated and worse than before fail, everything else is an error."""
    failures = sum(_verdict(d) in ("violated", WORSE) for d in documents)
    errors = sum(d["verdict"] not in ("held", "violated") for d in documents)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>',
             f'<testsuite name="chaos" tests="{len(documents)}" failures="{failures}" errors="{errors}">']  # fmt: skip
    for document in documents:
        name = document["experiment"] + (".control" if document["control"] else "")
        case = f"  <testcase classname={quoteattr('chaos.' + document['service'])} name={quoteattr(name)}"
        case += f' time="{document.get("seconds") or 0:.3f}"'
        verdict = _verdict(document)
        if verdict == "held":
            lines.append(case + "/>")
            continue
        tag = "failure" if verdict in ("violated", WORSE) else "error"
        text = "\n".join(document["reasons"])
        lines.append(f"{case}>\n    <{tag} message={quoteattr(verdict)}>{escape(text)}</{tag}>\n  </testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def as_prometheus(documents: Sequence[Mapping[str, Any]]) -> str:
    """For the node exporter's textfile collector. What nobody saw has no sample: absent is not zero."""
    gauges = {
        "rsp_chaos_verdict": "Whether the last run had this verdict",
        "rsp_chaos_client_rto_seconds": "Longest time without an acknowledged write",
        "rsp_chaos_redundancy_rto_seconds": "Time until the service was whole",
        "rsp_chaos_lost_writes": "Acknowledged writes that are gone",
    }  # fmt: skip
    samples: dict[str, list[str]] = {name: [] for name in gauges}
    for document in documents:
        pairs = (("experiment", document["experiment"]), ("service", document["service"]),
                 ("control", str(document["control"]).lower()))  # fmt: skip
        label = ",".join(f'{name}="{_label(value)}"' for name, value in pairs)
        for verdict in VERDICTS:
            samples["rsp_chaos_verdict"].append(
                f'{{{label},verdict="{verdict}"}} {int(document["verdict"] == verdict)}'
            )
        measures, findings = document.get("measures") or {}, document.get("findings") or {}
        figures = {"rsp_chaos_client_rto_seconds": measures.get("client_rto_s"),
                   "rsp_chaos_redundancy_rto_seconds": measures.get("redundancy_rto_s"),
                   "rsp_chaos_lost_writes": (findings.get("counts") or {}).get("lost")}  # fmt: skip
        for name, value in figures.items():
            if value is not None:
                samples[name].append(f"{{{label}}} {value}")
    lines = []
    for name, about in gauges.items():
        lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", *(name + sample for sample in samples[name])]
    return "\n".join(lines) + "\n"


def _verdict(document: Mapping[str, Any]) -> str:
    return WORSE if document["verdict"] == "held" and document.get("worse") else str(document["verdict"])


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
