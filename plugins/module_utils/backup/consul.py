# SPDX-License-Identifier: Apache-2.0
"""Consul's snapshots in directories: read without Consul, down to the checksums inside of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import policy
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Expected, Run
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    Point,
    Repository,
    failed,
    found,
    passed,
    unknown,
)

NEEDED: Mapping[Level, Sequence[str]] = {
    Level.EXISTS: ("repository_answers", "exists", "fresh", "advancing", "size_usual"),
    Level.CHAIN: ("same_cluster",),
    Level.BYTES: ("bytes_match",),
    Level.ESCROW: ("escrow_decrypts",),
    Level.RESTORED: ("restored", "target_reached", "isolated", "removed"),
    Level.ENGINE: ("pages_whole",),
    Level.CONTENT: ("canaries_exact",),
    Level.APPLICATION: ("within_rto",),
}
MEMBERS = ("meta.json", "state.bin", "SHA256SUMS")
# In the state every record of the catalogue names its datacentre; msgpack writes the length before a text.
DATACENTRE = re.compile(rb"\xaaDatacenter(?:([\xa1-\xbf])|\xd9(.))", re.DOTALL)
NAMED = re.compile(r"[A-Za-z0-9_-]+")
KEY = "RSP_BACKUP_KEY"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot that is whole.

    Attributes:
        index, term: of the last entry of raft that is in it.
        servers: addresses of the servers that voted then.
        datacentre: whose catalogue it is; None when it names none.
    """

    index: int
    term: int
    servers: tuple[str, ...]
    datacentre: str | None
    size: int


def parse_snapshot(data: bytes) -> Snapshot:
    """A snapshot's archive. Raises BackupError when a checksum, a part or a byte is wrong."""
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
            parts = {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive if m.name in MEMBERS}
        missing = [name for name in MEMBERS if name not in parts]
        if missing:
            raise BackupError(f"the snapshot lacks {', '.join(missing)}")
        _sums(parts)
        meta = json.loads(parts["meta.json"])
        servers = tuple(s["Address"] for s in (meta.get("Configuration") or {}).get("Servers", []))
        if int(meta["Size"]) != len(parts["state.bin"]):
            raise BackupError(f"the state has {len(parts['state.bin'])} bytes, meta.json says {meta['Size']}")
        index, term = int(meta["Index"]), int(meta["Term"])
        return Snapshot(index, term, servers, datacentre(parts["state.bin"]), len(parts["state.bin"]))
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, KeyError, TypeError) as err:
        raise BackupError(f"the snapshot can't be read: {err or type(err).__name__}") from None


def _sums(parts: Mapping[str, bytes]) -> None:
    lines = (line.split(None, 1) for line in parts["SHA256SUMS"].decode().splitlines() if line.strip())
    listed = {name.strip(): digest for digest, name in lines}
    for name in ("meta.json", "state.bin"):
        if listed.get(name) != hashlib.sha256(parts[name]).hexdigest():
            raise BackupError(f"{name} does not have the checksum that SHA256SUMS gives it")


def datacentre(state: bytes) -> str | None:
    """The datacentre of the first record of the catalogue."""
    for match in DATACENTRE.finditer(state):
        length = match[1][0] & 0x1F if match[1] else match[2][0]
        name = state[match.end() : match.end() + length].decode("utf-8", "replace")
        if NAMED.fullmatch(name):
            return name
    return None


