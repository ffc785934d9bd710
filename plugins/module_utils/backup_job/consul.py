# SPDX-License-Identifier: Apache-2.0
"""One snapshot of Consul: taken over the API, inspected by Consul itself, encrypted, kept as a file and in a bucket.

A snapshot holds the secrets of all tokens: it is in the clear only in a private directory, for as long as it takes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible_collections.rsp.platform.plugins.module_utils.backup_job.record import DONE, FAILED, Copy
from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

DAY_S = 86400
SUFFIX = ".snap.enc"
CIPHER = ("-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-md", "sha256")


class Store(Protocol):
    """A bucket, as far as snapshots need it."""

    def put(self, name: str, data: bytes) -> str:
        """Write an object; the version that it got."""

    def names(self) -> dict[str, float]:
        """Objects that are not hidden, with the time of each."""

    def hide(self, name: str) -> None:
        """Delete an object; its versions stay as long as their lock."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What Consul's own `snapshot inspect` says, and the encrypted bytes."""

    name: str
    index: int
    term: int
    data: bytes
    plain_size: int

    @property
    def sha256(self) -> str:
        """Of the encrypted bytes."""
        return hashlib.sha256(self.data).hexdigest()


def fetch(servers: Sequence[str], ca_path: str, token: str, timeout_s: float = 60.0) -> bytes:
    """A snapshot that the leader vouches for, from the first server that gives one. Raises DriverError."""
    return _ask(servers, ca_path, token, None, timeout_s)


def push(servers: Sequence[str], ca_path: str, token: str, raw: bytes, timeout_s: float = 300.0) -> None:
    """Have the cluster take a snapshot; whatever it held before is gone. Raises DriverError."""
    _ask(servers, ca_path, token, raw, timeout_s)


def _ask(servers: Sequence[str], ca_path: str, token: str, body: bytes | None, timeout_s: float) -> bytes:
    said = []
    for url in servers:
        parts = urlsplit(url)
        context = Connection(url, ca_path).tls()
        conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=context)
        try:
            method = "GET" if body is None else "PUT"
            conn.request(method, "/v1/snapshot", body=body, headers={"X-Consul-Token": token})
            answer = conn.getresponse()
            text = answer.read()
            if answer.status == http.client.OK:
                return text
            said.append(f"{url}: {answer.status} {text[:200].decode('utf-8', 'replace').strip()}")
        except (OSError, http.client.HTTPException) as err:
            said.append(f"{url}: {getattr(err, 'strerror', None) or err}")
        finally:
            conn.close()
    raise DriverError(f"no server did it: {'; '.join(said).replace(token, '********')}")


def take(raw: bytes, run: Run, consul: str, pass_file: str, now: float) -> Snapshot:
    """Inspect, encrypt, decrypt and inspect again: what is kept is what was seen. Raises DriverError."""
    with _room() as room:
        plain, sealed, opened = room / "state.snap", room / "state.enc", room / "again.snap"
        plain.write_bytes(raw)
        index, term = inspect(run, consul, plain)
        seal(run, pass_file, plain, sealed)
        seal(run, pass_file, sealed, opened, decrypt=True)
        if inspect(run, consul, opened) != (index, term):
            raise DriverError("the snapshot is another one after it was encrypted and decrypted")
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        return Snapshot(f"{stamp}-{index}{SUFFIX}", index, term, sealed.read_bytes(), len(raw))


def inspect(run: Run, consul: str, path: Path) -> tuple[int, int]:
    """Index and term, as Consul reads them; it checks the hashes inside. Raises DriverError."""
    code, out, err = run([consul, "snapshot", "inspect", "-format=json", str(path)])
    try:
        meta = json.loads(out)["Meta"] if code == 0 else {}
        index, term = int(meta["Index"]), int(meta["Term"])
    except (ValueError, KeyError, TypeError):
        raise DriverError(f"consul snapshot inspect ended with {code}: {(err or out).strip()[:300]}") from None
    if index < 1:
        raise DriverError("the snapshot is empty: its index is 0")
    return index, term


