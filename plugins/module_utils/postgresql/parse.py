# SPDX-License-Identifier: Apache-2.0
"""Options of the module postgresql_objects to `Wanted`. Contradictions raise DataError with the entry's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import (
    PUBLIC,
    Database,
    DataError,
    DefaultTarget,
    Extension,
    Function,
    Inside,
    Role,
    Target,
    Wanted,
)
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import check_password

Entry = Mapping[str, Any]
AnyTarget = TypeVar("AnyTarget", Target, DefaultTarget)

ROLE_FLAGS = ("login", "superuser", "createdb", "createrole", "inherit", "replication", "bypassrls")
# Every privilege of a kind, which ALL stands for.
PRIVILEGES = {
    "database": frozenset({"CONNECT", "CREATE", "TEMPORARY"}),
    "schema": frozenset({"CREATE", "USAGE"}),
    "table": frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"}),
    "sequence": frozenset({"SELECT", "UPDATE", "USAGE"}),
    "function": frozenset({"EXECUTE"}),
    "type": frozenset({"USAGE"}),
}


def parse(params: Mapping[str, Any]) -> Wanted:
    """The whole data."""
    lists = {key: list(params[key]) for key in ("roles", "databases", "schemas", "extensions", "functions")}
    gone = {
        *(("role", "", e["name"]) for e in _absent(lists["roles"])),
        *(("database", "", e["name"]) for e in _absent(lists["databases"])),
        *(("schema", e["database"], e["name"]) for e in _absent(lists["schemas"])),
        *(("extension", e["database"], e["name"]) for e in _absent(lists["extensions"])),
        *(("function", e["database"], f"{e['schema']}.{_signature(e)}") for e in _absent(lists["functions"])),
    }
    _unique("role", (e["name"] for e in lists["roles"]))
    _unique("database", (e["name"] for e in lists["databases"]))
    roles = _present(lists["roles"])
    wanted = Wanted(
        roles={e["name"]: _role(e) for e in roles},
        passwords={e["name"]: _password(e, params["passwords"]) for e in roles if e.get("password_secret")},
        databases={
            e["name"]: Database(e["name"], e.get("owner") or "postgres", e["connection_limit"])
            for e in _present(lists["databases"])
        },
        inside=_inside(lists, list(params["grants"]), list(params["default_privileges"])),
        gone=frozenset(gone),
        prune=params["prune"] == "delete",
        protected=frozenset({*params["protected"], f"role:{params['connection']['user']}"}),
    )
    _check_places(wanted)
    return wanted


def _role(entry: Entry) -> Role:
    return Role(
        name=entry["name"],
        flags=frozenset(flag.upper() for flag in ROLE_FLAGS if entry[flag]),
        connection_limit=entry["connection_limit"],
        member_of=frozenset(entry["member_of"]),
        settings={name: str(value) for name, value in entry["settings"].items()},
    )


def _password(entry: Entry, passwords: Mapping[str, str]) -> str:
    name = entry["password_secret"]
    if name not in passwords:
        raise DataError(f"role {entry['name']}: passwords has no {name}")
    try:
        check_password(passwords[name])
    except ValueError as err:
        raise DataError(f"role {entry['name']}: {err}") from err
    return passwords[name]


def _inside(lists: Mapping[str, list[Entry]], grants: list[Entry], defaults: list[Entry]) -> dict[str, Inside]:
    """What is wanted in each database that the data names."""
    result: dict[str, Inside] = {}
    entries = [*lists["schemas"], *lists["extensions"], *lists["functions"], *grants, *defaults]
    for database in sorted({entry["database"] for entry in entries}):

        def here(these: Iterable[Entry], database: str = database) -> list[Entry]:
            return [entry for entry in these if entry["database"] == database]

        schemas, extensions = here(lists["schemas"]), here(lists["extensions"])
        functions = here(lists["functions"])
        _unique(f"schema of {database}", (e["name"] for e in schemas))
        _unique(f"extension of {database}", (e["name"] for e in extensions))
        _unique(f"function of {database}", (f"{e['schema']}.{_signature(e)}" for e in functions))
        result[database] = Inside(
            schemas={e["name"]: e.get("owner") or "postgres" for e in _present(schemas)},
            extensions={
                e["name"]: Extension(e["name"], e.get("schema"), e.get("version"), e.get("library"))
                for e in _present(extensions)
            },
            functions={(f.schema, f.signature): f for f in map(_function, _present(functions))},
            privileges=_by_role((_target(e), e) for e in here(grants)),
            defaults=_by_role((_default_target(e), e) for e in here(defaults)),
        )
    return result


def _function(entry: Entry) -> Function:
    for option in ("returns", "body"):
        if not entry.get(option):
            raise DataError(f"function {entry['schema']}.{entry['name']}: {option} is missing")
    return Function(
        schema=entry["schema"],
        signature=_signature(entry),
        returns=entry["returns"],
        language=entry["language"],
        body=entry["body"],
        security_definer=entry["security_definer"],
        settings={name: str(value) for name, value in entry["settings"].items()},
    )


def _signature(entry: Entry) -> str:
    return f"{entry['name']}({', '.join(entry['arguments'])})"


def _target(entry: Entry) -> Target:
    kind, name, schema = entry["kind"], entry.get("name") or "", entry.get("schema") or ""
    if kind == "database":
        return Target(kind, entry["database"])
    if kind == "schema":
        if not name:
            raise DataError(f"grant on a schema of {entry['database']} to {entry['role']}: name is missing")
        return Target(kind, name)
    if not schema:
        raise DataError(f"grant on {kind} {name} of {entry['database']} to {entry['role']}: schema is missing")
    return Target(kind, name, schema)


def _default_target(entry: Entry) -> DefaultTarget:
    return DefaultTarget(entry["kind"], entry["owner"], entry.get("schema") or "")


def _by_role(entries: Iterable[tuple[AnyTarget, Entry]]) -> dict[AnyTarget, dict[str, frozenset[str]]]:
    """Privileges by target and role. Two entries for the same target and role are a contradiction."""
    result: dict[AnyTarget, dict[str, frozenset[str]]] = {}
    for target, entry in entries:
        every = PRIVILEGES[entry["kind"]]
        names = frozenset(privilege.upper() for privilege in entry["privileges"])
        privileges = every if "ALL" in names else names
        where = f"grant on {target} of {entry['database']} to {entry['role']}"
        if unknown := privileges - every:
            raise DataError(f"{where}: no such privilege: {', '.join(sorted(unknown))}")
        role = PUBLIC if entry["role"].lower() == PUBLIC else entry["role"]
        roles = result.setdefault(target, {})
        if role in roles:
            raise DataError(f"{where} is there twice")
        roles[role] = privileges if entry["state"] == "present" else frozenset()
    return result


def _check_places(wanted: Wanted) -> None:
    """Nothing may be wanted in a database that is to be dropped."""
    dropped = {name for kind, _database, name in wanted.gone if kind == "database"}
    for database in sorted(dropped & set(wanted.inside)):
        raise DataError(f"database {database} is absent, but the data wants something in it")


def _absent(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["state"] == "absent"]


def _present(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["state"] == "present"]


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{what} {name} is there twice")
        seen.add(name)
