# SPDX-License-Identifier: Apache-2.0
"""What a source has to work with: HTTP, commands, a work directory, and other artifacts."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError, Http

LAST_LINES = 12


class Runner(Protocol):
    """Runs a command."""

    def __call__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
        """Exit code, standard output and standard error. 127 when there is no such command."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a source has to work with.

    Attributes:
        http: how to download.
        run: how to run a command.
        work: a directory of this artifact's own; it outlives a failure, so that the next run resumes.
        goproxy: addresses of Go module proxies, as in Go's GOPROXY.
        gosumdb: Go's checksum database, as in GOSUMDB.
        obtain: has another artifact in the store and returns its file.
    """

    http: Http
    run: Runner
    work: Path
    goproxy: str
    gosumdb: str
    obtain: Callable[[Artifact], Path]

    def checked(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
        """Standard output of a command. Raises FetchError with its last lines when it fails."""
        code, out, err = self.run(argv, cwd, env)
        if code != 0:
            said = "\n".join((err or out).strip().splitlines()[-LAST_LINES:])
            raise FetchError(f"`{' '.join(argv)}` ended with {code}: {said}")
        return out

    def scratch(self) -> Path:
        """An empty directory in the work directory, for files that are not worth keeping."""
        directory = self.work / "scratch"
        drop(directory)
        directory.mkdir(parents=True)
        return directory


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Wait for others that hold `lock`: a build outlives its controller, and the next run must not join in."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def drop(directory: Path) -> None:
    """Remove a directory tree, read-only directories (Go's module cache makes such) included."""
    for parent, _directories, _files in os.walk(directory):
        Path(parent).chmod(0o755)
    shutil.rmtree(directory, ignore_errors=not directory.exists())
