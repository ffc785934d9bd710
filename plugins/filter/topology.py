"""Filters that compute shared topology from an inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def members(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Host names of a group to a list of {name, address, zone}; an unset zone or address is an error."""
    result = []
    for host in hosts:
        entry = {"name": str(host)}
        variables = hostvars[host]  # once: each access computes all variables of the host anew
        for key in ("address", "zone"):
            value = variables.get(f"platform_{key}")
            if not value:
                raise AnsibleFilterError(f"{host}: platform_{key} is not set; every host of a service needs it")
            entry[key] = value
        result.append(entry)
    return result


def leaders_last(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Hosts in the order in which to stop them: zone by zone, those that lead something in the end.

    What a host leads is its `__patch_weight`. The zone that leads most is the last one, in it the host that leads most.
    """
    known = {str(host): hostvars[host] for host in hosts}
    weight = {host: int(variables.get("__patch_weight") or 0) for host, variables in known.items()}
    zone = {host: str(variables.get("platform_zone") or "") for host, variables in known.items()}
    zones = {name: sum(weight[host] for host in known if zone[host] == name) for name in zone.values()}
    return sorted(known, key=lambda host: (zones[zone[host]], zone[host], weight[host]))


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"members": members, "leaders_last": leaders_last}
