# SPDX-License-Identifier: Apache-2.0
"""What a driver is, and what it is told: one connection and the members that the inventory knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState


@dataclass(frozen=True, slots=True)
class KnownMember:
    """A member as the inventory knows it: one entry of `<role>_members`."""

    name: str
    address: str
    zone: str | None = None


class Driver(Protocol):
    """Sees one service from one of its members."""

    def state(self) -> ServiceState:
        """The service at this moment. Raises DriverError when it could not be asked or understood."""

    def transfer(self, state: ServiceState, to: str) -> None:
        """Command the leader of `state` to hand over to member `to`. Raises DriverError when it is refused."""


def known_members(entries: Sequence[Mapping[str, Any]]) -> tuple[KnownMember, ...]:
    """The `members` option of a module as KnownMember."""
    return tuple(KnownMember(str(e["name"]), str(e["address"]), e.get("zone")) for e in entries)


def connection_options() -> dict[str, Any]:
    """Argument spec of the `connection` option; plugins/doc_fragments/service.py documents it."""
    return {
        "url": {"type": "str", "required": True},
        "ca_path": {"type": "path"},
        "cert_path": {"type": "path"},
        "key_path": {"type": "path"},
        "token": {"type": "str", "no_log": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "timeout_s": {"type": "float", "default": 10.0},
    }


def service_options() -> dict[str, Any]:
    """Argument spec that service_info and service_gate share."""
    return {
        "service": {"type": "str", "required": True},
        "cluster": {"type": "str"},
        "connection": {"type": "dict", "required": True, "options": connection_options()},
        "members": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "address": {"type": "str", "required": True},
                "zone": {"type": "str"},
            },
        },
    }
