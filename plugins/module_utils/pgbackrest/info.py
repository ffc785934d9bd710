# SPDX-License-Identifier: Apache-2.0
"""What `pgbackrest info --output=json` says of a stanza, as plain data. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

OK, NO_STANZA, NO_BACKUP = 0, 1, 2
DAY_S = 86400
SECRET = re.compile(r'(cipher-pass|cipher-subpass)(["=: ]+)[^\s,}]+')
MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup of a repository.

    Attributes:
        kind: full, diff or incr.
        start, stop: seconds since the epoch.
        size: bytes of the database when it was made.
        stored: bytes that the backup itself added to the repository; None when pgBackRest does not say.
        needs: labels without which it can't be restored.
        lsn_stop: from here on it is consistent.
        wal_start, wal_stop: first and last segment that it needs; empty when pgBackRest does not say.
        error: page checksums failed while it was made; None: it was not looked at.
    """

    label: str
    kind: str
    repo: int
    start: int
    stop: int
    size: int
    stored: int | None
    needs: tuple[str, ...]
    lsn_start: str
    lsn_stop: str
    database: int
    error: bool | None = None
    wal_start: str = ""
    wal_stop: str = ""

    @property
    def full(self) -> str:
        """Label of the full backup that it hangs on."""
        return self.label.split("_")[0]


@dataclass(frozen=True, slots=True)
class Archive:
    """WAL of one database in one repository: first and last segment, None when there is none."""

    repo: int
    database: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Stanza:
    """A stanza over all its repositories.

    Attributes:
        repos: repository → (code, message); 0 is good, 2 only lacks a backup.
        systems: (repository, database) → system identifier.
        running: a backup runs at this moment.
        ciphers: repository → none, or the name of its cipher.
    """

    name: str
    code: int
    message: str
    repos: Mapping[int, tuple[int, str]]
    backups: tuple[Backup, ...]
    archives: tuple[Archive, ...]
    systems: Mapping[tuple[int, int], str]
    running: bool = False
    ciphers: Mapping[int, str] = field(default_factory=dict)

    def of(self, repo: int) -> tuple[Backup, ...]:
        """Backups of one repository, the oldest first."""
        return tuple(backup for backup in self.backups if backup.repo == repo)


def scrubbed(text: str) -> str:
    """The text without passphrases and unprintable bytes: info prints what it could not decrypt."""
    return SECRET.sub(r"\1\2<redacted>", "".join(c if c.isprintable() and c != "\ufffd" else " " for c in text))


def parse(text: str, name: str) -> Stanza:
    """The stanza of that name. Raises DriverError when the answer is no such list."""
    try:
        # strict: with a wrong key it prints what it could not decrypt, as it is
        found = next((entry for entry in json.loads(text, strict=False) if entry["name"] == name), None)
        if found is None:
            raise DriverError(f"pgbackrest info says nothing of stanza {name}")
        return Stanza(
            name=name,
            code=int(found["status"]["code"]),
            message=_message(found["status"]),
            repos={int(r["key"]): (int(r["status"]["code"]), _message(r["status"])) for r in found["repo"]},
            backups=tuple(sorted(map(_backup, found.get("backup", ())), key=lambda each: (each.stop, each.repo))),
            archives=tuple(map(_archive, found.get("archive", ()))),
            systems={(int(d["repo-key"]), int(d["id"])): str(d["system-id"]) for d in found.get("db", ())},
            running=bool(found["status"].get("lock", {}).get("backup", {}).get("held", False)),
            ciphers={int(r["key"]): str(r.get("cipher", "none")) for r in found["repo"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise DriverError(f"pgbackrest info says nothing of stanza {name} that can be read: {err!r}") from None


def latest(backups: Iterable[Backup], kind: str | None = None) -> Backup | None:
    """The backup that ended last, of that kind where one is asked for."""
    found = [backup for backup in backups if kind in (None, backup.kind)]
    return max(found, key=lambda backup: backup.stop, default=None)


def next_kind(backups: Iterable[Backup], now: float, full_every_d: float, diff_every_d: float) -> str:
    """What kind is due: full and diff by their age, incr otherwise. Without a full one, full."""
    known = list(backups)
    last_full = latest(known, "full")
    if last_full is None or now - last_full.start >= full_every_d * DAY_S:
        return "full"
    last_diff = latest([backup for backup in known if backup.kind != "incr"])
    due = last_diff is None or now - last_diff.start >= diff_every_d * DAY_S
    return "diff" if due else "incr"


def too_old(backups: Iterable[Backup], now: float, max_days: float, keep: int) -> tuple[list[str], list[str]]:
    """Full backups that are past their term: those that can go, and those that can't because `keep` must stay.

    A full backup holds its data until the last backup that hangs on it is gone, so its own age counts.
    """
    fulls = sorted((each for each in backups if each.kind == "full"), key=lambda each: each.stop)
    past = [each.label for each in fulls if max_days and now - each.stop > max_days * DAY_S]
    spare = max(0, len(fulls) - max(1, keep))
    return past[:spare], past[spare:]


def covering(stanza: Stanza, repo: int, at: float) -> Backup | None:
    """The newest backup of a repository that ended before a moment: recovery can begin with it."""
    return latest(backup for backup in stanza.of(repo) if backup.stop <= at)


def _backup(entry: Mapping[str, Any]) -> Backup:
    sizes = entry["info"]
    return Backup(
        label=str(entry["label"]),
        kind=str(entry["type"]),
        repo=int(entry["database"]["repo-key"]),
        start=int(entry["timestamp"]["start"]),
        stop=int(entry["timestamp"]["stop"]),
        size=int(sizes["size"]),
        stored=int(sizes["repository"]["delta"]) if "delta" in sizes.get("repository", {}) else None,
        needs=tuple(map(str, entry.get("reference") or ())),
        lsn_start=str((entry.get("lsn") or {}).get("start", "")),
        lsn_stop=str((entry.get("lsn") or {}).get("stop", "")),
        database=int(entry["database"]["id"]),
        error=entry.get("error"),
        wal_start=str((entry.get("archive") or {}).get("start") or ""),
        wal_stop=str((entry.get("archive") or {}).get("stop") or ""),
    )


def _message(status: Mapping[str, Any]) -> str:
    return scrubbed(str(status["message"]))[:MESSAGE].strip()


def _archive(entry: Mapping[str, Any]) -> Archive:
    key = entry["database"]
    return Archive(int(key["repo-key"]), int(key["id"]), entry.get("min"), entry.get("max"))
