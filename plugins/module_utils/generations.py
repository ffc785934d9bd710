# SPDX-License-Identifier: Apache-2.0
"""Generations of a service's files: a journalled swap, one generation back, and the need that a unit has not yet taken.

Under the state directory of a service:
    manifest.json  what is managed, and the number of the generation
    pending.json   the need that the unit has not taken yet
    swap/          exists only during a swap: the state before it; who finds it here rolls back
    previous/      the state before the last completed swap, same form
    staging/       the new tree while validators look at it
Moving swap/ to previous/ is the commit: before it a crash is rolled back, after it nothing is left to do.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.file_node import ABSENT, FilesError, Node, observe
from ansible_collections.rsp.platform.plugins.module_utils.pending import Pending

STATE_ROOT = Path("/var/lib/rsp/files")

Relabel = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """The state before a swap.

    Attributes:
        nodes: what was at each path of the swap.
        manifest, pending: as they were.
        armed: need and time of the swap itself.
    """

    nodes: dict[str, Node]
    manifest: dict[str, Any]
    pending: Pending | None
    armed: Pending


class Generations:
    """The state directory of one service.

    Args:
        service: key of the manifest.
        root: parent of all services' state directories.
        relabel: gives a new sibling the security context of its destination.
    """

    def __init__(self, service: str, root: Path = STATE_ROOT, relabel: Relabel | None = None) -> None:
        self.home = root / service
        self.staging = self.home / "staging"
        self._swap = self.home / "swap"
        self._previous = self.home / "previous"
        self._relabel = relabel

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The only writer of this service on this member, until the block ends."""
        make_private(self.home)
        handle = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise FilesError(f"another run is changing the files under {self.home} → wait for it") from err
            yield
        finally:
            os.close(handle)

    def manifest(self) -> dict[str, Any]:
        """The manifest: `generation` (0 before the first) and `files` by dest."""
        return _read_json(self.home / "manifest.json") or {"generation": 0, "files": {}}

    def pending(self) -> Pending | None:
        """The need that was recorded last, whether or not it was taken meanwhile."""
        found = _read_json(self.home / "pending.json")
        return Pending(**found) if found else None

    def keep_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest if it differs."""
        if manifest != self.manifest():
            _write_json(self.home / "manifest.json", manifest)

    def keep_pending(self, pending: Pending | None) -> None:
        """Write the pending need, or forget it."""
        if pending == self.pending():
            return
        if pending is None:
            (self.home / "pending.json").unlink()
        else:
            _write_json(self.home / "pending.json", asdict(pending))

    def interrupted(self) -> Record | None:
        """The state before a swap that did not end, None when all swaps ended."""
        return _load(self._swap)

    def previous(self) -> Record | None:
        """The state before the last completed swap."""
        return _load(self._previous)

    def begin(self, before: Mapping[str, Node], armed: Pending) -> None:
        """Arm the journal with the state before a swap. From here on a crash is rolled back."""
        draft = self.home / "swap.new"
        _remove(draft)
        make_private(draft)
        try:
            _save(draft, Record(dict(before), self.manifest(), self.pending(), armed))
            draft.rename(self._swap)
            sync_directory(self.home)
        except OSError:
            _remove(draft)
            raise

    def write(self, nodes: Mapping[str, Node]) -> None:
        """Bring every path to its node.

        All siblings are written before the first rename, so a full disk changes nothing.
        """
        directories = sorted(path for path, node in nodes.items() if node.kind == "directory")
        for path in directories:
            _put_directory(path, nodes[path])
        written = {path: node for path, node in nodes.items() if node.kind in ("file", "link")}
        for path, node in written.items():
            self._write_sibling(path, node)
        for path in written:
            sibling(path).replace(path)
        gone = sorted((path for path, node in nodes.items() if node.kind == "absent"), reverse=True)
        for path in gone:
            _take_away(path)
        for parent in sorted({Path(path).parent for path in nodes}):
            if parent.is_dir():
                sync_directory(parent)

    def commit(self, manifest: Mapping[str, Any], pending: Pending | None) -> None:
        """Make the swap final: the state before it becomes the previous generation."""
        self.keep_manifest(manifest)
        self.keep_pending(pending)
        old = self.home / "previous.old"
        _remove(old)
        if self._previous.is_dir():
            self._previous.rename(old)
        self._swap.rename(self._previous)
        sync_directory(self.home)
        _remove(old)

    def recover(self) -> Record | None:
        """Undo a swap that did not end, remove what a crash left behind; the swap's record if there was one."""
        record = self.interrupted()
        if record is not None:
            for path in record.nodes:
                with suppress(FileNotFoundError, NotADirectoryError):
                    sibling(path).unlink()
            # A path that was not reached yet is left alone: putting it back would need room on a full disk.
            self.write({path: node for path, node in record.nodes.items() if observe(path) != node})
            self.keep_manifest(record.manifest)
            self.keep_pending(record.pending)
        old = self.home / "previous.old"
        if old.is_dir() and not self._previous.is_dir():
            old.rename(self._previous)
        # The journal goes last and at once: a crash in between finds it and does the same again.
        if record is not None:
            self._swap.rename(self.home / "swap.done")
        for leftover in ("swap.done", "swap.new", "previous.old", "staging"):
            _remove(self.home / leftover)
        return record

    def taken(self, need: str) -> None:
        """The unit has taken `need` (reload or restart): forget what it covers."""
        pending = self.pending()
        if pending is not None and (need == "restart" or pending.need == "reload"):
            self.keep_pending(None)

    def _write_sibling(self, path: str, node: Node) -> None:
        temporary = sibling(path)
        temporary.unlink(missing_ok=True)
        if node.kind == "link":
            temporary.symlink_to(os.fsdecode(node.content))
            os.chown(temporary, node.uid, node.gid, follow_symlinks=False)
            return
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(node.content)
            stream.flush()
            os.fchown(handle, node.uid, node.gid)
            os.fchmod(handle, node.mode)
            os.fsync(handle)
        if self._relabel is not None:
            self._relabel(str(temporary), path)


