# SPDX-License-Identifier: Apache-2.0
"""An experiment as data: what is claimed, what is done to whom, when to stop, what must come out. Pure.

Experiments lie next to their service, in roles/<service>/meta/chaos.yml, by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.abort import CONDITIONS, Condition, condition_faults
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS, UNAVAILABLE
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    LONGEST_LEASE_S,
    READS,
    SHORTEST_LEASE_S,
    parameter_faults,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.shapes import SHAPES
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import Fault, faults, nearest

ROLES = ("leader", "replica", "sync_standby", "any", "all")
FROM = ("members", "each_other", "other_zones", "others", "clients", *SHAPES)
OVER, BRIDGES = ("zones", "all_zones", "members"), ("leader", "other")
WORD = r"[a-z][a-z0-9_]{2,59}"

TARGETS = Option(type="dict", options={
    "role": Option(choices=ROLES, default="any"),
    "zone": Option(pattern=r"leader|other|[a-z0-9-]+"),
    "count": Option(type="int", minimum=1, maximum=50),
    "hosts": Option(choices=("members", "everything"), default="members"),
})  # fmt: skip
FAULT = {
    "kind": Option(required=True),
    "lease_s": Option(type="int", minimum=SHORTEST_LEASE_S, maximum=LONGEST_LEASE_S, required=True),
    "at_s": Option(type="float", minimum=0, maximum=300),
    "from": Option(choices=FROM),
    "over": Option(choices=OVER),
    "bridge": Option(choices=BRIDGES),
    "targets": TARGETS,
}
SCHEMA = Option(type="dict", options={
    "title": Option(required=True, pattern=r"[^\x00-\x1f]{5,120}"),
    "hypothesis": Option(required=True, pattern=r"[^\x00-\x1f]{10,400}"),
    "targets": Option(type="dict", options=TARGETS.options, required=True),
    "faults": Option(type="list", elements="dict", required=True),
    "hold_s": Option(type="int", minimum=1, maximum=600, required=True),
    "before_s": Option(type="int", minimum=2, maximum=120, default=5),
    "recover_s": Option(type="int", minimum=5, maximum=900, default=180),
    "load": Option(type="dict", required=True, options={
        "writers": Option(type="int", minimum=1, maximum=16, default=2),
        "rate": Option(type="int", minimum=1, maximum=2000, default=50),
        "timeout_s": Option(type="float", minimum=0.5, maximum=120, default=10.0),
        "reads": Option(type="list", elements="str", choices=READS, default=[]),
    }),
    "abort": Option(type="list", elements="dict", default=[]),
    "expect": Option(type="dict", required=True, options={
        "lost": Option(type="raw", required=True),
        "client_rto_s": Option(type="float", minimum=0, maximum=900),
        "redundancy_rto_s": Option(type="float", minimum=0, maximum=1800),
        "errors_max": Option(type="int", minimum=0),
        "outage_min_s": Option(type="float", minimum=0, maximum=900),
        "stale_max": Option(type="dict", options={how: Option(type="int", minimum=0) for how in READS}),
    }),
    "allow_quorum_loss": Option(type="bool", default=False),
    "production": Option(type="bool", default=False),
    "control": Option(type="dict", options={
        "without": Option(required=True),
        "set": Option(type="dict"),
        "faults": Option(type="list", elements="dict"),
        "expect": Option(type="dict"),
    }),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault of an experiment: what, to whom (None: the experiment's targets), when, for how long at most."""

    kind: str
    params: Mapping[str, Any]
    lease_s: int
    at_s: float = 0.0
    peers: str | None = None
    shape: Mapping[str, Any] | None = None
    targets: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """A sound experiment. `expect`, `load` and `targets` have all their keys or defaults; see SCHEMA."""

    name: str
    service: str
    title: str
    hypothesis: str
    targets: Mapping[str, Any]
    faults: tuple[FaultSpec, ...]
    hold_s: int
    load: Mapping[str, Any]
    expect: Mapping[str, Any]
    before_s: int = 5
    recover_s: int = 180
    abort: tuple[Condition, ...] = ()
    allow_quorum_loss: bool = False
    production: bool = False
    control: Mapping[str, Any] | None = None


def problems(name: str, data: Any) -> list[Fault]:
    """Everything that is wrong with an experiment: path, rule, fix, value."""
    found = list(faults(name, Option(pattern=WORD), name))
    whole = list(faults(name, SCHEMA, data))
    if not isinstance(data, Mapping):
        return found + whole
    control = data.get("control")
    lists = [(f"{name}.faults", data.get("faults"))]
    if isinstance(control, Mapping):
        lists.append((f"{name}.control.faults", control.get("faults") or data.get("faults")))
    for path, entries in lists:
        if isinstance(entries, list):
            if not entries:
                whole.append(Fault(path, "has no fault", "name at least one fault", "[]"))
            for index, entry in enumerate(entries):
                whole += _fault_faults(f"{path}[{index}]", entry, data)
    for index, entry in enumerate(data.get("abort") or ()):
        whole += condition_faults(f"{name}.abort[{index}]", entry)
    if not data.get("abort"):
        whole.append(Fault(f"{name}.abort", "there is no abort condition", f"add one of {', '.join(CONDITIONS)}", None))
    return found + whole + list(_expect_faults(name, data.get("expect"), data.get("load")))


