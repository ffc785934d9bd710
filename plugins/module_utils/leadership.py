# SPDX-License-Identifier: Apache-2.0
"""Handing leadership over by command: who may take it, and waiting until that member has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.gates import may_lead
from ansible_collections.rsp.platform.plugins.module_utils.services.base import Driver
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, ServiceState

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        away_from: only if this member leads; None: whoever leads.
        to: who shall lead; None: whoever may and lags least.
        max_lag: the largest lag of a member that may lead, in the driver's unit.
    """

    away_from: str | None
    to: str | None
    max_lag: int


def successor(state: ServiceState, wish: Wish) -> str | None:
    """Who shall lead next, None when nothing is to be done.

    Raises:
        DriverError: nobody leads, or nobody may take over; the message says why for each.
    """
    if state.leader is None:
        raise DriverError(f"{state.service} has no leader: there is nothing to hand over")
    if (wish.away_from is not None and wish.away_from != state.leader) or wish.to == state.leader:
        return None
    others = [member for member in state.voters if member.name != state.leader]
    if wish.to is not None:
        others = [member for member in others if member.name == wish.to]
        if not others:
            raise DriverError(f"{wish.to} is no member of {state.service} that can lead")
    verdicts = {member.name: may_lead(state, member.name, wish.max_lag) for member in others}
    able = [member for member in others if verdicts[member.name].open]
    if not able:
        whys = "; ".join(str(verdict.reason) for verdict in verdicts.values()) or "it has no other member"
        raise DriverError(f"nobody may take {state.service} over from {state.leader}: {whys}")
    zone = next(member.zone for member in state.members if member.name == state.leader)
    return min(able, key=lambda member: (member.zone == zone, member.lag or 0, member.name)).name


def hand_over(
    driver: Driver,
    wish: Wish,
    wait_s: float,
    *,
    check: bool = False,
    quiesce: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Carry the wish out; keys of the module's result.

    `quiesce` is called right before the command, so that nothing is in flight while nobody leads.

    Raises:
        DriverError: it cannot be done, or the successor does not lead after `wait_s`.
    """
    state = driver.state()
    target = successor(state, wish)
    result = {"changed": target is not None, "before": state.leader, "leader": target or state.leader, "seconds": 0.0}
    if target is None or check:
        return result
    start = now()
    quiesce()
    driver.transfer(state, target)
    while True:
        leader = _leader(driver)
        if leader == target:
            return {**result, "seconds": round(now() - start, 2)}
        if now() - start >= wait_s:
            raise DriverError(f"{target} does not lead {state.service} after {wait_s:g} s; {leader or 'nobody'} does")
        sleep(POLL_S)


def _leader(driver: Driver) -> str | None:
    """Who leads now; a service that elects may not answer for a moment."""
    try:
        return driver.state().leader
    except DriverError:
        return None
