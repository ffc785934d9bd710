# SPDX-License-Identifier: Apache-2.0
"""Rules of backups and restores: one point, in the past, in the service's own terms. No host is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call, problem
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Problem

KINDS = {"consul": ("auto", "full")}
SNAPSHOT = ".snap.enc"


def one_point(call: Call) -> Iterator[Problem]:
    """A restore ends at one point: two of them may contradict each other."""
    given = [name for name in call.job.at_most_one_of if name in call.given]
    if len(given) > 1:
        rule = f"{' and '.join(given)} can't be given together"
        yield problem(given[1], rule, f"keep one, {given[0]} for example", call.given[given[1]])
    if "exclusive" in call.values and call.values["exclusive"] and not given:
        yield problem("exclusive", "stops just before a target, and none is given", "name a target, or leave it out")


def moment_is_past(call: Call) -> Iterator[Problem]:
    """A time is one, and has been."""
    if "time" not in call.job.parameters or "time" not in call.values:
        return
    text = call.values["time"]
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as err:
        yield problem("time", f"is no time: {err}", "write it like 2026-11-25T09:30:00+03:00", text)
        return
    if moment > datetime.now(UTC):
        yield problem("time", "is in the future, where nothing was written yet", "name a time before now", text)


def kind_fits(call: Call) -> Iterator[Problem]:
    """The service has backups of that kind."""
    for service in call.services:
        wanted, known = call.values.get("type"), KINDS.get(service)
        if "type" in call.job.parameters and wanted and known and wanted not in known:
            yield problem("type", f"{service} has only full backups", "leave it out", wanted)


def label_fits(call: Call) -> Iterator[Problem]:
    """A label is one of the service's own repositories."""
    label = call.values.get("label")
    if not label or "label" not in call.job.parameters or len(call.services) != 1:
        return
    snapshot = label.endswith(SNAPSHOT)
    if snapshot != (call.services[0] == "consul"):
        of = "a snapshot of Consul" if snapshot else "a backup of PostgreSQL"
        yield problem("label", f"is the name of {of}", f"name one of {call.services[0]}, or leave it out", label)


def databases_are_named(call: Call) -> Iterator[Problem]:
    """Databases are named once each, and none is empty."""
    for item, times in Counter(call.values.get("databases") or ()).items():
        if times > 1 or not item:
            rule = f"{item or 'nothing'} is named {times} times" if item else "has an empty name in it"
            yield problem("databases", rule, "name each once, as -e databases=NAME,NAME", call.given["databases"])
