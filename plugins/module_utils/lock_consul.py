# SPDX-License-Identifier: Apache-2.0
"""Cluster locks in Consul: a session with a TTL and no checks, and one transaction for lock and record."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import (
    LOCKS,
    ROLLS,
    Held,
    Lock,
    Roll,
    Seen,
    decode,
    encode,
)
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import consul_client
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# Consul promises to end a session no earlier than its TTL, and no later than twice that.
TTL_FACTOR = 2
OK, GONE, CONFLICT = 200, 404, 409
# How Consul words that somebody was faster or that the session has ended; any other refusal is an error.
LOST = ("lock is already held", "index is stale", "invalid session")


class ConsulLocks:
    """Locks through the API of one agent; its token needs the two prefixes and sessions."""

    def __init__(self, client: JsonClient, clock: Callable[[], float] = time.time) -> None:
        """Nothing is contacted yet."""
        self._client = client
        self._clock = clock

    @classmethod
    def connect(cls, options: Mapping[str, Any]) -> ConsulLocks:
        """For the `connection` option of a module."""
        return cls(consul_client(Connection.from_params(options)))

    def read(self, cluster: str) -> Seen:
        """Lock and record, confirmed by the leader."""
        lock, roll = self._entry(LOCKS + cluster), self._entry(ROLLS + cluster)
        return parse_seen(lock, roll, self._clock())

    def write(self, cluster: str, lock: Lock | None, roll: Roll | None, seen: Seen) -> bool:
        """See LockStore."""
        held, session = seen.held, ""
        steps: list[dict[str, Any]] = []
        if lock is not None:
            session = self._renewed(held.handle) if held else self._created(cluster, lock)
            if not session:
                return False
            steps.append({"Verb": "lock", "Key": LOCKS + cluster, "Value": _text(lock), "Session": session})
        elif held is not None:
            steps.append({"Verb": "delete-cas", "Key": LOCKS + cluster, "Index": held.version})
        if roll is not None:
            steps.append({"Verb": "cas", "Key": ROLLS + cluster, "Value": _text(roll), "Index": seen.roll_version})
        answer = self._client.call("PUT", "/v1/txn", json=[{"KV": step} for step in steps], accept=(OK, CONFLICT))
        done = committed(answer.status, answer.data)
        if lock is not None and held is None and not done:
            self._end(session)
        if lock is None and held is not None and done:
            self._end(held.handle)
        return done

    def _entry(self, key: str) -> Mapping[str, Any] | None:
        answer = self._client.call("GET", f"/v1/kv/{quote(key)}?consistent", accept=(OK, GONE)).data
        return answer[0] if answer else None

    def _created(self, cluster: str, lock: Lock) -> str:
        """A session that ends with its TTL only: without checks the death of its agent neither ends nor keeps it."""
        session = {
            "Name": f"rsp-lock-{cluster}",
            "TTL": f"{lock.lease_s}s",
            "Behavior": "delete",
            "LockDelay": "0s",
            "NodeChecks": [],
            "ServiceChecks": [],
        }
        return str(self._client.call("PUT", "/v1/session/create", json=session).data["ID"])

    def _renewed(self, session: str) -> str:
        """The session with its whole time before it; empty when it has ended."""
        answer = self._client.call("PUT", f"/v1/session/renew/{session}", accept=(OK, GONE))
        return session if answer.status == OK else ""

    def _end(self, session: str) -> None:
        with contextlib.suppress(DriverError):  # no key hangs on it, so it ends by itself
            self._client.call("PUT", f"/v1/session/destroy/{session}")


def parse_seen(lock: Mapping[str, Any] | None, roll: Mapping[str, Any] | None, now: float) -> Seen:
    """From the entries of two keys. A key without a session is no lock. Raises DriverError for foreign values."""
    held = None
    if lock is not None and lock.get("Session"):
        kept = decode(Lock, lock["Key"], _bytes(lock))
        left = min(max(0.0, kept.renewed + TTL_FACTOR * kept.lease_s - now), float(TTL_FACTOR * kept.lease_s))
        held = Held(kept, lock["Session"], lock["ModifyIndex"], left)
    if roll is None:
        return Seen(held)
    return Seen(held, decode(Roll, roll["Key"], _bytes(roll)), roll["ModifyIndex"])


def committed(status: int, answer: Any) -> bool:
    """Whether a transaction was carried out; False when a race was lost. Raises DriverError for other refusals."""
    errors = answer.get("Errors") or () if isinstance(answer, dict) else None
    if status == OK and errors == ():
        return True
    texts = [str(error.get("What")) for error in errors or ()]
    if texts and all(any(words in text for words in LOST) for text in texts):
        return False
    raise DriverError(f"Consul refuses to write the lock: {'; '.join(texts) or answer}")


def _text(kept: Lock | Roll) -> str:
    return base64.b64encode(encode(kept)).decode()


def _bytes(entry: Mapping[str, Any]) -> bytes:
    return base64.b64decode(entry["Value"] or "")
