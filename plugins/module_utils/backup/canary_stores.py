# SPDX-License-Identifier: Apache-2.0
"""How each store takes a canary, through the endpoint that clients use. Standard library and psql only.

A unit may run it: `python3 canary_stores.py CONFIG.json`, with canary.py beside it (docs/backup-proofs.md).
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

try:
    from ansible_collections.rsp.platform.plugins.module_utils.backup.canary import CanaryError, Token, write
except ImportError:  # run as a script: beside this file
    from canary import CanaryError, Token, write  # type: ignore[no-redef, import-not-found]

TABLE = "rsp_canary"
CREATE = f"create table if not exists {TABLE} (seq bigint primary key, token text not null);"
PREFIX = "rsp/canary"
KEPT = 1000
# In the same transaction: behind a pooler the next one may be another session's
SETTINGS = "set local client_min_messages = warning; set local synchronous_commit = on;"
KEPT_ROWS = 100000
TIMEOUT_S = 20


class Store(Protocol):
    """One store."""

    name: str

    def tokens(self) -> list[Token]:
        """Every token that is there."""

    def last(self) -> Token | None:
        """The newest token."""

    def put(self, token: Token) -> None:
        """Write a token; returns only when the store has acknowledged it. Raises CanaryError."""


class PostgresqlStore:
    """A table, through psql: its environment has the password file, its standard input the statements."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """`entry`: store, conninfo without a password, password_file (as libpq has it)."""
        self.name = str(entry["store"])
        self._env = {"PATH": "/usr/bin:/bin", "PGPASSFILE": str(entry["password_file"]), "PGCONNECT_TIMEOUT": "5"}
        self._conninfo = str(entry["conninfo"])
        if "password=" in self._conninfo:
            raise CanaryError("conninfo must not hold a password: it would be seen in the list of processes")

    def tokens(self) -> list[Token]:
        """Every token."""
        return [
            Token.parse(line) for line in self._sql(" ".join([CREATE, "select token from", TABLE, "order by seq;"]))
        ]

    def last(self) -> Token | None:
        """The newest one."""
        lines = self._sql(" ".join([CREATE, "select token from", TABLE, "order by seq desc limit 1;"]))
        return Token.parse(lines[0]) if lines else None

    def put(self, token: Token) -> None:
        """One row, and the oldest goes; the primary key refuses a second writer, who must not go on."""
        old = " ".join(["delete from", TABLE, f"where seq <= {token.seq - KEPT_ROWS:d};"])
        new = " ".join(["insert into", TABLE, f"values ({token.seq:d}, $canary${token.text()}$canary$);"])
        self._sql(f"{new} {old}")

    def _sql(self, text: str) -> list[str]:
        try:
            done = subprocess.run(
                ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self._conninfo, "-f", "-"],
                input=f"begin; {SETTINGS} {text} commit;",
                env=self._env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as err:
            raise CanaryError(f"psql: {err}") from None
        if done.returncode != 0:
            raise CanaryError(f"psql: {done.stderr.strip()[-300:]}")
        return [line for line in done.stdout.splitlines() if line]


class ConsulStore:
    """Keys of Consul, of which the newest are kept; `cas=0` refuses a second writer. Servers are asked in turn."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """`entry`: store, urls, ca_path, token_file."""
        self.name, self._urls = str(entry["store"]), [str(url).rstrip("/") for url in entry["urls"]]
        try:
            self._context = ssl.create_default_context(cafile=entry.get("ca_path"))
            self._token = Path(entry["token_file"]).read_text(encoding="utf-8").strip()
        except OSError as err:
            raise CanaryError(f"consul: {err}") from None
        if not self._urls or not all(url.startswith("https://") for url in self._urls):
            raise CanaryError("consul: each of urls must begin with https://")

    def tokens(self) -> list[Token]:
        """Every token that is kept."""
        keys = self._call("GET", f"{PREFIX}/?keys=true") or []
        return [self._read(key) for key in sorted(keys)]

    def last(self) -> Token | None:
        """The newest one."""
        keys = self._call("GET", f"{PREFIX}/?keys=true") or []
        return self._read(max(keys)) if keys else None

    def put(self, token: Token) -> None:
        """One key; the oldest one goes."""
        if self._call("PUT", f"{PREFIX}/{token.seq:012d}?cas=0", token.text()) is not True:
            raise CanaryError(f"consul: token {token.seq} is there already: somebody else writes canaries")
        if token.seq > KEPT:
            self._call("DELETE", f"{PREFIX}/{token.seq - KEPT:012d}")

    def _read(self, key: str) -> Token:
        return Token.parse(json.dumps(self._call("GET", f"{key}?raw=true&consistent=true")))

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        said = []
        for url in self._urls:
            try:
                return self._ask(url, method, path, body)
            except (OSError, ValueError, http.client.HTTPException) as err:
                said.append(f"{url}: {err}")
        raise CanaryError(f"consul: {'; '.join(said)}")

    def _ask(self, url: str, method: str, path: str, body: str | None) -> Any:
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=self._context
        )
        try:
            connection.request(method, f"/v1/kv/{path}", body=body, headers={"X-Consul-Token": self._token})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise http.client.HTTPException(f"{method} answered {answer.status}")
        if answer.status != http.HTTPStatus.OK:
            raise CanaryError(f"consul: {method} answered {answer.status}")
        return json.loads(data)


STORES: dict[str, Callable[[Mapping[str, Any]], Store]] = {"postgresql": PostgresqlStore, "consul": ConsulStore}


def open_store(entry: Mapping[str, Any]) -> Store:
    """The store of an entry, by its kind. Raises CanaryError."""
    kind = str(entry.get("kind"))
    if kind not in STORES:
        raise CanaryError(f"there is no store of the kind {kind} → one of {', '.join(STORES)}")
    try:
        return STORES[kind](entry)
    except KeyError as err:
        raise CanaryError(f"store {entry.get('store')}: {err.args[0]} is missing") from None


def main(argv: Sequence[str]) -> int:
    """Write one token into each store of a configuration; 1 when one of them did not take it."""
    config: Mapping[str, Any] = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    key, failed = Path(config["key_file"]).read_bytes().strip(), 0
    for entry in config["stores"]:
        try:
            token = write(open_store(entry), key, Path(entry["ledger"]), time.time())
            sys.stdout.write(f"{token.store} {token.seq}\n")
        except (CanaryError, OSError) as err:
            sys.stderr.write(f"{entry.get('store')}: {err}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
