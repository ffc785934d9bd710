# SPDX-License-Identifier: Apache-2.0
"""A client that writes tokens and remembers what became of each. Stands alone: this very file runs on the client host.

    python3 writer.py DIRECTORY < configuration

One line of JSON a write in ledger-<writer>.jsonl, on the disk before the next write begins: token t, begun s and
ended e (monotonic seconds), outcome o (ok; fail: it certainly is not there; unknown: nobody can say), error class c.
Reads, when they are asked for, are in reads.jsonl: token, s, e, how, the member at that was asked (empty: any), seen.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import signal
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

try:
    import psycopg2
    from psycopg2 import extensions, sql
except ImportError:
    psycopg2 = None

SPAN = 10**9  # tokens of one writer
STOP = "stop"
OK, REFUSED = 200, range(400, 500)
AGAIN_S, READ_PAUSE_S = 0.02, 0.25
# SQLSTATE classes that say that nothing was committed: no rights, no resources, rolled back, read-only, no such table.
NOT_DONE = ("22", "23", "25", "28", "3D", "40", "42", "53")
NOBODY_KNOWS = "40003"  # statement_completion_unknown, in the class of what was rolled back
KEYS, TAKEN = "/v1/kv/rsp/smoke/chaos/", b"false"
LEFT = "SELECT tablename FROM pg_tables WHERE tableowner = current_user AND tablename ~ '^chaos_[0-9a-z]+$'"
DEADLINE = threading.local()  # .end: when the question of this thread is given up, on the monotonic clock


class NotDoneError(Exception):
    """The service said no: the write certainly is not there."""


# A driver is one connection to a service. connect: what raises here was certainly not written. write: raises
# NotDoneError when the token certainly is not there, anything else when nobody can say. seen, all: what is there.
# READS: how seen may ask; stale is a member's own answer.
class Consul:
    """Keys below rsp/smoke/chaos/<run>/, each made once."""

    READS = ("default", "consistent", "stale")

    def __init__(self, config: Mapping[str, Any], server: str | None = None) -> None:
        """`server`: ask this one only, and take its own answer, not the leader's."""
        self._config, self._server, self._turn = config, server, 0
        self._tls = ssl.create_default_context(cafile=config["ca_path"])
        self._http: http.client.HTTPSConnection | None = None

    def connect(self) -> None:
        """The next server after each failure."""
        if self._http is None:
            servers = [self._server] if self._server else self._config["servers"]
            host, port = servers[self._turn % len(servers)].rsplit(":", 1)
            self._turn += 1
            wait_s = self._config["timeout_s"]
            connection = http.client.HTTPSConnection(host, int(port), timeout=wait_s, context=self._tls)
            connection.connect()
            self._http = connection

    def write(self, token: int) -> None:
        """PUT with cas=0. A key that is there already came from this very write: a server asked two leaders."""
        status, body = self._call("PUT", f"{self._path}{token}?cas=0", str(token))
        if status in REFUSED:
            raise NotDoneError(f"http {status}")
        if status != OK or body.strip() == TAKEN:
            raise OSError(f"http {status} {body.strip()[:40].decode('ascii', 'replace')}".strip())

    def seen(self, token: int, how: str = "default") -> bool:
        """A read in one of Consul's three modes."""
        status, _body = self._call("GET", f"{self._path}{token}{'' if how == 'default' else f'?{how}'}")
        if status not in (OK, 404):
            raise OSError(f"http {status}")
        return status == OK

    def all(self) -> list[int]:
        """By the Raft index of their making; consistent, or of one server."""
        status, body = self._call("GET", f"{self._path}?recurse&{'stale' if self._server else 'consistent'}")
        if status not in (OK, 404):
            raise OSError(f"http {status}")
        entries = json.loads(body) if status == OK else []
        return [int(base64.b64decode(e["Value"])) for e in sorted(entries, key=lambda e: e["CreateIndex"])]

    def prepare(self) -> None:
        """Take away what dead runs left. There is no other run: each holds the cluster's lock."""
        self.connect()
        self._call("DELETE", f"{KEYS}?recurse")
        self.close()

    def clean(self) -> None:
        """Delete every key of the run."""
        self.connect()
        self._call("DELETE", f"{self._path}?recurse")

    def close(self) -> None:
        """Forget the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    @property
    def _path(self) -> str:
        return f"{KEYS}{quote(self._config['run'])}/"

    def _call(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        if self._http is None:
            raise OSError("not connected")
        self._http.request(method, path, body=body, headers={"X-Consul-Token": self._config["token"]})
        answer = self._http.getresponse()
        return answer.status, answer.read()


class Postgresql:
    """Rows of a table of the run. It has no unique index: a row that was written twice shall be seen."""

    READS = ("default", "stale")

    def __init__(self, config: Mapping[str, Any], server: str | None = None) -> None:
        """`server`: ask this member only; the endpoint for writes otherwise."""
        hosts = [server] if server else config["servers"]
        self._timeout, self._table = config["timeout_s"], f"chaos_{config['run']}"
        self._settings = {
            "host": ",".join(h.rsplit(":", 1)[0] for h in hosts), "port": ",".join(h.rsplit(":", 1)[1] for h in hosts),
            "dbname": config["database"], "user": config["user"], "password": config["password"],
            "sslmode": "verify-full", "sslrootcert": config["ca_path"], "connect_timeout": max(2, int(self._timeout)),
            "application_name": "rsp-chaos",
        }  # fmt: skip
        self._connection: Any = None

    def connect(self) -> None:
        """Open the connection. With a callback libpq keeps no connect_timeout: the deadline is what ends it."""
        if self._connection is None:
            extensions.set_wait_callback(_until)
            DEADLINE.end = time.monotonic() + self._timeout
            self._connection = psycopg2.connect(**self._settings)
            self._connection.autocommit = True

    def write(self, token: int) -> None:
        """One row. psycopg2 raises with an SQLSTATE when the server said no."""
        try:
            self._run("INSERT INTO {} (token) VALUES (%s)", token)
        except psycopg2.Error as err:
            if (err.pgcode or "")[:2] in NOT_DONE and err.pgcode != NOBODY_KNOWS:
                raise NotDoneError(f"sqlstate {err.pgcode}") from err
            raise OSError(f"sqlstate {err.pgcode}" if err.pgcode else type(err).__name__) from err

    def seen(self, token: int, how: str = "default") -> bool:
        """Whether the endpoint for writes shows it; a standby has its own driver."""
        return bool(self._run("SELECT 1 FROM {} WHERE token = %s LIMIT 1", token))

    def all(self) -> list[int]:
        """In the order in which the rows got their numbers."""
        return [row[0] for row in self._run("SELECT token FROM {} ORDER BY seq")]

    def query(self, text: str) -> list[Any]:
        """Rows of a query."""
        return self._fetch(text, ())

    def prepare(self) -> None:
        """Make the table, and drop those of dead runs. There is no other run: each holds the cluster's lock."""
        self.connect()
        for (name,) in self.query(LEFT):
            self._fetch(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)), ())
        self._run("CREATE TABLE {} (seq bigserial, token bigint NOT NULL)")
        self._run("CREATE INDEX ON {} (token)")
        self.close()

    def clean(self) -> None:
        """Drop the table."""
        self.connect()
        self._run("DROP TABLE IF EXISTS {}")

    def close(self) -> None:
        """Forget the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, text: str, *values: Any) -> list[Any]:
        """Run a statement whose {} is the run's table."""
        return self._fetch(sql.SQL(text).format(sql.Identifier(self._table)), values)

    def _fetch(self, text: Any, values: tuple[Any, ...]) -> list[Any]:
        DEADLINE.end = time.monotonic() + self._timeout
        with self._connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return list(cursor.fetchall()) if cursor.description else []