def sibling(path: str) -> Path:
    """Where the new content waits for its rename: hidden, and without the suffix that daemons load."""
    return Path(path).with_name(f".{Path(path).name}.rsp-new")


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private(path: Path) -> None:
    """A directory that only root may enter; its parents are readable."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.mkdir(exist_ok=True, mode=0o700)


def write_durable(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file and flush it to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(handle)


def _put_directory(path: str, node: Node) -> None:
    if observe(path).kind == "absent":
        Path(path).mkdir(mode=0o700)
    os.chown(path, node.uid, node.gid)
    Path(path).chmod(node.mode)


def _take_away(path: str) -> None:
    found = observe(path)
    if found.kind == "directory":
        # A directory that somebody put something into since stays.
        with suppress(OSError):
            Path(path).rmdir()
    elif found is not ABSENT:
        Path(path).unlink()


def _save(home: Path, record: Record) -> None:
    nodes: dict[str, dict[str, Any]] = {}
    for number, (path, node) in enumerate(record.nodes.items()):
        nodes[path] = {"kind": node.kind, "uid": node.uid, "gid": node.gid, "mode": node.mode, "blob": str(number)}
        write_durable(home / str(number), node.content)
    pending = asdict(record.pending) if record.pending else None
    facts = {"nodes": nodes, "manifest": record.manifest, "pending": pending, "armed": asdict(record.armed)}
    _write_json(home / "record.json", facts)


def _load(home: Path) -> Record | None:
    found = _read_json(home / "record.json")
    if found is None:
        return None
    nodes = {
        path: Node(node["kind"], (home / node["blob"]).read_bytes(), node["uid"], node["gid"], node["mode"])
        for path, node in found["nodes"].items()
    }
    pending = Pending(**found["pending"]) if found["pending"] else None
    return Record(nodes, found["manifest"], pending, Pending(**found["armed"]))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as err:
        raise FilesError(f"{path} is not JSON ({err}) → remove it; the files are then compared anew") from err
    return found if isinstance(found, dict) else None


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    write_durable(draft, json.dumps(value, sort_keys=True).encode())
    draft.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
