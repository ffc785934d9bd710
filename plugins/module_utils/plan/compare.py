# SPDX-License-Identifier: Apache-2.0
"""What differs between two plans, and between a plan and what was done: one sentence each, with the host's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.plan.digests import canonical
from ansible_collections.rsp.platform.plugins.module_utils.plan.document import Plan

# What is done may be told in other words than what was predicted: a package manager's output.
NOT_COMPARED = ("diff", "packages")
# What a row says about itself, besides what is done.
ABOUT = ("kind", "host", "task", "action", "service", "packages")
Key = tuple[str, str]


def differences(then: Plan, now: Plan) -> list[str]:
    """Every way in which the present is not what was planned; empty when the plans are the same."""
    found = [
        f"{what} was {then.get(what)}, is {now.get(what)}"
        for what in ("format", "service", "services", "clusters")
        if then.get(what) != now.get(what)
    ]
    found += _code(then["code"], now["code"])
    found += _variables(then["variables"], now["variables"])
    for service in sorted(then["live"].keys() & now["live"].keys()):
        found += _live(service, then["live"][service], now["live"][service])
    found += _changes(then["changes"], now["changes"])
    for service in sorted(then["restarts"].keys() | now["restarts"].keys()):
        found += _restarts(service, then["restarts"].get(service, {}), now["restarts"].get(service, {}))
    return found or ([] if canonical(then) == canonical(now) else ["the plans differ"])


def _code(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"code: {part} is not the same" for part in sorted(then.keys() | now.keys()) if then.get(part) != now.get(part)
    ]


def _variables(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in sorted(then.keys() | now.keys()):
        before, after = _by_host(then.get(name, {})), _by_host(now.get(name, {}))
        hosts = sorted(host for host in before.keys() | after.keys() if before.get(host) != after.get(host))
        if hosts:
            found.append(f"variable {name} of {', '.join(hosts)} has another value")
    return found


def _by_host(digests: Mapping[str, list[str]]) -> dict[str, str]:
    return {host: digest for digest, hosts in digests.items() for host in hosts}


def _live(service: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    if then["leader"] != now["leader"]:
        found.append(f"{service}: {then['leader']} led, now {now['leader']} leads")
    if then["order"] != now["order"]:
        found.append(f"{service}: the rolling order was {_names(then['order'])}, is {_names(now['order'])}")
    if then["unknown"] != now["unknown"]:
        found.append(f"{service}: not answered was {'; '.join(then['unknown'])}, is {'; '.join(now['unknown'])}")
    for key, what in (("gates", "the gate of {} was: {}; is: {}"), ("versions", "{} ran {}, runs {}")):
        for host in sorted(then[key].keys() | now[key].keys()):
            before, after = then[key].get(host), now[key].get(host)
            if before != after:
                found.append(f"{service}: {what.format(host, before, after)}")
    return found


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "unknown"


def _restarts(service: str, then: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    return [
        f"{service}: restart of {host} was planned because: {_names(then.get(host, ['not planned']))}; "
        f"now: {_names(now.get(host, ['not needed']))}"
        for host in sorted(then.keys() | now.keys())
        if then.get(host) != now.get(host)
    ]


def _changes(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    before, after = _index(then), _index(now)
    found = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            was, now_is = _shown(before.get(key)), _shown(after.get(key))
            found.append(f"{key[0]}: {key[1]}: planned was {was}; now it would be {now_is}")
    return found


def _index(changes: Iterable[Mapping[str, Any]]) -> dict[Key, Any]:
    """(host, file or task) → what is done with it."""
    found: dict[Key, Any] = {}
    for change in changes:
        if "files" in change:
            for entry in change["files"]:
                found[change["host"], entry["dest"]] = {k: v for k, v in entry.items() if k not in NOT_COMPARED}
            continue
        kept = {k: v for k, v in change.items() if k not in ABOUT}
        found.setdefault((change["host"], change["task"]), []).append(kept)
    return found


def _shown(entry: Any) -> str:
    if entry is None:
        return "no change"
    if isinstance(entry, Mapping):
        before, after = _content(entry.get("before")), _content(entry.get("after"))
        return f"{entry['change']} ({before} → {after}, needs {entry['need']})"
    words = [
        ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for kept in entry
        for value in kept.values()
    ]
    return "; ".join(words) or "a change"


def _content(node: Any) -> str:
    if not node:
        return "known when it is made" if node is None else "absent"
    return f"{str(node.get('digest', 'directory')).rpartition(':')[2][:12]} {node['mode']}"


def deviations(planned: Iterable[Mapping[str, Any]], done: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was changed and not planned, planned and not changed, or changed into something else."""
    before, after = _index(planned), _index(done)
    found = []
    for key in sorted(before.keys() | after.keys()):
        where = f"{key[0]}: {key[1]}"
        if key not in after:
            found.append(f"{where}: planned, but not changed")
        elif key not in before:
            found.append(f"{where}: changed ({_shown(after[key])}), but not planned")
        elif not _as_planned(before[key], after[key]):
            found.append(f"{where}: planned was {_shown(before[key])}, done was {_shown(after[key])}")
    return found


def _as_planned(planned: Any, done: Any) -> bool:
    """Owners and what secrets turn out to be are known only when it is done."""
    if not isinstance(planned, Mapping):
        return sorted(map(canonical, planned)) == sorted(map(canonical, done))
    same = (planned["change"], planned["need"]) == (done["change"], done["need"])
    if not same or not planned.get("after"):
        return same
    return all(planned["after"].get(key) == done["after"].get(key) for key in ("digest", "mode"))


def restarts_differ(planned: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Members that are, or wait to be, restarted and were not planned to, and the other way round."""
    told = []
    for service in sorted(planned.keys() | found.keys()):
        before, after = planned.get(service, {}), found.get(service, {})
        told += [
            f"{name}: a restart of {service} was planned, but nothing asks for it"
            for name in sorted(before.keys() - after.keys())
        ]
        told += [f"{name}: a restart of {service} was not planned" for name in sorted(after.keys() - before.keys())]
    return told
