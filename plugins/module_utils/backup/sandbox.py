# SPDX-License-Identifier: Apache-2.0
"""Where a restored copy lives: one directory, transient units of systemd, and no way out of it.

Each process of a drill runs in a unit `rsp-drill-<name>-<step>`, so a lease that stops `rsp-drill-<name>-*` and deletes
the directory leaves nothing, whoever has died. The engine has a network namespace of its own with nothing but a
loopback: no packet can reach production, on control groups of either version. Only the fetch may reach the repository.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError, Finding, found, unknown
from ansible_collections.rsp.platform.plugins.module_utils.lease import Lease

# Runs an argv list with text for its standard input: exit code, standard output, standard error.
Execute = Callable[[Sequence[str], str], tuple[int, str, str]]
DEPTH = 3
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
BASE = Path("/var/lib/rsp/drills")
PREFIX = "rsp-drill-"
# The environment comes through a pipe: in a unit or a file everybody or a copy of the disk would have it.
# Unbuffered: what follows the first line is the standard input of the program.
LAUNCH = (
    "import json,os,sys;e=json.loads(open(0,'rb',0,closefd=False).readline());"
    "os.execvpe(sys.argv[1],sys.argv[1:],{**os.environ,**e})"
)
HARDENED = (
    "NoNewPrivileges=yes",
    "PrivateTmp=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "KillMode=control-group",
)
CUT_OFF = ("PrivateNetwork=yes",)


@dataclass(frozen=True)
class Sandbox:
    """One drill on this host.

    Attributes:
        execute: runs commands as root.
        base: where drills lie.
        user: whom the engine runs as.
        lease_s: how long anything of it may live.
        proc: the file system of processes.
    """

    name: str
    execute: Execute
    user: str
    lease_s: int
    base: Path = BASE
    proc: Path = field(default=Path("/proc"))

    def __post_init__(self) -> None:
        """Refuse a name that could be somebody else's. Raises BackupError."""
        if not NAME.fullmatch(self.name):
            raise BackupError(f"drill {self.name!r}: small letters, digits and - only, 31 at most")
        if not self.base.is_absolute() or len(self.base.parts) < DEPTH:
            raise BackupError(f"{self.base} is no directory for drills")

    @property
    def root(self) -> Path:
        """Everything of this drill."""
        return self.base / self.name

    def _log(self, step: str) -> Path:
        return self.root / f"{step}.log"

    def unit(self, step: str) -> str:
        """Name of the unit of a step."""
        return f"{PREFIX}{self.name}-{step}.service"

    def lease(self) -> Lease:
        """What undoes the drill without us. A pattern that matches no unit is no error, so it may run twice."""
        undo = (
            ("/usr/bin/systemctl", "stop", f"{PREFIX}{self.name}-*.service"),
            ("/usr/bin/rm", "-rf", "--one-file-system", "--", str(self.root)),
        )
        return Lease(f"drill-{self.name}", undo, self.lease_s, "A restored copy may live no longer")

    def make(self, *directories: str) -> None:
        """The directories, for the engine's user only. Raises BackupError when a drill of that name is there."""
        if self.root.exists():
            raise BackupError(
                f"{self.root} is there already: another drill {self.name} runs, or its lease has not ended"
            )
        self.base.mkdir(mode=0o711, parents=True, exist_ok=True)
        for path in (self.root, *(self.root / each for each in directories)):
            path.mkdir(mode=0o700)
            shutil.chown(path, self.user)

    def step(
        self,
        step: str,
        argv: Sequence[str],
        *,
        network: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> tuple[int, str, str]:
        """Run one step to its end. `env` may hold secrets."""
        if not self.root.is_dir():
            raise BackupError(f"{self.root} is gone: the lease of drill {self.name} has ended")
        run = self.systemd_run(step, network=network, more=("--wait", "--pipe"))
        text = json.dumps(dict(env or {})) + "\n" + stdin
        return self.execute([*run, "/usr/bin/python3", "-Sc", LAUNCH, *argv], text)

    def begin(self, step: str, argv: Sequence[str]) -> None:
        """Start something that stays, cut off from every network. Raises BackupError."""
        # A file of the drill: the journal of the unit's name also holds what the drills before it said
        kept = [f"--property=Standard{stream}=append:{self._log(step)}" for stream in ("Output", "Error")]
        code, out, err = self.execute([*self.systemd_run(step, network=False, more=kept), *argv], "")
        if code != 0:
            raise BackupError(f"{self.unit(step)} did not start: {(err or out).strip()[-300:]}")

    def said(self, step: str) -> str:
        """What it wrote since the drill began; nothing when it never ran."""
        path = self._log(step)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def end(self, step: str) -> None:
        """Stop it."""
        self.execute(["systemctl", "stop", self.unit(step)], "")

    def systemd_run(self, step: str, *, network: bool, more: Sequence[str] = ()) -> list[str]:
        """The command that runs a step in its unit."""
        kept = [*HARDENED, f"ReadWritePaths={self.root}", f"RuntimeMaxSec={self.lease_s}", "Nice=10"]
        kept += [] if network else CUT_OFF
        head = ["systemd-run", "--quiet", "--collect", *more, f"--unit={self.unit(step)}", f"--uid={self.user}"]
        return [*head, *(f"--property={each}" for each in kept), f"--working-directory={self.root}", "--"]

    def main_pid(self, step: str) -> int:
        """Its main process, 0 when it does not run."""
        _code, out, _err = self.execute(["systemctl", "show", "--property=MainPID", "--value", self.unit(step)], "")
        return int(out.strip()) if out.strip().isdecimal() else 0

    def isolated(self, step: str) -> Finding:
        """Whether the engine has no way to production, as the kernel shows it."""
        pid = self.main_pid(step)
        if pid == 0:
            return unknown("isolated", "the engine does not run, so nobody can look at its network")
        try:
            ours = (self.proc / "self" / "ns" / "net").readlink()
            own = self._looked("readlink", self.proc / str(pid) / "ns" / "net").strip()
            devices, routes = (self._looked("cat", self.proc / str(pid) / "net" / name) for name in ("dev", "route"))
        except (OSError, BackupError) as err:
            return unknown("isolated", f"the engine's network can't be read: {err}")
        return judge_isolation(own, str(ours), devices, routes)

    def _looked(self, program: str, path: Path) -> str:
        """As the engine's own user: in a container root may not look at the namespaces of others."""
        code, out, err = self.execute(["runuser", "-u", self.user, "--", program, str(path)], "")
        if code != 0:
            raise BackupError(err.strip()[-300:])
        return out

    def left(self) -> list[str]:
        """What is still there of the drill; empty when it is gone."""
        there = [str(self.root)] if self.root.exists() else []
        pattern = f"{PREFIX}{self.name}-*.service"
        code, out, err = self.execute(["systemctl", "list-units", "--all", "--plain", "--no-legend", pattern], "")
        if code != 0:
            there.append(f"systemd does not answer: {err.strip()[-200:]}")
        return there + [line.split()[0] for line in out.splitlines() if line.strip()]


def judge_isolation(own: str, ours: str, devices: str, routes: str) -> Finding:
    """Isolation from what the kernel shows of the engine's namespace. Packets of a loopback can't leave it."""
    wrong = ["the engine shares the network of the host"] if own == ours else []
    rows = [line.split(":", 1) for line in devices.splitlines() if ":" in line]
    outside = [(name.strip(), [int(count) for count in rest.split()]) for name, rest in rows if name.strip() != "lo"]
    for name, counts in outside:
        wrong.append(f"the engine has the interface {name}, {counts[1] + counts[9]} packets went over it")
    ways = [line for line in routes.splitlines()[1:] if line.strip()]
    wrong += [f"the engine has {len(ways)} routes"] if ways else []
    return found("isolated", wrong, namespace=own, packets=sum(c[1] + c[9] for _n, c in outside))
