# SPDX-License-Identifier: Apache-2.0
"""Rules of what a job would leave behind: a quorum, a copy of the data, somebody who said yes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call, problem
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory, Problem
from ansible_collections.rsp.platform.plugins.module_utils.preflight.registry import find_problems
from ansible_collections.rsp.platform.plugins.module_utils.topology import SMALL_ENVIRONMENTS


def confirmed(call: Call) -> Iterator[Problem]:
    """What destroys something was confirmed by the name of the cluster. A preview needs no confirmation."""
    if call.check_mode or not call.services:
        return  # nobody shall confirm the wrong cluster
    destroys, when = call.job.destroys, call.job.destroys_when
    needed = bool(destroys) and (when is None or bool(call.value(when)))
    typed = call.given.get("confirm")
    if typed == call.cluster or (typed is None and not needed) or typed == "":
        return
    rule = f"this destroys {destroys}: it must be confirmed by the name {call.cluster}" if needed else "is another name"
    fix = f"add -e confirm={call.cluster} (--check needs none)" if needed else f"this is {call.cluster}: look twice"
    yield problem("confirm", rule, fix, *([] if typed is None else [typed]))


def some_are_left(call: Call) -> Iterator[Problem]:
    """Not all members are named where somebody must stay."""
    for name, parameter, items in call.naming("member"):
        members = set(call.members)
        if parameter.leaves and members and len(members - set(items)) < parameter.leaves:
            rule = f"names all {len(members)} members of {call.cluster}: nobody would be left who has the data"
            yield problem(name, rule, f"leave {parameter.leaves} out", call.given[name])


def another_one_leads(call: Call) -> Iterator[Problem]:
    """Who shall lead is not the one who shall step down."""
    if "to" in call.values and call.values["to"] == call.values.get("member"):
        rule = "is the member that shall step down"
        yield problem("to", rule, "name another member, or leave it out", call.values["to"])


def inventory_stays_sound(call: Call) -> Iterator[Problem]:
    """With the members that the job leaves, preflight would find nothing that it does not find now."""
    changed = [name for name in call.job.one_of if name in call.values]
    if len(changed) != 1 or not call.services or any(some_are_left(call)):
        return
    known = {replace(found, hosts=()) for found in find_problems(call.inventory)}
    for found in find_problems(_afterwards(call)):
        if replace(found, hosts=()) not in known:
            seen = f"{found.variable} = {found.value}" if found.value else found.variable
            rule = f"leaves {seen}: {found.rule}"
            yield problem(
                changed[0], rule, f"{changed[0]} others, or another number: {found.fix}", call.given[changed[0]]
            )


def a_standby_stays(call: Call) -> Iterator[Problem]:
    """Whose members elect nobody themselves keeps two of them too, except where nobody depends on the platform."""
    inventory = call.inventory
    small = inventory.first("platform_environment") in SMALL_ENVIRONMENTS
    allowed = small and inventory.first("platform_allow_single") is True
    if "remove" not in call.values or not call.services or call.contract().voters == "odd" or allowed:
        return
    left = [entry["name"] for entry in members_afterwards(call)]
    if len(left) == 1 and len(call.members) > 1:
        rule = f"leaves {left[0]} alone: {call.cluster} would die with its host"
        yield problem("remove", rule, "leave 2 or more", call.given["remove"])


def members_afterwards(call: Call) -> list[dict[str, Any]]:
    """The service's list of members when the job is done, in the inventory's own form."""
    entries = [dict(entry) for entry in call.entries(call.services[0])]
    names = {entry["name"] for entry in entries}
    gone = set(call.values.get("remove", ()))
    added = [
        {"name": host.name, **{key: host.variables.get(f"platform_{key}") for key in ("address", "zone")}}
        for host in call.inventory.hosts
        if host.name in call.values.get("add", ()) and host.name not in names
    ]
    return [entry for entry in entries if entry["name"] not in gone] + added


def _afterwards(call: Call) -> Inventory:
    """The inventory as it has to be written when the job is done."""
    changes = {call.contract().members_variable: members_afterwards(call)}
    hosts = (replace(host, variables={**host.variables, **changes}) for host in call.inventory.hosts)
    return replace(call.inventory, hosts=tuple(hosts))
