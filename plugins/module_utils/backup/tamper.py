# SPDX-License-Identifier: Apache-2.0
"""Faults of a backup, made in a copy of a repository, each with the check that must trip. A verifier that never saw a
bad backup proves nothing.

A kind either changes files of the copy, or the copy stays and the question changes (`asks`: another key, a later time).
Kinds of the stage `restored` are made by restore_drill in its own scratch copy.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import CHECKS, BackupError
from ansible_collections.rsp.platform.plugins.module_utils.backup.wal import ARCHIVED, Segment

MARK = ".rsp-copy"
MARK_TEXT = "A copy for rsp.platform.backup_tamper. It may be destroyed.\n"
POSTGRESQL, CONSUL, S3 = "postgresql", "consul", "s3"
FLIPPED = 16
DEPTH = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault.

    Attributes:
        trips: the check that must fail, and no other must be needed to see it.
        files: chooses the files to hurt from all of the copy, in order; None when the copy stays as it is.
        hurt: how one file is hurt.
        asks: how the verification is asked instead.
        stage: copy, or restored.
    """

    service: str
    trips: str
    about: str
    files: Callable[[Sequence[str]], Sequence[str]] | None = None
    hurt: Callable[[Path], None] | None = None
    asks: Mapping[str, Any] = field(default_factory=dict)
    stage: str = "copy"


def flip(path: Path) -> None:
    """Invert bytes in the middle: same size, other content."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        old = file.read(FLIPPED)
        file.seek(size // 2)
        file.write(bytes(byte ^ 0xFF for byte in old))


def truncate(path: Path) -> None:
    """Cut the second half off."""
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    """Delete it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _matching(pattern: str, which: Callable[[list[str]], list[str]]) -> Callable[[Sequence[str]], list[str]]:
    expression = re.compile(pattern)
    return lambda names: which(sorted(name for name in names if expression.fullmatch(name)))


def _largest_of(pattern: str) -> Callable[[Sequence[str]], list[str]]:
    """The last by name: files of the newest point come last."""
    return _matching(pattern, lambda names: names[-1:])


def _wal(pick: Callable[[list[str]], list[str]]) -> Callable[[Sequence[str]], list[str]]:
    return lambda names: pick(sorted((n for n in names if ARCHIVED.fullmatch(n)), key=lambda n: n.rpartition("/")[2]))


def repeat(path: Path) -> None:
    """Put the snapshot before it in its place: a job that saves the same again and again."""
    older = sorted(p for p in path.parent.glob("*.snap*") if p.name < path.name)
    if not older:
        raise BackupError(f"{path.parent} has one snapshot only: nothing can be repeated")
    shutil.copyfile(older[-1], path)


def _wal_behind(names: Sequence[str]) -> list[str]:
    """Segments behind the newest backup, which needs its own and at most the next one."""
    labels = sorted(m[1] for n in names if (m := re.fullmatch(r"(?:.*/)?([0-9A-F]{24})\.[0-9A-F]{8}\.backup", n)))
    if not labels:
        return []
    last = Segment.parse(labels[-1]).number + 1
    return [n for n in names if (m := ARCHIVED.fullmatch(n)) and Segment.parse(m[1]).number > last]


DATA = r"backup/.*/(?:pg_data/base/.*|bundle/.*)"
MANIFEST = r"backup/[^/]+/[0-9]{8}-[0-9]{6}F[^/]*/backup\.manifest"
SNAPSHOT = r"(?:.*/)?[^/]+\.snap(?:\.enc)?"
DAY = 86400

