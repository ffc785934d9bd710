"""A plain client of Consul's KV: numbered keys through the servers, one after the other when one does not answer."""

from __future__ import annotations

import base64
import http.client
import json
import math
import ssl
import threading
import time
from urllib.parse import quote

from ledger import Ledger

PREFIX = "rsp/smoke/ledger/"
TIMEOUT_S = 10.0
KEEP = 500


class ConsulWriter(threading.Thread):
    """Puts one key after the other until stopped; after an error it goes to the next server at once.

    Values carry the token; a key is written again after KEEP others, so that the store stays small.
    """

    def __init__(self, servers: list[str], token: str, ca: str, interval_s: float) -> None:
        super().__init__(daemon=True)
        self.ledger = Ledger()
        self._servers, self._headers = servers, {"X-Consul-Token": token}
        self._ca = ca
        self._interval = interval_s
        self._stopping = threading.Event()
        self._token = 0

    def run(self) -> None:
        """Write until stop() was called."""
        turn = 0
        while not self._stopping.is_set():
            host, port = self._servers[turn % len(self._servers)].rsplit(":", 1)
            connection = http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT_S, context=self._trust())
            try:
                self._write(connection)
            except (OSError, http.client.HTTPException) as error:
                self.ledger.errors.append((time.monotonic(), str(error) or type(error).__name__))
                turn += 1
                time.sleep(0.02)
            finally:
                connection.close()

    def _write(self, connection: http.client.HTTPSConnection) -> None:
        while not self._stopping.is_set():
            self._token += 1
            path = f"/v1/kv/{quote(PREFIX)}{self._token % KEEP}"
            connection.request("PUT", path, body=str(self._token), headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or json.loads(body) is not True:
                raise http.client.HTTPException(f"{answer.status} {body[:100]!r}")
            self.ledger.acked[self._token] = time.monotonic()
            time.sleep(self._interval)

    def present(self) -> dict[int, int]:
        """Key → token that it holds, read consistently."""
        host, port = self._servers[0].rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT_S, context=self._trust())
        connection.request("GET", f"/v1/kv/{quote(PREFIX)}?recurse&consistent", headers=self._headers)
        entries = json.loads(connection.getresponse().read())
        connection.close()
        return {int(e["Key"].removeprefix(PREFIX)): int(base64.b64decode(e["Value"])) for e in entries}

    def lost(self, until: float = math.inf) -> set[int]:
        """Tokens acknowledged before `until` whose key holds an older one; asked once the writer has stopped."""
        there = self.present()
        newest: dict[int, int] = {}
        for token, moment in self.ledger.acked.items():
            if moment < until:
                newest[token % KEEP] = max(token, newest.get(token % KEEP, 0))
        return {token for key, token in newest.items() if there.get(key, -1) < token}

    def _trust(self) -> ssl.SSLContext:
        """The file may have another CA than before."""
        return ssl.create_default_context(cafile=self._ca)

    def stop(self) -> None:
        """Ask the writer to end after its current write."""
        self._stopping.set()
