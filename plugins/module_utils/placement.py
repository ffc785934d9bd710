# SPDX-License-Identifier: Apache-2.0
"""Put a pinned file in place whole or not at all, and know cheaply that it is still the pinned one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ABANDONED_AFTER = 24 * 3600


class PlacementError(Exception):
    """The file could not be put in place; nothing was left behind."""


class WrongBytesError(PlacementError):
    """The bytes are not the pinned ones."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What a file must be: its SHA-256 as lower-case hex, and its size in bytes."""

    sha256: str
    size: int


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note_of(path: Path) -> Path:
    """The hidden sibling that remembers which hash was seen on which state of the file."""
    return path.with_name(f".{path.name}.seen.json")


def is_pinned(path: Path, pin: Pin) -> bool:
    """Whether `path` is the pinned file. Reads it only when it changed since it was last hashed.

    The inode's change time is compared: every write moves it, and it can't be set back as the modification time can.
    """
    try:
        seen = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if seen.st_size != pin.size:
        return False
    return _note(path) == _state(path, pin) or sha256_of(path) == pin.sha256


def remember(path: Path, pin: Pin) -> None:
    """Note that `path` is the pinned file as it is now: call it after the last change of mode or owner."""
    note = note_of(path)
    state = _state(path, pin)
    if _note(path) == state:
        return
    with _temporary_sibling(note) as temporary:  # a name of its own: two mirrors may share the directory
        temporary.write_text(json.dumps(state, sort_keys=True) + "\n", encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(note)


def place(path: Path, pin: Pin, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a temporary sibling, and rename it to `path` if it is the pinned file.

    Args:
        path: where it goes; missing directories are made.
        pin: what it must be.
        fill: writes the bytes into the file that it is given, and sets its mode and owner.

    Raises:
        WrongBytesError: size or hash differ.
        PlacementError: the disk is full or refuses.
        Exception: what `fill` raises. In each case nothing is left of the attempt.
    """
    try:
        with _made_directories(path.parent), _temporary_sibling(path) as temporary:
            _require_space(path.parent, pin.size)
            fill(temporary)
            _require_pinned(temporary, pin)
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
            remember(path, pin)
    except OSError as err:
        raise PlacementError(disk_reason(err, path.parent)) from err


def disk_reason(err: OSError, directory: Path) -> str:
    """An OSError of writing as a sentence with its fix."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full while writing {directory} → free some space and run again"
    return f"cannot write in {directory}: {err.strerror or err}"


def _require_space(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size:
        have = f"{size / 1e6:.0f} MB are needed in {directory}, {free / 1e6:.0f} MB are free"
        raise PlacementError(f"{have} → free some space and run again")


def _require_pinned(path: Path, pin: Pin) -> None:
    size = path.stat().st_size
    if size != pin.size:
        raise WrongBytesError(f"has {size} bytes, {pin.size} are pinned")
    if (found := sha256_of(path)) != pin.sha256:
        raise WrongBytesError(f"has sha256 {found}, {pin.sha256} is pinned")


def _state(path: Path, pin: Pin) -> dict[str, object]:
    seen = path.stat()
    return {"sha256": pin.sha256, "size": seen.st_size, "ctime_ns": seen.st_ctime_ns}


def _note(path: Path) -> object:
    try:
        return json.loads(note_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _made_directories(directory: Path) -> Iterator[None]:
    """Make missing directories, and take back those that were made when the work in them fails."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):  # somebody else put something in: it stays
                path.rmdir()
        raise


@contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, removed unless it was renamed; what a killed run left a day ago is removed too."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with suppress(FileNotFoundError):  # somebody else's, who has just finished
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
                left.unlink()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
