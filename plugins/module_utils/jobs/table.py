# SPDX-License-Identifier: Apache-2.0
"""The day-2 jobs as data: which there are, what they take, what they destroy. Parsed from playbooks/vars/jobs.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

NAMES = (None, "service", "member", "host", "release", "major", "secret")
ALWAYS = ("confirm", "reason")
LOCKING = ("wait_s", "lease_s")
ALL = "all"
KEYS = {
    "table": {"services", "parameters", "jobs"},
    "service": {"cluster", "release"},
    "parameter": {
        "about", "type", "names", "fix", "required", "default", "choices", "pattern", "range",
        "services", "all", "leaves", "agents", "whole",
    },
    "job": {"about", "services", "parameters", "examples", "at_least", "one_of", "at_most_one_of", "locks", "destroys"},
    "destroys": {"what", "when"},
}  # fmt: skip


class JobError(Exception):
    """The table of jobs is malformed. A fault of the collection, not of who called."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a job, an extra var of the same name.

    Attributes:
        about: what it means.
        option: type, choices, range, pattern, default.
        names: what its value names; None: nothing of the inventory.
        fix: how to give it, for a report.
        services: only these have it; empty: all of the job's.
        all: `all` may stand for every service.
        leaves: how many members it must not name.
        agents: hosts that run the service's agent may be named too.
        whole: it is for all services at once.
    """

    about: str
    option: Option
    names: str | None = None
    fix: str = ""
    services: tuple[str, ...] = ()
    all: bool = False
    leaves: int = 0
    agents: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """Expressions over a role's variables: the cluster's name, and the release that the inventory pins (None: none)."""

    cluster: str
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        about: what it does.
        services: which have it.
        parameters: what it takes, those that all jobs take included.
        at_least: members that the cluster must have.
        one_of: exactly one of these parameters is given.
        at_most_one_of: no more than one of these is given.
        destroys: what is lost and must be confirmed; empty: nothing.
        destroys_when: the parameter that makes it so; None: always.
        locks: whether it holds the cluster's lock.
        examples: arguments that make sense.
    """

    name: str
    about: str
    services: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    at_least: int = 1
    one_of: tuple[str, ...] = ()
    at_most_one_of: tuple[str, ...] = ()
    destroys: str = ""
    destroys_when: str | None = None
    locks: bool = True
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """All services that have jobs, and all jobs."""

    services: Mapping[str, Service]
    jobs: Mapping[str, Job] = field(default_factory=dict)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters of all jobs."""
        return frozenset(name for job in self.jobs.values() for name in job.parameters)


def table_from(data: Any) -> Table:
    """The parsed file as a table. Raises JobError when its parts don't fit together."""
    _known("the file", "table", data)
    for name, entry in data["services"].items():
        _known(f"service {name}", "service", entry)
    shared = data["parameters"]
    services = {name: Service(**entry) for name, entry in data["services"].items()}
    return Table(services, {name: _job(name, entry, shared, services) for name, entry in data["jobs"].items()})


def _job(name: str, entry: Mapping[str, Any], shared: Mapping[str, Any], services: Mapping[str, Service]) -> Job:
    _known(f"job {name}", "job", entry)
    destroys = entry.get("destroys") or {}
    _known(f"job {name}: destroys", "destroys", destroys)
    locks = entry.get("locks", True)
    own = {**{each: {} for each in (*ALWAYS, *(LOCKING if locks else ()))}, **entry["parameters"]}
    parameters = {each: _parameter(f"job {name}: {each}", {**shared.get(each, {}), **own[each]}) for each in own}
    strangers = {*entry["services"], *(s for p in parameters.values() for s in p.services)} - set(services)
    strangers |= {
        *entry.get("one_of", ()),
        *entry.get("at_most_one_of", ()),
        *filter(None, [destroys.get("when")]),
    } - set(parameters)
    if strangers:
        raise JobError(f"job {name} refers to what is not there: {', '.join(sorted(strangers))}")
    return Job(
        name=name,
        about=entry["about"],
        services=tuple(entry["services"]),
        parameters=parameters,
        at_least=entry.get("at_least", 1),
        one_of=tuple(entry.get("one_of", ())),
        at_most_one_of=tuple(entry.get("at_most_one_of", ())),
        destroys=destroys.get("what", ""),
        destroys_when=destroys.get("when"),
        locks=locks,
        examples=tuple(entry["examples"]),
    )


def _parameter(place: str, entry: Mapping[str, Any]) -> Parameter:
    _known(place, "parameter", entry)
    if entry.get("names") not in NAMES or not entry.get("about"):
        raise JobError(f"{place}: needs about, and names must be one of {', '.join(map(str, NAMES[1:]))}")
    kind, span = entry.get("type", "str"), entry.get("range") or {}
    option = Option(
        type=kind,
        elements="str" if kind == "list" else None,
        choices=tuple(entry.get("choices") or ()),
        required=entry.get("required", False),
        default=entry.get("default"),
        pattern=entry.get("pattern"),
        minimum=span.get("min"),
        maximum=span.get("max"),
    )
    return Parameter(
        about=entry["about"],
        option=option,
        names=entry.get("names"),
        fix=entry.get("fix", ""),
        services=tuple(entry.get("services", ())),
        all=entry.get("all", False),
        leaves=entry.get("leaves", 0),
        agents=entry.get("agents", False),
        whole=entry.get("whole", False),
    )


def _known(place: str, kind: str, entry: Any) -> None:
    if not isinstance(entry, Mapping):
        raise JobError(f"{place} must be a mapping")
    if unknown := set(entry) - KEYS[kind]:
        raise JobError(f"{place} has unknown keys {', '.join(sorted(map(str, unknown)))}")
