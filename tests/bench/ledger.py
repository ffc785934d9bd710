"""A plain client that writes numbered rows through the rw endpoint and remembers what was acknowledged.

It sets no timeouts, keepalives or retries of its own: what it suffers is what the platform lets a naive client suffer.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg
from psycopg import sql


@dataclass
class Ledger:
    """Acknowledged writes of one run: token → monotonic time of the acknowledgement."""

    acked: dict[int, float] = field(default_factory=dict)
    errors: list[tuple[float, str]] = field(default_factory=list)

    def longest_gap(self, since: float, until: float) -> float:
        """Seconds of the longest time without an acknowledgement that overlaps [since, until]."""
        times = sorted(self.acked.values())
        if not times or times[0] > since:
            raise ValueError("the writer had not written before the fault: nothing can be measured")
        edges = [*[t for t in times if t < until], until]
        gaps = [later - max(earlier, 0) for earlier, later in pairwise(edges) if later > since]
        return max(gaps)

    def gaps(self, since: float, least_s: float) -> list[float]:
        """Seconds of each time of at least `least_s` without an acknowledgement after `since`, in order."""
        times = sorted(moment for moment in self.acked.values() if moment >= since)
        return [round(later - earlier, 2) for earlier, later in pairwise(times) if later - earlier >= least_s]


class Writer(threading.Thread):
    """Inserts one row after the other until stopped; reconnects at once when the connection breaks."""

    def __init__(self, conninfo: str, table: str, interval_s: float) -> None:
        super().__init__(daemon=True)
        self.ledger = Ledger()
        self._conninfo = conninfo
        self._insert = sql.SQL("INSERT INTO {} (token) VALUES (%s)").format(sql.Identifier(table))
        self._interval = interval_s
        self._stopping = threading.Event()
        self._token = 0

    def run(self) -> None:
        """Write until stop() was called; a hanging statement ends only when the server or the proxy ends it."""
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    self._write(connection)
            except psycopg.Error as error:
                self.ledger.errors.append((time.monotonic(), str(error).strip().splitlines()[0]))
                time.sleep(0.05)

    def _write(self, connection: psycopg.Connection) -> None:
        while not self._stopping.is_set():
            self._token += 1
            connection.execute(self._insert, (self._token,))
            self.ledger.acked[self._token] = time.monotonic()
            time.sleep(self._interval)

    def stop(self) -> None:
        """Ask the writer to end after its current statement."""
        self._stopping.set()


def prepare(conninfo: str, table: str) -> None:
    """Make the empty table of a run."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
        connection.execute(sql.SQL("CREATE TABLE {} (token bigint PRIMARY KEY)").format(sql.Identifier(table)))


def present(conninfo: str, table: str) -> set[int]:
    """Tokens that are really there."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return {row[0] for row in connection.execute(sql.SQL("SELECT token FROM {}").format(sql.Identifier(table)))}
