# SPDX-License-Identifier: Apache-2.0
"""Whether a backup may run now. Pure; what is unknown closes the gate."""

from __future__ import annotations

from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import Lock
from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, all_open, closed, opened

REQUIRE, PREFER, NEVER = "require", "prefer", "never"


def nobody_works(lock: Lock | None, owner: str) -> Verdict:
    """No rolling job, no experiment: they hold the cluster's lock. A backup that such a job asked for is its own."""
    if lock is None or (owner and lock.owner == owner):
        return opened(lock="free" if lock is None else "own")
    return closed(f"{lock.job} holds the cluster ({lock.owner}): {lock.reason}")


def may_back_up(state: ServiceState, standby: str, max_lag: int) -> Verdict:
    """Whether PostgreSQL can be read from now, and from whom: a standby that is close enough, where one is wanted."""
    leader = state.member(state.leader) if state.leader else None
    if leader is None or leader.healthy is not True:
        return closed(f"{state.cluster} has no leader that is known to be healthy")
    fit = [member.name for member in state.members if member.name != leader.name and _fit(member, max_lag)]
    if standby == NEVER or fit:
        return opened(source=[leader.name] if standby == NEVER else fit)
    if standby == REQUIRE:
        return closed(f"no standby of {state.cluster} is healthy and within {max_lag} bytes of {leader.name}")
    if any(member.name != leader.name for member in state.voters):
        return closed(f"no standby of {state.cluster} is fit, and {leader.name} alone carries it")
    return opened(source=[leader.name])


def both(lock: Verdict, service: Verdict) -> Verdict:
    """Open when both are."""
    return all_open([lock, service])


def _fit(member: Member, max_lag: int) -> bool:
    """Whether a standby may be read from: healthy, close, and not drained."""
    return member.healthy is True and member.lag is not None and member.lag <= max_lag and not member.drained