def seal(run: Run, pass_file: str, source: Path, target: Path, decrypt: bool = False) -> None:
    """Encrypt, or decrypt, with the pass in a file. Raises DriverError."""
    mode = ["-d"] if decrypt else ["-salt"]
    argv = ["/usr/bin/openssl", "enc", *mode, *CIPHER, "-in", str(source), "-out", str(target)]
    code, _out, err = run([*argv, "-pass", f"file:{pass_file}"])
    if code != 0:
        raise DriverError(f"openssl enc ended with {code}: {err.strip()[:300]}")


def unseal(sealed: bytes, run: Run, consul: str, pass_file: str) -> tuple[bytes, int]:
    """A snapshot in the clear, and its index. Raises DriverError for a wrong pass or a damaged copy."""
    with _room() as room:
        source, plain = room / "state.enc", room / "state.snap"
        source.write_bytes(sealed)
        seal(run, pass_file, source, plain, decrypt=True)
        index, _term = inspect(run, consul, plain)
        return plain.read_bytes(), index


def chosen(names: Mapping[str, float], label: str) -> str:
    """The snapshot of that name, the newest without one. Raises DriverError when there is none."""
    if label and label not in names:
        newest = max(names, key=lambda name: names[name], default="none")
        raise DriverError(f"there is no snapshot {label}; the newest is {newest}")
    if not names:
        raise DriverError("there is no snapshot")
    return label or max(names, key=lambda name: names[name])


def surplus(names: Mapping[str, float], now: float, keep: int, max_days: float) -> tuple[list[str], list[str]]:
    """What can go: past its term and not among the newest `keep`; and what is past its term and can't."""
    ordered = sorted(names, key=lambda name: names[name], reverse=True)
    past = [name for name in ordered if max_days and now - names[name] > max_days * DAY_S]
    newest = set(ordered[: max(1, keep)])
    return sorted(set(past) - newest), sorted(set(past) & newest)


def keep_file(snapshot: Snapshot, directory: Path, policy: Mapping[str, Any], clock: Callable[[], float]) -> Copy:
    """The copy on this host."""
    started = clock()
    try:
        _place(directory / snapshot.name, snapshot.data)
        names = {path.name: path.stat().st_mtime for path in directory.glob(f"*{SUFFIX}")}
        going, stuck = surplus(names, clock(), int(policy["keep"]), float(policy["max_days"]))
        for name in going:
            (directory / name).unlink()
    except OSError as err:
        return Copy("files", FAILED, reason=str(err), seconds=clock() - started)
    return _done("files", snapshot, (going, stuck), clock() - started)


def keep_object(snapshot: Snapshot, store: Store, policy: Mapping[str, Any], clock: Callable[[], float]) -> Copy:
    """The copy in the bucket."""
    started = clock()
    try:
        version = store.put(snapshot.name, snapshot.data)
        going, stuck = surplus(store.names(), clock(), int(policy["keep"]), float(policy["max_days"]))
        for name in going:
            store.hide(name)
    except DriverError as err:
        return Copy("s3", FAILED, reason=str(err), seconds=clock() - started)
    return _done("s3", snapshot, (going, stuck), clock() - started, version)


def _done(where: str, snapshot: Snapshot, aged: tuple[list[str], list[str]], seconds: float, version: str = "") -> Copy:
    detail = {"index": snapshot.index, "term": snapshot.term, "sha256": snapshot.sha256, "version": version}
    sizes = (snapshot.plain_size, len(snapshot.data), round(seconds, 3))
    return Copy(where, DONE, snapshot.name, "", *sizes, tuple(aged[0]), tuple(aged[1]), detail)


def _place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.chmod(0o600)
    part.replace(path)
    if path.read_bytes() != data:
        raise OSError(f"{path}: another content came back than was written")


@contextmanager
def _room() -> Iterator[Path]:
    """A directory that nobody else reads, gone afterwards."""
    room = Path(tempfile.mkdtemp(prefix="rsp-snapshot-"))
    try:
        yield room
    finally:
        shutil.rmtree(room)
