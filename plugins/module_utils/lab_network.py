# SPDX-License-Identifier: Apache-2.0
"""Choosing a network for a lab: 10.X.0.0/22 that nothing else on this machine uses. Pure: the caller brings facts."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

# 10.0 to 10.15 are what offices and cloud networks use first.
FIRST_OCTET = 16
OCTETS = 240
DEFAULT_MTU = 1500


class NoNetworkError(Exception):
    """No network is free on this machine."""


def network_of(prefix: str) -> IPv4Network:
    """The lab's whole network, four zones of a /24 each, for its prefix such as `10.87`.

    Raises:
        ValueError: the prefix is not two octets.
    """
    return IPv4Network(f"{prefix}.0.0/22")


def choose_prefix(lab_id: str, kept: str | None, used: Sequence[IPv4Network]) -> str:
    """The first two octets of a free network.

    Args:
        lab_id: where the search starts, so that the same checkout finds the same network again.
        kept: the prefix that this lab had before; it stays when it is free.
        used: networks of other containers and routes of this machine.

    Raises:
        NoNetworkError: every candidate overlaps with something in use.
    """
    start = int.from_bytes(lab_id.encode(), "big") % OCTETS
    candidates = [f"10.{FIRST_OCTET + (start + step) % OCTETS}" for step in range(OCTETS)]
    for prefix in [kept, *candidates] if kept else candidates:
        if not any(network_of(prefix).overlaps(other) for other in used):
            return prefix
    raise NoNetworkError(f"none of {len(candidates)} networks 10.X.0.0/22 is free: remove unused Docker networks")


def parse_routes(table: str) -> list[tuple[str, IPv4Network]]:
    """Interface and destination of each route in the text of /proc/net/route."""
    routes = []
    for line in table.splitlines()[1:]:
        interface, destination, *_other, mask = line.split()[:8]
        routes.append((interface, IPv4Network((_address(destination), _address(mask)))))
    return routes


def default_interface(routes: Iterable[tuple[str, IPv4Network]]) -> str | None:
    """The interface of the default route, or None on a machine without one."""
    return next((interface for interface, network in routes if network.prefixlen == 0), None)


def parse_networks(inspected: str) -> dict[str, list[IPv4Network]]:
    """Subnets by name from the JSON of `docker network inspect`; IPv6 is left out."""
    subnets: dict[str, list[IPv4Network]] = {}
    for network in json.loads(inspected):
        configured = (network.get("IPAM") or {}).get("Config") or []
        texts = [item.get("Subnet", "") for item in configured]
        subnets[network["Name"]] = [IPv4Network(text) for text in texts if "." in text]
    return subnets


def used_networks(
    routes: Iterable[tuple[str, IPv4Network]], networks: dict[str, list[IPv4Network]], own: str
) -> list[IPv4Network]:
    """What a new lab must keep away from: all networks and routes but its own and the default one."""
    mine = networks.get(own, [])
    others = [subnet for name, subnets in networks.items() if name != own for subnet in subnets]
    return others + [route for _interface, route in routes if route.prefixlen > 0 and route not in mine]


def _address(little_endian: str) -> str:
    return socket.inet_ntoa(struct.pack("<I", int(little_endian, 16)))
