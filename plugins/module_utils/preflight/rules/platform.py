# SPDX-License-Identifier: Apache-2.0
"""Rules of the shared topology: `platform_*` variables, zones, addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory, Problem, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults, nearest
from ansible_collections.rsp.platform.plugins.module_utils.topology import PER_HOST, PLATFORM

WHERE = "docs/platform-variables.md describes it"


def platform_variables(inventory: Inventory) -> Iterator[Problem]:
    """Every `platform_*` variable is known, there when required, and of its type."""
    for host in inventory.hosts:
        for name, option in PLATFORM.items():
            if name in host.broken:
                continue
            value = host.variables.get(name)
            if value is None and option.required:
                yield Problem((host.name,), name, "a required variable is not set", f"set it; {WHERE}")
            elif value is not None:
                for fault in faults(name, option, value):
                    yield Problem((host.name,), fault.path, fault.rule, fault.fix, fault.value)
        for name in [*host.variables, *host.broken]:
            if name.startswith("platform_") and name not in PLATFORM:
                near = nearest(name, PLATFORM)
                fix = f"did you mean {near}?" if near else "docs/platform-variables.md lists them all"
                yield Problem((host.name,), name, "unknown shared variable", fix)


def same_everywhere(inventory: Inventory) -> Iterator[Problem]:
    """Variables that describe the platform, and members of services, are the same on every host."""
    shared = [name for name in PLATFORM if name not in PER_HOST]
    shared += [contract.members_variable for contract in inventory.contracts.values()]
    for name in shared:
        seen = list(inventory.each(name))
        for host, value in seen[1:]:
            if value != seen[0][1]:
                rule = f"differs from {seen[0][0].name}, but is one for the whole platform"
                yield Problem((host.name,), name, rule, "set it once, in group_vars/all", shown(value))


def zone_networks(inventory: Inventory) -> Iterator[Problem]:
    """`platform_zones` has each name once, and networks that exist and don't overlap."""
    earlier: dict[str, IPv4Network | IPv6Network | None] = {}
    for index, zone in enumerate(_zones(inventory)):
        name, cidr = str(zone.get("name")), zone.get("cidr")
        path = f"platform_zones[{index}]"
        if name in earlier:
            yield Problem((), f"{path}.name", "two zones have the same name", "name each once", shown(name))
        network = None
        try:
            network = ip_network(cidr) if isinstance(cidr, str) else None
        except ValueError as err:
            yield Problem((), f"{path}.cidr", f"is no network: {err}", "write it like 10.20.0.0/24", shown(cidr))
        for other, taken in earlier.items():
            if network and taken and network.version == taken.version and network.overlaps(taken):
                rule = f"overlaps zone {other}: a zone could not be told by its network"
                yield Problem((), f"{path}.cidr", rule, "give each zone its own network", shown(cidr))
        earlier[name] = network


def known_zones(inventory: Inventory) -> Iterator[Problem]:
    """Every host's zone is one of `platform_zones`."""
    names = [str(zone.get("name")) for zone in _zones(inventory)]
    for host, zone in inventory.each("platform_zone"):
        if names and zone not in names:
            near = nearest(str(zone), names)
            fix = f"did you mean {near}?" if near else f"use one of {', '.join(names)}, or add it to platform_zones"
            yield Problem((host.name,), "platform_zone", "is not listed in platform_zones", fix, shown(zone))


def unique_addresses(inventory: Inventory) -> Iterator[Problem]:
    """No two hosts share an address: neither for their peers nor for ssh."""
    for variable in ("platform_address", "ansible_host"):
        owners: dict[str, list[str]] = defaultdict(list)
        for host, value in inventory.each(variable):
            owners[str(value)].append(host.name)
        for value, hosts in owners.items():
            if len(hosts) > 1:
                rule = "several hosts have this address"
                yield Problem(tuple(hosts), variable, rule, "give each host its own", shown(value))


def address_in_zone(inventory: Inventory) -> Iterator[Problem]:
    """A host's address is no wildcard or loopback, and lies in the network of its zone when the zone has one."""
    cidrs = {zone.get("name"): zone.get("cidr") for zone in reversed(_zones(inventory))}
    for host, value in inventory.each("platform_address"):
        address = _address(value)
        if address is None:
            continue
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            rule = "peers can't reach a host at this address"
            yield Problem((host.name,), "platform_address", rule, "use the address that its peers see", shown(value))
            continue
        zone = host.variables.get("platform_zone")
        cidr = cidrs.get(zone)
        try:
            inside = cidr is None or address in ip_network(cidr)
        except ValueError:  # zone_networks reports the network itself
            continue
        if not inside:
            rule = f"is outside {cidr}, the network of zone {zone}"
            yield Problem((host.name,), "platform_address", rule, "correct the address or platform_zone", shown(value))


def _zones(inventory: Inventory) -> list[dict[str, Any]]:
    value = inventory.first("platform_zones")
    return [zone for zone in value if isinstance(zone, dict)] if isinstance(value, list) else []


def _address(value: Any) -> IPv4Address | IPv6Address | None:
    """The IP address, or None for a host name: names are resolved by stage (b), on the members."""
    try:
        return ip_address(str(value))
    except ValueError:
        return None