KINDS: Mapping[str, Kind] = {
    "data_flipped": Kind(POSTGRESQL, "bytes_match", "bits flipped in a data file", _largest_of(DATA), flip),
    "data_truncated": Kind(POSTGRESQL, "bytes_match", "a data file cut off", _largest_of(DATA), truncate),
    "data_missing": Kind(POSTGRESQL, "bytes_match", "a data file deleted", _largest_of(DATA), remove),
    "manifest_flipped": Kind(POSTGRESQL, "copies_agree", "bits flipped in a manifest", _largest_of(MANIFEST), flip),
    "manifest_copy_flipped": Kind(
        POSTGRESQL, "copies_agree", "bits flipped in the copy of a manifest", _largest_of(MANIFEST + r"\.copy"), flip
    ),
    "catalogue_flipped": Kind(
        POSTGRESQL, "copies_agree", "bits flipped in backup.info", _largest_of(r"backup/[^/]+/backup\.info"), flip
    ),
    "catalogue_missing": Kind(
        POSTGRESQL, "copies_agree", "archive.info deleted", _largest_of(r"archive/[^/]+/archive\.info"), remove
    ),
    "catalogues_missing": Kind(
        POSTGRESQL, "repository_answers", "backup.info and its copy deleted",
        _matching(r"backup/[^/]+/backup\.info(\.copy)?", lambda names: names), remove,
    ),
    "wal_flipped": Kind(POSTGRESQL, "bytes_match", "bits flipped in a WAL segment", _wal(lambda n: n[-2:-1]), flip),
    "wal_truncated": Kind(POSTGRESQL, "bytes_match", "a WAL segment cut off", _wal(lambda n: n[-2:-1]), truncate),
    "wal_missing": Kind(
        POSTGRESQL, "log_continuous", "a WAL segment deleted from the middle", _wal(lambda n: n[-2:-1]), remove,
    ),
    "wal_missing_before_target": Kind(
        POSTGRESQL, "target_reached", "every WAL segment behind the last point deleted", _wal_behind, remove
    ),
    "base_missing": Kind(
        POSTGRESQL, "chain_complete", "the full backup of a chain deleted",
        _matching(r"backup/[^/]+/[0-9]{8}-[0-9]{6}F", lambda names: names[-1:]), remove,
    ),
    "key_wrong": Kind(POSTGRESQL, "escrow_decrypts", "the escrow has another key", asks={"escrow": "not-the-key"}),
    "stale": Kind(POSTGRESQL, "fresh", "no backup for a year", asks={"later_s": 366 * DAY}),
    "frozen": Kind(POSTGRESQL, "advancing", "the archive stands still, the job says success", asks={"later_s": 7200}),
    "wrong_cluster": Kind(POSTGRESQL, "same_cluster", "valid, but of another cluster", asks={"identity": "1"}),
    "wrong_timeline": Kind(
        POSTGRESQL, "right_timeline", "the history of the timeline is gone",
        _largest_of(r"archive/[^/]+/[^/]+/[0-9A-F]{8}\.history.*"), remove,
    ),
    "expired_early": Kind(
        POSTGRESQL, "enough_points", "fewer points than promised", asks={"policy": {"min_points": 10**6}}
    ),
    "not_expired": Kind(
        POSTGRESQL, "not_too_old", "kept past its term", asks={"later_s": 366 * DAY, "policy": {"max_keep_s": 30 * DAY}}
    ),
    "page_torn": Kind(POSTGRESQL, "pages_whole", "a page of a table torn, as its source had it", stage="restored"),
    "index_broken": Kind(POSTGRESQL, "indexes_whole", "an index that misses rows", stage="restored"),
    "collation_changed": Kind(POSTGRESQL, "collations_same", "built with another collation", stage="restored"),
    "table_emptied": Kind(POSTGRESQL, "content_expected", "a table without its rows", stage="restored"),
    "canary_removed": Kind(POSTGRESQL, "canaries_exact", "the last token is missing", stage="restored"),
    "destroyed_is_back": Kind(POSTGRESQL, "destroyed_absent", "a destroyed subject is restored", stage="restored"),
    "snapshot_flipped": Kind(CONSUL, "bytes_match", "bits flipped in a snapshot", _largest_of(SNAPSHOT), flip),
    "snapshot_truncated": Kind(CONSUL, "bytes_match", "a snapshot cut off", _largest_of(SNAPSHOT), truncate),
    "snapshot_empty": Kind(
        CONSUL, "bytes_match", "a snapshot of no bytes", _largest_of(SNAPSHOT), lambda path: os.truncate(path, 0)
    ),
    "snapshot_stale": Kind(CONSUL, "fresh", "no snapshot for a year", asks={"later_s": 366 * DAY}),
    "snapshot_frozen": Kind(
        CONSUL, "advancing", "the index of the newest snapshot does not move", _matching(SNAPSHOT, lambda n: n[-1:]),
        repeat,
    ),
    "snapshot_wrong_cluster": Kind(
        CONSUL, "same_cluster", "valid, but of another datacentre", asks={"identity": "elsewhere"}
    ),
    "snapshot_key_wrong": Kind(CONSUL, "escrow_decrypts", "the escrow has another key", asks={"escrow": "not-the-key"}),
    "object_missing": Kind(S3, "bytes_match", "an object deleted", _largest_of(DATA), remove),
    "object_truncated": Kind(S3, "bytes_match", "an object cut off", _largest_of(DATA), truncate),
    "lock_off": Kind(S3, "object_lock", "the lock of the bucket is off", asks={"bucket": "unlocked"}),
}  # fmt: skip


