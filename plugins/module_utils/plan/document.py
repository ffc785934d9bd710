# SPDX-License-Identifier: Apache-2.0
"""A plan: what would be changed, in which order members would be restarted, and what all of that was computed from.

Everything in it follows from live state, code and inventory, so that two plans of the same state have the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.plan.digests import canonical
from ansible_collections.rsp.platform.plugins.module_utils.plan.postmaster import POSTMASTER
from ansible_collections.rsp.platform.plugins.module_utils.plan.rows import Row

FORMAT = 1
Plan = dict[str, Any]


def build(rows: Iterable[Row], context: Mapping[str, Any]) -> Plan:
    """The plan of a check run.

    Args:
        rows: what its tasks said.
        context: `service`, `services`, `clusters`, `code` and `variables`: what was asked, and what it depends on.
    """
    rows = list(rows)
    changes = [{key: value for key, value in row.items() if key != "kind"} for row in rows if row["kind"] == "change"]
    return {
        "format": FORMAT,
        **context,
        "changes": sorted(changes, key=lambda change: (change["host"], change["task"], canonical(change))),
        "live": {service: live(service, rows) for service in context["services"]},
        "restarts": restarts(rows, context["services"]),
    }


def live(service: str, rows: Iterable[Row]) -> dict[str, Any]:
    """Who leads, the rolling order, the gates' answers and running releases of a service, as they are now."""
    found: dict[str, Any] = {"leader": None, "order": [], "gates": {}, "versions": {}, "unknown": []}
    for row in rows:
        if row["service"] != service:
            continue
        if row["kind"] in ("leader", "order"):
            found[row["kind"]] = row["value"]
        elif row["kind"] == "versions":
            found["versions"] = row["versions"]
        elif row["kind"] == "gate":
            found["gates"][row["host"]] = row["reason"] or "open"
        elif row["kind"] == "unknown":
            found["unknown"].append(f"{row['host']}: {row['task']}")
    return {**found, "unknown": sorted(set(found["unknown"]))}


def restarts(rows: Iterable[Row], services: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Service → member → why it will wait for a restart, when the changes are made."""
    rows, known = list(rows), set(services)
    found: dict[str, dict[str, list[str]]] = {}

    def add(service: str, host: str, reasons: Iterable[str]) -> None:
        if service in known:
            reasons_now = found.setdefault(service, {}).setdefault(host, [])
            reasons_now += [reason for reason in reasons if reason not in reasons_now]

    for row in rows:
        if row["kind"] == "pending" and row["value"]:
            add(row["service"], row["host"], row["value"])
        elif row["kind"] == "needs_restart":
            add(row["service"], row["host"], _files_that_need_it(row, rows) or ["files changed before"])
        elif row["kind"] == "change" and "patch" in row:
            reasons = settings_that_need_it(row["patch"])
            for host in _members(row["service"], rows) if reasons else ():
                add(row["service"], host, reasons)
    return {service: dict(sorted(hosts.items())) for service, hosts in sorted(found.items())}


def waiting(rows: Iterable[Row], services: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Service → member → why it waits for a restart, by what it said last."""
    last = {(row["service"], row["host"]): row for row in rows if row["kind"] == "pending"}
    return restarts(last.values(), services)


def settings_that_need_it(patch: Mapping[str, Any]) -> list[str]:
    """Settings of a patch of Patroni's configuration that PostgreSQL takes with a start only."""
    parameters = (patch.get("postgresql") or {}).get("parameters") or {}
    return [f"{name}: → {parameters[name]}" for name in sorted(parameters) if name in POSTMASTER]


def _files_that_need_it(row: Row, rows: Iterable[Row]) -> list[str]:
    return [
        f"{entry['dest']} changes"
        for change in rows
        if change["kind"] == "change" and (change["host"], change["service"]) == (row["host"], row["service"])
        for entry in change.get("files", ())
        if entry["need"] == "restart"
    ]


def _members(service: str, rows: Iterable[Row]) -> list[str]:
    order: list[str] = next((row["value"] for row in rows if row["kind"] == "order" and row["service"] == service), [])
    return sorted(order)


def hash_of(plan: Plan) -> str:
    """What a plan is called, and what approves it."""
    return hashlib.sha256(canonical(plan)).hexdigest()


def roll_order(plan: Plan, service: str) -> list[str]:
    """Members of a service that are restarted, in order."""
    waiting = plan["restarts"].get(service, {})
    return [name for name in plan["live"][service]["order"] if name in waiting]


def closed_gates(plan: Plan) -> list[str]:
    """Why members that would be restarted may not stop now."""
    found = []
    for service, members in plan["restarts"].items():
        gates = plan["live"][service]["gates"]
        found += [f"{service}: {name}: {gates.get(name, 'gate not asked')}" for name in members]
    return [text for text in found if not text.endswith(": open")]
