# SPDX-License-Identifier: Apache-2.0
"""Users, roles and authentication of etcd as data: what is wanted, what is there, and the steps between. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ROOT = "root"
EVERY_KEY = b"\0"


class DataError(Exception):
    """The data is contradictory; the text names the entry."""


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """A right on one key, or on the keys from `key` up to but not including `range_end`.

    Attributes:
        key: first key; a NUL byte is the smallest one.
        range_end: empty for the key alone, a NUL byte for "to the last key".
        kind: READ, WRITE or READWRITE.
    """

    key: bytes
    range_end: bytes
    kind: str

    @property
    def scope(self) -> tuple[bytes, bytes]:
        """The keys it is about: a role has at most one permission a scope."""
        return self.key, self.range_end

    @property
    def wire(self) -> dict[str, str]:
        """Key and range_end as the gateway's JSON has them."""
        first, last = (base64.b64encode(part).decode() for part in self.scope)
        return {"key": first, "range_end": last}

    def __str__(self) -> str:
        first, last = (part.decode("utf-8", "replace") for part in self.scope)
        if self.scope == (EVERY_KEY, EVERY_KEY):
            keys = "every key"
        elif not self.range_end:
            keys = first
        elif self.range_end == prefix_end(self.key):
            keys = f"{first}*"
        else:
            keys = f"[{first}, {'end' if self.range_end == EVERY_KEY else last})"
        return f"{self.kind.lower()} {keys}"


