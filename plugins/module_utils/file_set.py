# SPDX-License-Identifier: Apache-2.0
"""The files of one service: what shall be on the member, what is there, and what differs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.file_node import (
    ABSENT,
    FilesError,
    Node,
    gid_of,
    sha256,
    uid_of,
)
from ansible_collections.rsp.platform.plugins.module_utils.pending import NEEDS

# A daemon that could not read a file before has to read it again; no owner or mode needs more than that.
ATTRIBUTE_NEED = "reload"


@dataclass(frozen=True, slots=True)
class File:
    """A managed file; `content` None means that it shall not be there.

    Attributes:
        need: what the unit needs when the content changes: none, reload or restart.
        comment: prefix of comment lines; a change of nothing but comments and blank lines needs nothing.
    """

    dest: str
    content: bytes | None
    owner: str
    group: str
    mode: int
    need: str
    secret: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Directory:
    """A managed directory."""

    path: str
    owner: str
    group: str
    mode: int


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs.

    Attributes:
        kind: created, updated, removed or attributes.
        need: what the unit needs because of it.
    """

    dest: str
    kind: str
    need: str
    before: Node
    after: Node
    secret: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is about a file or a link, not a directory."""
        return "directory" not in (self.before.kind, self.after.kind)


@dataclass(frozen=True, slots=True)
class FileSet:
    """All directories and files of one service, in the order given."""

    service: str
    directories: tuple[Directory, ...]
    files: tuple[File, ...]


def parse_mode(mode: str, what: str) -> int:
    """Permission bits of a quoted octal mode.

    Raises:
        FilesError: it is not three or four octal digits.
    """
    if len(mode) not in (3, 4) or not set(mode) <= set("01234567"):
        raise FilesError(f'{what}: mode {mode!r} is not octal → write three or four digits in quotes, "0640"')
    return int(mode, 8)


def file_set(params: Mapping[str, Any], contents: Mapping[str, bytes]) -> FileSet:
    """The set described by module parameters and the contents that the controller rendered, by dest.

    Raises:
        FilesError: a mode, a path or an entry that makes no sense.
    """
    owner, group = params["owner"], params["group"] or params["owner"]
    directories = tuple(
        Directory(
            path=_absolute(entry["path"]),
            owner=entry["owner"] or owner,
            group=entry["group"] or entry["owner"] or group,
            mode=parse_mode(entry["mode"], entry["path"]),
        )
        for entry in params["directories"]
    )
    files = tuple(_file(entry, owner, group, params["mode"], contents) for entry in params["files"])
    paths = [directory.path for directory in directories] + [file.dest for file in files]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise FilesError(f"listed twice: {', '.join(twice)} → keep one entry a path")
    return FileSet(params["service"], directories, files)


def _file(entry: Mapping[str, Any], owner: str, group: str, mode: str | None, contents: Mapping[str, bytes]) -> File:
    dest = _absolute(entry["dest"])
    absent = entry["state"] == "absent"
    if not absent and dest not in contents:
        raise FilesError(f"{dest}: the controller sent no content → call rsp.platform.files as an action, not a module")
    secret = bool(entry["secret"])
    return File(
        dest=dest,
        content=None if absent else contents[dest],
        owner=entry["owner"] or owner,
        group=entry["group"] or entry["owner"] or group,
        mode=parse_mode(entry["mode"] or ("0600" if secret else mode or "0644"), dest),
        need=entry["needs"],
        secret=secret,
        comment=entry["comment"],
    )


def _absolute(path: str) -> str:
    if not path.startswith("/") or os.path.normpath(path) != path:
        raise FilesError(f"{path}: not a plain absolute path → write it without '..', '//' and a trailing slash")
    return path


def compare(wanted: FileSet, managed: Mapping[str, Mapping[str, Any]], see: Callable[[str], Node]) -> list[Change]:
    """Everything that differs: directories, files, and managed files that are no longer listed.

    Args:
        wanted: the set.
        managed: files of the last generation's manifest.
        see: `observe`, or a view of the disk as an interrupted swap will leave it.
    """
    changes = [_directory_change(directory, see(directory.path)) for directory in wanted.directories]
    changes += [_file_change(file, see(file.dest), managed.get(file.dest, {})) for file in wanted.files]
    listed = {file.dest for file in wanted.files} | {directory.path for directory in wanted.directories}
    for dest in sorted(set(managed) - listed):
        known, before = managed[dest], see(dest)
        if before.kind != "absent":
            changes.append(Change(dest, "removed", str(known["need"]), before, ABSENT, bool(known["secret"])))
    return [change for change in changes if change is not None]


def _directory_change(wanted: Directory, before: Node) -> Change | None:
    after = Node("directory", uid=uid_of(wanted.owner), gid=gid_of(wanted.group), mode=wanted.mode)
    if before.kind not in ("absent", "directory"):
        raise FilesError(f"{wanted.path} is a {before.kind}, not a directory → remove it by hand")
    if before == after:
        return None
    return Change(wanted.path, kind_of(before, after), "none", before, after)


def _file_change(wanted: File, before: Node, known: Mapping[str, Any]) -> Change | None:
    if before.kind == "directory":
        raise FilesError(f"{wanted.dest} is a directory, not a file → remove it by hand")
    secret = wanted.secret or bool(known.get("secret"))
    if wanted.content is None:
        if before.kind == "absent":
            return None
        # What nobody but its owner may read is not for a diff either.
        hidden = secret or before.mode & 0o007 == 0
        return Change(wanted.dest, "removed", wanted.need, before, ABSENT, hidden)
    after = Node("file", wanted.content, uid_of(wanted.owner), gid_of(wanted.group), wanted.mode)
    if before == after:
        return None
    kind, need = kind_of(before, after), wanted.need
    if kind == "attributes":
        need = min(need, ATTRIBUTE_NEED, key=NEEDS.index)
    elif _only_comments_differ(before, after, wanted.comment):
        need = "none"
    return Change(wanted.dest, kind, need, before, after, secret)


def kind_of(before: Node, after: Node) -> str:
    """What a change from one node to another is called."""
    if before.kind == "absent":
        return "created"
    if after.kind == "absent":
        return "removed"
    return "attributes" if (before.kind, before.content) == (after.kind, after.content) else "updated"


def _only_comments_differ(before: Node, after: Node, prefix: str | None) -> bool:
    if prefix is None or before.kind != "file":
        return False
    mark = prefix.encode()

    def meaning(content: bytes) -> list[bytes]:
        lines = (line.rstrip() for line in content.splitlines())
        return [line for line in lines if line and not line.lstrip().startswith(mark)]

    return meaning(before.content) == meaning(after.content)


def unknown_names(wanted: FileSet) -> list[str]:
    """One sentence for each owner or group that this member does not know, and each missing parent directory."""
    problems: list[str] = []
    listed = {directory.path for directory in wanted.directories}
    present = [(file.dest, file.owner, file.group) for file in wanted.files if file.content is not None]
    for path, owner, group in [(d.path, d.owner, d.group) for d in wanted.directories] + present:
        if uid_of(owner) < 0:
            problems.append(f"{path}: no user {owner} here → install the package that makes it, or change `owner`")
        if gid_of(group) < 0:
            problems.append(f"{path}: no group {group} here → install the package that makes it, or change `group`")
        parent = str(Path(path).parent)
        if parent not in listed and not Path(parent).is_dir():
            problems.append(f"{path}: {parent} is not a directory here → list it under `directories`")
    return problems


def manifest_files(wanted: FileSet) -> dict[str, dict[str, Any]]:
    """The set as the manifest keeps it: by dest, a digest instead of the content."""
    return {
        file.dest: {
            "sha256": sha256(file.content),
            "mode": f"{file.mode:04o}",
            "owner": file.owner,
            "group": file.group,
            "need": file.need,
            "secret": file.secret,
        }
        for file in wanted.files
        if file.content is not None
    }
