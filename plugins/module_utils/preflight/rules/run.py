# SPDX-License-Identifier: Apache-2.0
"""Rules of the call itself: the environment that the playbook is for, its confirmation, `--limit`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import (
    COMMAND_LINE,
    Inventory,
    Problem,
    shown,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import nearest


def right_environment(inventory: Inventory) -> Iterator[Problem]:
    """An environment's playbook runs only on an inventory of that environment."""
    wanted = inventory.run.environment
    for host, value in inventory.each("platform_environment"):
        if wanted is not None and value != wanted:
            rule = f"this playbook is for {wanted} inventories only"
            fix = f"choose a {wanted} inventory with -i, or run playbooks/environments/{value}.yml"
            yield Problem((host.name,), "platform_environment", rule, fix, shown(value))


def confirmed(inventory: Inventory) -> Iterator[Problem]:
    """Where a confirmation is asked for, the platform's name was typed."""
    name, typed = inventory.first("platform_name"), inventory.run.confirm
    if any(right_environment(inventory)):
        return  # nobody shall confirm the wrong platform
    if typed is not None and typed != name:
        rule = f"this changes {name}, which must be confirmed by its name"
        fix = f"add -e confirm={name} (--check needs none)"
        seen = shown(typed) if typed else None
        yield Problem((), "confirm", rule, fix, seen, place=COMMAND_LINE)


def limit_exists(inventory: Inventory) -> Iterator[Problem]:
    """Every pattern of `--limit` matches a host or a group; Ansible itself only warns when one of several doesn't."""
    names = {host.name for host in inventory.hosts} | set(inventory.groups) | {"all"}
    for pattern in inventory.run.limit:
        bare = re.sub(r"\[-?\d*(?::-?\d*)?\]$", "", pattern.lstrip("!&"))
        if not _matches(bare, names):
            near = nearest(bare, names)
            fix = f"did you mean {near}?" if near else "name hosts or groups of this inventory"
            yield Problem((), "--limit", "matches no host and no group", fix, shown(pattern), place=COMMAND_LINE)


def limit_keeps_services_whole(inventory: Inventory) -> Iterator[Problem]:
    """`--limit` holds all members of a service that votes, or so few that the rest keeps quorum.

    When a majority runs a new configuration and the rest doesn't, nobody can say which half is right.
    """
    run = inventory.run
    for contract, members in inventory.services():
        names = {member["name"] for member in members}
        inside = sorted(names & run.limited)
        if not run.limit or contract.voters != "odd" or len(inside) == len(names):
            continue
        rest = len(names) - len(inside)
        if rest < len(names) // 2 + 1:
            outside = ", ".join(sorted(names - run.limited))
            rule = f"holds {len(inside)} of {len(names)} voters of {contract.role}, but not {outside}"
            fix = f"limit to all of them, or to {(len(names) - 1) // 2} at a time"
            yield Problem((), "--limit", rule, fix, shown(",".join(run.limit)), place=COMMAND_LINE)


def _matches(pattern: str, names: set[str]) -> bool:
    if pattern.startswith("@"):  # a file of hosts that Ansible itself wrote
        return True
    if pattern.startswith("~"):
        return any(re.match(pattern[1:], name) for name in names)
    return any(fnmatchcase(name, pattern) for name in names)
