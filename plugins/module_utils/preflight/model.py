# SPDX-License-Identifier: Apache-2.0
"""What preflight (a) looks at, an inventory, and what it finds, problems. Plain data; no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SHOWN_LENGTH = 48


@dataclass(frozen=True, slots=True)
class Option:
    """One variable of a role or of the topology, in the terms of `argument_specs`.

    Attributes:
        type: str, int, float, bool, list, dict, path or raw.
        elements: type of a list's elements, None for any.
        choices: the only values allowed; empty for any.
        options: the keys of a dict, or of each dict in a list; None for any.
        required: whether it must be set.
        secret: its value is never shown.
        default: the role's default; None when there is none or when it is computed on the member.
        pattern: a regular expression that a string must match whole.
        minimum, maximum: the range of a number, or of each number in a list.
    """

    type: str = "str"
    elements: str | None = None
    choices: tuple[Any, ...] = ()
    options: Mapping[str, Option] | None = None
    required: bool = False
    secret: bool = False
    default: Any = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What preflight knows about a role: its `argument_specs` and its `meta/rules.yml`.

    Attributes:
        role: name of the role, the prefix of its variables.
        options: every public variable, of all entry points.
        voters: `odd` when members vote among themselves, `any` when another service elects one, None without.
        removed: old variable name → what to use instead.
        versions: variable → artifact of the catalogue whose version it names.
        ports: variables whose value is a port that members listen on.
        everywhere: hosts that are no members run an agent, which listens on the same ports.
        secrets: names in the secret store that the role needs → with which values of variables; empty: always.
    """

    role: str
    options: Mapping[str, Option]
    voters: str | None = None
    removed: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    everywhere: bool = False
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def members_variable(self) -> str:
        """The variable that lists the members of the service."""
        return f"{self.role}_members"


@dataclass(frozen=True, slots=True)
class Host:
    """A host with its variables as the inventory and extra vars give them.

    Attributes:
        name: inventory name.
        variables: templated values by name; a role's defaults are not among them.
        broken: variables that could not be templated → why.
    """

    name: str
    variables: Mapping[str, Any]
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """How the playbook was called.

    Attributes:
        environment: the environment that the playbook is for, None for any.
        confirm: name of the platform as typed, None when nothing needs to be confirmed.
        limit: single patterns of `--limit`; empty without one.
        limited: hosts that are left by the limit; all hosts without one.
        extra: names of extra vars.
        missing: secrets that roles need and a read-only store lacks → how to set them.
    """

    environment: str | None = None
    confirm: str | None = None
    limit: tuple[str, ...] = ()
    limited: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that the rules may look at.

    Attributes:
        label: what people call it: inventories/staging.
        hosts: all hosts, also those outside the limit.
        groups: group → names of its hosts, those of child groups included.
        contracts: role → its contract.
        catalogue: artifact → listed versions, oldest first.
    """

    label: str
    hosts: tuple[Host, ...]
    groups: Mapping[str, tuple[str, ...]]
    contracts: Mapping[str, Contract]
    catalogue: Mapping[str, tuple[str, ...]]
    run: Run = field(default_factory=Run)

    def each(self, variable: str) -> Iterator[tuple[Host, Any]]:
        """Hosts on which the variable is set to something, with its value."""
        for host in self.hosts:
            value = host.variables.get(variable)
            if value is not None:
                yield host, value

    def first(self, variable: str) -> Any:
        """The value on the first host that has one: for variables that are the same everywhere. None when unset."""
        return next((value for _host, value in self.each(variable)), None)

    def members(self, contract: Contract) -> tuple[dict[str, Any], ...]:
        """The service's members; empty when there are none or when the list is malformed."""
        value = self.first(contract.members_variable)
        if not isinstance(value, list):
            return ()
        return tuple(entry for entry in value if isinstance(entry, dict) and isinstance(entry.get("name"), str))

    def services(self) -> Iterator[tuple[Contract, tuple[dict[str, Any], ...]]]:
        """Every service that has members, with them."""
        for contract in self.contracts.values():
            members = self.members(contract)
            if members:
                yield contract, members

    def effective(self, host: Host, contract: Contract, variable: str) -> Any:
        """The value that the role will see on the host; None when unknown before facts."""
        if variable in host.broken:
            return None
        value = host.variables.get(variable)
        if value is None and variable in contract.options:
            return contract.options[variable].default
        return value


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule, with the way out.

    Attributes:
        hosts: where it was seen; empty for the inventory as a whole, or when `place` says where.
        variable: name, or path in it: platform_zones[1].cidr.
        rule: what is wrong, in one sentence.
        fix: what to do.
        value: as shown to people; None when unset or not to be shown.
        place: where it was seen when that is no host: the command line, the controller.
    """

    hosts: tuple[str, ...]
    variable: str
    rule: str
    fix: str
    value: str | None = None
    place: str | None = None


COMMAND_LINE = "command line"
CONTROLLER = "controller"

Rule = Callable[[Inventory], Iterator[Problem]]


def shown(value: object) -> str:
    """A value as people read it in a report, short and on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"
