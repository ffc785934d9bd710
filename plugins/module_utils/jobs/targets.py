# SPDX-License-Identifier: Apache-2.0
"""Rules of what a job is done to: the service, its members, hosts, secrets, the release."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import version_key
from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call, problem
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import ALL
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Problem
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import nearest


def service_has_job(call: Call) -> Iterator[Problem]:
    """The service is one of the table, has this job, and has members in this inventory."""
    name, job = call.service, call.job
    if call.services or name is None:
        return
    known = ", ".join(job.services)
    if name == ALL and not call.all_allowed:
        yield problem("service", f"job {job.name} works on one service at a time", f"use one of {known}", name)
    elif name == ALL:
        yield problem("service", f"none of {known} has members in this inventory", "choose an inventory with -i", name)
    elif name not in call.table.services:
        near = nearest(name, job.services)
        yield problem("service", "is no service", f"did you mean {near}?" if near else f"use one of {known}", name)
    elif name not in job.services:
        others = [each.name for each in call.table.jobs.values() if name in each.services]
        fix = f"use it for {known}; {name} has {', '.join(others)}"
        yield problem("service", f"{name} has no job {job.name}", fix, name)
    else:
        fix = f"choose another inventory with -i, or set {name}_members"
        yield problem("service", f"{name} has no members in this inventory", fix, name)


def enough_members(call: Call) -> Iterator[Problem]:
    """The cluster has as many members as the job needs to leave one that serves."""
    if call.services and len(call.members) < call.job.at_least:
        rule = f"{call.cluster} has {len(call.members)} member, job {call.job.name} needs {call.job.at_least}"
        yield problem("service", rule, "add members first, with playbooks/scale.yml", call.service)


def named_once(call: Call) -> Iterator[Problem]:
    """A list names nothing twice and nothing empty; what takes one member is given one."""
    for name, parameter, items in call.naming("member", "host", "secret"):
        for item, times in Counter(items).items():
            if times > 1:
                yield problem(name, f"{item or 'nothing'} is named {times} times", "name each once", item)
            if not item:
                yield problem(name, "has an empty name in it", "remove the surplus comma", call.given[name])
        if parameter.option.type == "str" and "," in items[0]:
            fix = "run it once for each, and let the cluster settle in between"
            yield problem(name, f"job {call.job.name} takes one member at a time", fix, items[0])


def members_are_members(call: Call) -> Iterator[Problem]:
    """A member is in the service's list of the inventory, or where agents count, any host that runs one."""
    for name, parameter, items in call.naming("member"):
        agents = call.hosts if parameter.agents and call.services and call.contract().everywhere else ()
        for item in dict.fromkeys(items if call.services else ()):
            if item in (*call.members, *agents) or not item or "," in item:
                continue
            what = f"no member of {call.cluster}" if item in call.hosts else "no host of this inventory"
            near = nearest(item, (*call.members, *agents))
            fix = f"did you mean {near}?" if near else f"its members are {', '.join(call.members)}"
            yield problem(name, f"{item} is {what}", fix, item)


def hosts_are_hosts(call: Call) -> Iterator[Problem]:
    """A host is in the inventory."""
    for name, _parameter, items in call.naming("host"):
        for item in dict.fromkeys(items):
            if item in call.hosts or not item:
                continue
            near = nearest(item, call.hosts)
            fix = f"did you mean {near}?" if near else "add it to the inventory, with its platform_zone"
            yield problem(name, f"{item} is no host of this inventory", fix, item)


def secrets_are_secrets(call: Call) -> Iterator[Problem]:
    """A secret is one that the service's rules name."""
    for name, _parameter, items in call.naming("secret"):
        known = call.contract().secrets if call.services else {}
        for item in dict.fromkeys(items if known else ()):
            if item and item not in known:
                near = nearest(item, known)
                fix = f"did you mean {near}?" if near else f"its secrets are {', '.join(known)}"
                yield problem(name, f"{item} is no secret of {call.service}", fix, item)


def release_is_next(call: Call) -> Iterator[Problem]:
    """A release is listed in the catalogue, newer than the pinned one, and skips no minor release."""
    for name, _parameter, [wanted] in call.naming("release"):
        if not call.services or not (artifacts := list(call.contract().versions.values())):
            continue
        listed, pinned = call.inventory.catalogue.get(artifacts[0], ()), call.releases.get(call.services[0])
        if wanted not in listed:
            near = nearest(wanted, listed) or (listed[-1] if listed else "a listed release")
            rule = f"{artifacts[0]} {wanted} is not in the catalogue, which lists {', '.join(listed) or 'none'}"
            yield problem(name, rule, f"use {near}, or add it to the catalogue", wanted)
        elif pinned:
            newer = [each for each in listed if version_key(each) > version_key(pinned)]
            refusal = _not_newer(pinned, version_key(wanted) < version_key(pinned), newer, wanted == pinned)
            refusal = refusal or _skipped(pinned, wanted, listed)
            if refusal:
                yield problem(name, *refusal, wanted)


def major_is_newer(call: Call) -> Iterator[Problem]:
    """A major release is a number above that of the pinned one."""
    for name, parameter, [wanted] in call.naming("major"):
        pinned = call.releases.get(call.services[0]) if call.services else None
        if not wanted.isdecimal() or wanted.startswith("0"):
            yield problem(name, "is no major release, which is a whole number", parameter.fix, wanted)
        elif pinned and pinned.isdecimal() and int(wanted) <= int(pinned):
            rule = f"is {'not newer' if wanted == pinned else 'older'} than {pinned}, which the inventory pins"
            fix = f"name a release above {pinned}; newest packages of the same one: playbooks/upgrade.yml"
            yield problem(name, rule, fix, wanted)


def _not_newer(pinned: str, older: bool, newer: list[str], same: bool) -> tuple[str, str] | None:
    """Rule and fix for a release that is not above the pinned one."""
    if same:
        return f"is what the inventory pins ({pinned})", "leave it out: that brings every member to the pinned release"
    if older:
        fix = f"use {' or '.join(newer)}" if newer else "add a newer release to the catalogue"
        return f"is older than {pinned}, which the inventory pins: an older release may not read the data", fix
    return None


def _skipped(pinned: str, wanted: str, listed: tuple[str, ...]) -> tuple[str, str] | None:
    """Rule and fix when a minor release lies between the two."""
    (major, minor), (to_major, to_minor) = _step(pinned), _step(wanted)
    if to_major == major and to_minor <= minor + 1:
        return None
    between = [each for each in listed if _step(each) == (major, minor + 1)]
    if to_major != major:
        between = [each for each in listed if (major, minor) < _step(each) < (major + 1, 0)]
    following = f"{major}.{minor + 1}"
    if to_major > major and not between:
        return (
            f"is another major release than {pinned}",
            "no rolling upgrade goes there: build a new cluster beside this one",
        )
    fix = f"upgrade to {between[-1]} first" if between else f"add a {following} to the catalogue, upgrade to it first"
    return f"skips a minor release: {pinned} is pinned, after which comes {following}", fix


def _step(version: str) -> tuple[int, int]:
    """Major and minor number."""
    major, minor, *_patch = (*map(int, re.findall(r"\d+", version)), 0, 0)
    return major, minor
