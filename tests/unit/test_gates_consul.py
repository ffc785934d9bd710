"""May a member of Consul stop? Servers that vote, and agents that say how their zone is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import may_stop
from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState, names
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict
from fixtures.gates.builders import (
    MAX_LAG,
    Row,
    but,
    consul,
    down,
    is_down,
    led_by,
    opened_by_the_unknown,
    quorum_edges,
    row,
    unknown,
    without,
)

WHOLE = consul(3, agents=3)
FIVE = consul(5, agents=6)
NO_LEADER = "no leader of consul is known"
ONE_LEFT = "1 healthy voter would be left, 2 are needed"
NOBODY = "no member is expected: an empty list proves nothing"
ROWS = [
    *quorum_edges(consul, "consul"),
    # with agents beside them: the leader, a follower, an agent
    row(WHOLE, "s1"),
    row(WHOLE, "s2"),
    row(WHOLE, "x3"),
    row(consul(1, agents=2), "x1"),
    row(consul(1, agents=2), "s1", "s1 is the last voter of consul"),
    row(down(consul(1, agents=2), "s1"), "x1", is_down("s1"), "0 healthy voters would be left, 1 are needed"),
    # an agent does not vote, and stops only while the servers are well
    row(down(WHOLE, "s2"), "x1", is_down("s2")),
    row(down(WHOLE, "s2 s3"), "x1", is_down("s2 s3"), ONE_LEFT),
    row(but(WHOLE, "s2", lag=None), "x1", "the lag of s2 is unknown"),
    # the member's own state is no reason: a restart may be its repair
    row(but(WHOLE, "s3", lag=None), "s3"),
    row(but(WHOLE, "s3", lag=500), "s3"),
    row(down(WHOLE, "x3"), "x3"),
    row(unknown(WHOLE, "x3"), "x3"),
    row(down(WHOLE, "s1"), "s1"),
    # leader
    row(led_by(WHOLE, None), "s2", NO_LEADER),
    row(led_by(WHOLE, None), "x1", NO_LEADER),
    row(led_by(WHOLE, "s9"), "s2", NO_LEADER),
    row(led_by(unknown(WHOLE, "s3"), None), "s2", NO_LEADER, "s3 is of unknown health", ONE_LEFT),
    # members
    row(WHOLE, "s9", "s9 is no member of consul"),
    row(WHOLE, "", " is no member of consul"),
    row(WHOLE, "s9", "s4 is no member of consul", "s9 is no member of consul", expected=("s1", "s4")),
    row(without(WHOLE, "s3"), "s2", ONE_LEFT),
    row(without(WHOLE, "s3"), "s2", "s3 is no member of consul", ONE_LEFT, expected=("s1", "s2", "s3")),
    row(without(FIVE, "s5"), "s2", "s5 is no member of consul", expected=("s1", "s2", "s3", "s4", "s5")),
    row(without(WHOLE, "x2"), "s1", "x2 is no member of consul", expected=("s1", "s2", "s3", "x2")),
    row(WHOLE, "s1", NOBODY, expected=()),
    row(WHOLE, "s3", expected=("s1",)),
    # a server that is not expected is a peer all the same
    row(down(FIVE, "s5"), "s1", is_down("s5"), expected=("s1", "s2", "s3")),
    # lag
    row(but(WHOLE, "s2", lag=MAX_LAG), "s3"),
    row(but(WHOLE, "s2", lag=MAX_LAG + 1), "s3", "s2 lags by 11, 10 is allowed"),
    row(but(WHOLE, "s2", lag=1), "s3", "s2 lags by 1, 0 is allowed", max_lag=0),
    row(but(WHOLE, "s1", lag=None), "s3", "the lag of s1 is unknown"),
    row(but(WHOLE, "s1 s2", lag=None), "s3", "the lag of s1 is unknown; the lag of s2 is unknown"),
    # servers without a vote hold data, so they are peers and not agents
    row(but(FIVE, "s4 s5", voter=False, role="nonvoter"), "s3"),
    row(but(FIVE, "s4 s5", voter=False, role="nonvoter"), "s5"),
    row(down(but(FIVE, "s4 s5", voter=False, role="nonvoter"), "s4"), "s1", is_down("s4")),
    row(but(WHOLE, "s3", voter=False, role="nonvoter"), "s2", ONE_LEFT),
    # zones
    row(down(WHOLE, "x1"), "s1"),
    row(unknown(WHOLE, "x1"), "s1"),
    row(down(WHOLE, "x2"), "s1", "zone b is degraded: x2 is not healthy"),
    row(unknown(WHOLE, "x2"), "s1", "zone b is degraded: x2 is of unknown health"),
    row(down(WHOLE, "x2"), "x1", "zone b is degraded: x2 is not healthy"),
    row(down(FIVE, "x1"), "x4"),
    row(down(FIVE, "x2 x5"), "x1", "zone b is degraded: x2 is not healthy, x5 is not healthy"),
    row(
        unknown(down(FIVE, "x1 x2 x3"), "x6"),
        "s1",
        "zone b is degraded: x2 is not healthy",
        "zone c is degraded: x3 is not healthy, x6 is of unknown health",
    ),
    row(but(down(WHOLE, "x1"), "x1", zone=None), "s1", "an unknown zone is degraded: x1 is not healthy"),
    row(
        but(down(WHOLE, "x1"), "s1", zone=None),
        "s1",
        "zone a is degraded: x1 is not healthy, and the zone of s1 is unknown",
    ),
    row(
        but(down(WHOLE, "x1"), "s1 x1", zone=None),
        "s1",
        "an unknown zone is degraded: x1 is not healthy, and the zone of s1 is unknown",
    ),
    row(
        but(down(WHOLE, "x1"), "s1 x1", zone=""),
        "s1",
        "an unknown zone is degraded: x1 is not healthy, and the zone of s1 is unknown",
    ),
    row(but(WHOLE, "s1 s2 s3 x1 x2 x3", zone=None), "s1"),
    row(but(WHOLE, "x1 x2 x3", zone=""), "s1"),
    row(down(WHOLE, "s2 x2"), "s1", is_down("s2"), "zone b is degraded: x2 is not healthy", ONE_LEFT),
    # the lock
    row(WHOLE, "s1", "ana 2026-01-01 holds the maintenance lock of consul", holder="ana 2026-01-01"),
    row(WHOLE, "s1", "ana holds the maintenance lock of consul", holder="ana", owner="bob"),
    row(WHOLE, "s1", holder="ana", owner="ana"),
    row(WHOLE, "s1", holder="", owner="ana"),
    row(WHOLE, "s1", holder=None),
    # what the driver could not learn
    row(replace(WHOLE, problems=("autopilot is silent",)), "s1", "autopilot is silent"),
    row(replace(WHOLE, problems=("one", "two")), "x1", "one", "two"),
    # everything at once
    row(
        led_by(down(but(replace(WHOLE, problems=("one",)), "s3", lag=99), "s2 x2"), None),
        "s1",
        "one",
        NO_LEADER,
        "x9 is no member of consul",
        is_down("s2"),
        "s3 lags by 99, 10 is allowed",
        "zone b is degraded: x2 is not healthy",
        ONE_LEFT,
        "ana holds the maintenance lock of consul",
        expected=("x9",),
        holder="ana",
    ),
]


def ask(state: ServiceState, asked: Row) -> Verdict:
    usual = {"expected": names(asked.state.members), "max_lag": MAX_LAG}
    return may_stop(state, asked.member, **{**usual, **asked.asked})


@pytest.mark.parametrize("asked", ROWS, ids=str)
def test_may_stop(asked):
    verdict = ask(asked.state, asked)
    assert verdict.reason == asked.reason
    assert verdict.open is (asked.reason is None)


def test_the_table_is_a_table():
    assert len({(str(asked.state), asked.member, str(asked.asked)) for asked in ROWS}) == len(ROWS) >= 60


def test_the_unknown_never_opens_a_gate():
    assert opened_by_the_unknown(ask, ROWS) == []


def test_a_gate_that_trusts_the_unknown_is_found():
    def trusting(state: ServiceState, asked: Row) -> Verdict:
        members = tuple(replace(m, healthy=m.healthy is not False) for m in state.members)
        return ask(replace(state, members=members), asked)

    assert opened_by_the_unknown(trusting, ROWS)


def test_an_open_gate_says_what_is_left():
    verdict = ask(WHOLE, row(WHOLE, "s2"))
    assert verdict.evidence == {"leader": "s1", "left": ["s1", "s3"]}
    assert ask(WHOLE, row(WHOLE, "s9")).evidence == {"member": "s9", "left": ["s1", "s2", "s3"]}
