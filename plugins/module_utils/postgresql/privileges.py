# SPDX-License-Identifier: Apache-2.0
"""Privileges: an entry of the data owns all privileges of its role on its target. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import (
    PUBLIC,
    DefaultPrivileges,
    DefaultTarget,
    Ident,
    Inside,
    Part,
    Privileges,
    Raw,
    Statement,
    Target,
)

KEYWORDS = {
    "database": "DATABASE",
    "schema": "SCHEMA",
    "table": "TABLE",
    "sequence": "SEQUENCE",
    "function": "FUNCTION",
}
# What everybody has on what is made while no default was ever altered; a schema's own defaults only add to it.
BUILT_IN = {"function": {PUBLIC: frozenset({"EXECUTE"})}, "type": {PUBLIC: frozenset({"USAGE"})}}


def plan_privileges(database: str, wanted: Privileges, actual: Privileges) -> Iterator[Statement]:
    """GRANT and REVOKE on single objects. A target without a name is every object of its kind in the schema.

    An object that the data also names by itself follows its own entry.
    """
    for target, roles in wanted.items():
        for role, privileges in roles.items():
            for each in _objects(target, role, wanted, actual):
                have = actual.get(each, {}).get(role, frozenset())
                yield from _change(database, each, role, privileges, have)


def _objects(target: Target, role: str, wanted: Privileges, actual: Privileges) -> Iterator[Target]:
    if target.name:
        yield target
        return
    for each in sorted(actual):
        if (each.kind, each.schema) == (target.kind, target.schema) and role not in wanted.get(each, {}):
            yield each


def _change(
    database: str, target: Target, role: str, wanted: frozenset[str], have: frozenset[str]
) -> Iterator[Statement]:
    on, parts = _on(target)
    for verb, word, names in (("GRANT", "TO", wanted - have), ("REVOKE", "FROM", have - wanted)):
        if names:
            listed = ", ".join(sorted(names))
            yield Statement(
                f"{target}: {verb.lower()} {listed} {word.lower()} {role}",
                f"{verb} {listed} ON {on} {word} {{}}",
                (*parts, _role(role)),
                database,
            )


def _on(target: Target) -> tuple[str, tuple[Part, ...]]:
    """`TABLE {}.{}` and its parts."""
    keyword = KEYWORDS[target.kind]
    if target.kind == "function":
        name, arguments = target.name.split("(", 1)
        return f"{keyword} {{}}.{{}}{{}}", (Ident(target.schema), Ident(name), Raw(f"({arguments}"))
    if target.schema:
        return f"{keyword} {{}}.{{}}", (Ident(target.schema), Ident(target.name))
    return f"{keyword} {{}}", (Ident(target.name),)


def _role(role: str) -> Part:
    return Raw("PUBLIC") if role == PUBLIC else Ident(role)


def plan_defaults(database: str, wanted: DefaultPrivileges, actual: DefaultPrivileges) -> Iterator[Statement]:
    """ALTER DEFAULT PRIVILEGES of objects that are still to be made."""
    for target, roles in wanted.items():
        for role, privileges in roles.items():
            unaltered = {} if target.schema else BUILT_IN.get(target.kind, {})
            have = actual.get(target, unaltered).get(role, frozenset())
            yield from _change_default(database, target, role, privileges, have)


def _change_default(
    database: str, target: DefaultTarget, role: str, wanted: frozenset[str], have: frozenset[str]
) -> Iterator[Statement]:
    sql, parts = "ALTER DEFAULT PRIVILEGES FOR ROLE {}", [Ident(target.owner)]
    if target.schema:
        sql, parts = f"{sql} IN SCHEMA {{}}", [*parts, Ident(target.schema)]
    for verb, word, names in (("GRANT", "TO", wanted - have), ("REVOKE", "FROM", have - wanted)):
        if names:
            listed = ", ".join(sorted(names))
            yield Statement(
                f"{target}: {verb.lower()} {listed} {word.lower()} {role}",
                f"{sql} {verb} {listed} ON {target.kind.upper()}S {word} {{}}",
                (*parts, _role(role)),
                database,
            )


def revoke_everything(database: str, role: str, there: Inside) -> Iterator[Statement]:
    """What a role has in a database, so that the role can be dropped."""
    for target, roles in there.privileges.items():
        yield from _change(database, target, role, frozenset(), roles.get(role, frozenset()))
    for default, roles in there.defaults.items():
        yield from _change_default(database, default, role, frozenset(), roles.get(role, frozenset()))
