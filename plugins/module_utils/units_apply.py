# SPDX-License-Identifier: Apache-2.0
"""Carrying out a plan for units, and watching that what was started comes up and stays up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.units import (
    Plan,
    UnitError,
    UnitState,
    Wanted,
    plan,
    show,
)

POLL_S = 0.2
# A daemon that refuses its configuration dies within this time after systemd called it active.
STEADY_S = 1.0
JOURNAL_LINES = 20


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, so that tests need none."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a member's units.

    Attributes:
        units: the first one is the service itself.
        needs: what the service's files need: none, reload or restart.
        wait_s: how long a unit may take to become active.
        check: predict, do nothing.
    """

    units: tuple[Wanted, ...]
    needs: str = "none"
    wait_s: float = 60
    check: bool = False


def apply(task: Task, run: Run, store: Generations | None, clock: Clock) -> dict[str, Any]:
    """Do the least that brings the units where they shall be; keys of the module result.

    Args:
        task: what is asked.
        run: runs argv lists on the member.
        store: generations of the service's files, which learn what the first unit has taken.
        clock: time.

    Raises:
        UnitError: a unit is unknown, or did not come up or stay up.
    """
    names = [unit.name for unit in task.units]
    if not names:
        raise UnitError("units is empty → name at least the unit of the service")
    states = show(run, names) if task.check else _loaded(names, run)
    todo = plan(task.units, states, task.needs)
    if task.check:
        states = {name: _predicted(state, todo) for name, state in states.items()}
    else:
        _carry_out(todo, states, run)
        if todo.expected:
            states = _wait_until_steady(todo, states, run, task.wait_s, clock)
        elif todo.steps:
            states = show(run, names)
        if store is not None:
            _remember(todo, names[0], store)
    return {
        "changed": bool(todo.steps),
        "actions": todo.actions,
        "pending_restart": todo.pending_restart,
        "units": {name: state.as_result() for name, state in states.items()},
    }


def _loaded(names: Sequence[str], run: Run) -> dict[str, UnitState]:
    """Units as their files on disk describe them: systemd reads changed unit files only when it is told."""
    states = show(run, names)
    if any(state.stale or not state.exists for state in states.values()):
        _systemctl(run, "daemon-reload")
        states = show(run, names)
    unknown = [state.name for state in states.values() if not state.exists]
    if unknown:
        raise UnitError(f"systemd knows no {', '.join(unknown)} → install the package or the unit file first")
    return states


def _carry_out(todo: Plan, states: Mapping[str, UnitState], run: Run) -> None:
    for verb, names in todo.steps:
        if verb not in ("start", "restart"):
            _systemctl(run, verb, *names)
            continue
        failed = [name for name in names if states[name].active == "failed"]
        if failed:
            # Else systemd may refuse: it counts the starts that failed before this change.
            _systemctl(run, "reset-failed", *failed)
        # How long a start may take is decided here, not by the unit's own time-out.
        _systemctl(run, "--no-block", verb, *names)


def _systemctl(run: Run, *words: str) -> None:
    code, out, err = run(["systemctl", *words])
    if code != 0:
        names = [word for word in words if "." in word]
        raise UnitError(f"systemctl {' '.join(words)}: {err.strip() or out.strip()}", journal=_journal(names, run))


def _wait_until_steady(
    todo: Plan, before: Mapping[str, UnitState], run: Run, wait_s: float, clock: Clock
) -> dict[str, UnitState]:
    """Poll until all expected units are up, and stay so with the same process; all units as they are then."""
    deadline, steady_since = clock.now() + wait_s, clock.now()
    # Deaths are counted from a unit's new process on: systemd may keep the count of the old one.
    deaths = {name: before[name].restarts for name in todo.expected if name not in todo.begun}
    while True:
        states = show(run, list(before))
        late = []
        for name in todo.expected:
            state = states[name]
            begun = name in deaths or state.started_us != before[name].started_us
            died = begun and deaths.setdefault(name, state.restarts) < state.restarts
            if died or _is_down(state, begun=begun):
                raise _down(state, "did not stay up", run)
            if not (begun and _is_up(state)):
                late.append(state)
        if late:
            steady_since = clock.now()
        elif clock.now() - steady_since >= STEADY_S:
            return states
        if late and clock.now() >= deadline:
            raise _down(late[0], f"is not active after {wait_s:g} s", run)
        clock.sleep(POLL_S)


def _is_up(state: UnitState) -> bool:
    done = state.kind == "oneshot" and state.active == "inactive" and state.result == "success"
    return done or state.active in ("active", "reloading", "refreshing")


def _is_down(state: UnitState, *, begun: bool) -> bool:
    if state.retrying:
        return begun
    return state.active in ("inactive", "failed") and not state.queued and not (begun and _is_up(state))


def _down(state: UnitState, what: str, run: Run) -> UnitError:
    journal = _journal([state.name], run)
    seen = f"{state.active} ({state.sub}, result {state.result or 'unknown'})"
    message = f"{state.name} {what}: {seen}; its last words:\n  " + "\n  ".join(journal)
    return UnitError(message, unit=state.name, journal=journal)


def _journal(names: Sequence[str], run: Run) -> list[str]:
    if not names:
        return []
    chosen = [word for name in names for word in ("--unit", name)]
    _code, out, _err = run(["journalctl", "--no-pager", "--output", "cat", "--lines", str(JOURNAL_LINES), *chosen])
    return out.splitlines()[-JOURNAL_LINES:]


def _remember(todo: Plan, service_unit: str, store: Generations) -> None:
    """Tell the files' state what the service's unit has taken; a start is seen by its time."""
    for verb, names in todo.steps:
        if verb in ("reload", "restart") and service_unit in names:
            store.taken(verb)


def _predicted(state: UnitState, todo: Plan) -> UnitState:
    """The unit as it would be after the plan."""
    verbs = {verb for verb, names in todo.steps if state.name in names}
    if verbs & {"start", "restart"}:
        state = replace(state, active="active")
    if "stop" in verbs:
        state = replace(state, active="inactive")
    if verbs & {"enable", "disable"}:
        state = replace(state, enabled="enabled" if "enable" in verbs else "disabled")
    return state


def can_go_back(store: Generations | None) -> bool:
    """Whether the unit ran before the last change of its files, and that state of them is kept."""
    return store is not None and bool(store.manifest().get("unit_was_active")) and store.previous() is not None
