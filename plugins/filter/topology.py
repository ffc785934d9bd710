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


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"members": members}