def _fault_faults(path: str, entry: Any, data: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(entry, Mapping):
        yield Fault(path, "must be a mapping", "write kind, lease_s and the kind's parameters", shown(entry))
        return
    name = entry.get("kind")
    yield from faults(path, Option(type="dict", options=FAULT), {k: v for k, v in entry.items() if k in FAULT})
    if not isinstance(name, str) or name not in KINDS:
        if name in UNAVAILABLE:
            yield Fault(f"{path}.kind", f"{name} is not available here", UNAVAILABLE[name], shown(name))
        elif name is not None:
            near = nearest(str(name), KINDS)
            fix = f"did you mean {near}?" if near else f"kinds are {', '.join(sorted(KINDS))}"
            yield Fault(f"{path}.kind", "is no kind of fault", fix, shown(name))
        return
    kind = KINDS[name]
    own = {key: value for key, value in entry.items() if key not in FAULT}
    if "unit" in kind.options:
        own.setdefault("unit", "filled-in.service")  # the service's own, where the experiment names none
    yield from parameter_faults(kind, path, own)
    if kind.network and not entry.get("from") and not entry.get("peers"):
        yield Fault(
            f"{path}.from", f"{name} needs somebody to be cut off from", f"add from: one of {', '.join(FROM)}", None
        )
    for key in ("over", "bridge"):
        if entry.get(key) and entry.get("from") not in SHAPES:
            yield Fault(f"{path}.{key}", f"belongs to from: {' or '.join(SHAPES)}", "remove it", shown(entry[key]))
    if not kind.network and entry.get("from"):
        yield Fault(f"{path}.from", f"{name} has no peers", "remove it", shown(entry["from"]))
    hold = data.get("hold_s")
    if isinstance(entry.get("at_s"), int | float) and isinstance(hold, int) and entry["at_s"] >= hold:
        yield Fault(
            f"{path}.at_s", f"is not before the end of hold_s = {hold}", "inject it earlier", shown(entry["at_s"])
        )


def _expect_faults(name: str, expect: Any, load: Any) -> Iterator[Fault]:
    if not isinstance(expect, Mapping) or "lost" not in expect:
        return
    reads = load.get("reads") if isinstance(load, Mapping) else None
    for how in expect["stale_max"] if isinstance(expect.get("stale_max"), Mapping) else ():
        if how in READS and how not in (reads if isinstance(reads, list) else ()):
            path = f"{name}.expect.stale_max.{how}"
            yield Fault(path, "nobody reads so, and what nobody reads is never stale", f"add {how} to load.reads", None)
    lost = expect["lost"]
    if lost != "computed" and (not isinstance(lost, int) or isinstance(lost, bool) or lost < 0):
        yield Fault(
            f"{name}.expect.lost", "must be a number of writes or computed", "write 0, or computed", shown(lost)
        )


def experiment_from(name: str, service: str, data: Mapping[str, Any], control: bool = False) -> Experiment:
    """A sound experiment (see problems) as an object; with `control` its negative control.

    Raises:
        ValueError: it has no negative control.
    """
    change = dict(data.get("control") or {}) if control else {}
    if control and not change:
        raise ValueError(f"{name} has no negative control")
    expect = {**data["expect"], **(change.get("expect") or {})}
    return Experiment(
        name=name,
        service=service,
        title=data["title"],
        hypothesis=data["hypothesis"],
        targets=_full(TARGETS, data["targets"]),
        faults=tuple(_spec(entry) for entry in change.get("faults") or data["faults"]),
        hold_s=data["hold_s"],
        load=_full((SCHEMA.options or {})["load"], data["load"]),
        expect=expect,
        before_s=data.get("before_s") or 5,
        recover_s=data.get("recover_s") or 180,
        abort=() if control else tuple(Condition.from_data(entry) for entry in data.get("abort") or ()),
        allow_quorum_loss=bool(data.get("allow_quorum_loss")) or control,
        production=bool(data.get("production")) and not control,
        control=data.get("control"),
    )


def _spec(entry: Mapping[str, Any]) -> FaultSpec:
    targets = entry.get("targets")
    return FaultSpec(
        kind=entry["kind"],
        params={key: value for key, value in entry.items() if key not in FAULT},
        lease_s=entry["lease_s"],
        at_s=float(entry.get("at_s") or 0),
        peers=entry.get("from"),
        shape={"shape": entry["from"], "over": entry.get("over") or "zones", "bridge": entry.get("bridge") or "other"}
        if entry.get("from") in SHAPES
        else None,
        targets=_full(TARGETS, targets) if targets is not None else None,
    )


def _full(option: Option, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name, each.default) for name, each in (option.options or {}).items()}
