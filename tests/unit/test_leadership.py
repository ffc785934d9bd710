"""Handing leadership over: who may take it, and that it really has it."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import services
from ansible_collections.rsp.platform.plugins.module_utils.leadership import Wish, hand_over, successor
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, Member, ServiceState
from ansible_collections.rsp.platform.plugins.modules import leader_transfer
from module_call import call


def member(name, zone, lag=0, **changes):
    return Member(name, f"10.0.0.{name[-1]}", "voter", zone=zone, healthy=True, lag=lag, in_sync=True, **changes)


def cluster(*members, leader="a1"):
    return ServiceState("demo", "demo", members or THREE, leader)


THREE = (member("a1", "a"), member("b1", "b", lag=5), member("c1", "c", lag=3))
LEADER = THREE[0]
ANYBODY = Wish(None, None, 10)


def but(**changes):
    return dataclasses.replace(member("b1", "b"), **changes)


@pytest.mark.parametrize(
    ("state", "wish", "target"),
    [
        (cluster(), ANYBODY, "c1"),
        (cluster(), Wish("a1", None, 10), "c1"),
        (cluster(), Wish("b1", None, 10), None),
        (cluster(), Wish(None, "a1", 10), None),
        (cluster(), Wish(None, "b1", 10), "b1"),
        (cluster(), Wish(None, None, 4), "c1"),
        (cluster(member("a1", "a"), member("a2", "a"), member("b1", "b", lag=9)), ANYBODY, "b1"),
        (cluster(LEADER, member("b1", "b"), but(healthy=False, name="c1", zone="c")), ANYBODY, "b1"),
    ],
)  # fmt: skip
def test_successor(state, wish, target):
    assert successor(state, wish) == target


@pytest.mark.parametrize(
    ("state", "wish", "why"),
    [
        (cluster(leader=None), ANYBODY, "has no leader"),
        (cluster(member("a1", "a")), ANYBODY, "it has no other member"),
        (cluster(), Wish(None, "d1", 10), "d1 is no member of demo that can lead"),
        (cluster(), Wish(None, "b1", 4), "b1 lags by 5"),
        (cluster(LEADER, but(healthy=None)), ANYBODY, "b1 is of unknown health"),
        (cluster(LEADER, but(in_sync=False)), ANYBODY, "b1"),
        (cluster(LEADER, but(voter=False)), ANYBODY, "it has no other member"),
    ],
)  # fmt: skip
def test_nobody_leads_who_may_not(state, wish, why):
    with pytest.raises(DriverError, match=why):
        successor(state, wish)


class Demo:
    """A service that hands over after some questions, or never."""

    def __init__(self, after=2, silent=0):
        self.leader, self.asked, self.after, self.silent, self.commands = "a1", 0, after, silent, []

    def state(self):
        self.asked += 1
        if self.commands and self.asked <= 1 + self.silent:
            raise DriverError("an election is on")
        if self.commands and self.after is not None and self.asked > self.after:
            self.leader = self.commands[-1]
        return cluster(leader=self.leader)

    def transfer(self, state, to):
        self.commands.append(to)


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_it_waits_until_the_successor_leads():
    demo, time = Demo(after=4, silent=2), Time()
    result = hand_over(demo, ANYBODY, 10, now=time, sleep=time.sleep)
    assert result == {"changed": True, "before": "a1", "leader": "c1", "seconds": pytest.approx(0.6)}


def test_one_that_never_leads_is_an_error():
    time = Time()
    with pytest.raises(DriverError, match="c1 does not lead demo after 3 s; a1 does"):
        hand_over(Demo(after=None), ANYBODY, 3, now=time, sleep=time.sleep)


def test_check_mode_and_a_wish_that_is_fulfilled_command_nothing():
    demo = Demo()
    assert hand_over(demo, ANYBODY, 3, check=True)["leader"] == "c1"
    assert hand_over(demo, Wish("b1", None, 10), 3)["changed"] is False
    assert demo.commands == []


def test_the_module(monkeypatch, capsys):
    demo = Demo(after=1)
    monkeypatch.setitem(services.DRIVERS, "demo", lambda *_: demo)
    asked = {"service": "demo", "connection": {"url": "https://a1"}, "max_lag": 10}
    promised = call(leader_transfer.main, capsys, check=True, **asked)
    assert (promised["changed"], promised["leader"], demo.commands) == (True, "c1", [])
    done = call(leader_transfer.main, capsys, **asked, to="b1")
    assert (done["changed"], done["before"], done["leader"]) == (True, "a1", "b1")
    refused = call(leader_transfer.main, capsys, **asked, to="d1")
    assert refused["rc"] == 1
    assert "d1 is no member" in refused["msg"]


def test_what_is_in_flight_ends_first(monkeypatch, capsys):
    demo, ran = Demo(after=1), []
    monkeypatch.setitem(services.DRIVERS, "demo", lambda *_: demo)
    codes = iter([0, 124])

    def run(_self, argv, **_named):
        ran.append((argv, list(demo.commands)))
        return next(codes), "", "too slow"

    monkeypatch.setattr(leader_transfer.AnsibleModule, "run_command", run)
    asked = {"service": "demo", "connection": {"url": "https://a1"}, "max_lag": 10, "quiesce": [["/bin/pause", 5]]}
    assert call(leader_transfer.main, capsys, check=True, **asked)["changed"] is True
    assert ran == []
    assert call(leader_transfer.main, capsys, **asked)["rc"] == 0
    assert ran == [(["/bin/pause", "5"], [])]
    refused = call(leader_transfer.main, capsys, **asked)
    assert "/bin/pause … 5 ended with 124: too slow" in refused["msg"]
    assert demo.commands == ["c1"]


@pytest.mark.parametrize("service", ["consul", "etcd", "postgresql"])
def test_every_driver_can(service):
    assert callable(services.DRIVERS[service].__self__.transfer)
