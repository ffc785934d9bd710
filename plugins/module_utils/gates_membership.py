# SPDX-License-Identifier: Apache-2.0
"""May a lost member be forgotten, and is one gone for good? The gate of a removal is gates.after_removal."""

from __future__ import annotations

from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState, names
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened


def may_forget(state: ServiceState, member: str) -> Verdict:
    """Whether a lost `member` may be taken out without asking it: it is dead, and the others don't need it.

    One that is well is not lost, and one of unknown health may be. Where members vote, those that are left must be a
    quorum now and afterwards. One that the service does not know any more is forgotten already.
    """
    reasons = _leaderless(state)
    found = state.member(member)
    if found is None:
        return closed(*reasons, members=names(state.members)) if reasons else opened(members=names(state.members))
    if found.healthy is True:
        reasons.append(f"{member} is healthy: a member that is not lost is removed, not replaced")
    elif found.healthy is None:
        reasons.append(f"{member} is of unknown health: it may be well")
    if member == state.leader:
        reasons.append(f"{member} leads {state.service}")
    left = [peer.name for peer in state.voters if peer.healthy is True and peer.name != member]
    if len(left) < state.quorum:
        reasons.append(f"{len(left)} of {len(state.voters)} voters are healthy without it, {state.quorum} are needed")
    return closed(*reasons, left=left) if reasons else opened(leader=state.leader, left=left)


def gone(state: ServiceState, member: str) -> Verdict:
    """Whether `member` is no member any more, as a service says that has a leader."""
    reasons = _leaderless(state)
    if state.member(member) is not None:
        reasons.append(f"{member} is still a member of {state.service}")
    return closed(*reasons) if reasons else opened(leader=state.leader, members=names(state.members))


def _leaderless(state: ServiceState) -> list[str]:
    return [] if state.member(state.leader or "") else [f"no leader of {state.service} is known"]
