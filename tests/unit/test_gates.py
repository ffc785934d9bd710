"""Gates over a table of states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import (
    NoOrderError,
    after_removal,
    may_lead,
    rolling_order,
    settled,
)
from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState
from fixtures.gates.builders import (
    MAX_LAG,
    but,
    consul,
    down,
    etcd,
    led_by,
    less_known,
    postgresql,
    silent,
    unknown,
)

C1 = Member("c1", "10.0.0.1", "leader", "a", healthy=True, lag=0)
C2 = Member("c2", "10.0.1.1", "voter", "b", healthy=True, lag=0)
C3 = Member("c3", "10.0.2.1", "voter", "c", healthy=True, lag=3)
WHOLE = ServiceState("consul", "dc1", (C1, C2, C3), "c1")
ALL = ("c1", "c2", "c3")


def changed(**fields: object) -> ServiceState:
    """WHOLE with fields of the last member replaced."""
    return replace(WHOLE, members=(C1, C2, replace(C3, **fields)))


@pytest.mark.parametrize(
    ("state", "expected", "reason"),
    [
        (WHOLE, ALL, None),
        (WHOLE, (), "no member is expected: an empty list proves nothing"),
        (replace(WHOLE, leader=None), ALL, "no leader of consul is known"),
        (replace(WHOLE, members=(C1, C2)), ALL, "c3 is no member of consul"),
        (changed(healthy=False), ALL, "c3 is not healthy"),
        (changed(healthy=None), ALL, "c3 is of unknown health"),
        (changed(lag=11), ALL, "c3 lags by 11, 10 is allowed"),
        (changed(lag=None), ALL, "the lag of c3 is unknown"),
        (changed(lag=None, voter=False), ALL, None),
        (replace(WHOLE, problems=("port closed",)), ALL, "port closed"),
    ],
)
def test_settled(state, expected, reason):
    verdict = settled(state, expected, max_lag=10)
    assert verdict.reason == reason
    assert verdict.open is (reason is None)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (changed(pending_restart=False), None),
        (changed(pending_restart=True), "c3 still waits for a restart"),
        (changed(pending_restart=None), "whether c3 is current is unknown"),
        (replace(WHOLE, members=(C1, C2)), "whether c3 is current is unknown"),
    ],
)
def test_a_member_that_was_restarted_waits_for_no_restart(state, reason):
    assert settled(state, ("c1", "c2"), max_lag=10, current=["c3"]).reason == reason
    assert settled(state, ("c1", "c2"), max_lag=10).open


# may_lead, after_removal and rolling_order: the same for all services


@pytest.mark.parametrize(
    ("state", "member", "reason"),
    [
        (consul(3, agents=1), "s2", None),
        (consul(3), "s1", None),
        (led_by(consul(3), None), "s2", "no leader of consul is known"),
        (consul(3), "s9", "s9 is no member of consul"),
        (consul(3, agents=1), "x1", "x1 has no vote"),
        (down(consul(3), "s2"), "s2", "s2 is not healthy"),
        (unknown(consul(3), "s2"), "s2", "s2 is of unknown health"),
        (down(consul(3), "s3"), "s2", None),
        (but(consul(3), "s2", lag=11), "s2", "s2 lags by 11, 10 is allowed"),
        (but(consul(3), "s2", lag=None), "s2", "the lag of s2 is unknown"),
        (but(consul(3), "s2", in_sync=None), "s2", "whether s2 is in sync is unknown"),
        (replace(consul(3), problems=("one",)), "s2", "one"),
        (etcd(3), "s3", None),
        (etcd(3, learners=1), "n1", "n1 has no vote"),
        (silent(etcd(3), "s3"), "s2", None),
        (silent(etcd(3), "s3"), "s3", "s3 did not answer; s3 is of unknown health"),
        (postgresql(3), "p1", None),
        (postgresql(3), "p2", None),
        (postgresql(3), "p3", "p3 is not in sync"),
        (postgresql(3, synchronous=False), "p3", None),
        (but(postgresql(3), "p2", in_sync=None), "p2", "whether p2 is in sync is unknown"),
        (but(postgresql(3), "p2", lag=None), "p2", "the lag of p2 is unknown"),
        (but(postgresql(3), "p2", tags=("nofailover",)), "p2", "p2 is tagged nofailover"),
        (but(postgresql(3), "p2", tags=("noloadbalance",)), "p2", None),
        (down(postgresql(3), "p1"), "p2", None),
    ],
)
def test_may_lead(state, member, reason):
    verdict = may_lead(state, member, MAX_LAG)
    assert verdict.reason == reason
    assert verdict.open is (reason is None)
    if not verdict.open:
        assert not any(may_lead(less, member, MAX_LAG).open for less in less_known(state))


DRAINED = {"tags": ("nofailover", "noloadbalance", "nosync")}
PG4 = but(postgresql(4), "p4", **DRAINED)


@pytest.mark.parametrize(
    ("state", "member", "removing", "reason"),
    [
        (consul(5), "s5", (), "4 voters would be left in the end, an odd number is needed"),
        (consul(5), "s5", ("s4", "s5"), None),
        (consul(4), "s4", ("s4", "s5"), None),
        (consul(3), "s3", (), "2 voters would be left in the end, an odd number is needed"),
        (consul(3), "s3", ("s2", "s3"), None),
        (consul(1), "s1", (), "s1 leads consul: hand leadership over first; s1 is the last voter of consul"),
        (consul(2), "s2", ("s1", "s2"), "no voter of consul would be left in the end"),
        (consul(5), "s1", ("s4", "s1"), "s1 leads consul: hand leadership over first"),
        (led_by(consul(5), None), "s5", ("s4", "s5"), "no leader of consul is known"),
        (consul(5), "s9", (), "s9 is no member of consul"),
        (consul(3, agents=2), "x2", (), None),
        (consul(4, agents=2), "x2", (), None),
        (etcd(3, learners=1), "n1", (), None),
        (down(etcd(5), "s5"), "s5", ("s4", "s5"), None),
        (silent(etcd(5), "s5"), "s5", ("s4", "s5"), None),
        (silent(etcd(5), "s3"), "s5", ("s4", "s5"), "s3 did not answer"),
        (down(etcd(5), "s2"), "s5", ("s4", "s5"), None),
        (down(etcd(5), "s2 s3"), "s5", ("s4", "s5"), "2 healthy voters would be left, 3 are needed"),
        (down(etcd(5), "s2 s5"), "s5", ("s4", "s5"), None),
        (unknown(etcd(5), "s2 s3"), "s5", ("s4", "s5"), "2 healthy voters would be left, 3 are needed"),
        (PG4, "p4", (), None),
        (PG4, "p3", (), "p3 is not drained"),
        (PG4, "p1", (), "p1 leads postgresql: hand leadership over first; p1 is not drained"),
        (but(PG4, "p4", in_sync=True), "p4", (), "p4 is not drained"),
        (but(PG4, "p4", in_sync=None), "p4", (), "p4 is not drained"),
        (but(PG4, "p4", tags=("nofailover", "nosync")), "p4", (), "p4 is not drained"),
        (but(postgresql(3, synchronous=False), "p3", **DRAINED), "p3", (), None),
        (
            but(postgresql(2), "p2", **{**DRAINED, "in_sync": False}),
            "p2",
            (),
            "1 healthy copy that may lead would be left, 2 are needed; no standby of postgresql is in sync",
        ),
    ],
)
def test_after_removal(state, member, removing, reason):
    verdict = after_removal(state, member, removing)
    assert verdict.reason == reason
    assert verdict.open is (reason is None)
    if not verdict.open:
        assert not any(after_removal(less, member, removing).open for less in less_known(state))


@pytest.mark.parametrize(
    ("state", "members", "order"),
    [
        (consul(3, agents=3), "s1 s2 s3 x1 x2 x3", "x2 s2 x3 s3 x1 s1"),
        (consul(3, agents=3), "x3 x2 x1 s3 s2 s1", "x2 s2 x3 s3 x1 s1"),
        (led_by(consul(3, agents=3), "s2"), "s1 s2 s3 x1 x2 x3", "x1 s1 x3 s3 x2 s2"),
        (consul(5, agents=1), "s1 s2 s3 s4 s5 x1", "s2 s5 s3 x1 s4 s1"),
        (consul(5), "s4 s2", "s2 s4"),
        (led_by(consul(5), "s4"), "s1 s3", "s3 s1"),
        (etcd(3), "s1", "s1"),
        (etcd(3), "", ""),
        (etcd(3), "s2 s2 s1", "s2 s1"),
        (but(etcd(3), "s1 s2 s3", zone=None), "s1 s2 s3", "s2 s3 s1"),
        (but(etcd(3), "s3", zone=None), "s1 s2 s3", "s3 s2 s1"),
        (postgresql(4), "p1 p2 p3 p4", "p2 p3 p4 p1"),
    ],
)
def test_rolling_order(state, members, order):
    assert rolling_order(state, members.split()) == tuple(order.split())


@pytest.mark.parametrize(
    ("state", "members", "reasons"),
    [
        (led_by(consul(3), None), ["s1"], ("no leader of consul is known",)),
        (led_by(consul(3), "s9"), ["s1"], ("no leader of consul is known",)),
        (consul(3), ["s9", "s1", "s8"], ("s8 is no member of consul", "s9 is no member of consul")),
        (led_by(consul(3), None), ["s9"], ("no leader of consul is known", "s9 is no member of consul")),
    ],
)
def test_there_is_no_order_without_a_leader_or_for_strangers(state, members, reasons):
    with pytest.raises(NoOrderError) as caught:
        rolling_order(state, members)
    assert caught.value.reasons == reasons
    assert str(caught.value) == "; ".join(reasons)
