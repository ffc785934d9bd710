"""May a member of PostgreSQL stop? Patroni elects, so copies count and not votes."""

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
    down,
    is_down,
    is_unknown,
    led_by,
    opened_by_the_unknown,
    postgresql,
    row,
    silent,
    unknown,
    without,
)

ONE, TWO, WHOLE, FOUR, FIVE, SEVEN = (postgresql(n) for n in (1, 2, 3, 4, 5, 7))
ASYNC1, ASYNC2, ASYNC3 = (postgresql(n, synchronous=False) for n in (1, 2, 3))
LAST = "p1 is the last member of postgresql"
ONE_LEFT = "1 healthy copy that may lead would be left, 2 are needed"
NONE_LEFT = "0 healthy copies that may lead would be left, 2 are needed"
NO_HEIR = "no healthy standby in sync may take over from p1"
NO_SYNC = "no standby of postgresql is in sync"
NO_LEADER = "no leader of postgresql is known"
PAUSED = "automatic failover is paused"
# p2 was in sync, is drained now, and Patroni has chosen p3
DRAINED = but(
    but(WHOLE, "p2", role="replica", in_sync=False, tags=("nofailover", "noloadbalance", "nosync")),
    "p3", role="sync_standby", in_sync=True,
)  # fmt: skip
# two members in zones a and b: the second of each zone is never synchronous
PAIRED = but(but(FIVE, "p4 p5", tags=("nosync",)), "p4", zone="a")
QUORUM = but(WHOLE, "p2 p3", role="quorum_standby", in_sync=True)
ROWS = [
    # one
    row(ONE, "p1", LAST),
    row(down(ONE, "p1"), "p1", LAST),
    row(unknown(ONE, "p1"), "p1", LAST),
    row(ASYNC1, "p1", LAST),
    # two: the other would be the only copy
    row(TWO, "p1", ONE_LEFT),
    row(TWO, "p2", ONE_LEFT),
    row(down(TWO, "p2"), "p1", is_down("p2"), NONE_LEFT, NO_HEIR),
    row(unknown(TWO, "p2"), "p1", is_unknown("p2"), NONE_LEFT, NO_HEIR),
    row(down(TWO, "p2"), "p2", ONE_LEFT, NO_SYNC),
    row(unknown(TWO, "p2"), "p2", ONE_LEFT, NO_SYNC),
    row(ASYNC2, "p1", ONE_LEFT),
    row(ASYNC2, "p2", ONE_LEFT),
    row(unknown(ASYNC2, "p2"), "p1", is_unknown("p2"), NONE_LEFT, NO_HEIR),
    # three: the leader, the one in sync, the other
    row(WHOLE, "p1"),
    row(WHOLE, "p2"),
    row(WHOLE, "p3"),
    row(down(WHOLE, "p3"), "p3"),
    row(unknown(WHOLE, "p3"), "p3"),
    row(down(WHOLE, "p1"), "p1"),
    row(down(WHOLE, "p3"), "p1", is_down("p3"), ONE_LEFT),
    row(unknown(WHOLE, "p3"), "p1", is_unknown("p3"), ONE_LEFT),
    row(down(WHOLE, "p3"), "p2", is_down("p3"), ONE_LEFT),
    row(unknown(WHOLE, "p3"), "p2", is_unknown("p3"), ONE_LEFT),
    row(down(WHOLE, "p2"), "p1", is_down("p2"), ONE_LEFT, NO_HEIR),
    row(unknown(WHOLE, "p2"), "p1", is_unknown("p2"), ONE_LEFT, NO_HEIR),
    row(down(WHOLE, "p2"), "p3", is_down("p2"), ONE_LEFT, NO_SYNC),
    row(unknown(WHOLE, "p2"), "p3", is_unknown("p2"), ONE_LEFT, NO_SYNC),
    row(down(WHOLE, "p1"), "p3", is_down("p1"), ONE_LEFT),
    row(unknown(WHOLE, "p1"), "p2", is_unknown("p1"), ONE_LEFT),
    row(down(WHOLE, "p2 p3"), "p1", is_down("p2 p3"), NONE_LEFT, NO_HEIR),
    row(unknown(WHOLE, "p2 p3"), "p3", is_unknown("p2"), ONE_LEFT, NO_SYNC),
    # a standby in sync that is down itself: Patroni must have chosen another one first
    row(down(WHOLE, "p2"), "p2", NO_SYNC),
    row(but(down(WHOLE, "p2"), "p3", role="sync_standby", in_sync=True), "p2"),
    # four, five, seven: no majority is needed, one failure at a time all the same
    row(FOUR, "p4"),
    row(down(FOUR, "p3"), "p4", is_down("p3")),
    row(unknown(FOUR, "p3"), "p1", is_unknown("p3")),
    row(down(FOUR, "p3 p4"), "p2", is_down("p3 p4"), ONE_LEFT),
    row(FIVE, "p1"),
    row(FIVE, "p5"),
    row(down(FIVE, "p4 p5"), "p3", is_down("p4 p5")),
    row(down(FIVE, "p3 p4 p5"), "p2", is_down("p3 p4 p5"), ONE_LEFT),
    row(SEVEN, "p7"),
    row(down(SEVEN, "p3 p4 p5 p6"), "p7", is_down("p3 p4 p5 p6")),
    row(unknown(SEVEN, "p3 p4 p5 p6 p7"), "p2", is_unknown("p3 p4 p5 p6 p7"), ONE_LEFT),
    # in sync or not
    row(but(WHOLE, "p2", in_sync=False), "p1", NO_HEIR),
    row(but(WHOLE, "p2", in_sync=None), "p1", NO_HEIR),
    row(but(WHOLE, "p2", in_sync=None), "p3", NO_SYNC),
    row(but(WHOLE, "p2", in_sync=None), "p2", NO_SYNC),
    row(but(WHOLE, "p3", in_sync=None), "p1"),
    row(QUORUM, "p1"),
    row(QUORUM, "p3"),
    # asynchronous: a standby that may lead is enough
    row(ASYNC3, "p1"),
    row(ASYNC3, "p3"),
    row(but(ASYNC3, "p2 p3", in_sync=False), "p2"),
    row(but(ASYNC3, "p2 p3", in_sync=False), "p1", NO_HEIR),
    row(but(ASYNC3, "p2 p3", in_sync=None), "p1", NO_HEIR),
    row(unknown(ASYNC3, "p3"), "p2", is_unknown("p3"), ONE_LEFT),
    row(but(ASYNC3, "p3", tags=("nosync",)), "p2"),
    row(but(ASYNC3, "p3", tags=("nofailover",)), "p2", ONE_LEFT),
    # tags: who is kept from leading or from confirming is no copy to count on
    row(DRAINED, "p2"),
    row(DRAINED, "p3", ONE_LEFT),
    row(DRAINED, "p1", ONE_LEFT),
    row(but(WHOLE, "p3", tags=("nosync",)), "p2", ONE_LEFT),
    row(but(WHOLE, "p3", tags=("nosync",)), "p3"),
    row(but(WHOLE, "p3", tags=("noloadbalance",)), "p2"),
    row(but(WHOLE, "p2", tags=("nofailover",), in_sync=False), "p1", ONE_LEFT, NO_HEIR),
    row(but(WHOLE, "p1", tags=("nosync", "nofailover")), "p2"),
    row(PAIRED, "p1"),
    row(PAIRED, "p2"),
    row(PAIRED, "p4"),
    row(down(PAIRED, "p3"), "p2", is_down("p3"), ONE_LEFT),
    # lag, in bytes; a leader that was elected for them has none
    row(but(WHOLE, "p2", lag=10), "p3"),
    row(but(WHOLE, "p2", lag=11), "p3", "p2 lags by 11, 10 is allowed"),
    row(but(WHOLE, "p2", lag=11), "p1", "p2 lags by 11, 10 is allowed"),
    row(but(WHOLE, "p2", lag=None), "p3", "the lag of p2 is unknown"),
    row(but(WHOLE, "p2", lag=None), "p2"),
    row(WHOLE, "p2", "p3 lags by 2, 1 is allowed", max_lag=1),
    # leader, members, lock
    row(led_by(WHOLE, None), "p2", NO_LEADER, "the lag of p1 is unknown"),
    row(led_by(WHOLE, None), "p1", NO_LEADER),
    row(WHOLE, "p9", "p9 is no member of postgresql"),
    row(without(WHOLE, "p3"), "p2", "p3 is no member of postgresql", ONE_LEFT, expected=("p1", "p2", "p3")),
    row(without(FOUR, "p4"), "p2", "p4 is no member of postgresql", expected=("p1", "p2", "p3", "p4")),
    row(WHOLE, "p2", "no member is expected: an empty list proves nothing", expected=()),
    row(but(WHOLE, "p1 p2 p3", zone=None), "p2"),
    row(WHOLE, "p2", "ana holds the maintenance lock of postgresql", holder="ana"),
    row(WHOLE, "p2", "ana holds the maintenance lock of postgresql", holder="ana", owner="bob"),
    row(WHOLE, "p2", holder="ana", owner="ana"),
    # problems
    row(replace(WHOLE, problems=(PAUSED,)), "p2", PAUSED),
    row(replace(WHOLE, problems=(PAUSED,)), "p1", PAUSED),
    row(silent(WHOLE, "p3"), "p3"),
    row(silent(WHOLE, "p3"), "p2", "p3 did not answer", is_unknown("p3"), ONE_LEFT),
    row(replace(silent(WHOLE, "p3"), problems=("p3 did not answer", PAUSED)), "p3", PAUSED),
    # everything at once
    row(
        replace(down(but(FOUR, "p3", lag=99), "p2 p4"), problems=(PAUSED,)), "p1",
        PAUSED, "p9 is no member of postgresql", is_down("p2"), "p3 lags by 99, 10 is allowed", is_down("p4"),
        ONE_LEFT, NO_HEIR, "ana holds the maintenance lock of postgresql", expected=("p9",), holder="ana",
    ),
]  # fmt: skip


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


def test_a_gate_that_trusts_an_unknown_copy_is_found():
    def trusting(state: ServiceState, asked: Row) -> Verdict:
        members = tuple(replace(m, in_sync=m.in_sync is not False) for m in state.members)
        return ask(replace(state, members=members), asked)

    assert opened_by_the_unknown(trusting, ROWS)


@pytest.mark.parametrize(
    ("state", "quorum"),
    [(ONE, 1), (TWO, 2), (WHOLE, 2), (FIVE, 2), (SEVEN, 2), (ASYNC1, 1), (ASYNC2, 1), (ASYNC3, 1)],
)
def test_writes_need_a_leader_and_a_copy_not_a_majority(state, quorum):
    assert state.quorum == quorum
    assert state.as_dict()["quorum"] == quorum
