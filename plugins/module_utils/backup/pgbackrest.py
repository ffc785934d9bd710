# SPDX-License-Identifier: Apache-2.0
"""What pgBackRest says, parsed. Pure. Its exit code alone proves nothing: `verify` and `info` end with 0 on errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError, Point, Repository
from ansible_collections.rsp.platform.plugins.module_utils.backup.wal import ARCHIVED
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest import info
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import scrubbed
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

ERROR = re.compile(r"ERROR: \[(\d{3})\]: ?(.*)")
ARCHIVE_LINE = re.compile(r"archiveId: (\S+), total WAL checked: (\d+), total valid WAL: (\d+)")
BACKUP_LINE = re.compile(r"backup: (\S+), status: (\w[\w ]*), total files checked: (\d+), total valid files: (\d+)")
COUNTS = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")
CHECKSUM = re.compile(r'\n\[backrest\]\nbackrest-checksum="([0-9a-f]{40})"\n?$')


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify --output=text --verbose` found.

    Attributes:
        status: ok or error; empty when it said neither, which is no proof.
        problems: one sentence each.
        backups: labels that it looked at → whether they are valid.
        wal_checked: segments that it looked at.
    """

    status: str
    problems: tuple[str, ...]
    backups: Mapping[str, bool]
    wal_checked: int

    def reasons(self, label: str) -> list[str]:
        """Why the bytes of a point are not proved; empty when they are."""
        wrong = list(self.problems)
        if self.status != "ok" and not wrong:
            wrong.append(f"verify ended with status {self.status or 'unknown'}")
        if label not in self.backups:
            wrong.append(f"verify did not look at {label}")
        return wrong


def error_of(text: str) -> str:
    """The tool's own error, without secrets; the end of the text when it named none."""
    match = ERROR.search(text)
    words = f"[{match[1]}] {match[2].strip()}" if match else " ".join(text.split())[-300:]
    return scrubbed(words) or "it said nothing"


def parse_info(text: str, stanza: str) -> tuple[Repository, ...]:
    """`info --output=json` of one stanza, a repository each. Raises BackupError for what can't be understood."""
    try:
        found = info.parse(text, stanza)
    except DriverError as err:
        raise BackupError(str(err)) from None
    return tuple(_repository(found, number) for number in sorted(found.repos))


def _repository(stanza: info.Stanza, number: int) -> Repository:
    code, message = stanza.repos[number]
    systems = [system for (repo, _database), system in sorted(stanza.systems.items()) if repo == number]
    archives = [each for each in stanza.archives if each.repo == number and each.last]
    last = max(archives, key=lambda each: each.database, default=None)
    return Repository(
        name=f"repo{number}",
        points=tuple(_point(backup, stanza) for backup in stanza.of(number)),
        problem=None if code == info.OK else f"{code} {message}",
        cipher=stanza.ciphers[number],
        identities=tuple(dict.fromkeys(systems)),
        oldest=last.first if last else None,
        newest=last.last if last else None,
        busy=stanza.running,
    )


def _point(backup: info.Backup, stanza: info.Stanza) -> Point:
    return Point(
        label=backup.label,
        repository=f"repo{backup.repo}",
        kind=backup.kind,
        started=float(backup.start),
        stopped=float(backup.stop),
        size=backup.size,
        start=backup.wal_start,
        stop=backup.wal_stop,
        needs=backup.needs,
        errors=("pages failed their checksum when it was taken",) if backup.error else (),
        identity=stanza.systems.get((backup.repo, backup.database)),
        timeline=int(backup.wal_start[:8], 16) if backup.wal_start else None,
    )


def parse_verify(text: str) -> Verified:
    """`verify --output=text --verbose`. A text without a status is an error, whatever the exit code was."""
    status, problems, backups, checked, about = "", [], {}, 0, ""
    for line in (each.strip() for each in text.splitlines()):
        if line.startswith("status: "):
            status = line.removeprefix("status: ")
        elif match := ARCHIVE_LINE.match(line):
            about, checked = f"WAL of {match[1]}", checked + int(match[2])
            if match[2] != match[3]:
                problems.append(f"{about}: {int(match[2]) - int(match[3])} of {match[2]} segments are not valid")
        elif match := BACKUP_LINE.match(line):
            about = f"backup {match[1]}"
            backups[match[1]] = match[2] == "valid" and match[3] == match[4]
            if not backups[match[1]]:
                problems.append(f"{about} is {match[2]}: {int(match[3]) - int(match[4])} of {match[3]} files")
        elif counts := [f"{n} {what}" for what, n in COUNTS.findall(line) if n != "0"]:
            problems.append(f"{about}: {', '.join(counts)}")
        elif line.startswith("No usable") or "ERROR: [" in line:
            problems.append(scrubbed(line))
    return Verified(status, tuple(problems), backups, checked)


def parse_listing(text: str) -> dict[str, dict[str, Any]]:
    """`repo-ls --output=json`: path → type, size, time. Raises BackupError."""
    try:
        data = json.loads(text)
        return {str(name): dict(entry) for name, entry in data.items() if name != "."}
    except (ValueError, AttributeError, TypeError) as err:
        raise BackupError(f"pgbackrest repo-ls can't be understood: {scrubbed(str(err))}") from err


def differences(name: str, first: str | None, copy: str | None) -> list[str]:
    """What is wrong with a catalogue file and its copy; None is a file that can't be read or decrypted.

    pgBackRest falls back to the copy without a word, so one of two that is rotten is seen by nobody else.
    """
    wrong = [f"{which} can't be read" for which, text in ((name, first), (f"{name}.copy", copy)) if text is None]
    wrong += [
        f"{which} has no checksum at its end: it was cut off"
        for which, text in ((name, first), (f"{name}.copy", copy))
        if text is not None and not CHECKSUM.search(text)
    ]
    if first is not None and copy is not None and first != copy:
        wrong.append(f"{name} and its copy differ")
    return wrong


def pushed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What came into a repository, or went, that production's archiving does not explain: names → sizes.

    Production goes on while a copy is tried, so new segments on timelines that were there are its own. A new timeline,
    a new backup, a file that changed: nobody but the copy, or a job that should not have run meanwhile.
    """
    known = {match[1][:8] for name in before if (match := ARCHIVED.fullmatch(name))}
    wrong = [f"{name} is gone" for name in sorted(before.keys() - after.keys())]
    wrong += [f"{name} changed" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    for name in sorted(after.keys() - before.keys()):
        match = ARCHIVED.fullmatch(name)
        if not match or match[1][:8] not in known:
            wrong.append(f"{name} is new")
    return wrong
