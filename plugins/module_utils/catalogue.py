# SPDX-License-Identifier: Apache-2.0
"""The artifact catalogue: name → version → platform → what a file must be. Supported means listed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[a-z][a-z0-9-]*")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
PLATFORM = re.compile(r"(linux_(amd64|arm64)|any)")
FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
LICENCE = re.compile(r"[A-Za-z0-9.+-]+( (OR|AND|WITH) [A-Za-z0-9.+-]+)*")
KEYS = {"file", "sha256", "size", "licence", "sources"}
ARCHIVES = ("zip", "tar.gz")
SOURCE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    # kind: (required keys, optional keys)
    "url": ({"url"}, {"unpack", "member"}),
    "distribution": ({"package", "version"}, set()),
    "goproxy": ({"module", "version"}, set()),
    "go": ({"module", "version", "toolchain", "disk_mb", "cpu_minutes"}, {"package", "exclude", "ldflags", "tags"}),
}


class CatalogueError(Exception):
    """The catalogue does not list what was asked for, or is malformed; the message names the nearest listed."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One pinned file.

    Attributes:
        name: name of the artifact: consul.
        version: its version: 1.22.5.
        platform: linux_amd64, linux_arm64, or any for files that run everywhere.
        file: file name that it is installed under.
        sha256: of the file, lower-case hex. It alone decides what is installed.
        size: in bytes.
        licence: SPDX expression.
        sources: where the bytes may come from, in order; see docs/catalogue.md.
    """

    name: str
    version: str
    platform: str
    file: str
    sha256: str
    size: int
    licence: str
    sources: tuple[dict[str, Any], ...] = ()

    @property
    def path(self) -> str:
        """Where a mirror keeps it, relative to its root: by content, so a path never changes its meaning."""
        return f"sha256/{self.sha256}/{self.file}"

    @property
    def alias(self) -> str:
        """Where people find it on a mirror, relative to its root."""
        return f"{self.name}/{self.version}/{self.platform}/{self.file}"

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.platform})"

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form, sources included."""
        return {**asdict(self), "sources": list(self.sources)}


def artifact_from(data: Mapping[str, Any]) -> Artifact:
    """An Artifact from `as_dict()`'s form, as modules receive it."""
    return Artifact(**{**data, "sources": tuple(data.get("sources") or ())})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The parsed catalogue file."""

    entries: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]

    @classmethod
    def parse(cls, data: object) -> Catalogue:
        """A checked catalogue. Raises CatalogueError with every problem at once."""
        found = list(problems(data))
        if found:
            raise CatalogueError("the artifact catalogue is malformed: " + "; ".join(found))
        return cls(cast("Mapping[str, Any]", data))

    def names(self) -> list[str]:
        """All artifacts, sorted."""
        return sorted(self.entries)

    def versions(self, name: str) -> list[str]:
        """All listed versions of an artifact, oldest first. Raises CatalogueError for an unknown name."""
        if name not in self.entries:
            raise CatalogueError(f"{name} is not in the artifact catalogue{nearest(name, self.entries)}")
        return sorted(self.entries[name], key=version_key)

    def find(self, name: str, version: str, platform: str) -> Artifact:
        """The artifact of that version for that platform, or for any. Raises CatalogueError with the nearest listed."""
        listed = self.versions(name)
        if version not in listed:
            hint = nearest(version, listed)
            raise CatalogueError(f"{name} {version} is not in the catalogue: {', '.join(listed)} are listed{hint}")
        platforms = self.entries[name][version]
        chosen = platform if platform in platforms else "any"
        if chosen not in platforms:
            raise CatalogueError(f"{name} {version} is not listed for {platform}, only for {', '.join(platforms)}")
        return artifact_from({"name": name, "version": version, "platform": chosen, **platforms[chosen]})


def version_key(version: str) -> list[tuple[int, int, str]]:
    """A key that sorts versions as people do: 1.9 before 1.22."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|[A-Za-z]+", version)]


def nearest(wanted: str, listed: Iterable[str]) -> str:
    """A hint ` → did you mean …?`, or nothing when nothing is near."""
    close = difflib.get_close_matches(wanted, list(listed), n=1, cutoff=0.5)
    return f" → did you mean {close[0]}?" if close else ""


