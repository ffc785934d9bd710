# SPDX-License-Identifier: Apache-2.0
"""A mirror's directory: files by content, readable aliases, and an index with sizes, hashes and licences.

Mirrors of several labs may share one directory. Each writes under a lock that lies in it, and the index lists what is
there, whoever put it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.placement import Pin, is_pinned, remember
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import exclusive

LISTED = ("name", "version", "platform", "file", "sha256", "size", "licence")


@dataclass(frozen=True, slots=True)
class MirrorStore:
    """The directory that a mirror serves."""

    root: Path

    def path(self, artifact: Artifact) -> Path:
        """Where an artifact's file is or will be."""
        return self.root / artifact.path

    def has(self, artifact: Artifact) -> bool:
        """Whether the file is there and is the pinned one."""
        return is_pinned(self.path(artifact), pin_of(artifact))

    def lock(self, what: str) -> AbstractContextManager[None]:
        """Wait for everybody else who does `what` in this directory, on this host or in another container."""
        return exclusive(self.root / ".locks" / what)

    def unpublished(self, present: Sequence[Artifact]) -> bool:
        """Whether the index or an alias is not what `publish` would make it."""
        index = self.root / "index.json"
        if not index.is_file() or index.read_text(encoding="utf-8") != index_of(self._all(present)):
            return True
        return any(_target(self.root / artifact.alias) != _up(artifact) for artifact in present)

    def publish(self, present: Sequence[Artifact]) -> None:
        """Write the index of the artifacts that are there, and link the readable aliases of `present`."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with self.lock("index"):
            for artifact in present:
                remember(self.path(artifact), pin_of(artifact))
                alias = self.root / artifact.alias
                alias.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                with _replacing(alias) as new:
                    new.symlink_to(_up(artifact))
            with _replacing(self.root / "index.json") as new:
                new.write_text(index_of(self._all(present)), encoding="utf-8")
                new.chmod(0o644)

    def _all(self, present: Iterable[Artifact]) -> list[Artifact]:
        """`present`, and what the index lists already and is still there: another mirror may have put it in."""
        kept = (artifact for artifact in self._listed() if self.has(artifact))
        return list({artifact.alias: artifact for artifact in (*kept, *present)}.values())

    def _listed(self) -> list[Artifact]:
        """The artifacts of the index; none when it is missing or damaged."""
        try:
            entries = json.loads((self.root / "index.json").read_text(encoding="utf-8"))["artifacts"]
            return [Artifact(**{key: entry[key] for key in LISTED}) for entry in entries]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []


def index_of(artifacts: Iterable[Artifact]) -> str:
    """The text of index.json: what a mirror has, with size, hash and licence."""
    found = sorted(artifacts, key=lambda artifact: artifact.alias)
    entries = [{**{key: getattr(artifact, key) for key in LISTED}, "path": artifact.path} for artifact in found]
    return json.dumps({"artifacts": entries}, indent=1) + "\n"


def pin_of(artifact: Artifact) -> Pin:
    """What an artifact's file must be."""
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
