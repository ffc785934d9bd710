# SPDX-License-Identifier: Apache-2.0
"""One snapshot of Consul restored into a lone agent of the sandbox, reached through a socket in its directory."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.canary import CanaryError, Token
from ansible_collections.rsp.platform.plugins.module_utils.backup.canary_stores import PREFIX
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import NEEDED, ConsulSnapshots, parse_snapshot
from ansible_collections.rsp.platform.plugins.module_utils.backup.content import canary_finding
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    Point,
    Repository,
    found,
    passed,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Sandbox

POLL_S = 0.5
TIMEOUT_S = 30
# What must be the same after a restore; a fresh agent has catalogue and indexes of its own.
COUNTED = ("KVS", "ACLToken", "ACLPolicy", "ACLRole", "ConfigEntry", "PreparedQuery", "Tombstone")
PORTS = ("dns", "https", "grpc", "grpc_tls", "serf_wan")


class _Unix(http.client.HTTPConnection):
    """HTTP through a socket of the file system: it reaches across network namespaces."""

    def __init__(self, path: str) -> None:
        super().__init__("consul", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


@dataclass
class ConsulScratch:
    """A snapshot under trial. `binary` is the consul of this host."""

    sandbox: Sandbox
    source: ConsulSnapshots
    repository: Repository
    point: Point
    binary: str
    identity: str | None = None
    escrow: str | None = field(default=None, repr=False)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    needed: Mapping[Level, Sequence[str]] = field(default_factory=lambda: NEEDED)
    directories: tuple[str, ...] = ("data", "run")

    def fetch(self) -> int:
        """The snapshot, decrypted with the escrow's key where there is one."""
        key = self.escrow or self.source.keys.get(self.repository.name)
        self._data = self.source.plain(self.repository.name, self.point.label, key)
        self._snapshot = parse_snapshot(self._data)
        return len(self._data)

    def start(self) -> None:
        """Start a lone server: it knows nobody, and nobody reaches it."""
        config = {
            "server": True, "bootstrap_expect": 1, "bind_addr": "127.0.0.1", "node_name": self.sandbox.name,
            "datacenter": self.identity or self._snapshot.datacentre or "dc1",
            "data_dir": str(self.sandbox.root / "data"),
            "addresses": {"http": f"unix://{self._socket}"}, "ports": dict.fromkeys(PORTS, -1),
            "disable_update_check": True, "leave_on_terminate": False, "log_level": "warn",
            "performance": {"raft_multiplier": 1},
        }  # fmt: skip
        (self.sandbox.root / "agent.json").write_text(json.dumps(config), encoding="utf-8")
        (self.sandbox.root / "agent.json").chmod(0o644)
        self.sandbox.begin("engine", [self.binary, "agent", f"-config-file={self.sandbox.root}/agent.json"])

    def recover(self, timeout_s: float) -> list[Finding]:
        """Wait for its own leader, put the snapshot in, and see the index that it had."""
        end = self.clock() + timeout_s
        while not self._leads():
            if self.clock() >= end:
                return [unknown("restored", f"the agent has no leader after {timeout_s:g} s")]
            self.sleep(POLL_S)
        self._call("PUT", "/v1/snapshot", self._data)
        entries = json.loads(self._call("GET", f"/v1/kv/{PREFIX}/?recurse=true") or b"[]")
        newest = max((entry["ModifyIndex"] for entry in entries), default=0)
        behind = [f"a key has the index {newest}, the snapshot ends at {self._snapshot.index}"]
        own = self._snapshot.datacentre
        wrong = [f"it is of the datacentre {own}, not of {self.identity}"] if own != self.identity else []
        return [
            passed("restored", index=self._snapshot.index),
            found(
                "target_reached",
                behind if newest > self._snapshot.index else [],
                index=self._snapshot.index,
                newest=newest,
            ),
            found("same_cluster", wrong, datacentre=own),
        ]

    def damage(self) -> None:
        """Nothing is planted here: a snapshot has its checksums inside."""

    def engine(self) -> list[Finding]:
        """What the restored server would save again is what was restored."""
        path = self.sandbox.root / "run" / "again.snap"
        path.write_bytes(self._call("GET", "/v1/snapshot"))
        first = self.sandbox.root / "run" / "first.snap"
        first.write_bytes(self._data)
        counts = [self._counts(each) for each in (first, path)]
        wrong = [f"{kind}: {counts[0].get(kind, 0)} were saved, {counts[1].get(kind, 0)} are there"
                 for kind in COUNTED if counts[0].get(kind, 0) != counts[1].get(kind, 0)]  # fmt: skip
        return [found("pages_whole", wrong, counts={k: counts[0].get(k, 0) for k in COUNTED})]

    def content(self, questions: Mapping[str, Any]) -> list[Finding]:
        """The canaries."""
        if not questions.get("canary"):
            return []
        entries = json.loads(self._call("GET", f"/v1/kv/{PREFIX}/?recurse=true") or b"[]")
        try:
            tokens = [Token.parse(base64.b64decode(entry["Value"] or "").decode()) for entry in entries]
        except (CanaryError, ValueError) as err:
            return [unknown("canaries_exact", str(err))]
        return [canary_finding(tokens, questions["canary"])]

    def stop(self) -> None:
        """End the agent."""
        self.sandbox.end("engine")

    @property
    def _socket(self) -> Path:
        return self.sandbox.root / "run" / "http.sock"

    def _leads(self) -> bool:
        try:
            return self._call("GET", "/v1/status/leader").strip() not in (b"", b'""')
        except BackupError:
            return False

    def _counts(self, path: Path) -> dict[str, int]:
        code, out, err = self.sandbox.execute([self.binary, "snapshot", "inspect", "-format=json", str(path)], "")
        try:
            return {each["Name"]: int(each["Count"]) for each in json.loads(out)["Stats"]}
        except (ValueError, KeyError, TypeError):
            raise BackupError(f"consul snapshot inspect ended with {code}: {err.strip()[-200:]}") from None

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = _Unix(str(self._socket))
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as err:
            raise BackupError(f"the scratch agent does not answer: {err}") from None
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return b""
        if answer.status != http.HTTPStatus.OK:
            raise BackupError(
                f"the scratch agent answered {answer.status} to {method} {path.split('?', maxsplit=1)[0]}"
            )
        return data
