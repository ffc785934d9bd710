# SPDX-License-Identifier: Apache-2.0
"""Rules of the arguments themselves: known names, types, what is required, `--limit`."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call, problem
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import ALL
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import COMMAND_LINE, Problem, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import nearest


def known_parameters(call: Call) -> Iterator[Problem]:
    """Every extra var is a parameter of the job, or of a role: a typo would silently mean all members."""
    takes = f"it takes {', '.join(sorted(call.job.parameters))}"
    for name in call.foreign:
        if name in ("job", "job_name"):
            yield problem(name, "which job runs is said by its playbook", f"run playbooks/{call.given[name]}.yml")
            continue
        if name == "_raw_params":
            yield problem(
                "-e", "a value with blanks needs quotes of its own", "write -e 'reason=\"…\"'", call.given[name]
            )
            continue
        near = nearest(name, call.job.parameters)
        of = f"job {call.job.name} has no such parameter"
        if near is None and name in call.table.parameters:
            of += f", {', '.join(each.name for each in call.table.jobs.values() if name in each.parameters)} has"
        fix = f"did you mean {near}?" if near else f"remove it; {takes}"
        yield problem(name, of, fix, call.given[name])


def right_types(call: Call) -> Iterator[Problem]:
    """Types, choices, ranges and forms are those of the table; what was given is not empty."""
    for name, parameter in call.job.parameters.items():
        if name not in call.read:
            continue
        value, wrong = call.read[name]
        if value in ("", []) and (name != "confirm" or not call.check_mode):
            yield problem(name, "is empty", parameter.fix or "give it a value, or leave it out", call.given[name])
            continue
        for fault in wrong:
            fix = parameter.fix if parameter.option.pattern and isinstance(value, str) else fault.fix
            yield Problem((), fault.path, fault.rule, fix, fault.value, place=COMMAND_LINE)


def required_given(call: Call) -> Iterator[Problem]:
    """What the job can't do without is there."""
    for name, parameter in call.job.parameters.items():
        if parameter.option.required and name not in call.given:
            choices = f", one of {', '.join(call.job.services)}" if name == "service" else ""
            yield problem(name, f"job {call.job.name} needs it", f"{parameter.fix}{choices}")
    given = [name for name in call.job.one_of if name in call.given]
    if call.job.one_of and len(given) != 1:
        both = " and ".join(call.job.one_of)
        rule = f"{both} can't be given together" if given else f"job {call.job.name} needs one of {both}"
        fix = "do one, let the cluster settle, then the other" if given else call.job.parameters[call.job.one_of[0]].fix
        yield problem(call.job.one_of[0], rule, fix)


def own_parameters(call: Call) -> Iterator[Problem]:
    """A parameter that only some services have is given for those only, and what is for all of them not for one."""
    for name, parameter in call.job.parameters.items():
        if name in call.values and parameter.services and call.services and call.services[0] not in parameter.services:
            rule = f"job {call.job.name} takes it for {', '.join(parameter.services)} only, not for {call.services[0]}"
            yield problem(name, rule, "leave it out", call.given[name])
        elif parameter.whole and call.values.get(name) and call.service != ALL:
            rule = f"is about the whole platform, not about {call.service} alone"
            yield problem(name, rule, "leave service out", call.given[name])


def no_limit(call: Call) -> Iterator[Problem]:
    """The job itself chooses its hosts and their order; `--limit` would hide members from its gates."""
    limit = call.inventory.run.limit
    if limit:
        rule = f"job {call.job.name} chooses its hosts itself, by gate and zone; a limit would hide members from it"
        listed = next((name for name in ("members", "member", "add") if name in call.job.parameters), None)
        fix = f"remove it; name members as -e {listed}=NAME" if listed else "remove it"
        yield Problem((), "--limit", rule, fix, shown(",".join(limit)), place=COMMAND_LINE)
