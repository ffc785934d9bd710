"""A pinned file is in place whole or not at all, and nothing is left of an attempt."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import placement
from ansible_collections.rsp.platform.plugins.module_utils.placement import (
    Pin,
    PlacementError,
    WrongBytesError,
    disk_reason,
    is_pinned,
    note_of,
    place,
    remember,
    sha256_of,
)

CONTENT = b"the pinned bytes"
PIN = Pin(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def left(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tool" / "1.0" / "tool"


def test_the_pinned_bytes_are_placed(path, tmp_path):
    place(path, PIN, lambda temporary: temporary.write_bytes(CONTENT))
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == ["tool", "tool/1.0", "tool/1.0/.tool.seen.json", "tool/1.0/tool"]
    assert sha256_of(path) == PIN.sha256


@pytest.mark.parametrize(
    ("bytes_", "says"),
    [
        (b"the planted byte", "has sha256"),
        (CONTENT[:-1], "has 15 bytes, 16 are pinned"),
        (CONTENT + b"x", "has 17 bytes, 16 are pinned"),
        (b"", "has 0 bytes, 16 are pinned"),
    ],
)
def test_other_bytes_are_refused_and_nothing_is_left(path, tmp_path, bytes_, says):
    with pytest.raises(WrongBytesError, match=says):
        place(path, PIN, lambda temporary: temporary.write_bytes(bytes_))
    assert left(tmp_path) == []


def test_a_refused_file_leaves_the_old_one_alone(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"what runs")
    with pytest.raises(WrongBytesError):
        place(path, PIN, lambda temporary: temporary.write_bytes(b"the planted byte"))
    assert path.read_bytes() == b"what runs"
    assert left(path.parent) == ["tool"]


def failing(error):
    def fill(temporary):
        temporary.write_bytes(b"half")
        raise error

    return fill


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), PlacementError, "the disk is full while writing .* → free"),
        (OSError(errno.EDQUOT, "Quota exceeded"), PlacementError, "the disk is full while writing"),
        (OSError(errno.EROFS, "Read-only file system"), PlacementError, "cannot write in .*: Read-only file system"),
        (ValueError("not there"), ValueError, "not there"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_whatever_fails_nothing_is_left(path, tmp_path, error, raised, says):
    with pytest.raises(raised, match=says):
        place(path, PIN, failing(error))
    assert left(tmp_path) == []


def test_a_really_full_device(path, tmp_path):
    def fill(temporary):
        with Path("/dev/full").open("wb") as sink:
            sink.write(CONTENT)

    with pytest.raises(PlacementError, match="the disk is full"):
        place(path, PIN, fill)
    assert left(tmp_path) == []


def test_too_little_space_is_seen_before_a_byte_is_fetched(path, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda directory: shutil._ntuple_diskusage(100, 85, 15))
    with pytest.raises(PlacementError, match=r"0 MB are needed in .*, 0 MB are free → free some space"):
        place(path, PIN, lambda temporary: pytest.fail("it was fetched"))
    assert left(tmp_path) == []


def test_a_directory_that_others_use_meanwhile_stays(path, tmp_path):
    def fill(temporary):
        (temporary.parent / "neighbour").touch()
        raise ValueError("not there")

    with pytest.raises(ValueError, match="not there"):
        place(path, PIN, fill)
    assert left(tmp_path) == ["tool", "tool/1.0", "tool/1.0/neighbour"]


@pytest.mark.parametrize(("age", "stays"), [(placement.ABANDONED_AFTER + 60, False), (60, True)])
def test_what_a_killed_run_left_goes_after_a_day(path, age, stays):
    path.parent.mkdir(parents=True)
    abandoned = path.parent / ".tool.abc.part"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (time.time() - age,) * 2)
    place(path, PIN, lambda temporary: temporary.write_bytes(CONTENT))
    assert abandoned.exists() is stays


def test_an_error_without_a_text_still_says_something(tmp_path):
    assert "cannot write" in disk_reason(OSError("odd"), tmp_path)


# --- cheap and honest: is it still the pinned file?


@pytest.fixture
def placed(path):
    place(path, PIN, lambda temporary: temporary.write_bytes(CONTENT))
    return path


@pytest.fixture
def hashed(monkeypatch):
    """Paths that were read to be hashed."""
    paths = []
    real = placement.sha256_of
    monkeypatch.setattr(placement, "sha256_of", lambda path: paths.append(path) or real(path))
    return paths


def test_an_unchanged_file_is_not_read(placed, hashed):
    assert is_pinned(placed, PIN)
    assert hashed == []


def test_a_changed_byte_is_seen_although_size_and_modification_time_are_put_back(placed, hashed):
    before = placed.stat()
    with placed.open("r+b") as file:
        file.write(b"X")
    os.utime(placed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_pinned(placed, PIN)
    assert hashed == [placed]


def test_another_size_needs_no_reading(placed, hashed):
    placed.write_bytes(b"short")
    assert not is_pinned(placed, PIN)
    assert hashed == []


def test_a_touched_file_is_read_once_and_remembered(placed, hashed):
    placed.touch()
    assert is_pinned(placed, PIN)
    remember(placed, PIN)
    assert is_pinned(placed, PIN)
    assert hashed == [placed]


def test_a_note_about_another_hash_counts_for_nothing(placed):
    assert not is_pinned(placed, Pin("0" * 64, PIN.size))


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"sha256": "x"}'])
def test_a_damaged_note_means_reading(placed, hashed, text):
    note_of(placed).write_text(text)
    assert is_pinned(placed, PIN)
    assert hashed == [placed]


def test_a_missing_file_is_not_pinned(path):
    assert not is_pinned(path, PIN)
    assert not is_pinned(path / "below", PIN)


def test_remembering_twice_writes_once(placed):
    note = note_of(placed)
    before = note.stat().st_mtime_ns
    remember(placed, PIN)
    assert note.stat().st_mtime_ns == before
    assert json.loads(note.read_text())["sha256"] == PIN.sha256
