# SPDX-License-Identifier: Apache-2.0
"""Rules of the secret store: the back-end is described completely, and what nobody can make is there."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import CONTROLLER, Inventory, Problem
from ansible_collections.rsp.platform.plugins.module_utils.topology import SECRET_BACKENDS


def backend_complete(inventory: Inventory) -> Iterator[Problem]:
    """`platform_secrets` has the keys of its back-end, and none of another."""
    for host, store in inventory.each("platform_secrets"):
        wanted = SECRET_BACKENDS.get(store.get("backend", "")) if isinstance(store, dict) else None
        if wanted is None:  # platform_variables reports the type and the back-end's name
            continue
        backend = store["backend"]
        for key in wanted:
            if not store.get(key):
                rule = f"back-end {backend} needs it"
                yield Problem((host.name,), f"platform_secrets.{key}", rule, f"set {key}")
        for key in sorted(set(store) - set(wanted) - {"backend"}):
            rule = f"is no key of back-end {backend}"
            fix = f"remove it; its keys are {', '.join(wanted)}"
            yield Problem((host.name,), f"platform_secrets.{key}", rule, fix)


def secrets_present(inventory: Inventory) -> Iterator[Problem]:
    """Where the store can't make secrets, every secret that a service needs is there."""
    for contract, members in inventory.services():
        hosts = [host for host in inventory.hosts if host.name in {member["name"] for member in members}]
        for name, when in contract.secrets.items():
            needed = any(
                all(inventory.effective(host, contract, variable) == value for variable, value in when.items())
                for host in hosts
            )
            if needed and name in inventory.run.missing:
                rule = f"role {contract.role} needs this secret, and the store can't make it"
                yield Problem((), name, rule, inventory.run.missing[name], place=CONTROLLER)
