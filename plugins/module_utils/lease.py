# SPDX-License-Identifier: Apache-2.0
"""A dead man's switch on the target: something temporary undoes itself unless its lease is renewed.

A lease is two units of systemd, on disk and ticking before anything temporary is done. The timer counts on the
monotonic clock. The service is enabled: a host that was switched off undoes as it boots. It tries again until every
command succeeded, and only then takes its own units away.

`OnBootSec=` in the timer would not do: armed long after the boot it lies in the past and would fire at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState

UNITS = PurePosixPath("etc/systemd/system")
WANTS = "multi-user.target.wants"
PREFIX = "rsp-lease-"
HEAD = "# rsp-lease: "
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
PROGRAM = re.compile(r"/[A-Za-z0-9/._+-]+")  # systemd takes signs before it for options, and expands % and $
TTL_S = (5, 86400)
RETRY_S = 5
ESCAPES = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class LeaseError(Exception):
    """A lease could not be brought where it shall be. `result` are keys for the module result."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class Lease:
    """What is undone, and when.

    Attributes:
        undo: argv lists, run in order; each may run more than once.
        ttl_s: seconds after arming or renewing.
        reason: what for, one line for people.
        command_timeout_s: longest time that one command may take; then it is ended and all are tried again.
    """

    name: str
    undo: tuple[tuple[str, ...], ...]
    ttl_s: int
    reason: str = ""
    command_timeout_s: int = 60

    def __post_init__(self) -> None:
        """Refuse what systemd would misunderstand, before anything is written. Raises LeaseError."""
        check_name(self.name)
        if not TTL_S[0] <= self.ttl_s <= TTL_S[1]:
            raise LeaseError(f"ttl_s is {self.ttl_s}, it must be within {TTL_S[0]} and {TTL_S[1]}")
        if not self.command_timeout_s > 0:
            raise LeaseError("command_timeout_s must be above 0")
        if not self.undo or not all(self.undo):
            raise LeaseError("undo needs at least one command, and none may be empty")
        for argv in self.undo:
            if not PROGRAM.fullmatch(argv[0]):
                raise LeaseError(f"undo: {argv[0]!r} is no absolute path of a program (letters, digits, . _ + - only)")
        for text in (self.reason, *(word for argv in self.undo for word in argv)):
            if "\0" in text or not _encodable(text):
                raise LeaseError(f"{text!r} holds what no command can be given")
        if not self.reason.isprintable():
            raise LeaseError("reason must be one line")

    @property
    def service(self) -> str:
        """Name of the unit that undoes."""
        return f"{PREFIX}{self.name}.service"

    @property
    def timer(self) -> str:
        """Name of the unit that counts."""
        return f"{PREFIX}{self.name}.timer"

    def files(self) -> dict[str, str]:
        """Both units: name and text. The first line of the service is the lease itself."""
        goodbye = [
            # The timer first: what is cut off between the two undoes once more at the next boot.
            ("/usr/bin/systemctl", "--no-block", "stop", self.timer),
            ("/usr/bin/rm", "-f", "--", *(f"/{UNITS}/{path}" for path in paths(self.name))),
            # Last, because systemd then knows no further command; else its memory would start the undo with the target.
            ("/usr/bin/systemctl", "daemon-reload"),
        ]
        starts = "\n".join(exec_start(argv) for argv in (*self.undo, *goodbye))
        what = f"Undo of the lease {self.name}" + (f": {_plain(self.reason)}" if self.reason else "")
        service = (
            f"{HEAD}{json.dumps(asdict(self), sort_keys=True)}\n"
            f"[Unit]\nDescription={what}\nStartLimitIntervalSec=0\n\n"
            f"[Service]\nType=oneshot\n{starts}\nTimeoutStartSec={self.command_timeout_s}\n"
            f"Restart=on-failure\nRestartSec={RETRY_S}\nSyslogIdentifier={PREFIX}{self.name}\n\n"
            f"[Install]\nWantedBy=multi-user.target\n"
        )
        timer = (
            f"[Unit]\nDescription=Lease {self.name}\n\n"
            f"[Timer]\nOnActiveSec={self.ttl_s}\nAccuracySec=100ms\nUnit={self.service}\n"
        )
        return {self.service: service, self.timer: timer}


def check_name(name: str) -> None:
    """Raises LeaseError for what is no name of a lease."""
    if not NAME.fullmatch(name):
        raise LeaseError(f"name {name!r} is none: small letters, digits, dots, - and _ only, 64 at most")


def paths(name: str) -> tuple[str, ...]:
    """What a lease has in the directory of units; the link is what enables it, so it goes first."""
    service = f"{PREFIX}{name}.service"
    return f"{WANTS}/{service}", f"{PREFIX}{name}.timer", service


def parse(text: str) -> Lease:
    """The lease in a service's text. Raises LeaseError when it is none of ours."""
    first = text.partition("\n")[0]
    try:
        data = json.loads(first.removeprefix(HEAD))
        return Lease(**{**data, "undo": tuple(tuple(argv) for argv in data["undo"])})
    except (ValueError, TypeError, KeyError) as err:
        raise LeaseError(f"this unit was not written by rsp.platform.lease: {first[:80]!r}") from err


def exec_start(argv: Sequence[str]) -> str:
    """An argv list as systemd reads it back, word by word: every word in quotes, and `:` so that $ means nothing."""
    words = (f":{argv[0]}", *argv[1:])
    return "ExecStart=" + " ".join(f'"{_quoted(word)}"' for word in words)


def _quoted(word: str) -> str:
    return "".join(ESCAPES.get(c) or (f"\\x{ord(c):02x}" if ord(c) < ord(" ") or c == "\x7f" else c) for c in word)


def _plain(text: str) -> str:
    """Text of a setting that takes the whole line: % begins a specifier, a backslash at its end goes on."""
    return text.replace("%", "%%").rstrip("\\ ")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Present:
    """A lease on this host at one moment.

    Attributes:
        state: armed · undoing · retrying (the undo failed and is tried again) · stopped (only a boot would undo).
        remaining_s: until the undo; None unless armed.
    """

    lease: Lease
    state: str
    remaining_s: float | None = None

    def as_result(self) -> dict[str, Any]:
        """Keys of the module result."""
        rest = {"state": self.state, "remaining_s": self.remaining_s}
        return {**asdict(self.lease), "undo": [list(argv) for argv in self.lease.undo], **rest}


def judge(lease: Lease, timer: UnitState, service: UnitState, now: float) -> Present:
    """A lease by what systemd says of its units; `now` is of the monotonic clock."""
    if service.retrying:
        return Present(lease, "retrying")
    if service.running or service.queued or timer.sub == "running":
        return Present(lease, "undoing")
    if timer.active == "active" and timer.sub == "waiting":
        left = timer.started_us / 1_000_000 + lease.ttl_s - now
        return Present(lease, "armed", round(max(0.0, left), 1))
    return Present(lease, "stopped")
