# SPDX-License-Identifier: Apache-2.0
"""Less processor, memory or disk for a unit, by its control group. Nobody else on the host is slowed down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.process import UNIT
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

PERIOD_US = 100000


def cpu(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
    """At most a share of one processor."""
    group, version, pids = _group(params, look, "cpu")
    quota = PERIOD_US * params["percent"] // 100
    if version == 1:
        # systemd makes no group of its own for this controller here: a child group takes the unit's processes.
        own = f"{group}/rsp-chaos-{fault}"
        files = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
        return FaultPlan(
            inject=({"do": "group", "path": own, "files": files, "pids": pids},),
            undo=({"do": "no_group", "path": own},),
            fingerprint=({"see": "exists", "path": own},),
            effect=({"see": "throttled", "path": f"{own}/cpu.stat", "before": 0},),
        )
    throttled = _counter(look.text(f"{group}/cpu.stat") or "")
    return _in_place(look, f"{group}/cpu.max", f"{quota} {PERIOD_US}",
                     {"see": "throttled", "path": f"{group}/cpu.stat", "before": throttled})  # fmt: skip


def memory(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """Above so much memory the kernel reclaims and slows the unit down; it is not killed."""
    group, version, _pids = _group(params, look, "memory")
    if version == 1:
        raise UnavailableError("version 1 of control groups has no memory.high: a hard limit would kill instead")
    high = str(params["mb"] << 20)
    return _in_place(look, f"{group}/memory.high", high, {"see": "event", "path": f"{group}/memory.events",
                     "name": "high", "before": _event(look.text(f"{group}/memory.events") or "", "high")})  # fmt: skip


def disk(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """At most so many bytes a second to a block device."""
    group, version, _pids = _group(params, look, "io")
    if version == 1:
        raise UnavailableError(
            "version 1 of control groups does not slow buffered writes down: no effect could be proved"
        )
    device, rate = params["device"], params["kb_per_s"] << 10
    text = f"{device} rbps={rate} wbps={rate}"
    before = look.text(f"{group}/io.max")
    if before is None:  # version 1 has no controller of that name: its processes are in the empty tree of version 2
        raise UnavailableError(f"{group}/io.max is not there: version 1 of control groups, or no controller io")
    return FaultPlan(
        inject=({"do": "write", "path": f"{group}/io.max", "text": text},),
        undo=({"do": "write", "path": f"{group}/io.max", "text": f"{device} rbps=max wbps=max"},),
        fingerprint=({"see": "text", "path": f"{group}/io.max"},),
        effect=({"see": "changed", "path": f"{group}/io.max"},),
        notes=() if not before else ("limits of other devices stay",),
    )


def _in_place(look: Look, path: str, text: str, effect: dict[str, Any]) -> FaultPlan:
    before = look.text(path)
    if before is None:
        raise UnavailableError(f"{path} is not there: the controller is not enabled for this unit")
    return FaultPlan(
        inject=({"do": "write", "path": path, "text": text},),
        undo=({"do": "write", "path": path, "text": before.strip()},),
        fingerprint=({"see": "text", "path": path},),
        effect=(effect,),
    )


def _group(params: Mapping[str, Any], look: Look, controller: str) -> tuple[str, int, list[int]]:
    found = look.processes(params["unit"])
    if not found:
        raise ChaosError(f"{params['unit']} has no process on this host")
    group, version = look.cgroup(found[0].pid, controller)
    return group, version, [process.pid for process in found]


def _counter(text: str) -> int:
    return _event(text, "nr_throttled")


def _event(text: str, name: str) -> int:
    """A counter of a `name value` file of the kernel's; 0 when it is not there."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)


KINDS = (
    Kind("cpu_pressure", "Gives a unit a share of one processor.",
         {"unit": UNIT, "percent": Option(type="int", minimum=1, maximum=400, required=True)}, cpu),
    Kind("memory_pressure", "Makes the kernel reclaim a unit's memory above a size.",
         {"unit": UNIT, "mb": Option(type="int", minimum=8, maximum=1048576, required=True)}, memory),
    Kind("io_pressure", "Slows a unit's reads and writes of a block device down.",
         {"unit": UNIT, "device": Option(pattern=r"\d+:\d+", required=True),
          "kb_per_s": Option(type="int", minimum=1, maximum=10485760, required=True)}, disk),
)  # fmt: skip
