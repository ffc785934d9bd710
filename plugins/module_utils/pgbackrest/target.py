# SPDX-License-Identifier: Apache-2.0
"""Where a restore shall end, and whether a repository can lead there. Pure; what can't be reached is refused before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Backup, Stanza, latest
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

KINDS = ("latest", "immediate", "time", "lsn", "xid", "name")
MB = 1_000_000
# What is replayed and checkpoints beside the files themselves
ROOM = 1.1
# Without a measurement: what a modest disk and network do
BYTES_A_SECOND = 50 * MB


@dataclass(frozen=True, slots=True)
class Target:
    """Where a restore ends.

    Attributes:
        kind: latest, immediate (as soon as the backup is consistent), time, lsn, xid or name.
        value: the time as ISO 8601 with its zone, the LSN, the transaction, the restore point.
        label: the backup to begin with; empty for the newest that leads there.
        timeline: which one to follow; latest unless set.
        exclusive: stop just before the target.
    """

    kind: str = "latest"
    value: str = ""
    label: str = ""
    timeline: str = ""
    exclusive: bool = False

    @property
    def moment(self) -> datetime:
        """The time that is meant, in UTC. Raises DriverError for one without a zone: it would mean several moments."""
        try:
            moment = datetime.fromisoformat(self.value.replace("Z", "+00:00"))
        except ValueError:
            raise DriverError(f"{self.value!r} is no time → write it like 2026-11-25T09:30:00+03:00") from None
        if moment.tzinfo is None:
            raise DriverError(f"{self.value!r} names no zone → append Z or +03:00")
        return moment.astimezone(UTC)

    def options(self) -> list[str]:
        """What pgBackRest is told of it; recovery ends with a promotion."""
        if self.kind == "latest":
            return [f"--target-timeline={self.timeline}"] if self.timeline else []
        value = f"{self.moment:%Y-%m-%d %H:%M:%S.%f}+00" if self.kind == "time" else self.value
        return [
            f"--type={self.kind}",
            *([f"--target={value}"] if self.kind != "immediate" else []),
            *(["--target-exclusive"] if self.exclusive else []),
            *([f"--target-timeline={self.timeline}"] if self.timeline else []),
            "--target-action=promote",
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do: from where, how much, about how long."""

    repository: int
    backup: Backup
    bytes: int
    seconds: int

    def as_dict(self) -> dict[str, Any]:
        """For people."""
        at = datetime.fromtimestamp(self.backup.stop, UTC).isoformat()
        return {
            "repository": self.repository, "backup": self.backup.label, "made": at,
            "mb": self.bytes // MB, "about_seconds": self.seconds,
        }  # fmt: skip


def plan(stanza: Stanza, target: Target, repository: int | None, now: float, free_mb: int) -> Plan:
    """From where the restore begins. Raises DriverError with every reason why it can't."""
    wanted = [repository] if repository is not None else sorted(stanza.repos)
    said: list[str] = []
    for number in wanted:
        problems = list(_problems(stanza, target, number, now))
        if not problems:
            backup = _begin(stanza, target, number)
            need = int(backup.size * ROOM)
            if need > free_mb * MB:
                raise DriverError(
                    f"{backup.label} needs {need // MB} MB, {free_mb} MB are free → make room, or another host"
                )
            return Plan(number, backup, backup.size, max(1, backup.size // BYTES_A_SECOND))
        said += problems
    raise DriverError("; ".join(said) or "no repository is configured")


def target_from(params: Mapping[str, Any]) -> Target:
    """Of at most one of time, lsn, xid and name. Raises DriverError when there are more, or one is malformed."""
    given = {kind: str(params[kind]) for kind in ("time", "lsn", "xid", "name") if params.get(kind)}
    if len(given) > 1:
        raise DriverError(f"{' and '.join(given)} can't be given together")
    kind, value = next(iter(given.items()), ("immediate" if params.get("immediate") else "latest", ""))
    forms = {"lsn": r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", "xid": r"[1-9][0-9]*", "name": r"[^\x00-\x1f]{1,63}"}
    if kind in forms and not re.fullmatch(forms[kind], value):
        raise DriverError(f"{value!r} is no {kind}")
    more = {key: str(params.get(key) or "") for key in ("label", "timeline")}
    found = Target(kind, value, more["label"], more["timeline"], bool(params.get("exclusive")))
    if kind == "time":
        found.options()  # refuses what is no time
    return found


def lsn(text: str) -> int:
    """An LSN as a number."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _problems(stanza: Stanza, target: Target, number: int, now: float) -> Iterator[str]:
    place = f"repository {number}"
    if number not in stanza.repos:
        yield f"{place} is not configured; there are {', '.join(map(str, sorted(stanza.repos))) or 'none'}"
        return
    backups = stanza.of(number)
    if not backups:
        yield f"{place} has no backup: {stanza.repos[number][1]}"
        return
    if target.label and target.label not in {backup.label for backup in backups}:
        yield f"{place} has no backup {target.label}; the newest is {backups[-1].label}"
    if target.kind == "time" and target.moment.timestamp() > now:
        yield f"{target.value} is in the future"
    elif target.kind in ("time", "lsn") and _begin_or_none(stanza, target, number) is None:
        yield f"{target.value} is before the end of the first backup of {place}, {backups[0].label}"


def _begin(stanza: Stanza, target: Target, number: int) -> Backup:
    found = _begin_or_none(stanza, target, number)
    if found is None:
        raise DriverError(f"repository {number} has no backup that leads to {target.value or 'the end'}")
    return found


def _begin_or_none(stanza: Stanza, target: Target, number: int) -> Backup | None:
    """The newest backup that ended before the target, or the one that was named."""
    backups = [backup for backup in stanza.of(number) if target.label in ("", backup.label)]
    if target.kind == "time":
        backups = [backup for backup in backups if backup.stop <= target.moment.timestamp()]
    elif target.kind == "lsn":
        backups = [backup for backup in backups if backup.lsn_stop and lsn(backup.lsn_stop) <= lsn(target.value)]
    return latest(backups)
