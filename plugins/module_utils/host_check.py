# SPDX-License-Identifier: Apache-2.0
"""Preflight on a member: whether it can carry a service, all problems at once. Read-only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils import host
from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.host import Holder, Roots
from ansible_collections.rsp.platform.plugins.module_utils.units import show


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that stands in the way.

    Attributes:
        what: what was found and what is needed.
        variable: the variable that could be changed; empty when none could.
        fix: what to do.
    """

    what: str
    variable: str
    fix: str

    def __str__(self) -> str:
        """One line."""
        return "  ".join(part for part in (self.variable, self.what) if part) + f" → {self.fix}"


def refusal(service: str, problems: Sequence[Mapping[str, str]]) -> str:
    """The message of a host that cannot carry a service: all problems, one a line."""
    lines = "\n".join(f"  {Problem(**problem)}" for problem in problems)
    return f"{service}: this host cannot carry it, nothing was changed\n{lines}"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a service asks of its host; the fields are the module's options."""

    service: str
    packages: Sequence[str] = ()
    units: Sequence[str] = ()
    paths: Sequence[str] = ()
    ports: Sequence[Mapping[str, Any]] = ()
    memory_min_mb: int = 0
    disk_min_mb: Mapping[str, int] = field(default_factory=dict)
    peers: Sequence[str] = ()
    controller_epoch: float | None = None
    max_skew_s: float = 5.0
    os_supported: Sequence[str] = ()


def examine(demand: Demand, run: Run, roots: Roots, now: float) -> dict[str, Any]:
    """Everything that a role may want to know of its host, with `problems`; keys of the module result.

    Args:
        demand: what the service asks.
        run: runs argv lists on the member.
        roots: where to read.
        now: the member's clock, seconds since 1970 in UTC.

    Raises:
        HostError, UnitError: the package manager or systemd does not answer.
    """
    missing, versions = host.packages(run, demand.packages)
    states = show(run, list(demand.units))
    memory, name = host.memory_mb(roots), host.os_name(roots)
    free = {path: host.free_mb(path) for path in demand.disk_min_mb}
    # That it is not ahead only the controller can tell, when it has the answer.
    asked = now if demand.controller_epoch is None else demand.controller_epoch
    behind = clock_problems(now, asked, max(now, asked), demand.max_skew_s)
    problems = [
        *os_problems(name, demand.os_supported),
        *memory_problems(memory, demand.memory_min_mb, demand.service),
        *disk_problems(free, demand.disk_min_mb, demand.service),
        *port_problems(
            demand,
            host.listeners(roots, [int(port["port"]) for port in demand.ports]),
            {unit for unit, state in states.items() if state.running},
        ),
        *behind,
        *peer_problems(host.unreachable(demand.peers), demand.service),
    ]
    return {
        "missing_packages": missing,
        "versions": versions,
        "units": {unit: _unit(state.as_result()) for unit, state in states.items()},
        "paths": {path: Path(path).exists() for path in demand.paths},
        "memory_mb": memory,
        "cpus": host.cpus(roots),
        "disk_free_mb": free,
        "os": name,
        "fresh": not any(state.running for state in states.values()),
        "epoch": now,
        "problems": [asdict(problem) for problem in problems],
    }


def _unit(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: state[key] for key in ("active", "enabled")}


def os_problems(name: str, supported: Sequence[str]) -> list[Problem]:
    """The operating system is none that the role knows."""
    if not supported or name in supported:
        return []
    return [Problem(f"the system is {name}, supported are {', '.join(supported)}", "", "install one of them")]


def memory_problems(memory_mb: int, minimum_mb: int, service: str) -> list[Problem]:
    """Less memory than the service needs."""
    if memory_mb >= minimum_mb:
        return []
    what = f"{memory_mb} MiB of memory, {minimum_mb} are needed"
    return [Problem(what, f"{service}_memory_min_mb", "give the host more memory, or lower the minimum knowingly")]


def disk_problems(free_mb: Mapping[str, int], minimum_mb: Mapping[str, int], service: str) -> list[Problem]:
    """A path with less free space than the service needs."""
    fix = "free or add space, or lower the minimum knowingly"
    return [
        Problem(f"{path} has {free_mb[path]} MiB free, {minimum} are needed", f"{service}_disk_min_mb", fix)
        for path, minimum in minimum_mb.items()
        if free_mb[path] < minimum
    ]


def port_problems(demand: Demand, holders: Mapping[int, Holder], running: Collection[str] = ()) -> list[Problem]:
    """A port that something else than the service's own units listens on.

    In a container root may not see whose a socket is: there a unit of the service that runs is taken for the holder.
    """
    problems = []
    for entry in demand.ports:
        holder = holders.get(int(entry["port"]))
        own = {entry["unit"]} if entry.get("unit") else set(demand.units)
        hidden_own = holder is not None and not holder.pid and bool(own & set(running))
        if holder is not None and not hidden_own and not own & holder.units:
            who = f"{holder.command} (pid {holder.pid})" if holder.pid else holder.command
            what = f"port {entry['port']} is held by {who}, not by {' or '.join(sorted(own)) or 'this service'}"
            problems.append(Problem(what, entry.get("variable") or "", "stop that process, or choose another port"))
    return problems


def clock_problems(member: float, asked: float, answered: float, allowed_s: float) -> list[Problem]:
    """A clock that is not the controller's: certificates, leases and logs depend on it.

    The member read its clock between the controller's times `asked` and `answered`: a slow connection is no skew.
    """
    behind, ahead = asked - member, member - answered
    if max(behind, ahead) <= allowed_s:
        return []
    where = f"{behind:.0f} s behind" if behind > ahead else f"{ahead:.0f} s ahead of"
    what = f"the clock is at least {where} the controller's, {allowed_s:g} s are allowed"
    return [Problem(what, "", "synchronise both clocks: chronyc tracking, or timedatectl")]


def peer_problems(unreachable: Sequence[tuple[str, str]], service: str) -> list[Problem]:
    """A peer without an address or a route."""
    fix = "correct its address in the inventory, the name service or the route"
    return [Problem(f"peer {peer}: {why}", f"{service}_members", fix) for peer, why in unreachable]
