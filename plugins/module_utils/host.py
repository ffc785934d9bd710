# SPDX-License-Identifier: Apache-2.0
"""What a member has: memory, processors, system, packages, space, and who holds its ports. Read-only."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.command import Run

LISTEN = "0A"
# cgroup v1 writes "no limit" as the largest multiple of a page.
NO_LIMIT = 1 << 60


class HostError(Exception):
    """The member could not be read."""


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the kernel and the system tell about themselves; tests put a tree of their own here."""

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    os_release: Path = Path("/etc/os-release")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port; `pid` 0 when it is not visible from here.

    Attributes:
        units: names in its control group's path, its systemd unit among them.
    """

    pid: int
    command: str
    units: frozenset[str] = field(default_factory=frozenset)


def os_name(roots: Roots) -> str:
    """Distribution and major version: debian-13."""
    lines = roots.os_release.read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    name, version = (pairs.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))
    return f"{name}-{version}"


def packages(run: Run, wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Missing packages as they were asked for, and versions of the installed ones by name.

    An entry is a name or `name=version`, where the version may hold `*` as apt takes it.
    """
    if not wanted:
        return [], {}
    names = [entry.partition("=")[0] for entry in wanted]
    # A return code of 1 says no more than that some are not installed.
    _code, out, err = run(
        ["dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${db:Status-Status}\n", *names]
    )
    if not out and "no packages found" not in err:
        raise HostError(f"dpkg-query: {err.strip()}")
    rows = (line.split("\t") for line in out.splitlines())
    versions = {name: version for name, version, status in rows if status == "installed"}
    missing = []
    for entry in wanted:
        name, _equals, version = entry.partition("=")
        if name not in versions or (version and not fnmatchcase(versions[name], version)):
            missing.append(entry)
    return missing, versions


def memory_mb(roots: Roots) -> int:
    """MiB that this host may use: its memory, or the smallest limit of the control groups around it."""
    text = (roots.proc / "meminfo").read_text(encoding="ascii")
    total = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemTotal:"))
    limits = [total, *_limits(roots, "memory", "memory.max"), *_limits(roots, "memory", "memory.limit_in_bytes")]
    return min(limits) // (1 << 20)


def cpus(roots: Roots) -> int:
    """Processors that this host may use, at least 1: those it may run on, or a smaller quota of its control groups."""
    found = float(len(os.sched_getaffinity(0)))
    for group in _groups(roots, "cpu"):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            found = min(found, int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota, period = (
                (group / f"cpu.cfs_{what}_us").read_text(encoding="ascii").strip() for what in ("quota", "period")
            )
            found = min(found, int(quota) / int(period)) if int(quota) > 0 else found
    return max(1, int(found))


def _limits(roots: Roots, controller: str, name: str) -> list[int]:
    limits = []
    for group in _groups(roots, controller):
        with suppress(OSError, ValueError):
            limits.append(int((group / name).read_text(encoding="ascii")))
    return [limit for limit in limits if limit < NO_LIMIT]


def _groups(roots: Roots, controller: str) -> list[Path]:
    """Control groups of PID 1, v1 and v2, from its own up to the root: services live beside it, in the same ones."""
    found: list[Path] = []
    with suppress(OSError):
        for line in (roots.proc / "1" / "cgroup").read_text(encoding="utf-8").splitlines():
            _hierarchy, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            hierarchy = roots.cgroup / controllers if controllers else roots.cgroup
            own = Path(path)
            found += [hierarchy / str(group).lstrip("/") for group in (own, *own.parents)]
    return found


def free_mb(path: str) -> int:
    """MiB free for a path that may not exist yet, on the file system of its nearest parent."""
    place = Path(path)
    while not place.exists():
        place = place.parent
    seen = os.statvfs(place)
    return seen.f_bavail * seen.f_frsize // (1 << 20)


def listeners(roots: Roots, ports: Sequence[int]) -> dict[int, Holder]:
    """Who listens on which of these TCP ports."""
    inodes: dict[str, int] = {}
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (roots.proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                port = int(words[1].rpartition(":")[2], 16)
                if words[3] == LISTEN and port in ports:
                    inodes[words[9]] = port
    if not inodes:
        return {}
    found = {port: Holder(0, "a process that is not visible here") for port in inodes.values()}
    for process in roots.proc.iterdir():
        if process.name.isdigit():
            for inode in _sockets(process) & set(inodes):
                found[inodes[inode]] = _holder(process)
    return found


def _sockets(process: Path) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _holder(process: Path) -> Holder:
    command, group = "", ""
    with suppress(OSError):
        command = (process / "comm").read_text(encoding="utf-8").strip()
        group = (process / "cgroup").read_text(encoding="utf-8")
    return Holder(int(process.name), command, frozenset(part.strip() for part in group.replace("\n", "/").split("/")))


def unreachable(peers: Sequence[str]) -> list[tuple[str, str]]:
    """Peers whose name does not resolve or to which no route leads, with the reason. Sends nothing to them."""
    found = []
    for peer in peers:
        try:
            family, kind, _protocol, _name, address = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)
        except OSError as err:
            found.append((peer, err.strerror or str(err)))
    return found
