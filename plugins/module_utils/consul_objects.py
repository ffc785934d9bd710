# SPDX-License-Identifier: Apache-2.0
"""Consul's policies, roles, tokens, keys, services and autopilot settings as data: what is wanted, what is, what to do.

Pure: the options of the module and the answers of the API come in, a plan goes out (consul_objects_api does the I/O).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# What depends on another kind comes after it; deletions go the other way round.
KINDS = ("autopilot", "policy", "role", "token", "key", "service")
RESERVED_TOKENS = ("bootstrap-token", "gossip")
MANAGEMENT = "Bootstrap Token (Global Management)"  # how Consul describes the token that it was bootstrapped with
ANONYMOUS = "00000000-0000-0000-0000-000000000002"
BUILTIN = re.compile(r"^00000000-0000-0000-0000-|^builtin/")
EXTERNAL_NODE = {"external-node": "true"}  # marks catalog nodes that no agent keeps, as Consul's own tools do
MASK = "********"
NAMESPACE = uuid.UUID("6f1d1f5e-0f0b-5c57-9e0e-7c0f1c1d2a01")
MANAGES = {"policies": ["global-management"], "node_identities": [], "service_identities": []}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class Object:
    """One object as it is wanted or as it was found.

    Attributes:
        kind: one of KINDS.
        id: what identifies it among its kind: name, accessor, path, node/service.
        name: for people; a token's description.
        body: its settings; None when it shall be absent.
        ref: Consul's ID or ModifyIndex of a found object.
        protected: prune never reports or deletes it.
        hidden: its value is a secret and is masked in diffs.
        previous: a token of a wanted name that has another secret than the wanted one.
    """

    kind: str
    id: str
    name: str
    body: Mapping[str, Any] | None
    ref: str = ""
    protected: bool = False
    hidden: bool = False
    previous: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Identity over all kinds."""
        return self.kind, self.id

    @property
    def label(self) -> str:
        """How messages call it: `policy dns`."""
        return f"{self.kind} {self.name}"

    def shown(self) -> dict[str, Any]:
        """The body for diffs, secrets masked."""
        secrets = {"secret"} | ({"value"} if self.hidden else set())
        return {key: MASK if key in secrets else value for key, value in (self.body or {}).items()}


@dataclass(frozen=True, slots=True)
class Action:
    """One change: `create`, `update`, `replace` (delete, then create) or `delete` an object.

    `subject` is the object as it shall be, or the one to delete; `before` is None when it is created.
    """

    verb: str
    subject: Object
    before: Object | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.subject.label}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do in order, and what is there though nobody asked for it."""

    actions: tuple[Action, ...] = ()
    rogue: tuple[Object, ...] = ()

    def diff(self) -> dict[str, dict[str, Any]]:
        """Before and after of the objects that change. A changed secret shows as changed, never its value."""
        before = {a.subject.label: a.before.shown() for a in self.actions if a.before}
        after = {a.subject.label: a.subject.shown() for a in self.actions if a.verb != "delete"}
        for label in before.keys() & after.keys():
            if before[label] == after[label]:
                after[label] = {**after[label], "secret": f"{MASK} (another one)"}
        return {"before": before, "after": after}


def plan(wanted: Sequence[Object], actual: Iterable[Object], prune: str) -> Plan:
    """What makes `actual` become `wanted`. `prune`: ignore, report or delete what nobody asked for."""
    found = {obj.key: obj for obj in actual}
    asked = {obj.key for obj in wanted}
    actions = [action for obj in wanted if (action := _action(obj, found.get(obj.key)))]
    rogue = () if prune == "ignore" else tuple(o for k, o in found.items() if k not in asked and not o.protected)
    if prune == "delete":
        actions += [Action("delete", obj, obj) for obj in rogue]
    return Plan(tuple(sorted(actions, key=_order)), rogue)


def _order(action: Action) -> int:
    """What is made comes first, in the order of KINDS; deletions follow in the opposite order."""
    rank = KINDS.index(action.subject.kind)
    return 2 * len(KINDS) - rank if action.verb == "delete" else rank


def _action(wanted: Object, found: Object | None) -> Action | None:
    if wanted.body is None:
        return Action("delete", found, found) if found else None
    if found is None or found.body is None:
        return Action("create", wanted)
    body = dict(wanted.body)
    if wanted.kind == "autopilot":  # settings that are not named stay as they are
        body = {**found.body, **body}
    if found.body == body:
        return None
    # Consul refuses to change a token's secret and its locality in place.
    fixed_differs = any(found.body.get(key) != body.get(key) for key in ("secret", "local"))
    after = replace(wanted, body=body, ref=found.ref)
    return Action("replace" if fixed_differs else "update", after, replace(found, hidden=wanted.hidden))


def wanted_objects(params: Mapping[str, Any]) -> list[Object]:
    """The options of the module as objects. A secret that was not handed over and doubles raise DriverError."""
    secrets: Mapping[str, str] = params["secrets"] or {}
    objects = [_wanted_policy(p) for p in params["policies"]]
    objects += [_wanted_role(r, params["datacenter"]) for r in params["roles"]]
    if params.get("management"):
        body = {**_grants(MANAGES, ""), "description": MANAGEMENT, "roles": [], "local": False}
        objects.append(
            Object(
                "token", accessor_id(RESERVED_TOKENS[0]), RESERVED_TOKENS[0], {**body, "secret": params["management"]}
            )
        )
    objects += [_wanted_token(t, params["datacenter"], secrets) for t in params["tokens"]]
    objects += [_wanted_token(_node_token(n), params["datacenter"], secrets) for n in params["nodes"]]
    objects += [_wanted_key(k, secrets) for k in params["kv"]]
    objects += [_wanted_service(s) for s in params["services"]]
    if settings := {k: v for k, v in (params["autopilot"] or {}).items() if v is not None}:
        objects.append(Object("autopilot", "autopilot", "settings", canonical_durations(settings)))
    seen: set[tuple[str, str]] = set()
    for obj in objects:
        if obj.key in seen:
            raise DriverError(f"{obj.label} is listed twice")
        seen.add(obj.key)
    return objects


def node_token(node: str) -> str:
    """Name of the token of a node's agent."""
    return f"agent/{node}"


