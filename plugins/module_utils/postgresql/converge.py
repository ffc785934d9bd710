# SPDX-License-Identifier: Apache-2.0
"""Read, plan, run, and look again: the data counts as applied only when nothing is left to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.postgresql.catalog import read
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import (
    Actual,
    Ident,
    Literal,
    Part,
    Statement,
    Wanted,
)
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.plan import plan
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# The second round takes back what a new object was born with, such as PUBLIC's right to execute a function.
ROUNDS = 3


class Server(Protocol):
    """What `session.Session` is, so that tests need no PostgreSQL."""

    def query(self, database: str, text: str) -> Iterable[Sequence[Any]]:
        """Rows of a query."""

    def execute(self, statement: Statement) -> None:
        """Run one statement."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or in check mode would be done first.

    Attributes:
        statements: in order.
        unmanaged: kind:name of what is there though nobody asked for it, before anything was done.
        waiting: kind:name of what cannot be made before the server was restarted with its library.
    """

    statements: tuple[Statement, ...]
    unmanaged: tuple[str, ...]
    waiting: tuple[str, ...] = ()

    def as_result(self) -> dict[str, Any]:
        """Keys of the module's result; secrets are masked."""
        lines = [f"{preview(statement)}\n" for statement in self.statements]
        return {
            "changed": bool(self.statements),
            "actions": [f"{statement.database}: {statement.what}" for statement in self.statements],
            "unmanaged": list(self.unmanaged),
            "waiting": list(self.waiting),
            "diff": {"prepared": "".join(lines)},
        }


def converge(wanted: Wanted, server: Server, *, fresh: bool, check: bool) -> Outcome:
    """Bring the cluster in line with the data.

    Args:
        wanted: the data.
        server: the primary.
        fresh: there is no cluster yet; only check mode cares, and then nothing is contacted.
        check: predict, do nothing.

    Raises:
        DataError: the data asks for what no statement can do.
        DriverError: a statement failed, or something is left to do after ROUNDS rounds.
    """
    if check:
        todo = plan(wanted, Actual() if fresh else _actual(wanted, server))
        return Outcome(todo.statements, todo.unmanaged, todo.waiting)
    done: list[Statement] = []
    first = todo = plan(wanted, _actual(wanted, server))
    for _round in range(ROUNDS):
        for statement in todo.statements:
            server.execute(statement)
            done.append(statement)
        if not todo.statements:
            return Outcome(tuple(done), first.unmanaged, todo.waiting)
        todo = plan(wanted, _actual(wanted, server))
    if todo.statements:
        left = "; ".join(f"{statement.database}: {statement.what}" for statement in todo.statements)
        raise DriverError(f"the data contradicts itself, this is left after {ROUNDS} rounds: {left}")
    return Outcome(tuple(done), first.unmanaged, todo.waiting)


def _actual(wanted: Wanted, server: Server) -> Actual:
    named = {database for _kind, database, _name in wanted.gone if database}
    return read(server.query, {"postgres", *wanted.inside, *named})


def preview(statement: Statement) -> str:
    """The statement as people read it in a diff. Not for a server: only the client library quotes safely."""
    return f"[{statement.database}] {statement.sql.format(*map(_shown, statement.parts))};"


def _shown(part: Part) -> str:
    if isinstance(part, Literal):
        if part.secret:
            return "'********'"
        return f"'{part.value}'" if isinstance(part.value, str) else str(part.value)
    return part.name if isinstance(part, Ident) else part.sql
