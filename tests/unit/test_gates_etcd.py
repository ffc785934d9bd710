"""May a member of etcd stop? Voters, learners, and members that do not answer."""

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
    etcd,
    is_down,
    is_unknown,
    led_by,
    opened_by_the_unknown,
    quorum_edges,
    row,
    silent,
    unknown,
    without,
)

WHOLE = etcd(3)
FIVE = etcd(5)
GROWING = etcd(3, learners=1)
NO_LEADER = "no leader of etcd is known"
ONE_LEFT = "1 healthy voter would be left, 2 are needed"
NONE_LEFT = "0 healthy voters would be left, 2 are needed"
TWO_LEADERS = "members of term 5 name 2 leaders"
ALARM = "alarm NOSPACE on s3"
ALARMED = replace(down(but(WHOLE, "s1 s2 s3", problems=(ALARM,)), "s1 s2 s3"), problems=(ALARM,))
ROWS = [
    *quorum_edges(etcd, "etcd"),
    # leader
    row(led_by(WHOLE, None), "s3", NO_LEADER),
    row(led_by(WHOLE, "s2"), "s1"),
    row(led_by(WHOLE, "s3"), "s3"),
    row(led_by(FIVE, None), "s1", NO_LEADER),
    row(led_by(down(WHOLE, "s1"), None), "s1", NO_LEADER),
    row(led_by(unknown(WHOLE, "s2 s3"), None), "s1", NO_LEADER, is_unknown("s2 s3"), NONE_LEFT),
    # members
    row(WHOLE, "s4", "s4 is no member of etcd"),
    row(without(WHOLE, "s3"), "s1", "s3 is no member of etcd", ONE_LEFT, expected=("s1", "s2", "s3")),
    row(without(FIVE, "s3"), "s1", "s3 is no member of etcd", expected=("s1", "s2", "s3")),
    row(WHOLE, "s1", "no member is expected: an empty list proves nothing", expected=()),
    row(down(FIVE, "s5"), "s4", is_down("s5"), expected=("s1", "s2", "s3", "s4")),
    # lag: also the leader applies its log
    row(but(WHOLE, "s2", lag=10), "s3"),
    row(but(WHOLE, "s2", lag=11), "s3", "s2 lags by 11, 10 is allowed"),
    row(but(WHOLE, "s1", lag=11), "s3", "s1 lags by 11, 10 is allowed"),
    row(but(WHOLE, "s1", lag=None), "s3", "the lag of s1 is unknown"),
    row(but(WHOLE, "s2", lag=None), "s3", "the lag of s2 is unknown"),
    row(but(WHOLE, "s3", lag=None), "s3"),
    row(but(WHOLE, "s3", lag=10**6), "s3"),
    row(WHOLE, "s3", "s2 lags by 1, 0 is allowed", max_lag=0),
    row(WHOLE, "s2", max_lag=0),
    # learners copy the log: no vote, but peers
    row(GROWING, "s1"),
    row(GROWING, "n1"),
    row(down(GROWING, "n1"), "s1", is_down("n1")),
    row(unknown(GROWING, "n1"), "s1", is_unknown("n1")),
    row(but(GROWING, "n1", lag=5000), "s1", "n1 lags by 5000, 10 is allowed"),
    row(but(GROWING, "n1", lag=None), "s1", "the lag of n1 is unknown"),
    row(unknown(GROWING, "n1"), "n1"),
    row(etcd(2, learners=1), "s2", ONE_LEFT),
    row(etcd(2, learners=1), "n1"),
    row(etcd(1, learners=1), "s1", "s1 is the last voter of etcd"),
    # etcd has no agents, so its zones say nothing of their own
    row(but(WHOLE, "s1 s2 s3", zone=None), "s1"),
    row(but(WHOLE, "s1 s2 s3", zone="a"), "s1"),
    row(but(down(WHOLE, "s2"), "s1 s2 s3", zone="a"), "s3", is_down("s2"), ONE_LEFT),
    # the lock
    row(WHOLE, "s1", "ana holds the maintenance lock of etcd", holder="ana"),
    row(WHOLE, "s1", "ana holds the maintenance lock of etcd", holder="ana", owner="bob"),
    row(WHOLE, "s1", holder="ana", owner="ana"),
    row(down(WHOLE, "s1"), "s1", "ana holds the maintenance lock of etcd", holder="ana"),
    # problems: those of the member alone are no reason, all others are
    row(silent(WHOLE, "s3"), "s3"),
    row(silent(WHOLE, "s3"), "s1", "s3 did not answer", is_unknown("s3"), ONE_LEFT),
    row(silent(silent(FIVE, "s3"), "s4"), "s4", "s3 did not answer", is_unknown("s3")),
    row(silent(silent(WHOLE, "s2"), "s3"), "s3", "s2 did not answer", is_unknown("s2"), ONE_LEFT),
    row(replace(silent(WHOLE, "s3"), problems=("s3 did not answer", TWO_LEADERS)), "s3", TWO_LEADERS),
    row(replace(WHOLE, problems=(TWO_LEADERS,)), "s1", TWO_LEADERS),
    row(ALARMED, "s3", is_down("s1 s2"), NONE_LEFT),
    row(replace(down(WHOLE, "s1 s2 s3"), problems=(ALARM,)), "s3", ALARM, is_down("s1 s2"), NONE_LEFT),
    # everything at once
    row(
        led_by(silent(but(FIVE, "s2", lag=99), "s3"), None), "s1",
        "s3 did not answer", NO_LEADER, "s7 is no member of etcd", "s2 lags by 99, 10 is allowed", is_unknown("s3"),
        "ana holds the maintenance lock of etcd", expected=("s7",), holder="ana",
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


def test_a_gate_that_trusts_an_unknown_lag_is_found():
    def trusting(state: ServiceState, asked: Row) -> Verdict:
        members = tuple(replace(m, lag=m.lag or 0) for m in state.members)
        return ask(replace(state, members=members), asked)

    assert opened_by_the_unknown(trusting, ROWS)
