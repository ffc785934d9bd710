# SPDX-License-Identifier: Apache-2.0
"""Connections to the primary of a cluster, whichever member that is. The only file here that talks to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Ident, Literal, Part, Statement
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    psycopg2 = None

CONNECT_TIMEOUT_S = 3
# What fails is reported by us; the server's log must not keep the statement, which may hold a password's verifier
OPTIONS = "-c log_min_error_statement=panic -c log_min_duration_statement=-1 -c lock_timeout=10s"


class Session:
    """One autocommit connection a database, opened when it is first needed."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """`connection` is the option of the module: hosts, port, user, password, ca_path. Nothing is opened yet."""
        self._settings = {
            "host": ",".join(connection["hosts"]),
            "port": connection["port"],
            "user": connection["user"],
            "password": connection["password"],
            "sslmode": "verify-full",
            "sslrootcert": connection["ca_path"],
            "connect_timeout": CONNECT_TIMEOUT_S,
            "target_session_attrs": "read-write",
            "application_name": "rsp.platform",
            "options": OPTIONS,
        }
        self._open: dict[str, Any] = {}

    def query(self, database: str, text: str) -> Iterable[Sequence[Any]]:
        """Rows of a query."""
        return self._run(database, f"reading {database}", text)

    def execute(self, statement: Statement) -> None:
        """Run one statement. Raises DriverError with the object and the SQLSTATE."""
        self._run(statement.database, statement.what, sql.SQL(statement.sql).format(*map(_compose, statement.parts)))

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _run(self, database: str, what: str, text: Any) -> list[Sequence[Any]]:
        try:
            with self._connected(database).cursor() as cursor:
                cursor.execute(text)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as err:
            primary = err.diag.message_primary if err.pgcode else str(err).strip()
            state = f" (SQLSTATE {err.pgcode})" if err.pgcode else ""
            raise DriverError(f"{database}: {what}: {primary}{state}", sqlstate=err.pgcode, object=what) from None

    def _connected(self, database: str) -> Any:
        if database not in self._open:
            connection = psycopg2.connect(dbname=database, **self._settings)
            connection.autocommit = True
            self._open[database] = connection
        return self._open[database]


def available() -> bool:
    """Whether the client library is there."""
    return psycopg2 is not None


def _compose(part: Part) -> Any:
    if isinstance(part, Ident):
        return sql.Identifier(part.name)
    if isinstance(part, Literal):
        return sql.Literal(part.value)
    return sql.SQL(part.sql)
