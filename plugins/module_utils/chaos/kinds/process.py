# SPDX-License-Identifier: Apache-2.0
"""Processes and units: killed, paused, stopped, short of file descriptors. A process is its pid and its start time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look, Process
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

UNIT = Option(pattern=r"[A-Za-z0-9@_.:-]+\.service", required=True)
COMM = Option(pattern=r"[A-Za-z0-9_.:-]{1,15}")
WHICH = Option(choices=("all", "main"), default="all")


def _chosen(params: Mapping[str, Any], look: Look) -> list[Process]:
    """The processes that are meant. Raises ChaosError for none: a fault on nothing proves nothing."""
    found = look.processes(params["unit"], params.get("comm"))
    if params.get("which") == "main":
        pids = {process.pid for process in found}
        found = [process for process in found if process.parent not in pids][:1]
    if not found:
        name = f" with the name {params['comm']}" if params.get("comm") else ""
        raise ChaosError(f"{params['unit']} has no process{name} on this host")
    return found


def _who(process: Process) -> dict[str, int]:
    return {"pid": process.pid, "start": process.start}


def kill(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """A signal that ends; the undo starts the unit, which does nothing when systemd has done so already."""
    found = _chosen(params, look)
    return FaultPlan(
        inject=tuple({"do": "signal", **_who(p), "signal": params["signal"]} for p in found),
        undo=({"do": "unit", "unit": params["unit"], "verb": "start"},),
        fingerprint=({"see": "unit", "unit": params["unit"]},),
        effect=tuple({"see": "gone", **_who(p)} for p in found),
        notes=(f"{len(found)} processes of {params['unit']}",),
    )


def pause(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """SIGSTOP, always with its SIGCONT. Parents first, so that none of them sees a stopped child and acts on it."""
    found = _chosen(params, look)
    return FaultPlan(
        inject=tuple({"do": "signal", **_who(p), "signal": "SIGSTOP"} for p in found),
        undo=tuple({"do": "signal", **_who(p), "signal": "SIGCONT"} for p in reversed(found)),
        fingerprint=tuple({"see": "stopped", **_who(p)} for p in found),
        effect=tuple({"see": "stopped", **_who(p)} for p in found),
    )


def stop(params: Mapping[str, Any], _look: Look, _fault: str) -> FaultPlan:
    """A clean stop, as an administrator does it."""
    unit = params["unit"]
    return FaultPlan(
        inject=({"do": "unit", "unit": unit, "verb": "stop"},),
        undo=({"do": "unit", "unit": unit, "verb": "start"},),
        fingerprint=({"see": "unit", "unit": unit},),
        effect=({"see": "unit_is", "unit": unit, "state": ["inactive", "failed"]},),
    )


def descriptors(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """The soft limit of open files below what is open: whatever needs one more gets EMFILE."""
    inject, undo, seen = [], [], []
    for process in _chosen(params, look):
        if not look.may_limit(process.pid):
            rule = "this host lets nobody change the limits of another user's process (CAP_SYS_RESOURCE)"
            raise UnavailableError(rule)
        row = next(
            line for line in (look.text(f"proc/{process.pid}/limits") or "").splitlines() if "open files" in line
        )
        soft, hard = (int(word) for word in row.split()[3:5])
        limit = {"do": "rlimit", **_who(process), "hard": hard}
        inject.append({**limit, "soft": min(soft, params["soft"])})
        undo.append({**limit, "soft": soft})
        seen.append({"path": f"/proc/{process.pid}/limits"})
    return FaultPlan(
        inject=tuple(inject),
        undo=tuple(undo),
        fingerprint=tuple({"see": "text", **each} for each in seen),
        effect=tuple({"see": "changed", **each} for each in seen),
    )


CHOICE = {"unit": UNIT, "comm": COMM, "which": WHICH}
KINDS = (
    Kind("process_kill", "Ends processes of a unit by a signal.",
         {**CHOICE, "signal": Option(choices=("SIGKILL", "SIGTERM", "SIGQUIT", "SIGABRT"), default="SIGKILL")}, kill),
    Kind("process_pause", "Stops processes of a unit with SIGSTOP, and lets them go on.", CHOICE, pause),
    Kind("unit_stop", "Stops a unit of systemd.", {"unit": UNIT}, stop),
    Kind("fd_exhaustion", "Lowers the limit of open files of a unit's processes.",
         {**CHOICE, "soft": Option(type="int", minimum=1, maximum=1000000, default=16)}, descriptors),
)  # fmt: skip
