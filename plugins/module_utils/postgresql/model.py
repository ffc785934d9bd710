# SPDX-License-Identifier: Apache-2.0
"""Objects of a PostgreSQL cluster: what is wanted, what is there, and the statements between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

PUBLIC = "public"


class DataError(Exception):
    """The data is contradictory, or asks for what no statement can do; the text names the entry."""


@dataclass(frozen=True, slots=True)
class Ident:
    """A name in a statement; quoted by the client library."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a statement; a secret one is never shown."""

    value: str | int | None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """SQL that is written by us or, for definitions, by the owner of the data."""

    sql: str


Part: TypeAlias = "Ident | Literal | Raw"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement of the plan.

    Attributes:
        what: the object and the change, as people say it: `role app: create`.
        sql: text with a `{}` for each part.
        parts: what goes there.
        database: where it runs; the cluster's own objects are the same everywhere.
    """

    what: str
    sql: str
    parts: tuple[Part, ...] = field(default=(), repr=False)
    database: str = "postgres"


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `verifier` is what the server keeps of its password."""

    name: str
    flags: frozenset[str] = frozenset({"LOGIN", "INHERIT"})
    connection_limit: int = -1
    member_of: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    verifier: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Database:
    """A database. Encoding and locale are those of its template, which never change."""

    name: str
    owner: str
    connection_limit: int = -1


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension of a database; None leaves schema or version as they are. It cannot be made without its library."""

    name: str
    schema: str | None = None
    version: str | None = None
    library: str | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function, known by its schema and its name with argument types: get_auth(text)."""

    schema: str
    signature: str
    returns: str
    language: str
    body: str = field(repr=False)
    security_definer: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What privileges are on.

    Attributes:
        kind: database, schema, table, sequence or function.
        schema: of tables, sequences and functions.
        name: empty for all tables, sequences or functions of the schema; functions with argument types.
    """

    kind: str
    name: str = ""
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.schema + '.' if self.schema else ''}{self.name or '*'}"


@dataclass(frozen=True, slots=True, order=True)
class DefaultTarget:
    """Objects that `owner` will make: kind is table, sequence, function or type; an empty schema is any."""

    kind: str
    owner: str
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.kind}s made by {self.owner}{' in ' + self.schema if self.schema else ''}"


# Privileges by target and then by role; PUBLIC is everybody.
Privileges = Mapping[Target, Mapping[str, frozenset[str]]]
DefaultPrivileges = Mapping[DefaultTarget, Mapping[str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Inside:
    """What is in one database."""

    schemas: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    functions: Mapping[tuple[str, str], Function] = field(default_factory=dict)
    privileges: Privileges = field(default_factory=dict)
    defaults: DefaultPrivileges = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Actual:
    """What the cluster has; a fresh one has the database postgres and nothing of ours."""

    roles: Mapping[str, Role] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=lambda: {"postgres": Database("postgres", "postgres")})
    inside: Mapping[str, Inside] = field(default_factory=dict)
    libraries: frozenset[str] | None = None

    def loads(self, library: str | None) -> bool:
        """Whether the server has loaded a library; one that does not run yet will."""
        return library is None or self.libraries is None or library in self.libraries

    def at(self, database: str) -> Inside:
        """What is in a database; nothing when it is not there."""
        return self.inside.get(database, Inside())


@dataclass(frozen=True, slots=True)
class Wanted:
    """The data. What it names is owned whole; `gone` are (kind, database, name) that must not be there.

    Attributes:
        passwords: by role; a role without an entry keeps the password it has.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    databases: Mapping[str, Database] = field(default_factory=dict)
    inside: Mapping[str, Inside] = field(default_factory=dict)
    gone: frozenset[tuple[str, str, str]] = frozenset()
    prune: bool = False
    protected: frozenset[str] = frozenset()

    def absent(self, kind: str, database: str = "") -> Iterator[str]:
        """Names of a kind that must not be there, in order."""
        return (name for k, d, name in sorted(self.gone) if (k, d) == (kind, database))