def accessor_id(name: str) -> str:
    """The accessor that a token of this name gets: the same on each run, so that it is found again."""
    return str(uuid.uuid5(NAMESPACE, name))


def canonical_durations(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with Go's durations in one spelling, milliseconds: 1m and 1m0s are equal."""
    return {k: _milliseconds(v) if isinstance(v, str) else v for k, v in settings.items()}


def _milliseconds(text: str) -> str:
    parts = DURATION.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise DriverError(f"{text!r} is no duration: write 200ms, 10s or 1m")
    return f"{sum(float(n) * MILLISECONDS[u] for n, u in parts):g}ms"


def _body(entry: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any] | None:
    return None if entry["state"] == "absent" else body


def _wanted_policy(entry: Mapping[str, Any]) -> Object:
    body = {"description": entry["description"] or "", "rules": (entry["rules"] or "").strip()}
    return Object("policy", entry["name"], entry["name"], _body(entry, body))


def _grants(entry: Mapping[str, Any], datacenter: str) -> dict[str, Any]:
    return {
        "policies": sorted(entry["policies"] or []),
        "node_identities": sorted(f"{node}@{datacenter}" for node in entry["node_identities"] or []),
        "service_identities": sorted(entry["service_identities"] or []),
    }


def _wanted_role(entry: Mapping[str, Any], datacenter: str) -> Object:
    body = {"description": entry["description"] or "", **_grants(entry, datacenter)}
    return Object("role", entry["name"], entry["name"], _body(entry, body))


def _wanted_token(entry: Mapping[str, Any], datacenter: str, secrets: Mapping[str, str]) -> Object:
    name = entry["name"]
    if name in RESERVED_TOKENS:
        raise DriverError(f"token {name}: the name is reserved for a secret of the cluster")
    if entry["state"] == "absent":
        return Object("token", accessor_id(name), name, None)
    body = {
        "description": entry["description"] or name,
        **_grants(entry, datacenter),
        "roles": sorted(entry["roles"] or []),
        "local": entry["local"],
        "secret": _secret(f"token {name}", name, secrets),
    }
    return Object("token", accessor_id(name), name, body)


def _node_token(node: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"description": None, "policies": [], "roles": [], "service_identities": []}
    return {**empty, "name": node_token(node), "node_identities": [node], "local": False, "state": "present"}


def _wanted_key(entry: Mapping[str, Any], secrets: Mapping[str, str]) -> Object:
    path, source = entry["key"], entry["secret"]
    if entry["state"] == "absent":
        return Object("key", path, path, None)
    value = _secret(f"key {path}", source, secrets) if source else entry["value"] or ""
    return Object("key", path, path, {"value": value}, hidden=bool(source))


def _secret(label: str, name: str, secrets: Mapping[str, str]) -> str:
    if not secrets.get(name):
        raise DriverError(f"{label}: its secret was not handed over in `secrets`")
    return secrets[name]


def _wanted_service(entry: Mapping[str, Any]) -> Object:
    service_id = entry["id"] or entry["name"]
    body = {
        "name": entry["name"],
        "address": entry["address"],
        "port": entry["port"],
        "tags": sorted(entry["tags"] or []),
        "meta": {k: str(v) for k, v in (entry["meta"] or {}).items()},
    }
    path = f"{entry['node']}/{service_id}"
    return Object("service", path, path, _body(entry, body))
