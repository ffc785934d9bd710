# SPDX-License-Identifier: Apache-2.0
"""A mirror's directory: files by content, readable aliases, and an index with sizes, hashes and licences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.placement import (
    Pin,
    PlacementError,
    WrongBytesError,
    is_pinned,
    place,
    remember,
)
from ansible_collections.rsp.platform.plugins.module_utils.sources import Source
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, drop

LISTED = ("name", "version", "platform", "file", "sha256", "size", "licence")


class UnavailableError(Exception):
    """No source has the artifact; the message lists each with its reason."""


@dataclass(frozen=True, slots=True)
class MirrorStore:
    """The directory that a mirror serves."""

    root: Path

    def path(self, artifact: Artifact) -> Path:
        """Where an artifact's file is or will be."""
        return self.root / artifact.path

    def has(self, artifact: Artifact) -> bool:
        """Whether the file is there and is the pinned one."""
        return is_pinned(self.path(artifact), _pin(artifact))

    def unpublished(self, present: Sequence[Artifact]) -> bool:
        """Whether the index or an alias is not what `publish` would make it."""
        index = self.root / "index.json"
        if not index.is_file() or index.read_text(encoding="utf-8") != index_of(present):
            return True
        return any(_target(self.root / artifact.alias) != _up(artifact) for artifact in present)

    def publish(self, present: Sequence[Artifact]) -> None:
        """Write the index of the artifacts that are there, and link their readable aliases."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for artifact in present:
            remember(self.path(artifact), _pin(artifact))
            alias = self.root / artifact.alias
            alias.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with _replacing(alias) as new:
                new.symlink_to(_up(artifact))
        with _replacing(self.root / "index.json") as new:
            new.write_text(index_of(present), encoding="utf-8")
            new.chmod(0o644)

    def fill(
        self,
        artifact: Artifact,
        registry: Mapping[str, Source],
        upstreams: Sequence[str],
        tools_for: Callable[[Artifact], Tools],
    ) -> str:
        """Get an artifact from its first source that yields the pinned bytes.

        Args:
            artifact: what to get, sources included.
            registry: strategy by kind of source.
            upstreams: base addresses of other mirrors, asked before the artifact's own sources.
            tools_for: tools with a work directory of the artifact's own; it is dropped when the file is in place.

        Returns:
            What it came from.

        Raises:
            UnavailableError: no source has it.
            PlacementError: the disk is full or refuses.
        """
        tools, reasons = tools_for(artifact), []
        for source in [*({"kind": "mirror", "url": url} for url in upstreams), *artifact.sources]:
            try:
                self._fill_from(source, artifact, registry, tools)
            except (FetchError, WrongBytesError, UnavailableError) as err:
                reasons.append(f"{origin(source)}: {err}")
            except PlacementError as err:
                raise PlacementError(f"{artifact} from {origin(source)}: {err}") from err
            else:
                drop(tools.work)
                return origin(source)
        listed = "".join(f"\n  {number}. {reason}" for number, reason in enumerate(reasons, start=1))
        fix = "put the file on a mirror of yours and name it in mirror_upstreams, or make one of these answer"
        raise UnavailableError(f"{artifact}: no source yields the pinned file → {fix}{listed}")

    def _fill_from(
        self, source: Mapping[str, Any], artifact: Artifact, registry: Mapping[str, Source], tools: Tools
    ) -> None:
        def write(temporary: Path) -> None:
            registry[source["kind"]](source, artifact, temporary, tools)
            temporary.chmod(0o644)

        place(self.path(artifact), _pin(artifact), write)


def index_of(artifacts: Iterable[Artifact]) -> str:
    """The text of index.json: what a mirror has, with size, hash and licence."""
    found = sorted(artifacts, key=lambda artifact: artifact.alias)
    entries = [{**{key: getattr(artifact, key) for key in LISTED}, "path": artifact.path} for artifact in found]
    return json.dumps({"artifacts": entries}, indent=1) + "\n"


def origin(source: Mapping[str, Any]) -> str:
    """A source in a few words, as messages name it."""
    what = source.get("url") or f"{source.get('module') or source.get('package')} {source['version']}"
    return f"{source['kind']} {what}"


def _pin(artifact: Artifact) -> Pin:
    return Pin(artifact.sha256, artifact.size)


def _up(artifact: Artifact) -> Path:
    return Path("../" * artifact.alias.count("/")) / artifact.path


def _target(link: Path) -> Path | None:
    return link.readlink() if link.is_symlink() else None


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A free name beside `path` that takes its place at the end."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    yield new
    new.replace(path)
