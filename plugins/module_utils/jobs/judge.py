# SPDX-License-Identifier: Apache-2.0
"""The verdict over a call of a job: every problem at once, or its arguments as the job's plays read them."""

from __future__ import annotations

from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.jobs import arguments, points, safety, targets
from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call, Rule
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Problem
from ansible_collections.rsp.platform.plugins.module_utils.preflight.report import merged

RULES: tuple[Rule, ...] = (
    arguments.known_parameters,
    arguments.right_types,
    arguments.required_given,
    arguments.own_parameters,
    arguments.no_limit,
    points.one_point,
    points.moment_is_past,
    points.kind_fits,
    points.label_fits,
    points.databases_are_named,
    targets.service_has_job,
    targets.enough_members,
    targets.named_once,
    targets.members_are_members,
    targets.hosts_are_hosts,
    targets.secrets_are_secrets,
    targets.release_is_next,
    targets.major_is_newer,
    safety.some_are_left,
    safety.another_one_leads,
    safety.a_standby_stays,
    safety.inventory_stays_sound,
    safety.confirmed,
)
# What does not tell two runs of a job apart: the lock's record of an unfinished run must match the next one.
CIRCUMSTANCES = ("confirm", "reason", "wait_s", "lease_s")


def find_problems(call: Call) -> list[Problem]:
    """Every problem of the call, each once."""
    return merged(problem for rule in RULES for problem in rule(call))


def normalised(call: Call, owner: str) -> dict[str, Any]:
    """The arguments of a sound call; every parameter of the job is there, None when it has no value.

    Args:
        owner: who holds the lock: this run.
    """
    parameters = {name: call.value(name) for name in call.job.parameters if name != "confirm"}
    release = call.releases.get(call.services[0]) if call.service in call.clusters else None
    version = call.job.parameters.get("version")
    if version and version.names == "release" and call.service in version.services:
        parameters["version"] = parameters["version"] or release
    named = [item for name, _parameter, items in call.naming("member", "host") if name != "to" for item in items]
    facts: dict[str, Any] = {
        "job": call.job.name,
        "service": call.service,
        "services": list(call.services),
        "cluster": call.cluster,
        "clusters": {name: call.clusters[name] for name in call.services},
        "members": [name for name in dict.fromkeys([*call.members, *call.hosts]) if name in named],
        "cluster_members": list(call.members),
        "lock_arguments": {
            "cluster": call.cluster,
            "owner": owner,
            "reason": call.value("reason") or f"{call.job.name} of {call.cluster}",
            "job": call.job.name,
            "arguments": {
                name: value for name, value in parameters.items() if value is not None and name not in CIRCUMSTANCES
            },
            "lease_s": call.value("lease_s") or 300,
        },
    }
    if call.service in call.clusters:
        facts |= {"release": release, "members_after": safety.members_afterwards(call)}
    return {**parameters, **facts}
