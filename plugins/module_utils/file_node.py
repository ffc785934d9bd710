# SPDX-License-Identifier: Apache-2.0
"""What is at a path of the member, and whose it is."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FilesError(Exception):
    """Nothing lasting was done. The message names what to change; `result` are keys for the module result."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class Node:
    """What is at a path.

    Attributes:
        kind: file, link, directory or absent.
        content: bytes of a file, target of a link, else empty.
        uid, gid: numeric owner and group, -1 when the name is not known on this member.
        mode: permission bits.
    """

    kind: str
    content: bytes = b""
    uid: int = 0
    gid: int = 0
    mode: int = 0

    @property
    def attributes(self) -> tuple[int, int, int]:
        """Owner, group and mode."""
        return self.uid, self.gid, self.mode


ABSENT = Node("absent")


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def uid_of(name: str) -> int:
    """Numeric id of a user name or number, -1 when this member does not know it."""
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return -1


def gid_of(name: str) -> int:
    """Numeric id of a group name or number, -1 when this member does not know it."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return -1


def observe(path: str) -> Node:
    """What is at a path now; a link is not followed, because managed files are owned whole."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    attributes = found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return Node("link", os.fsencode(Path(path).readlink()), *attributes)
    if stat.S_ISDIR(found.st_mode):
        return Node("directory", b"", *attributes)
    if not stat.S_ISREG(found.st_mode):
        raise FilesError(f"{path}: neither a file nor a directory → remove it by hand")
    return Node("file", Path(path).read_bytes(), *attributes)