def _until(connection: Any) -> None:
    """Waits for the server until this thread's deadline; the callback is one for the whole process."""
    while (state := connection.poll()) != extensions.POLL_OK:
        left = DEADLINE.end - time.monotonic()
        lists = ([connection.fileno()], []) if state == extensions.POLL_READ else ([], [connection.fileno()])
        if left <= 0 or not any(select.select(*lists, [], left)):
            raise psycopg2.OperationalError("timeout")


DRIVERS: dict[str, type[Any]] = {"consul": Consul, "postgresql": Postgresql}


class Writer(threading.Thread):
    """Writes one token after the other, `rate` a second at most, until it is told to stop."""

    def __init__(self, number: int, driver: Any, folder: Path, rate: float, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.newest: tuple[int, float] | None = None  # the last token that was acknowledged, and when
        self._token, self._driver, self._stopping = number * SPAN, driver, stopping
        self._file, self._pause = folder / f"ledger-{number}.jsonl", 1 / rate

    def run(self) -> None:
        """See the class."""
        # Each write returns when it is on the disk: one call, where write and fdatasync would be two.
        with open(self._file, "ab", 0, opener=lambda path, flags: os.open(path, flags | os.O_DSYNC, 0o644)) as file:
            while not self._stopping.is_set():
                self._token += 1
                line = self._write()
                file.write(json.dumps(line).encode("ascii") + b"\n")
                pause = self._pause - (line["e"] - line["s"])
                if line["o"] != "ok":
                    pause = max(AGAIN_S, pause)
                if pause > 0:
                    self._stopping.wait(pause)

    def _write(self) -> dict[str, Any]:
        line: dict[str, Any] = {"t": self._token, "s": time.monotonic(), "o": "ok", "c": ""}
        sent = False
        try:
            self._driver.connect()
            sent = True
            self._driver.write(self._token)
        except Exception as err:  # whatever a client library raises is an outcome
            line |= {"o": "unknown" if sent and not isinstance(err, NotDoneError) else "fail", "c": error_class(err)}
            self._driver.close()
        line["e"] = time.monotonic()
        if line["o"] == "ok":
            self.newest = (self._token, line["e"])
        return line


def error_class(err: Exception) -> str:
    """A short name of what went wrong, the same for the same cause."""
    text = str(err).strip().splitlines()[0] if str(err).strip() else ""
    return (f"{type(err).__name__}: {text}" if text else type(err).__name__)[:80]


def read_along(writers: list[Writer], driver: Any, asked: dict[str, str], folder: Path, stop: threading.Event) -> None:
    """Asks in one way (how, at) again and again for the newest token that was acknowledged before the read began."""
    with (folder / "reads.jsonl").open("a", encoding="ascii") as file:
        while not stop.wait(READ_PAUSE_S):
            for newest in [writer.newest for writer in writers if writer.newest]:
                line: dict[str, Any] = {**asked, "t": newest[0], "s": time.monotonic()}
                try:
                    driver.connect()
                    line["seen"] = driver.seen(newest[0], asked["how"])
                except Exception as err:  # whatever a client library raises is an outcome
                    line |= {"seen": None, "c": error_class(err)}
                    driver.close()
                file.write(json.dumps({**line, "e": time.monotonic()}) + "\n")
                file.flush()


def main(folder: Path, config: Mapping[str, Any]) -> None:
    """Write until the file `stop` is there, a signal comes, or the time is over."""
    make, stopping = DRIVERS[config["driver"]], threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    rate = config["rate"] / config["writers"]
    writers = [Writer(n + 1, make(config), folder, rate, stopping) for n in range(config["writers"])]
    threads: list[threading.Thread] = list(writers)
    for how in config["reads"]:
        for at, server in config["members"].items() if how == "stale" else [("", None)]:
            given = (writers, make(config, server), {"how": how, "at": at}, folder, stopping)
            threads.append(threading.Thread(target=read_along, args=given, daemon=True))
    for thread in threads:
        thread.start()
    end = time.monotonic() + config["seconds"]
    while time.monotonic() < end and not stopping.wait(0.1):
        if (folder / STOP).exists():
            stopping.set()
    stopping.set()
    for thread in threads:
        thread.join(config["timeout_s"] + 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
