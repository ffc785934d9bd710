# SPDX-License-Identifier: Apache-2.0
"""One call of a job, as its rules see it: what was typed, against which inventory. Plain data; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import ALL, Job, Parameter, Table
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import (
    COMMAND_LINE,
    Contract,
    Inventory,
    Problem,
    shown,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import Fault, faults

# Extra vars that are none of a job's business: Ansible's own, AWX's, preflight's and those that preflight judges.
OTHERS = ("ansible_", "awx_", "tower_", "preflight_", "platform_")
BOOLEANS = {"true": True, "false": False, "True": True, "False": False}


@dataclass(frozen=True)
class Call:
    """A job with its arguments.

    Attributes:
        job: what was called.
        table: all jobs.
        inventory: hosts, contracts, catalogue and the command line.
        given: extra vars and the play's variables, as typed.
        clusters: service → name of its cluster, for services that have members.
        releases: service → release that the inventory pins.
        check_mode: nothing will be changed.
    """

    job: Job
    table: Table
    inventory: Inventory
    given: Mapping[str, Any]
    clusters: Mapping[str, str] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    check_mode: bool = False

    @cached_property
    def read(self) -> dict[str, tuple[Any, list[Fault]]]:
        """Given parameters → the value in its type, and what is wrong with it."""
        found = {}
        for name in self.job.parameters.keys() & self.given.keys():
            parameter = self.job.parameters[name]
            value = coerced(parameter, self.given[name])
            found[name] = value, list(faults(name, parameter.option, value))
        return found

    @cached_property
    def values(self) -> dict[str, Any]:
        """Given parameters that have the right type; not yet whether they name something that is there."""
        return {name: value for name, (value, wrong) in self.read.items() if not wrong and value not in ("", [])}

    def value(self, name: str) -> Any:
        """A parameter, or its default; None when the job has neither."""
        parameter = self.job.parameters.get(name)
        default = parameter.option.default if parameter else None
        return default if parameter and name not in self.given else self.values.get(name)

    @property
    def service(self) -> str | None:
        """The service that was asked for, `all` for every one; None when none was."""
        return self.value("service") if "service" in self.job.parameters else ALL

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The services that the call is about; empty when it names none that has the job and members."""
        wanted = self.job.services if self.service == ALL and self.all_allowed else (self.service,)
        return tuple(name for name in self.job.services if name in wanted and name in self.clusters)

    @property
    def all_allowed(self) -> bool:
        """Whether the job may go over every service."""
        parameter = self.job.parameters.get("service")
        return parameter is None or parameter.all

    @property
    def cluster(self) -> str:
        """What the call is about, and what confirms it: the cluster, or the platform for all services."""
        if self.service == ALL:
            return str(self.inventory.first("platform_name"))
        return self.clusters[self.services[0]]

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts of the inventory."""
        return tuple(host.name for host in self.inventory.hosts)

    @property
    def members(self) -> tuple[str, ...]:
        """The members of the services that the call is about, as the inventory lists them."""
        names = (entry["name"] for service in self.services for entry in self.entries(service))
        return tuple(dict.fromkeys(names))

    def entries(self, service: str) -> tuple[dict[str, Any], ...]:
        """The inventory's list of a service's members."""
        return self.inventory.members(self.inventory.contracts[service])

    def contract(self) -> Contract:
        """The contract of the one service that the call is about."""
        return self.inventory.contracts[self.services[0]]

    def naming(self, *kinds: str) -> Iterator[tuple[str, Parameter, list[str]]]:
        """Given parameters whose values name something of a kind, with the names."""
        for name, parameter in self.job.parameters.items():
            if parameter.names in kinds and name in self.values:
                value = self.values[name]
                yield name, parameter, value if isinstance(value, list) else [value]

    @property
    def foreign(self) -> list[str]:
        """Given variables that are neither the job's nor anybody else's."""
        roles = tuple(f"{mark}{role}_" for role in self.inventory.contracts for mark in ("", "__"))
        return sorted(
            name for name in self.given if name not in self.job.parameters and not name.startswith((*OTHERS, *roles))
        )


Rule = Callable[[Call], Iterator[Problem]]
HIDDEN = object()


def problem(variable: str, rule: str, fix: str, value: object = HIDDEN) -> Problem:
    """Something wrong with what was typed."""
    return Problem((), variable, rule, fix, None if value is HIDDEN else shown(value), place=COMMAND_LINE)


def coerced(parameter: Parameter, value: Any) -> Any:
    """The value in the parameter's type where that is plainly meant: `-e key=value` gives strings only.

    Anything else stays as it is, and is refused by its type: yes, 1h, 017.
    """
    kind = parameter.option.type
    if kind == "str" and parameter.names == "member" and isinstance(value, list):
        return ",".join(map(str, value))
    if not isinstance(value, str):
        return value
    if kind == "list":
        return [part.strip() for part in value.split(",")] if value.strip() else []
    if kind == "int" and re.fullmatch(r"0|-?[1-9][0-9]*", value):
        return int(value)
    if kind == "bool":
        return BOOLEANS.get(value, value)
    return value
