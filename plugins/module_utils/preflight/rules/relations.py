# SPDX-License-Identifier: Apache-2.0
"""Rules between variables of one role, which neither specs nor ranges can say."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Host, Inventory, Problem

# etcd's own advice: below five heartbeats a short delay already starts an election.
HEARTBEATS_PER_ELECTION = 5


def etcd_election_outlasts_heartbeats(inventory: Inventory) -> Iterator[Problem]:
    """etcd starts no election before five heartbeats are missing."""
    for host, contract in _members(inventory, "etcd"):
        heartbeat = inventory.effective(host, contract, "etcd_heartbeat_ms")
        election = inventory.effective(host, contract, "etcd_election_ms")
        if not isinstance(heartbeat, int) or not isinstance(election, int):
            continue
        least = HEARTBEATS_PER_ELECTION * heartbeat
        if election < least:
            rule = f"is below {HEARTBEATS_PER_ELECTION} heartbeats of {heartbeat} ms: a short delay starts an election"
            yield Problem((host.name,), "etcd_election_ms", rule, f"use {least} or more", str(election))


def _members(inventory: Inventory, role: str) -> Iterator[tuple[Host, Contract]]:
    """The hosts that are members of a service, with its contract."""
    for contract, members in inventory.services():
        names = {member["name"] for member in members}
        if contract.role == role:
            yield from ((host, contract) for host in inventory.hosts if host.name in names)
