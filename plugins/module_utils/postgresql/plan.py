# SPDX-License-Identifier: Apache-2.0
"""The statements that bring a cluster's objects in line with the data, in the order in which they can run. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.postgresql import scram
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import (
    Actual,
    Database,
    DataError,
    Extension,
    Function,
    Ident,
    Inside,
    Literal,
    Part,
    Raw,
    Role,
    Statement,
    Wanted,
)
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.privileges import (
    plan_defaults,
    plan_privileges,
    revoke_everything,
)

FLAGS = ("LOGIN", "SUPERUSER", "CREATEDB", "CREATEROLE", "INHERIT", "REPLICATION", "BYPASSRLS")
# Settings whose value is a list: each element is quoted for itself.
LIST_SETTINGS = ("search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces")
SPACE_AROUND = re.compile(r" ?([(),]) ?")
SYSTEM_DATABASES = ("postgres", "template0", "template1")
SYSTEM_SCHEMAS = ("public", "information_schema")
SYSTEM_EXTENSIONS = ("plpgsql",)


@dataclass(frozen=True, slots=True)
class Plan:
    """Statements in order, what is there though nobody asked for it, and what waits for a library, as kind:name."""

    statements: tuple[Statement, ...]
    unmanaged: tuple[str, ...]
    waiting: tuple[str, ...] = ()


def plan(wanted: Wanted, actual: Actual) -> Plan:
    """Everything that differs. With `wanted.prune` what nobody asked for is dropped, otherwise it is named."""
    unmanaged = tuple(name for name in _unmanaged(wanted, actual) if name not in wanted.protected)
    gone = {*wanted.gone, *(_split(name) for name in unmanaged if wanted.prune)}
    waiting = tuple(
        f"extension:{database}/{extension.name}"
        for database, inside in wanted.inside.items()
        for extension in inside.extensions.values()
        if extension.name not in actual.at(database).extensions and not actual.loads(extension.library)
    )
    return Plan((*_bring(wanted, actual), *_drop(gone, actual)), unmanaged, waiting)


def _bring(wanted: Wanted, actual: Actual) -> Iterator[Statement]:
    for name, role in wanted.roles.items():
        yield from _role(role, actual.roles.get(name), wanted.passwords.get(name))
    # After all roles: a role may be a member of one that comes later in the data
    for name, role in wanted.roles.items():
        yield from _memberships(role, actual.roles.get(name, Role(name)))
    for name, database in wanted.databases.items():
        yield from _database(database, actual.databases.get(name))
    for name, inside in wanted.inside.items():
        there = actual.at(name)
        yield from _schemas(name, inside, there)
        for extension in inside.extensions.values():
            if extension.name in there.extensions or actual.loads(extension.library):
                yield from _extension(name, extension, there.extensions.get(extension.name))
        for key, function in inside.functions.items():
            yield from _function(name, function, there.functions.get(key))
        yield from plan_privileges(name, inside.privileges, there.privileges)
        yield from plan_defaults(name, inside.defaults, there.defaults)


def _role(role: Role, there: Role | None, password: str | None) -> Iterator[Statement]:
    flags = " ".join(flag if flag in role.flags else f"NO{flag}" for flag in FLAGS)
    parts = (Ident(role.name), Raw(flags), Literal(role.connection_limit))
    if there is None:
        yield Statement(f"role {role.name}: create", "CREATE ROLE {} {} CONNECTION LIMIT {}", parts)
        there = Role(role.name, role.flags, role.connection_limit)
    if (role.flags, role.connection_limit) != (there.flags, there.connection_limit):
        yield Statement(f"role {role.name}: change attributes", "ALTER ROLE {} {} CONNECTION LIMIT {}", parts)
    if password is not None and not scram.matches(password, there.verifier):
        secret = Literal(scram.verifier(password), secret=True)
        yield Statement(f"role {role.name}: set password", "ALTER ROLE {} PASSWORD {}", (Ident(role.name), secret))
    for name in sorted(set(there.settings) - set(role.settings)):
        yield Statement(f"role {role.name}: reset {name}", "ALTER ROLE {} RESET {}", (Ident(role.name), Ident(name)))
    for name, value in role.settings.items():
        if elements(name, value) != elements(name, there.settings.get(name, "")) or name not in there.settings:
            sql, values = assignment(name, value)
            yield Statement(f"role {role.name}: set {name}", f"ALTER ROLE {{}} SET {sql}", (Ident(role.name), *values))


def _memberships(role: Role, there: Role) -> Iterator[Statement]:
    for group in sorted(role.member_of - there.member_of):
        parts = (Ident(group), Ident(role.name))
        yield Statement(f"role {role.name}: become a member of {group}", "GRANT {} TO {}", parts)
    for group in sorted(there.member_of - role.member_of):
        parts = (Ident(group), Ident(role.name))
        yield Statement(f"role {role.name}: leave {group}", "REVOKE {} FROM {}", parts)


def _database(database: Database, there: Database | None) -> Iterator[Statement]:
    name = Ident(database.name)
    if there is None:
        yield Statement(
            f"database {database.name}: create",
            "CREATE DATABASE {} OWNER {} CONNECTION LIMIT {}",
            (name, Ident(database.owner), Literal(database.connection_limit)),
        )
        return
    if database.owner != there.owner:
        parts = (name, Ident(database.owner))
        yield Statement(f"database {database.name}: change owner", "ALTER DATABASE {} OWNER TO {}", parts)
    if database.connection_limit != there.connection_limit:
        yield Statement(
            f"database {database.name}: change connection limit",
            "ALTER DATABASE {} CONNECTION LIMIT {}",
            (name, Literal(database.connection_limit)),
        )


def _schemas(database: str, wanted: Inside, there: Inside) -> Iterator[Statement]:
    for name, owner in wanted.schemas.items():
        parts = (Ident(name), Ident(owner))
        if name not in there.schemas:
            yield Statement(f"schema {name}: create", "CREATE SCHEMA {} AUTHORIZATION {}", parts, database)
        elif there.schemas[name] != owner:
            yield Statement(f"schema {name}: change owner", "ALTER SCHEMA {} OWNER TO {}", parts, database)


def _extension(database: str, extension: Extension, there: Extension | None) -> Iterator[Statement]:
    name, what = Ident(extension.name), f"extension {extension.name}"
    if there is None:
        sql, parts = "CREATE EXTENSION {}", [name]
        if extension.schema:
            sql, parts = f"{sql} SCHEMA {{}}", [*parts, Ident(extension.schema)]
        if extension.version:
            sql, parts = f"{sql} VERSION {{}}", [*parts, Ident(extension.version)]
        yield Statement(f"{what}: create", sql, tuple(parts), database)
        return
    if extension.schema and extension.schema != there.schema:
        parts = [name, Ident(extension.schema)]
        yield Statement(
            f"{what}: move to {extension.schema}", "ALTER EXTENSION {} SET SCHEMA {}", tuple(parts), database
        )
    if extension.version and extension.version != there.version:
        parts = [name, Ident(extension.version)]
        yield Statement(f"{what}: go to {extension.version}", "ALTER EXTENSION {} UPDATE TO {}", tuple(parts), database)


def _function(database: str, function: Function, there: Function | None) -> Iterator[Statement]:
    if there is not None and _normal(function) == _normal(there):
        return
    name, arguments = function.signature.split("(", 1)
    sql = "CREATE OR REPLACE FUNCTION {}.{}{} RETURNS {} LANGUAGE {}"
    parts: list[Part] = [Ident(function.schema), Ident(name), Raw(f"({arguments}"), Raw(function.returns)]
    parts.append(Ident(function.language))
    if function.security_definer:
        sql += " SECURITY DEFINER"
    for setting, value in function.settings.items():
        assigned, values = assignment(setting, value)
        sql, parts = f"{sql} SET {assigned}", [*parts, *values]
    what = f"function {function.schema}.{function.signature}: {'create' if there is None else 'replace'}"
    yield Statement(what, f"{sql} AS {{}}", (*parts, Literal(function.body)), database)


def _normal(function: Function) -> tuple[object, ...]:
    """A function as far as a difference counts: the server writes types in lower case and with its own spaces."""
    settings = sorted((name, elements(name, value)) for name, value in function.settings.items())
    returns = SPACE_AROUND.sub(r"\1", " ".join(function.returns.lower().split()))
    return returns, function.language, function.body.strip(), function.security_definer, settings


def elements(setting: str, value: str) -> tuple[str, ...]:
    """The value of a setting, element by element where it is a list."""
    if setting not in LIST_SETTINGS:
        return (value,)
    return tuple(element.strip().strip('"') for element in value.split(","))


def assignment(setting: str, value: str) -> tuple[str, tuple[Part, ...]]:
    """`{} TO {}, {}` and its parts."""
    values = elements(setting, value)
    return f"{{}} TO {', '.join(['{}'] * len(values))}", (Ident(setting), *map(Literal, values))


def _drop(gone: set[tuple[str, str, str]], actual: Actual) -> Iterator[Statement]:
    """Privileges first, then inner objects, databases, roles. Nothing cascades: what is in use fails the run."""
    databases = {name for kind, _database, name in gone if kind == "database"} & set(actual.databases)
    roles = {name for kind, _database, name in gone if kind == "role"} & set(actual.roles)
    for role in sorted(roles):
        for database in sorted(set(actual.inside) - databases):
            yield from revoke_everything(database, role, actual.at(database))
    for kind, database, name in sorted(gone):
        if kind == "extension" and name in actual.at(database).extensions:
            yield Statement(f"extension {name}: drop", "DROP EXTENSION {}", (Ident(name),), database)
        if kind == "function" and tuple(name.split(".", 1)) in actual.at(database).functions:
            schema, signature = name.split(".", 1)
            function, arguments = signature.split("(", 1)
            parts = (Ident(schema), Ident(function), Raw(f"({arguments}"))
            yield Statement(f"function {name}: drop", "DROP FUNCTION {}.{}{}", parts, database)
    for kind, database, name in sorted(gone):
        if kind == "schema" and name in actual.at(database).schemas:
            yield Statement(f"schema {name}: drop", "DROP SCHEMA {}", (Ident(name),), database)
    for name in sorted(databases):
        if name in SYSTEM_DATABASES:
            raise DataError(f"database {name} belongs to PostgreSQL and is never dropped")
        yield Statement(f"database {name}: drop", "DROP DATABASE {}", (Ident(name),))
    for name in sorted(roles):
        yield Statement(f"role {name}: drop", "DROP ROLE {}", (Ident(name),))


def _unmanaged(wanted: Wanted, actual: Actual) -> Iterator[str]:
    """What is there, is not PostgreSQL's own, and is not named by the data."""
    named: Mapping[str, set[str]] = {
        "role": {*wanted.roles, *wanted.absent("role")},
        "database": {*wanted.databases, *wanted.absent("database"), *SYSTEM_DATABASES},
    }
    yield from (f"role:{name}" for name in sorted(set(actual.roles) - named["role"]) if not name.startswith("pg_"))
    yield from (f"database:{name}" for name in sorted(set(actual.databases) - named["database"]))
    for database, there in sorted(actual.inside.items()):
        inside = wanted.inside.get(database, Inside())
        schemas = {*inside.schemas, *wanted.absent("schema", database), *SYSTEM_SCHEMAS}
        yield from (f"schema:{database}/{name}" for name in sorted(set(there.schemas) - schemas))
        extensions = {*inside.extensions, *wanted.absent("extension", database), *SYSTEM_EXTENSIONS}
        yield from (f"extension:{database}/{name}" for name in sorted(set(there.extensions) - extensions))


def _split(unmanaged: str) -> tuple[str, str, str]:
    """kind:name or kind:database/name to an entry of `Wanted.gone`."""
    kind, name = unmanaged.split(":", 1)
    if kind in ("role", "database"):
        return kind, "", name
    database, inner = name.split("/", 1)
    return kind, database, inner
