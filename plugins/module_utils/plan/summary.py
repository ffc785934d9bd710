# SPDX-License-Identifier: Apache-2.0
"""A plan for people: what would happen, host by host, before they approve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.plan.document import Plan, closed_gates, roll_order


def lines(plan: Plan) -> list[str]:
    """The plan, most important first."""
    found: list[str] = []
    for host in dict.fromkeys(change["host"] for change in plan["changes"]):
        found.append(f"{host}:")
        for change in plan["changes"]:
            if change["host"] == host:
                found += [f"  {text}" for text in _change(change)]
    for service in plan["services"]:
        live, order = plan["live"][service], roll_order(plan, service)
        waiting = plan["restarts"].get(service, {})
        if order or waiting:
            found.append(f"{service}: restarts, one at a time: {', '.join(order) or 'in an order not known yet'}")
            found += [f"  {name}: {', '.join(waiting[name])}" for name in [*order, *sorted(set(waiting) - set(order))]]
        found.append(f"{service}: {live['leader'] or 'nobody'} leads; {_gates(live['gates'])}")
    if closed := closed_gates(plan):
        found.append("apply would refuse now, because these may not stop: " + "; ".join(closed))
    if is_empty(plan):
        found.insert(0, "nothing to do: live state is what the inventory says")
    return found


def is_empty(plan: Plan) -> bool:
    """Whether there is nothing to apply."""
    return not plan["changes"] and not plan["restarts"]


def _change(change: Mapping[str, Any]) -> list[str]:
    if "files" in change:
        return [f"{entry['change']} {entry['dest']}{_need(entry['need'])}" for entry in change["files"]]
    told = [str(text) for key in ("actions", "steps", "names") for text in change.get(key, ())]
    told += [f"install {name} {version}" for name, version in change.get("packages", {}).items()]
    told += [f"set {_flat(change['patch'])}"] if change.get("patch") else []
    task = str(change["task"]).rpartition(" : ")[2]
    return [f"{task}: {text}" for text in told] or [task]


def _flat(patch: Mapping[str, Any], prefix: str = "") -> str:
    words = []
    for key, value in patch.items():
        name = f"{prefix}{key}"
        words.append(_flat(value, f"{name}.") if isinstance(value, Mapping) else f"{name}={value}")
    return ", ".join(words)


def _need(need: str) -> str:
    return "" if need == "none" else f" (needs {need})"


def _gates(gates: Mapping[str, str]) -> str:
    closed = [f"{name}: {reason}" for name, reason in sorted(gates.items()) if reason != "open"]
    if not gates:
        return "no gate was asked"
    return f"gates closed: {'; '.join(closed)}" if closed else f"all {len(gates)} gates are open"
