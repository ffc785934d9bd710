# SPDX-License-Identifier: Apache-2.0
"""Whether a run may begin: steady, with a quorum to spare, in an environment and at a time that allow it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time

from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import Experiment
from ansible_collections.rsp.platform.plugins.module_utils.gates import may_stop, settled
from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened

PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Policy:
    """What an environment allows.

    Attributes:
        environment: local, dev, staging, production.
        approval: who approved it; production needs it.
        longest_lease_s: no fault may be leased for longer.
        window: hours like 09:00-17:00 in which faults are allowed; empty: always.
    """

    environment: str
    approval: str = ""
    longest_lease_s: int = 900
    window: str = ""


def steady(state: ServiceState, expected: Collection[str], max_lag: int) -> Verdict:
    """Whether the service is whole before anything is done to it."""
    verdict = settled(state, expected, max_lag)
    return verdict if verdict.open else closed(*(f"not steady before: {reason}" for reason in verdict.reasons))


def quorum(state: ServiceState, hosts: Collection[str], *, expected: Collection[str], max_lag: int,
           others: Mapping[str, Collection[str]], allowed: bool) -> Verdict:  # fmt: skip
    """Whether every service keeps its promise without these hosts. The same gates that let a member restart.

    Args:
        hosts: all hosts that faults are done to.
        others: members of the other services of the platform, by service.
        allowed: the experiment says allow_quorum_loss.
    """
    members = [name for name in hosts if (m := state.member(name)) is not None and m.voter]
    reasons: list[str] = []
    if len(members) == 1:
        reasons += may_stop(state, members[0], expected=expected, max_lag=max_lag).reasons
    elif members:
        left = [m for m in state.voters if m.healthy is True and m.name not in members]
        if len(left) < state.quorum:
            reasons.append(f"{len(left)} healthy voters of {state.service} would be left, {state.quorum} are needed")
    for service, names in sorted(others.items()):
        left_names = [name for name in names if name not in hosts]
        if len(left_names) < len(names) and len(left_names) * 2 <= len(names):
            reasons.append(f"{len(left_names)} of {len(names)} members of {service} would be left: no majority")
    if reasons and not allowed:
        return closed(*reasons)
    return opened(members=members, overridden=reasons)


def policy(experiment: Experiment, hosts: Collection[str], rules: Policy, now: datetime) -> Verdict:
    """Whether this environment allows the experiment now."""
    reasons = []
    longest = max(fault.lease_s for fault in experiment.faults)
    if longest > rules.longest_lease_s:
        reasons.append(
            f"a lease of {longest} s is longer than {rules.longest_lease_s} s, which this environment allows"
        )
    if rules.window and not within(rules.window, now.time()):
        reasons.append(f"it is {now:%H:%M}, faults are allowed within {rules.window}")
    if rules.environment == PRODUCTION:
        if not experiment.production:
            reasons.append(f"{experiment.name} is not listed for production (production: true in the experiment)")
        if not rules.approval:
            reasons.append("production needs an approval → add -e approval=WHO")
        if len(hosts) > 1:
            reasons.append(f"{len(hosts)} hosts would be hit, in production at most 1")
        if experiment.allow_quorum_loss:
            reasons.append("no quorum may be lost in production")
    return closed(*reasons) if reasons else opened(environment=rules.environment, approval=rules.approval)


def within(window: str, now: time) -> bool:
    """Whether a time of day is within HH:MM-HH:MM, which may go over midnight. Raises ValueError for what is none."""
    begin, end = (time.fromisoformat(part.strip()) for part in window.split("-"))
    return begin <= now < end if begin <= end else now >= begin or now < end
