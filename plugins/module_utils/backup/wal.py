# SPDX-License-Identifier: Apache-2.0
"""WAL segments, timelines and holes between them. Pure: names in, holes out.

`pgbackrest verify` (2.55.1) says `status: ok` when a segment is gone from the middle of an archive, so we count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
ARCHIVED = re.compile(r"(?:.*/)?([0-9A-F]{24})-[0-9a-f]{40}(?:\.(?:gz|lz4|zst|bz2))?")
HISTORY = re.compile(r"(?:.*/)?([0-9A-F]{8})\.history")
LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.IGNORECASE)
MIB16 = 16 * 1024 * 1024
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Segment:
    """One WAL segment: its timeline, and its number counted from the first one of the cluster."""

    timeline: int
    number: int

    @classmethod
    def parse(cls, name: str, size: int = MIB16) -> Segment:
        """From the name of a file. Raises BackupError."""
        match = SEGMENT.fullmatch(name)
        if not match:
            raise BackupError(f"{name!r} is no name of a WAL segment")
        timeline, log, segment = (int(part, 16) for part in match.groups())
        return cls(timeline, log * (0x100000000 // size) + segment)

    def name(self, size: int = MIB16) -> str:
        """The name of its file."""
        log, segment = divmod(self.number, 0x100000000 // size)
        return f"{self.timeline:08X}{log:08X}{segment:08X}"


@dataclass(frozen=True, slots=True)
class Switch:
    """A timeline was left at this place for the next one."""

    timeline: int
    lsn: int


def lsn(text: str) -> int:
    """`0/F000280` as a number. Raises BackupError."""
    match = LSN.fullmatch(text.strip())
    if not match:
        raise BackupError(f"{text!r} is no LSN")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def parse_history(text: str) -> tuple[Switch, ...]:
    """A history file: the ancestors of a timeline, oldest first. Raises BackupError."""
    found = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            parts = line.split("\t") if "\t" in line else line.split()
            try:
                found.append(Switch(int(parts[0]), lsn(parts[1])))
            except (ValueError, IndexError):
                raise BackupError(f"{line!r} is no line of a timeline's history") from None
    return tuple(found)


def archived(names: Iterable[str]) -> tuple[set[str], set[int]]:
    """Names of whole segments, and timelines that have a history file, in a listing of an archive."""
    listed = list(names)
    segments = {match[1] for name in listed if (match := ARCHIVED.fullmatch(name))}
    histories = {int(match[1], 16) for name in listed if (match := HISTORY.fullmatch(name))}
    return segments, histories


def path(timeline: int, histories: Mapping[int, tuple[Switch, ...]]) -> tuple[Switch, ...]:
    """How one came to a timeline. Raises BackupError when its history is not archived."""
    if timeline == 1:
        return ()
    if timeline not in histories:
        raise BackupError(f"timeline {timeline} has no history file in the archive")
    return histories[timeline]


def needed(start: str, until: str, histories: Mapping[int, tuple[Switch, ...]], size: int = MIB16) -> list[str]:
    """Segments that recovery from `start` to `until` reads.

    Recovery stays on a timeline until the place where the next one left it, and reads that place's segment
    from the new timeline: the old one's is partial.

    Raises:
        BackupError: `until` does not descend from `start`.
    """
    first, last = Segment.parse(start, size), Segment.parse(until, size)
    ways = path(last.timeline, histories)
    line = [*(s for s in ways if s.timeline >= first.timeline), Switch(last.timeline, (last.number + 1) * size)]
    if line[0].timeline != first.timeline:
        raise BackupError(f"timeline {last.timeline} does not descend from timeline {first.timeline}")
    names, number = [], first.number
    for place, switch in enumerate(line):
        end = switch.lsn // size
        if place == 0 and end < first.number:
            left = f"timeline {last.timeline} left timeline {first.timeline}"
            raise BackupError(f"{left} before the point was taken: it is another branch")
        names += [Segment(switch.timeline, each).name(size) for each in range(number, end)]
        number = max(number, end)
    return names


def holes(
    start: str, until: str, present: set[str], histories: Mapping[int, tuple[Switch, ...]], size: int = MIB16
) -> list[str]:
    """Segments that recovery needs and the archive lacks. Raises BackupError as `needed` does."""
    return [name for name in needed(start, until, histories, size) if name not in present]


def newest(present: Iterable[str], size: int = MIB16) -> str | None:
    """The last segment of the highest timeline."""
    found = [Segment.parse(name, size) for name in present]
    return max(found, key=lambda s: (s.timeline, s.number)).name(size) if found else None


def shown(names: list[str]) -> str:
    """Some names for people."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