@dataclass(frozen=True, slots=True)
class User:
    """A wanted user. Without a password it logs in by the common name of its certificate (gRPC only)."""

    name: str
    roles: frozenset[str]
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The data. What it names is owned whole; the rest is reported, or deleted when `prune`."""

    users: Mapping[str, User]
    roles: Mapping[str, frozenset[Permission]]
    absent_users: frozenset[str] = frozenset()
    absent_roles: frozenset[str] = frozenset()
    prune: bool = False


@dataclass(frozen=True, slots=True)
class Actual:
    """What the cluster has. `stale`: users whose password is not the wanted one, or cannot be proven to be."""

    auth_enabled: bool = False
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    roles: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the gateway. `body` may hold a password, so neither repr nor `text` shows it."""

    text: str
    path: str
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are safe, what they lead to, and what is there but not in the data."""

    steps: tuple[Step, ...]
    outcome: Actual
    unmanaged_users: tuple[str, ...]
    unmanaged_roles: tuple[str, ...]


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that start with `prefix`; a NUL byte when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else EVERY_KEY


def parse_wanted(users: Iterable[Mapping[str, Any]], roles: Iterable[Mapping[str, Any]], prune: bool) -> Wanted:
    """Options of the module to `Wanted`. Raises DataError for doubles, for root and for contradictory ranges."""
    users, roles = list(users), list(roles)
    for what, entries in (("user", users), ("role", roles)):
        names = [entry["name"] for entry in entries]
        for name in names:
            if name == ROOT:
                raise DataError(f"{what} root is kept by the module itself: take it out of the data")
            if names.count(name) > 1:
                raise DataError(f"{what} {name} is listed more than once")
    kept = [u for u in users if u["state"] == "present"]
    return Wanted(
        users={u["name"]: User(u["name"], frozenset(u["roles"]), u["password"]) for u in kept},
        roles={r["name"]: _permissions(r) for r in roles if r["state"] == "present"},
        absent_users=frozenset(u["name"] for u in users if u["state"] == "absent"),
        absent_roles=frozenset(r["name"] for r in roles if r["state"] == "absent"),
        prune=prune,
    )


def plan(wanted: Wanted, actual: Actual, root_password: str) -> Plan:
    """The steps from `actual` to `wanted`: what grants comes before what takes away, authentication last.

    Raises DataError when a user is to have a role that neither the data nor the cluster knows.
    """
    unmanaged_users = sorted(set(actual.users) - set(wanted.users) - wanted.absent_users - {ROOT})
    unmanaged_roles = sorted(set(actual.roles) - set(wanted.roles) - wanted.absent_roles - {ROOT})
    gone_users = wanted.absent_users & set(actual.users) | (set(unmanaged_users) if wanted.prune else set())
    gone_roles = wanted.absent_roles & set(actual.roles) | (set(unmanaged_roles) if wanted.prune else set())
    _check_roles(wanted, known=set(wanted.roles) | set(actual.roles) - gone_roles | {ROOT})
    users = {ROOT: User(ROOT, frozenset({ROOT}), root_password), **wanted.users}
    steps = [
        *_role_steps(wanted.roles, actual.roles),
        *(step for user in users.values() for step in _user_steps(user, actual)),
        *(_step(f"delete user {name}", "user/delete", name=name) for name in sorted(gone_users)),
        *(_step(f"delete role {name}", "role/delete", role=name) for name in sorted(gone_roles)),
    ]
    if not actual.auth_enabled:
        steps.append(_step("enable authentication", "enable"))
    outcome = Actual(
        auth_enabled=True,
        users={
            **{n: has - gone_roles for n, has in actual.users.items() if n not in gone_users},
            **{n: user.roles for n, user in users.items()},
        },
        roles={**{n: has for n, has in actual.roles.items() if n not in gone_roles}, **wanted.roles},
    )
    return Plan(tuple(steps), outcome, tuple(unmanaged_users), tuple(unmanaged_roles))


def view(actual: Actual) -> dict[str, Any]:
    """A state as one side of a diff: sorted, readable, without passwords."""
    return {
        "authentication": actual.auth_enabled,
        "users": {
            name: {"roles": sorted(actual.users[name])} | ({"password": "to be set"} if name in actual.stale else {})
            for name in sorted(actual.users)
        },
        "roles": {name: [str(p) for p in sorted(actual.roles[name])] for name in sorted(actual.roles)},
    }


def _role_steps(
    wanted: Mapping[str, frozenset[Permission]], actual: Mapping[str, frozenset[Permission]]
) -> Iterator[Step]:
    for name, permissions in wanted.items():
        if name not in actual:
            yield _step(f"add role {name}", "role/add", name=name)
        has = actual.get(name, frozenset())
        for permission in sorted(permissions - has):  # a grant replaces the right on the same keys
            perm = {"permType": permission.kind, **permission.wire}
            yield _step(f"grant role {name} {permission}", "role/grant", name=name, perm=perm)
        scopes = {permission.scope for permission in permissions}
        for permission in sorted(p for p in has if p.scope not in scopes):
            yield _step(f"revoke role {name} {permission}", "role/revoke", role=name, **permission.wire)


def _user_steps(user: User, actual: Actual) -> Iterator[Step]:
    if user.name not in actual.users:
        login = {"options": {"noPassword": True}} if user.password is None else {"password": user.password}
        yield _step(f"add user {user.name}", "user/add", name=user.name, **login)
    elif user.name in actual.stale:
        yield _step(f"set password of user {user.name}", "user/changepw", name=user.name, password=user.password)
    has = actual.users.get(user.name, frozenset())
    for role in sorted(user.roles - has):
        yield _step(f"grant user {user.name} role {role}", "user/grant", user=user.name, role=role)
    for role in sorted(has - user.roles):
        yield _step(f"revoke user {user.name} role {role}", "user/revoke", name=user.name, role=role)


def _step(text: str, path: str, **body: Any) -> Step:
    return Step(text, f"/v3/auth/{path}", body)


def _check_roles(wanted: Wanted, known: set[str]) -> None:
    for user in wanted.users.values():
        unknown = sorted(user.roles - known)
        if unknown:
            raise DataError(f"user {user.name} is to have role {', '.join(unknown)}, which nobody defines")


def _permissions(role: Mapping[str, Any]) -> frozenset[Permission]:
    permissions = [_permission(role["name"], entry) for entry in role["permissions"]]
    scopes = [permission.scope for permission in permissions]
    double = next((p for p in permissions if scopes.count(p.scope) > 1), None)
    if double:
        raise DataError(f"role {role['name']} has two permissions for the same keys: {double}")
    return frozenset(permissions)


def _permission(role: str, entry: Mapping[str, Any]) -> Permission:
    key, end = entry["key"].encode(), entry["range_end"]
    if end and entry["prefix"]:
        raise DataError(f"role {role}, key {entry['key']}: prefix and range_end exclude each other")
    if not key and not entry["prefix"]:
        raise DataError(f"role {role}: an empty key needs prefix, which then means every key")
    if entry["prefix"]:
        return Permission(key or EVERY_KEY, prefix_end(key), entry["type"].upper())
    return Permission(key, (end or "").encode(), entry["type"].upper())
