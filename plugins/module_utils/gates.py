"""Gates: pure questions about a ServiceState. An open gate is a promise, so the unknown closes it."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState, names
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened


def settled(state: ServiceState, expected: Collection[str], max_lag: int) -> Verdict:
    """Whether the service is whole: every expected member is there and healthy, a leader is known, nobody lags.

    Args:
        state: what the driver saw.
        expected: names of the members that must be there; empty closes the gate.
        max_lag: the largest lag that counts as caught up, in the driver's unit.
    """
    reasons: list[str] = list(state.problems)
    if not expected:
        reasons.append("no member is expected: an empty list proves nothing")
    if state.leader is None:
        reasons.append(f"no leader of {state.service} is known")
    for name in sorted(expected):
        member = state.member(name)
        if member is None:
            reasons.append(f"{name} is no member of {state.service}")
        elif member.healthy is not True:
            reasons.append(f"{name} is {'of unknown health' if member.healthy is None else 'not healthy'}")
        elif member.lag is not None and member.lag > max_lag:
            reasons.append(f"{name} lags by {member.lag}, {max_lag} is allowed")
        elif member.lag is None and member.voter and name != state.leader:
            reasons.append(f"the lag of {name} is unknown")
    return closed(*reasons, members=names(state.members)) if reasons else opened(leader=state.leader)