def may_copy(source: Path, copy: Path, live: Sequence[str]) -> None:
    """Raises BackupError when the place of a copy is not free, or not apart from what is live."""
    refuse_live(copy, [*live, str(source)])
    if copy.exists():
        raise BackupError(f"{copy} is there already → remove it, or give another path")
    if not source.is_dir():
        raise BackupError(f"{source} is no directory")


def copy_of(source: Path, copy: Path, live: Sequence[str]) -> None:
    """Make a marked copy of a repository. Raises BackupError."""
    may_copy(source, copy, live)
    shutil.copytree(source, copy, symlinks=True)
    (copy / MARK).write_text(MARK_TEXT, encoding="utf-8")


def own(copy: Path, user: str) -> None:
    """Give a copy to a user."""
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, user)


def refuse_live(path: Path, live: Sequence[str]) -> None:
    """Raises BackupError when a path is, holds, or lies in a live repository, by whatever name or link."""
    real = path.resolve()
    if len(real.parts) < DEPTH:  # / and /srv are nobody's copy
        raise BackupError(f"{path} is no place for a copy")
    for each in live:
        other = Path(each).resolve()
        if real == other or real in other.parents or other in real.parents:
            raise BackupError(f"{path} is the live repository {each}, or lies in it, or holds it: nothing was touched")


def refuse_unmarked(copy: Path, live: Sequence[str]) -> None:
    """Raises BackupError unless it is a copy that this module made."""
    refuse_live(copy, live)
    mark = copy / MARK
    if not mark.is_file() or mark.is_symlink() or mark.read_text(encoding="utf-8") != MARK_TEXT:
        raise BackupError(f"{copy} was not made by this module: it may be a live repository, so nothing was touched")


def chosen(copy: Path, kind: str, live: Sequence[str]) -> list[str]:
    """Files that a fault will hurt, relative to the copy. Raises BackupError unless it is a marked copy."""
    refuse_unmarked(copy, live)
    what = kind_of(kind)
    if what.files is None:
        return []
    every = [str(p.relative_to(copy)) for p in copy.rglob("*") if not p.is_symlink()]
    names = list(what.files(every))
    if not names:
        raise BackupError(f"{copy} has nothing that {kind} could hurt: such a test would prove nothing")
    return names


def apply(copy: Path, kind: str, names: Sequence[str]) -> None:
    """Hurt these files. A hard link to a live file would hurt that too, so each is made a file of its own first."""
    hurt = kind_of(kind).hurt
    if hurt is None:
        return
    for name in names:
        path = copy / name
        if path.is_file():
            own = path.with_name(path.name + ".own")
            shutil.copy2(path, own)
            own.replace(path)
        hurt(path)


def kind_of(name: str) -> Kind:
    """A kind by its name. Raises BackupError."""
    if name not in KINDS:
        raise BackupError(f"there is no fault {name} → one of {', '.join(sorted(KINDS))}")
    return KINDS[name]


def unknown_checks() -> list[str]:
    """Checks that kinds name and nobody has; always empty."""
    return sorted({kind.trips for kind in KINDS.values()} - set(CHECKS))
