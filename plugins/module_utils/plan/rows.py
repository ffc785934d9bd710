# SPDX-License-Identifier: Apache-2.0
"""What a task's result says about changes and about live state, as rows without times and without secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]

# The verbs order and pending keep what they found under these names; the rolling engine reads the same facts.
FACT = re.compile(r"__(?P<service>[a-z]+)_(?P<name>order|leader|pending)")
GATE = "rsp.platform.service_gate"
SIMULATED = re.compile(r"^Inst (?P<name>\S+)(?: \[[^\]]+\])? \((?P<version>\S+)", re.MULTILINE)


def _files(result: Mapping[str, Any]) -> Row:
    kept = ("dest", "change", "need", "before", "after", "diff")
    return {"files": [{key: entry[key] for key in kept if key in entry} for entry in result.get("files") or ()]}


def _packages(result: Mapping[str, Any]) -> Row:
    return {"packages": dict(sorted(SIMULATED.findall(str(result.get("stdout") or ""))))}


def _only(*keys: str) -> Callable[[Mapping[str, Any]], Row]:
    return lambda result: {key: result[key] for key in keys if key in result}


# action → what of its result tells what it does. Of any other action only that it changes something.
DETAILS: dict[str, Callable[[Mapping[str, Any]], Row]] = {
    "rsp.platform.files": _files,
    "rsp.platform.unit": _only("actions"),
    "rsp.platform.consul_objects": _only("actions"),
    "rsp.platform.etcd_objects": _only("steps"),
    "rsp.platform.postgresql_objects": _only("actions"),
    "rsp.platform.patroni_config": _only("patch"),
    "rsp.platform.artifact": _only("path"),
    "rsp.platform.secret_set": _only("names"),
    "ansible.builtin.apt": _packages,
}


def rows(host: str, service: str | None, task: str, action: str, result: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of one result; those of a loop's items one by one.

    Args:
        host: inventory name.
        service: the role that the task belongs to, None for a play's own.
        task: full name of the task.
        action: resolved name of what it called.
        result: as a callback gets it.
    """
    items = result.get("results")
    for item in items if isinstance(items, list) else (result,):
        if not isinstance(item, Mapping) or item.get("skipped"):
            continue
        if item.get("changed") and not item.get("failed"):
            detail = DETAILS.get(action, _only())(item)
            yield {"kind": "change", "host": host, "service": service, "task": task, "action": action, **detail}
        if item.get("failed") and action != GATE:
            yield {"kind": "unknown", "host": host, "service": service, "task": task}
        yield from _live(host, service, action, item)


def _live(host: str, service: str | None, action: str, result: Mapping[str, Any]) -> Iterator[Row]:
    """What the result says about the present."""
    about = {"host": host, "service": service}
    if action == "rsp.platform.unit" and result.get("pending_restart"):
        yield {"kind": "needs_restart", **about}
    elif action == GATE and _question(result) == "may_stop":
        yield {"kind": "gate", **about, "reason": str(result.get("reason") or result.get("msg") or "")}
    elif action == "rsp.platform.service_info" and "state" in result:
        versions = {member["name"]: member.get("version") for member in result["state"]["members"]}
        yield {"kind": "versions", **about, "versions": dict(sorted(versions.items()))}
    elif action == "ansible.builtin.set_fact":
        for name, value in (result.get("ansible_facts") or {}).items():
            if found := FACT.fullmatch(name):
                yield {"kind": found["name"], "host": host, "service": found["service"], "value": value}


def _question(result: Mapping[str, Any]) -> object:
    return (result.get("invocation") or {}).get("module_args", {}).get("question")
