# SPDX-License-Identifier: Apache-2.0
"""Rules of services: who is a member, and whether they keep their quorum when a zone is lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import (
    Inventory,
    Problem,
    shown,
)
from ansible_collections.rsp.platform.plugins.module_utils.topology import SMALL_ENVIRONMENTS

ODD_VOTERS = (3, 5, 7)
# Fewer zones can't help but put a majority into one of them.
ZONES_THAT_SPREAD = 3


def has_members(inventory: Inventory) -> Iterator[Problem]:
    """A service whose group has hosts has members: a hand-emptied list would leave each host alone."""
    for contract in inventory.contracts.values():
        variable = contract.members_variable
        if variable not in contract.options or any(variable in host.broken for host in inventory.hosts):
            continue
        if inventory.members(contract):
            continue
        for group, hosts in inventory.groups.items():
            if hosts and (group == contract.role or group.startswith(f"{contract.role}_")):
                rule = f"is empty, but group {group} has hosts"
                fix = f"set it in group_vars/all: \"{{{{ groups['{group}'] | rsp.platform.members(hostvars) }}}}\""
                yield Problem((), variable, rule, fix, shown(inventory.first(variable)))
                break


def members_are_hosts(inventory: Inventory) -> Iterator[Problem]:
    """Members are hosts of this inventory, each once, with the zone and address that the host itself has."""
    hosts = {host.name: host for host in inventory.hosts}
    for contract, members in inventory.services():
        variable = contract.members_variable
        for name, times in Counter(member["name"] for member in members).items():
            if times > 1:
                yield Problem((), variable, f"{name} is listed {times} times", "list each member once", shown(name))
        for index, member in enumerate(members):
            path = f"{variable}[{index}]"
            host = hosts.get(member["name"])
            if host is None:
                rule = "is no host of this inventory"
                yield Problem((), f"{path}.name", rule, "add the host or remove the member", shown(member["name"]))
                continue
            for key in ("address", "zone"):
                own = host.variables.get(f"platform_{key}")
                if own is not None and member.get(key) != own:
                    rule = f"{host.name} itself says platform_{key} = {shown(own)}"
                    yield Problem((), f"{path}.{key}", rule, "compute the list from a group", shown(member.get(key)))


def odd_quorum(inventory: Inventory) -> Iterator[Problem]:
    """Services that vote have 3, 5 or 7 voters; one voter only where nobody depends on the platform, and said so."""
    environment = inventory.first("platform_environment")
    single_allowed = environment in SMALL_ENVIRONMENTS and inventory.first("platform_allow_single") is True
    for contract, members in inventory.services():
        voters = len({member["name"] for member in members})
        if contract.voters != "odd" or voters in ODD_VOTERS or (voters == 1 and single_allowed):
            continue
        rule, fix = _refusal(voters, small=environment in SMALL_ENVIRONMENTS)
        yield Problem((), contract.members_variable, rule, fix, f"{voters} members")


def zone_without_majority(inventory: Inventory) -> Iterator[Problem]:
    """No zone holds a majority of a service's voters, where there are zones enough to avoid it."""
    zones = inventory.first("platform_zones")
    if not isinstance(zones, list) or len(zones) < ZONES_THAT_SPREAD:
        return
    for contract, members in inventory.services():
        if contract.voters is None or len(members) == 1:
            continue
        for zone, names in _by_zone(members).items():
            if len(names) * 2 > len(members):
                share = f"{len(names)} of {len(members)} voters"
                rule = f"{contract.role} has {share} in zone {zone}: losing it loses quorum"
                fix = f"put one of {', '.join(names)} in another zone"
                yield Problem((names[-1],), "platform_zone", rule, fix, shown(zone))


def _refusal(voters: int, *, small: bool) -> tuple[str, str]:
    """Rule and fix for a number of voters that is not allowed."""
    if voters == 1:
        fix = "list 3 members, one a zone" + (", or set platform_allow_single: true" if small else "")
        return "1 voter is no quorum: the service dies with its host", fix
    if voters > max(ODD_VOTERS):
        return f"{voters} voters make every write wait for {voters // 2 + 1} of them", "list 3, 5 or 7 members"
    fix = "list 3 members, one a zone" if voters < min(ODD_VOTERS) else f"list {voters - 1} or {voters + 1} members"
    return f"{voters} voters survive the loss of no more than {voters - 1} would", fix


def _by_zone(members: tuple[dict[str, Any], ...]) -> dict[str, list[str]]:
    zones: dict[str, list[str]] = defaultdict(list)
    for member in members:
        zones[str(member.get("zone"))].append(member["name"])
    return zones
