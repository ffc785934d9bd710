# SPDX-License-Identifier: Apache-2.0
"""What systemd says about units, and the least that brings them where they shall be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.command import Run

# In the order in which they are done.
VERBS = ("disable", "enable", "stop", "restart", "start", "reload")
PENDING = "pending restart"
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "Type",
    "Job",
    "NRestarts",
    "CanReload",
    "NeedDaemonReload",
    "ActiveEnterTimestamp",
    "ActiveEnterTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "Result",
)


class UnitError(Exception):
    """A unit is not where it shall be. `result` are keys for the module result."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class UnitState:
    """One unit at one moment.

    Attributes:
        load: loaded, not-found, masked …
        active: active, reloading, inactive, failed, activating, deactivating.
        enabled: enabled, disabled, static … empty for an unknown unit.
        started_us: when its main process started, µs of the monotonic clock; 0 when it never did.
        since: when it became active, as systemd writes it; empty when it is not active.
        restarts: how often systemd restarted it by itself.
        queued: whether a job of systemd waits for it.
        stale: whether its files are newer than what systemd read.
    """

    name: str
    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    enabled: str = ""
    main_pid: int = 0
    started_us: int = 0
    since: str = ""
    kind: str = ""
    restarts: int = 0
    queued: bool = False
    can_reload: bool = False
    stale: bool = False
    result: str = ""

    @property
    def exists(self) -> bool:
        """Whether systemd knows the unit."""
        return self.load != "not-found"

    @property
    def running(self) -> bool:
        """Whether a process has read its files: also while it reloads or is still becoming ready."""
        starting = self.active == "activating" and self.main_pid > 0
        return starting or self.active in ("active", "reloading", "refreshing")

    @property
    def retrying(self) -> bool:
        """Whether it died and systemd is about to try again."""
        return self.sub.startswith("auto-restart")

    @property
    def starts_at_boot(self) -> bool:
        """Whether it is enabled, or cannot be and needs not."""
        return self.enabled in ("enabled", "enabled-runtime", "static", "indirect", "generated", "alias")

    def as_result(self) -> dict[str, Any]:
        """The part that a playbook may look at."""
        return {
            "active": self.active == "active",
            "enabled": self.starts_at_boot,
            "since": self.since,
            "main_pid": self.main_pid,
        }


def parse_show(text: str, names: Sequence[str]) -> dict[str, UnitState]:
    """Answer of `systemctl show`: one block a unit, in the order asked (an alias is answered with another Id)."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    blocks = [block for block in blocks if block]
    if len(blocks) != len(names):
        raise UnitError(f"systemctl show answered {len(blocks)} units, {len(names)} were asked")
    return {name: _state(name, block) for name, block in zip(names, blocks, strict=True)}


def _state(name: str, block: Mapping[str, str]) -> UnitState:
    def number(key: str) -> int:
        value = block.get(key, "")
        return int(value) if value.isdigit() else 0

    active = block.get("ActiveState", "inactive")
    return UnitState(
        name=name,
        load=block.get("LoadState", "not-found"),
        active=active,
        sub=block.get("SubState", ""),
        enabled=block.get("UnitFileState", ""),
        main_pid=number("MainPID"),
        # The main process read its files when it started, which may be long before the unit counted as active.
        started_us=number("ExecMainStartTimestampMonotonic") or number("ActiveEnterTimestampMonotonic"),
        since=block.get("ActiveEnterTimestamp", "") if active == "active" else "",
        kind=block.get("Type", ""),
        restarts=number("NRestarts"),
        queued=number("Job") > 0,
        can_reload=block.get("CanReload") == "yes",
        stale=block.get("NeedDaemonReload") == "yes",
        result=block.get("Result", ""),
    )


def show(run: Run, names: Sequence[str]) -> dict[str, UnitState]:
    """All units in one question.

    Raises:
        UnitError: systemd does not answer.
    """
    if not names:
        return {}
    code, out, err = run(["systemctl", "show", "--property", ",".join(_PROPERTIES), "--", *names])
    if code != 0:
        raise UnitError(f"systemctl show: {err.strip() or out.strip()}")
    return parse_show(out, names)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where one unit shall be; None leaves it as it is."""

    name: str
    state: str | None = None
    enabled: bool | None = None
    reload: bool = False
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, verb by verb: `systemctl <verb> <units…>`.

    Attributes:
        steps: verb and units, in order.
        pending_restart: a running unit needs a restart that only the rolling engine may do.
        expected: units that must be up afterwards: those that something is done to, or that are still starting.
    """

    steps: tuple[tuple[str, tuple[str, ...]], ...]
    pending_restart: bool
    expected: tuple[str, ...]

    @property
    def begun(self) -> tuple[str, ...]:
        """Units that get a new process."""
        return tuple(name for verb, names in self.steps if verb in ("start", "restart") for name in names)

    @property
    def actions(self) -> list[str]:
        """The steps as one would type them."""
        return [" ".join((verb, *units)) for verb, units in self.steps]


def plan(wanted: Sequence[Wanted], states: Mapping[str, UnitState], needs: str) -> Plan:
    """The least that is needed. A restart of a running unit is never planned unless it is asked for by name.

    `needs` is of the first unit, or for a reload of those that say so. A unit that cannot reload is left for a restart.
    """
    receivers = [unit for unit in wanted if unit.reload] or list(wanted[:1])
    todo: dict[str, list[str]] = {verb: [] for verb in VERBS}
    pending_restart = False
    for unit in wanted:
        state = states[unit.name]
        if unit.enabled is True and not state.starts_at_boot:
            todo["enable"].append(unit.name)
        if unit.enabled is False and state.enabled in ("enabled", "enabled-runtime"):
            todo["disable"].append(unit.name)
        need = needs if unit in (receivers if needs == "reload" else wanted[:1]) else "none"
        verb = _verb(unit, state, need)
        if verb == PENDING:
            pending_restart = True
        elif verb is not None:
            todo[verb].append(unit.name)
    steps = tuple((verb, tuple(names)) for verb, names in todo.items() if names)
    starting = [unit.name for unit in wanted if unit.state == "started" and states[unit.name].active == "activating"]
    expected = dict.fromkeys([*todo["restart"], *todo["start"], *todo["reload"], *starting])
    return Plan(steps, pending_restart, tuple(expected))


def _verb(unit: Wanted, state: UnitState, need: str) -> str | None:
    """The one thing to do with a unit's process, PENDING for what only the rolling engine may do."""
    begin = unit.state == "started" or unit.restart
    if state.retrying:
        # A start would wait for systemd's next try; there is no process that a restart could hurt.
        return "restart" if begin else "stop" if unit.state == "stopped" else None
    if not state.running and state.active != "activating":
        return "start" if begin else None
    if unit.state == "stopped":
        return "stop"
    if unit.restart:
        return "restart"
    if need == "reload" and state.can_reload:
        return "reload"
    return PENDING if need != "none" else None
