# SPDX-License-Identifier: Apache-2.0
"""Cluster locks in etcd through its JSON gateway: a lease, and one transaction for lock and record."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

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
from ansible_collections.rsp.platform.plugins.module_utils.etcd_gateway import AUTH_OFF
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, HttpError, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

LEASE_GONE = "requested lease not found"


class EtcdLocks:
    """Locks through the gateway of one member, as a user that may read and write the two prefixes."""

    def __init__(self, connection: Connection, connect: Callable[[Connection], JsonClient] = JsonClient) -> None:
        """Nothing is contacted yet. The user is not sent along: etcd wants a token that it hands out itself."""
        self._login = (connection.username, connection.password) if connection.username else None
        self._reconnect = connect
        self._client = connect(replace(connection, username=None, password=None))

    @classmethod
    def connect(cls, options: Mapping[str, Any]) -> EtcdLocks:
        """For the `connection` option of a module."""
        return cls(Connection.from_params(options))

    def read(self, cluster: str) -> Seen:
        """Lock and record of one revision, confirmed by a quorum."""
        ranges = [{"requestRange": {"key": _b64(prefix + cluster)}} for prefix in (LOCKS, ROLLS)]
        entries = parse_entries(self._post("kv/txn", success=ranges))
        lock = entries.get(LOCKS + cluster)
        left = 0.0
        if lock is not None and lock.get("lease"):
            left = float(self._post("lease/timetolive", ID=lock["lease"]).get("TTL", 0))
        return parse_seen(lock, entries.get(ROLLS + cluster), left)

    def write(self, cluster: str, lock: Lock | None, roll: Roll | None, seen: Seen) -> bool:
        """See LockStore."""
        held, lease = seen.held, ""
        steps: list[dict[str, Any]] = []
        if lock is not None:
            lease = self._kept_alive(held.handle) if held else self._granted(lock.lease_s)
            if not lease:
                return False
            steps.append({"requestPut": {"key": _b64(LOCKS + cluster), "value": _b64(encode(lock)), "lease": lease}})
        elif held is not None:
            steps.append({"requestDeleteRange": {"key": _b64(LOCKS + cluster)}})
        if roll is not None:
            steps.append({"requestPut": {"key": _b64(ROLLS + cluster), "value": _b64(encode(roll))}})
        unchanged = [_same(LOCKS + cluster, held.version if held else 0), _same(ROLLS + cluster, seen.roll_version)]
        done = self._commit(unchanged, steps)
        if lock is not None and held is None and not done:
            self._revoke(lease)
        if lock is None and held is not None and done:
            self._revoke(held.handle)
        return done

    def _granted(self, lease_s: int) -> str:
        return str(self._post("lease/grant", TTL=lease_s)["ID"])

    def _kept_alive(self, lease: str) -> str:
        """The lease with its whole time before it; empty when it has ended."""
        kept = self._post("lease/keepalive", ID=lease).get("result", {})
        return lease if int(kept.get("TTL", 0)) > 0 else ""

    def _commit(self, compare: list[dict[str, Any]], success: list[dict[str, Any]]) -> bool:
        """Whether the transaction was carried out; not, when a key changed or the lease ended meanwhile."""
        try:
            return bool(self._post("kv/txn", compare=compare, success=success).get("succeeded", False))
        except HttpError as err:
            if LEASE_GONE in str(err):
                return False
            raise

    def _revoke(self, lease: str) -> None:
        with contextlib.suppress(DriverError):  # no key hangs on it, so it ends by itself
            self._post("lease/revoke", ID=lease)

    def _post(self, path: str, **body: Any) -> Mapping[str, Any]:
        if self._login:
            self._log_in(*self._login)
        answer = self._client.call("POST", f"/v3/{path}", json=body).data
        if not isinstance(answer, dict) or "error" in answer:
            raise DriverError(f"/v3/{path} answered {str(answer)[:200]!r}")
        return answer

    def _log_in(self, username: str, password: str | None) -> None:
        """Once, before the first question; a cluster without authentication needs none."""
        self._login = None
        body = {"name": username, "password": password or ""}
        answer = self._client.call("POST", "/v3/auth/authenticate", json=body, accept=(200, 400)).data
        answer = answer if isinstance(answer, dict) else {"message": str(answer).strip()}
        if "token" in answer:
            headers = {"Authorization": answer["token"]}
            self._client = self._reconnect(replace(self._client.connection, headers=headers))
        elif answer.get("message") != AUTH_OFF:
            raise DriverError(f"etcd refuses the user {username}: {answer.get('message')}")


def parse_entries(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entries of a transaction of reads, by key; the gateway leaves out what is empty."""
    try:
        found = [r["response_range"].get("kvs") or () for r in answer["responses"]]
        return {_text(entry["key"]): entry for entries in found for entry in entries}
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise DriverError(f"etcd's answer was not understood: {type(err).__name__} {err}") from err


def parse_seen(lock: Mapping[str, Any] | None, roll: Mapping[str, Any] | None, left: float) -> Seen:
    """From the entries of two keys and the seconds that are left of the lock's lease.

    A lock without a lease would never end: none of ours, so it raises DriverError like other foreign values.
    """
    held = None
    if lock is not None:
        key, value = _text(lock["key"]), base64.b64decode(lock.get("value", ""))
        if not lock.get("lease"):
            raise DriverError(f"{key} has no lease, so none of ours → look who wrote it, then delete the key")
        held = Held(decode(Lock, key, value), str(lock["lease"]), int(lock["mod_revision"]), max(0.0, left))
    if roll is None:
        return Seen(held)
    record = decode(Roll, _text(roll["key"]), base64.b64decode(roll.get("value", "")))
    return Seen(held, record, int(roll["mod_revision"]))


def _same(key: str, version: int) -> dict[str, Any]:
    """The condition that a key is still of `version`; 0 means that it is not there."""
    return {"key": _b64(key), "target": "MOD", "result": "EQUAL", "modRevision": version}


def _b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def _text(data: str) -> str:
    return base64.b64decode(data).decode("utf-8", "replace")