@dataclass(frozen=True)
class ConsulSnapshots:
    """Directories of snapshots by the repositories' names.

    Attributes:
        unseal: command that writes the plain snapshot to its standard output; `{file}` is replaced, the key comes in
            the environment as RSP_BACKUP_KEY. Empty: snapshots are not encrypted.
        keys: repository → key of this host.
    """

    run: Run
    directories: Mapping[str, str]
    unseal: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    suffix: str = ".snap"
    needed: Mapping[Level, Sequence[str]] = field(default_factory=lambda: NEEDED)

    def repositories(self) -> tuple[Repository, ...]:
        """Every directory with its snapshots."""
        return tuple(self._repository(name, Path(path)) for name, path in sorted(self.directories.items()))

    def verify(self, repository: Repository, point: Point, level: Level, expected: Expected) -> list[Finding]:
        """Findings up to `level`."""
        promised, now = expected.policy, expected.now
        asked = [f"{repository.name} says: {repository.problem}"] if repository.problem else []
        findings = [
            found("repository_answers", asked),
            found("exists", [f"{point.label}: {error}" for error in point.errors], label=point.label),
            policy.fresh(repository.latest, promised, now),
            policy.size_usual(point, repository.points, promised),
        ]
        key = self.keys.get(repository.name)
        whole, reason = self._whole(repository, point, key)
        findings.append(self._advancing(repository, expected, key))
        if level >= Level.CHAIN:
            findings.append(_same_cluster(whole, reason, expected))
        if level >= Level.BYTES:
            findings.append(found("bytes_match", [reason] if reason else [], index=whole.index if whole else None))
        if level >= Level.ESCROW:
            findings.append(self._escrow(repository, point, expected))
        return findings

    def inventory(self, repository: str) -> dict[str, Any]:
        """Every file of a directory with its size."""
        return {p.name: p.stat().st_size for p in Path(self.directories[repository]).iterdir() if p.is_file()}

    def pushed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """A snapshot more is production's; anything else is not."""
        wrong = [f"{n} is gone or changed" for n in sorted(before) if after.get(n) != before[n]]
        return wrong + [f"{n} is new" for n in sorted(set(after) - set(before)) if self.suffix not in n]

    def plain(self, repository: str, label: str, key: str | None) -> bytes:
        """A snapshot, decrypted. Raises BackupError."""
        path = Path(self.directories[repository]) / label
        try:
            if not self.unseal:
                return path.read_bytes()
            argv = [word.replace("{file}", str(path)) for word in self.unseal]
            code, out, err = self.run(argv, {KEY: key or ""})
        except OSError as error:
            raise BackupError(f"{path}: {error.strerror}") from None
        if code != 0:
            raise BackupError(f"{path} can't be decrypted: {err.strip()[-200:]}")
        return out.encode("utf-8", "surrogateescape")

    def _repository(self, name: str, path: Path) -> Repository:
        try:
            files = [(p, p.stat()) for p in sorted(path.iterdir()) if self.suffix in p.name and p.is_file()]
        except OSError as err:
            return Repository(name, problem=f"{path}: {err.strerror}")
        points = [Point(p.name, name, "snapshot", s.st_mtime, s.st_mtime, s.st_size) for p, s in files]
        order = tuple(sorted(points, key=lambda p: (p.stopped, p.label)))
        return Repository(name, order, cipher="sealed" if self.unseal else "none")

    def _whole(self, repository: Repository, point: Point, key: str | None) -> tuple[Snapshot | None, str]:
        try:
            return parse_snapshot(self.plain(repository.name, point.label, key)), ""
        except BackupError as err:
            return None, f"{point.label}: {err}"

    def _advancing(self, repository: Repository, expected: Expected, key: str | None) -> Finding:
        """Two newest snapshots: a job that saves the same again and again reports success."""
        last = repository.points[-2:]
        snapshots = [self._whole(repository, p, key)[0] for p in last]
        if None in snapshots or not snapshots:
            return unknown("advancing", "the newest snapshots can't be read")
        indexes = [s.index for s in snapshots if s]
        if len(indexes) > 1 and indexes[1] <= indexes[0]:
            return failed("advancing", f"the index stands still at {indexes[0]}", indexes=indexes)
        return policy.advancing(last[-1].stopped, expected.policy, expected.now)

    def _escrow(self, repository: Repository, point: Point, expected: Expected) -> Finding:
        if not self.unseal:
            return failed("escrow_decrypts", f"{repository.name} is not encrypted")
        key = expected.escrow.get(repository.name)
        if not key:
            return unknown("escrow_decrypts", f"no key of {repository.name} came from the escrow")
        whole, reason = self._whole(repository, point, key)
        return found("escrow_decrypts", [reason] if reason else [], index=whole.index if whole else None)


def _same_cluster(whole: Snapshot | None, reason: str, expected: Expected) -> Finding:
    if whole is None or expected.identity is None:
        return unknown("same_cluster", reason or "which datacentre it must be of was not said")
    if whole.datacentre != expected.identity:
        return failed("same_cluster", f"it is of the datacentre {whole.datacentre}, not of {expected.identity}")
    return passed("same_cluster", datacentre=whole.datacentre, servers=list(whole.servers))
