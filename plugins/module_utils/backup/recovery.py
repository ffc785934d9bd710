# SPDX-License-Identifier: Apache-2.0
"""Where PostgreSQL's recovery ended: targets, its log, pg_control. Pure. "Target not reached" is a failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    failed,
    found,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.wal import lsn

KINDS = ("time", "lsn", "xid", "name", "immediate", "latest")
NAME = re.compile(r"[A-Za-z0-9_.:-]{1,63}")
STOPPED = re.compile(r"recovery stopping (?:before|after) (.+)|recovery stopping at (restore point .+)")
REACHED = {
    "time": re.compile(
        r"recovery stopping (?:before|after) (?:commit|abort) of (?:prepared )?transaction \d+, time (.+)"
    ),
    "xid": re.compile(r"recovery stopping (?:before|after) (?:commit|abort) of (?:prepared )?transaction (\d+)"),
    "lsn": re.compile(r'recovery stopping (?:before|after) WAL location \(LSN\) "([0-9A-F/]+)"'),
    "name": re.compile(r'recovery stopping at restore point "([^"]+)"'),
    "immediate": re.compile(r"recovery stopping after reaching consistency()"),
}
FATAL = re.compile(r"(?:FATAL|PANIC): +(.+)")
REFUSED = "the database system is "  # said to a client that came too early, not about recovery
NOT_REACHED = "recovery ended before configured recovery target was reached"
CONTROL = {
    "identity": "Database system identifier",
    "state": "Database cluster state",
    "timeline": "Latest checkpoint's TimeLineID",
    "checkpoint": "Latest checkpoint location",
    "minimum": "Minimum recovery ending location",
    "checksums": "Data page checksum version",
    "segment_size": "Bytes per WAL segment",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where recovery shall end. `latest`: at the end of the log."""

    kind: str
    value: str = ""

    def __post_init__(self) -> None:
        """Refuse what no recovery can reach. Raises BackupError."""
        if self.kind not in KINDS:
            raise BackupError(f"target kind {self.kind!r} is none → one of {', '.join(KINDS)}")
        if (self.kind in ("immediate", "latest")) == bool(self.value):
            raise BackupError(f"target {self.kind} {'takes no' if self.value else 'needs a'} value")
        if self.kind == "time":
            moment(self.value)
        elif self.kind == "lsn":
            lsn(self.value)
        elif self.kind == "xid" and not re.fullmatch(r"[1-9][0-9]{0,19}", self.value):
            raise BackupError(f"target xid {self.value!r} is no transaction")
        elif self.kind == "name" and not NAME.fullmatch(self.value):
            raise BackupError(f"target name {self.value!r} is no name of a restore point")

    def arguments(self) -> list[str]:
        """Options of `pgbackrest restore`. Recovery pauses at the target, so that nothing behind it is made."""
        if self.kind == "latest":
            return ["--type=default"]
        if self.kind == "immediate":
            return ["--type=immediate", "--target-action=pause"]
        return [f"--type={self.kind}", f"--target={self.value}", "--target-action=pause"]


def moment(text: str) -> float:
    """A time with its zone as seconds since the epoch. Raises BackupError: without a zone it could be any."""
    try:
        parsed = datetime.fromisoformat(text.strip().replace(" UTC", "+00:00"))
    except ValueError:
        raise BackupError(f"{text!r} is no time → write 2026-11-25 09:15:34+00:00") from None
    if parsed.tzinfo is None:
        raise BackupError(f"{text!r} has no time zone → write 2026-11-25 09:15:34+00:00")
    return parsed.timestamp()


def in_reach(target: Target, first: float | None, now: float) -> str | None:
    """Why a target can't be reached from the points that there are; None when it may be."""
    if target.kind != "time":
        return None
    at = moment(target.value)
    if at > now:
        return f"target time {target.value} is in the future"
    if first is None or at < first:
        oldest = "there is no point" if first is None else f"the first point ended at {iso(first)}"
        return f"target time {target.value} is before anything that can be restored: {oldest}"
    return None


def iso(at: float, timespec: str = "seconds") -> str:
    """Seconds since the epoch for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec=timespec)


def parse_controldata(text: str) -> dict[str, Any]:
    """The part of `pg_controldata` that tells whose data these are and where they are. Raises BackupError."""
    lines = dict(re.split(r": *", line, maxsplit=1) for line in text.splitlines() if ":" in line)
    missing = [label for label in CONTROL.values() if label not in lines]
    if missing:
        raise BackupError(f"pg_controldata does not tell {', '.join(missing)}")
    data: dict[str, Any] = {key: lines[label].strip() for key, label in CONTROL.items()}
    numbers = {key: int(data[key]) for key in ("timeline", "checksums", "segment_size")}
    return {**data, **numbers}


def target_reached(target: Target, log: str, answer: Mapping[str, Any] | None) -> Finding:
    """Whether recovery ended where it was told to.

    Args:
        log: the server's log since it started.
        answer: `replayed`, `paused` (recovery waits at its end), `recovering`; None when the server did not come up.
    """
    fatal = [match[1] for line in log.splitlines() if (match := FATAL.search(line)) and REFUSED not in line]
    stop = next((match for line in log.splitlines() if (match := STOPPED.search(line))), None)
    evidence = {
        "target": f"{target.kind} {target.value}".strip(),
        "stopped": stop[0] if stop else None,
        **(answer or {}),
    }
    if any(NOT_REACHED in each for each in fatal):
        return failed("target_reached", f"{NOT_REACHED}: {_last_log(log)}", **evidence)
    if fatal:
        return failed("target_reached", f"recovery died: {fatal[-1]}", **evidence)
    if answer is None:
        return unknown("target_reached", "the server did not come up and did not say why", **evidence)
    if target.kind == "latest":
        ended = "archive recovery complete" in log and not answer.get("recovering")
        return found("target_reached", [] if ended else ["recovery of all the log has not ended"], **evidence)
    match = next((m for line in log.splitlines() if (m := REACHED[target.kind].search(line))), None)
    if match is None:
        return failed("target_reached", f"the log does not say that it stopped at {evidence['target']}", **evidence)
    wrong = [] if answer.get("paused") else ["recovery does not wait at its target"]
    return found("target_reached", [*wrong, *_elsewhere(target, match[1])], **evidence)


def _elsewhere(target: Target, stopped: str) -> list[str]:
    """Why the place where it stopped is not the target."""
    if target.kind == "time" and moment(stopped) < moment(target.value):
        return [f"it stopped at {stopped}, before {target.value}"]
    if target.kind in ("xid", "name") and stopped != target.value:
        return [f"it stopped at {stopped}, not at {target.value}"]
    if target.kind == "lsn" and lsn(stopped) < lsn(target.value):
        return [f"it stopped at {stopped}, before {target.value}"]
    return []


def _last_log(log: str) -> str:
    """The last piece of the archive that recovery read."""
    read = re.findall(r'restored log file "([0-9A-F]{24})"', log)
    return f"the last segment that it read was {read[-1]}" if read else "it read no segment"
