# SPDX-License-Identifier: Apache-2.0
"""Rules of role variables: names, types, choices, ranges, removed names, versions, ports, secrets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Inventory, Problem, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults, nearest
from ansible_collections.rsp.platform.plugins.module_utils.topology import MEMBER


def templates_resolve(inventory: Inventory) -> Iterator[Problem]:
    """Every variable can be computed from the inventory alone. One cause is told once, whatever it breaks and where."""
    causes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for host in inventory.hosts:
        for name, reason in host.broken.items():
            causes[reason][name].append(host.name)
    for reason, broken in causes.items():
        first = min(broken, key=lambda name: (len(broken[name]), *_nearness(name)))
        others = [name for name in broken if name != first]
        also = f" (this breaks {', '.join(others)} too)" if others else ""
        rule = f"can't be computed: {reason}{also}"
        yield Problem(tuple(broken[first]), first, rule, "define what it refers to, or correct the expression")


def known_names(inventory: Inventory) -> Iterator[Problem]:
    """A variable that begins with a role's name is one of the role's variables.

    Names with leading underscores are results of an earlier play of the same run: they are the roles' own business.
    """
    for host in inventory.hosts:
        for name in [*host.variables, *host.broken]:
            contract = _owner(name, inventory.contracts)
            if contract is None or name in contract.options:
                continue
            if name in contract.removed:
                rule = f"was removed from role {contract.role}"
                yield Problem((host.name,), name, rule, f"use {contract.removed[name]}")
            else:
                prefix = f"{contract.role}_"  # compared without it: every name would be near to every other
                near = nearest(name.removeprefix(prefix), [known.removeprefix(prefix) for known in contract.options])
                fix = (
                    f"did you mean {prefix}{near}?"
                    if near
                    else f"remove it; roles/{contract.role}/README.md lists them all"
                )
                yield Problem((host.name,), name, f"unknown variable of role {contract.role}", fix)


def right_values(inventory: Inventory) -> Iterator[Problem]:
    """Types, choices, ranges and nested keys are those of the role's specification."""
    for contract in inventory.contracts.values():
        for name, option in contract.options.items():
            for host in inventory.hosts:
                if name not in host.variables:
                    continue
                value = host.variables[name]
                if value is None:
                    if option.default is not None:
                        fix = f"give it a value, or remove it to get the default {shown(option.default)}"
                        yield Problem((host.name,), name, "is empty, which is not the default", fix, shown(value))
                    continue
                checked = MEMBER if name == contract.members_variable else option
                for fault in faults(name, checked, value):
                    yield Problem((host.name,), fault.path, fault.rule, fault.fix, fault.value)


def required_are_set(inventory: Inventory) -> Iterator[Problem]:
    """On a service's members, the variables that its role can't do without are set."""
    for contract, members in inventory.services():
        names = {member["name"] for member in members}
        required = [name for name, option in contract.options.items() if option.required]
        for host in inventory.hosts:
            for name in required if host.name in names else ():
                if host.variables.get(name) is None and name not in host.broken:
                    yield Problem((host.name,), name, f"role {contract.role} requires it", "set it")


def listed_versions(inventory: Inventory) -> Iterator[Problem]:
    """Versions are in the artifact catalogue: supported means listed."""
    for contract in inventory.contracts.values():
        for variable, artifact in contract.versions.items():
            listed = inventory.catalogue.get(artifact, ())
            for host, value in inventory.each(variable):
                if isinstance(value, str) and value not in listed:
                    near = nearest(value, listed)
                    rule = f"{artifact} {value} is not in the catalogue, which lists {', '.join(listed) or 'none'}"
                    fix = f"use {near or (listed[-1] if listed else 'a listed artifact')}, or add it to the catalogue"
                    yield Problem((host.name,), variable, rule, fix, shown(value))


def separate_ports(inventory: Inventory) -> Iterator[Problem]:
    """No two services, and no two listeners of one, want the same port of a host."""
    for host in inventory.hosts:
        owners: dict[int, str] = {}
        for contract, members in inventory.services():
            if not contract.everywhere and host.name not in {member["name"] for member in members}:
                continue
            for variable in contract.ports:
                port = inventory.effective(host, contract, variable)
                if not isinstance(port, int):
                    continue
                owner = owners.setdefault(port, variable)
                if owner != variable:
                    rule = f"{owner} has this port on the same host"
                    yield Problem((host.name,), variable, rule, "give one of them another port", shown(port))


def _owner(name: str, contracts: Mapping[str, Contract]) -> Contract | None:
    """The role whose prefix the variable bears; the longest one when several do."""
    roles = [role for role in contracts if name.startswith(f"{role}_")]
    return contracts[max(roles, key=len)] if roles else None


def _nearness(name: str) -> tuple[bool, bool]:
    """Sorts connection variables first, then shared ones: those of roles build on them."""
    return not name.startswith("ansible_"), not name.startswith("platform_")
