# SPDX-License-Identifier: Apache-2.0
"""Rules between variables of one role, or of two services, which neither specs nor ranges can say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import (
    Contract,
    Host,
    Inventory,
    Problem,
    shown,
)

# etcd's own advice: below five heartbeats a short delay already starts an election.
HEARTBEATS_PER_ELECTION = 5
# What holds where an inventory promises nothing itself
PROMISED = Policy()


def etcd_election_outlasts_heartbeats(inventory: Inventory) -> Iterator[Problem]:
    """etcd starts no election before five heartbeats are missing."""
    for host, contract in _members(inventory, "etcd"):
        numbers = _numbers(inventory, host, contract, "etcd_heartbeat_ms", "etcd_election_ms")
        if numbers is None:
            continue
        heartbeat, election = numbers
        least = HEARTBEATS_PER_ELECTION * heartbeat
        if election < least:
            rule = f"is below {HEARTBEATS_PER_ELECTION} heartbeats of {heartbeat} ms: a short delay starts an election"
            yield Problem((host.name,), "etcd_election_ms", rule, f"use {least} or more", shown(election))


def postgresql_lock_outlasts_retries(inventory: Inventory) -> Iterator[Problem]:
    """The leader lock lives through a loop and two retries, as Patroni asks; else it shortens them by itself."""
    names = ("postgresql_ttl", "postgresql_loop_wait", "postgresql_retry_timeout")
    for host, contract in _members(inventory, "postgresql"):
        numbers = _numbers(inventory, host, contract, *names)
        if numbers is None:
            continue
        ttl, loop_wait, retry_timeout = numbers
        least = loop_wait + 2 * retry_timeout
        if ttl < least:
            rule = f"is below postgresql_loop_wait + 2 x postgresql_retry_timeout = {least}"
            fix = f"use {least} or more, or shorten the other two"
            yield Problem((host.name,), "postgresql_ttl", rule, fix, shown(ttl))


def postgresql_pool_fits(inventory: Inventory) -> Iterator[Problem]:
    """One pool of pgBouncer at its largest leaves the server the connections that superusers keep."""
    names = (
        "postgresql_pgbouncer_default_pool_size",
        "postgresql_pgbouncer_reserve_pool_size",
        "postgresql_max_connections",
        "postgresql_superuser_reserved_connections",
    )
    for host, contract in _members(inventory, "postgresql"):
        numbers = _numbers(inventory, host, contract, *names)
        if numbers is None:
            continue
        size, reserve, connections, reserved = numbers
        if size + reserve > connections - reserved:
            rule = (
                f"with the reserve of {reserve} is above the {connections - reserved} connections that clients can have"
            )
            fix = "lower it, or raise postgresql_max_connections"
            yield Problem((host.name,), names[0], rule, fix, shown(size))


def postgresql_standbys_exist(inventory: Inventory) -> Iterator[Problem]:
    """There are as many standbys as a commit waits for; a cluster of one member has none and waits for none."""
    for host, contract in _members(inventory, "postgresql"):
        members = inventory.members(contract)
        numbers = _numbers(inventory, host, contract, "postgresql_synchronous_node_count")
        wanted = inventory.effective(host, contract, "postgresql_synchronous_mode") is True
        if numbers is None or not wanted or len(members) == 1:
            continue
        if numbers[0] >= len(members):
            rule = f"is more than the {len(members) - 1} standbys of {len(members)} members"
            fix = f"use {len(members) - 1} or less, or add members"
            yield Problem((host.name,), "postgresql_synchronous_node_count", rule, fix, shown(numbers[0]))


def postgresql_archives_within_rpo(inventory: Inventory) -> Iterator[Problem]:
    """WAL that nobody fills is archived before the promised RPO is over; else a quiet hour breaks the promise."""
    backups = inventory.contracts.get("backup")
    for host, contract in _members(inventory, "postgresql"):
        numbers = _numbers(inventory, host, contract, "postgresql_archive_timeout_s")
        if numbers is None or backups is None or not inventory.members(backups):
            continue
        policies = inventory.effective(host, backups, "backup_policies")
        promised = policies.get("postgresql") if isinstance(policies, dict) else None
        rpo = promised.get("rpo_s", PROMISED.rpo_s) if isinstance(promised, dict) else PROMISED.rpo_s
        if isinstance(rpo, int) and rpo > 0 and numbers[0] >= rpo:
            rule = f"is not below the promised RPO of {rpo} s (backup_policies.postgresql.rpo_s)"
            fix = f"use less than {rpo}, half of it for example, or promise less"
            yield Problem((host.name,), "postgresql_archive_timeout_s", rule, fix, shown(numbers[0]))


def postgresql_store_exists(inventory: Inventory) -> Iterator[Problem]:
    """The store of the leader lock has members in this inventory, and is the one that the endpoint needs."""
    for host, contract in _members(inventory, "postgresql"):
        store = inventory.effective(host, contract, "postgresql_dcs")
        own = host.variables.get(f"postgresql_{store}_members")  # a store outside of this inventory
        known = inventory.contracts.get(str(store))
        told = known is not None and known.members_variable in host.broken  # its cause is a problem of its own
        if known is not None and not told and not own and not inventory.members(known):
            rule = f"{known.members_variable} is empty: there would be no store for the leader lock"
            fix = f"give {store} members, or use another store"
            yield Problem((host.name,), "postgresql_dcs", rule, fix, shown(store))
        endpoint = inventory.effective(host, contract, "postgresql_endpoint")
        if endpoint == "consul_dns" and store != "consul":
            rule = "Patroni registers services in Consul only when that is its store"
            fix = "set postgresql_dcs: consul, or postgresql_endpoint: haproxy"
            yield Problem((host.name,), "postgresql_endpoint", rule, fix, shown(endpoint))


def pki_renews_before_the_end(inventory: Inventory) -> Iterator[Problem]:
    """A certificate lives longer than the time before its end in which it is renewed; else each run issues anew."""
    contract = inventory.contracts.get("pki")
    names = ("pki_renew_days_left", "pki_leaf_days")
    if contract is None:
        return
    for host in inventory.hosts:
        renewed, lives = (inventory.effective(host, contract, name) for name in names)
        if isinstance(renewed, int | float) and isinstance(lives, int | float) and renewed >= lives:
            rule = f"is not below pki_leaf_days = {lives:g}: every run would issue all certificates anew"
            yield Problem((host.name,), names[0], rule, f"use {lives / 3:.3g} or less", shown(renewed))


def _members(inventory: Inventory, role: str) -> Iterator[tuple[Host, Contract]]:
    """The hosts that are members of a service, with its contract."""
    for contract, members in inventory.services():
        names = {member["name"] for member in members}
        if contract.role == role:
            yield from ((host, contract) for host in inventory.hosts if host.name in names)


def _numbers(inventory: Inventory, host: Host, contract: Contract, *names: str) -> tuple[int, ...] | None:
    """The values as the role will see them; None when one is unknown or, as another rule tells, no integer."""
    values: list[Any] = [inventory.effective(host, contract, name) for name in names]
    return tuple(values) if all(isinstance(value, int) and not isinstance(value, bool) for value in values) else None
