# SPDX-License-Identifier: Apache-2.0
"""Single databases of a restored copy as files for pg_restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


@dataclass(frozen=True, slots=True)
class Source:
    """The copy's server: how it is run, where its programs and its socket are."""

    run: Run
    bin_dir: Path
    socket_dir: Path
    port: int


def dump(source: Source, databases: Sequence[str], directory: Path, check: bool) -> list[str]:
    """One file a database. Raises DriverError when one is there already, or pg_dump fails."""
    files = {name: directory / f"{name}.dump" for name in databases}
    for name, path in files.items():
        if "/" in name or name.startswith("-"):
            raise DriverError(f"{name!r} can't be the name of a file")
        if path.exists():
            raise DriverError(f"{path} is there already → look at it, then remove it")
    if not check:
        directory.mkdir(mode=0o700, exist_ok=True)
        for name, path in files.items():
            _one(source, name, path)
    return [str(path) for path in files.values()]


def _one(source: Source, name: str, path: Path) -> None:
    part = path.with_suffix(".part")
    argv = [str(source.bin_dir / "pg_dump"), "-h", str(source.socket_dir), "-p", str(source.port), "-U", "postgres"]
    code, out, err = source.run([*argv, "-Fc", f"--file={part}", f"--dbname={name}"])
    if code != 0:
        raise DriverError(f"pg_dump of {name} ended with {code}: {(err or out).strip()[-300:]}")
    part.replace(path)
