# SPDX-License-Identifier: Apache-2.0
"""What a fault has to know of its host before it may be planned. Read-only."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ESTABLISHED, LISTEN = "01", "0A"
SSH_PORT = 22
SHARED_TYPES = frozenset({"overlay", "aufs", "fuse-overlayfs", "9p", "virtiofs"})
IPV4_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Process:
    """A process of one boot: `start` in clock ticks since boot tells it from a later one with its pid."""

    pid: int
    start: int
    comm: str
    parent: int


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a path lies: `root` is the part of the file system that is mounted at `point`; not / for a bind mount."""

    point: str
    root: str
    kind: str
    options: frozenset[str]

    @property
    def shared(self) -> bool:
        """Whether other hosts or the machine below may live on the same blocks."""
        bounded = any(option.startswith("size=") for option in self.options)
        return self.kind in SHARED_TYPES or self.root != "/" or (self.kind == "tmpfs" and not bounded)


@dataclass(frozen=True)
class Look:
    """A host.

    Attributes:
        run: runs an argv list: return code, stdout, stderr.
        root: where its file system begins.
        limits: reads the limits of a process, which takes the rights that changing them takes.
    """

    run: Callable[[Sequence[str]], tuple[int, str, str]]
    root: Path = Path("/")
    limits: Callable[[int], Any] = lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def text(self, path: str) -> str | None:
        """Content of a file; None when it is not there."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        return None

    def processes(self, unit: str, comm: str | None = None) -> list[Process]:
        """Processes whose control group is that of a unit, the oldest first; only those of a name, if one is given."""
        found = []
        for folder in (self.root / "proc").iterdir():
            if not folder.name.isdigit():
                continue
            groups, stat = self.text(f"proc/{folder.name}/cgroup"), self.text(f"proc/{folder.name}/stat")
            if groups is None or stat is None or unit not in groups.replace("\n", "/").split("/"):
                continue
            name, _end, rest = stat.partition("(")[2].rpartition(")")
            fields = rest.split()
            found.append(Process(int(folder.name), int(fields[19]), name, int(fields[1])))
        return sorted((p for p in found if comm in (None, p.comm)), key=lambda p: (p.start, p.pid))

    def may_limit(self, pid: int) -> bool:
        """Whether limits of a process may be changed; in a container root may often change those of its own only."""
        try:
            self.limits(pid)
        except PermissionError:
            return False
        except ProcessLookupError:  # whoever looks for it next finds that it is gone
            return True
        return True

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        places = ("usr/sbin", "usr/bin", "sbin", "bin")
        return any((self.root / place / program).exists() for place in places)

    def boots_systemd(self) -> bool:
        """Whether systemd runs this host."""
        return (self.root / "run/systemd/system").is_dir()

    def in_container(self) -> bool:
        """Whether the kernel is shared with other hosts."""
        if (self.root / ".dockerenv").exists() or (self.root / "run/.containerenv").exists():
            return True
        environment = self.text("proc/1/environ") or ""
        return "container=" in environment or (self.text("run/systemd/container") or "") != ""

    def mount(self, path: str) -> Mount:
        """The mount that a path lies on."""
        best: Mount | None = None
        for line in (self.text("proc/self/mountinfo") or "").splitlines():
            left, _dash, right = line.partition(" - ")
            fields, (kind, _source, options) = left.split(), right.split(" ", 2)
            point = fields[4]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and (best is None or len(point) >= len(best.point)):
                best = Mount(point, fields[3], kind, frozenset(options.split(",")))
        if best is None:
            raise ValueError(f"no mount holds {path}")
        return best

    def cgroup(self, pid: int, controller: str) -> tuple[str, int]:
        """Directory of a process's control group for a controller, and the version (1 or 2) of its hierarchy."""
        unified = ""
        for line in (self.text(f"proc/{pid}/cgroup") or "").splitlines():
            _number, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return f"/sys/fs/cgroup/{controllers}{path}", 1
            unified = path if not controllers else unified
        return f"/sys/fs/cgroup{unified}", 2

    def listening(self) -> set[int]:
        """Ports of TCP on which somebody listens."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in (self.text(f"proc/net/{table}") or "").splitlines()[1:]:
                local, _remote, state = line.split()[1:4]
                if state == LISTEN:
                    found.add(int(local.rpartition(":")[2], 16))
        return found

    def ssh_clients(self) -> list[str]:
        """Addresses that have a connection with this host's sshd: whoever runs Ansible is among them."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in (self.text(f"proc/net/{table}") or "").splitlines()[1:]:
                local, remote, state = line.split()[1:4]
                if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == SSH_PORT:
                    found.add(_address(remote.rpartition(":")[0]))
        return sorted(found)


def _address(digits: str) -> str:
    """An address as the kernel's tables write it: 32-bit words of this machine's byte order, in hexadecimal."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(digits) == IPV4_DIGITS:
        return socket.inet_ntop(socket.AF_INET, packed)
    text = socket.inet_ntop(socket.AF_INET6, packed)
    return text.removeprefix("::ffff:") if text.startswith("::ffff:") and "." in text else text