def platform_of(machine: str) -> str:
    """The catalogue's platform of a Linux machine name (`uname -m`). Raises CatalogueError for others."""
    known = {"x86_64": "linux_amd64", "amd64": "linux_amd64", "aarch64": "linux_arm64", "arm64": "linux_arm64"}
    if machine not in known:
        raise CatalogueError(f"machine {machine} has no platform in the catalogue: {', '.join(sorted(known))} do")
    return known[machine]


def problems(data: object) -> Iterator[str]:
    """Every rule that the catalogue data breaks, one sentence each, with its place."""
    if not isinstance(data, Mapping) or not data:
        yield "it is not a mapping of names"
        return
    yield from _unsorted("names", list(data), sorted(data))
    for name, versions in data.items():
        yield from _mismatch(NAME, name, f"{name}: the name")
        if not isinstance(versions, Mapping) or not versions:
            yield f"{name}: has no versions"
            continue
        if any(not isinstance(version, str) for version in versions):
            yield f"{name}: versions must be quoted strings"
            continue
        yield from _unsorted(f"{name}: versions", list(versions), sorted(versions, key=version_key))
        for version, platforms in versions.items():
            yield from _mismatch(VERSION, version, f"{name} {version}: the version")
            if not isinstance(platforms, Mapping) or not platforms:
                yield f"{name} {version}: has no platforms"
                continue
            for platform, entry in platforms.items():
                place = f"{name} {version} {platform}"
                yield from _mismatch(PLATFORM, platform, f"{place}: the platform")
                yield from _entry_problems(place, entry, data)


def _entry_problems(place: str, entry: object, data: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(entry, Mapping) or set(entry) != KEYS:
        yield f"{place}: must have exactly the keys {', '.join(sorted(KEYS))}"
        return
    yield from _mismatch(FILE, entry["file"], f"{place}: file")
    yield from _mismatch(SHA256, entry["sha256"], f"{place}: sha256")
    yield from _mismatch(LICENCE, entry["licence"], f"{place}: licence")
    if not isinstance(entry["size"], int) or isinstance(entry["size"], bool) or entry["size"] <= 0:
        yield f"{place}: size must be a number of bytes above 0"
    if not isinstance(entry["sources"], list) or not entry["sources"]:
        yield f"{place}: has no sources"
        return
    for number, source in enumerate(entry["sources"], start=1):
        yield from _source_problems(f"{place}: source {number}", source, data)


def _source_problems(place: str, source: object, data: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(source, Mapping) or source.get("kind") not in SOURCE_KEYS:
        yield f"{place}: must be a mapping whose kind is one of {', '.join(SOURCE_KEYS)}"
        return
    kind = source["kind"]
    required, optional = SOURCE_KEYS[kind]
    missing, unknown = required - set(source), set(source) - required - optional - {"kind"}
    if missing:
        yield f"{place} ({kind}): lacks {', '.join(sorted(missing))}"
    if unknown:
        yield f"{place} ({kind}): unknown keys {', '.join(sorted(unknown))}"
    if kind == "go" and source.get("toolchain") not in data.get("go-toolchain", {}):
        yield f"{place} (go): go-toolchain {source.get('toolchain')} is not in the catalogue"
    if kind == "url" and ("unpack" in source) != ("member" in source):
        yield f"{place} (url): unpack and member belong together"
    if "unpack" in source and source["unpack"] not in ARCHIVES:
        yield f"{place} (url): unpack {source['unpack']!r} is none of {', '.join(ARCHIVES)}"
    for key in {"disk_mb", "cpu_minutes"} & set(source):
        if not isinstance(source[key], int) or source[key] <= 0:
            yield f"{place} (go): {key} must be a number above 0"


def _mismatch(pattern: re.Pattern[str], value: object, place: str) -> Iterator[str]:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        yield f"{place} {value!r} does not match {pattern.pattern}"


def _unsorted(what: str, found: list[str], wanted: list[str]) -> Iterator[str]:
    if found != wanted:
        yield f"{what} are not sorted: {', '.join(wanted)} is the order"
