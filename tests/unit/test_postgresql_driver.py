"""The driver of PostgreSQL on answers recorded from three members with Patroni 4.0.7 and PostgreSQL 17."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import may_lead, may_stop, settled
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer, Connection
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.services.postgresql import (
    Answers,
    PostgresqlDriver,
    parse_state,
)
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, names

FIXTURES = Path(__file__).parent / "fixtures" / "postgresql"
SCOPE = "rsp-local-postgresql"
MEMBERS = tuple(KnownMember(n, f"10.87.{i}.11", n[0]) for i, n in enumerate(("a1", "b1", "c1")))
EXPECTED = ("a1", "b1", "c1")


def recorded(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def parsed(data, known=MEMBERS, cluster=SCOPE, unreachable=None):
    return parse_state(Answers(**data, unreachable=unreachable or {}), known, cluster, 80.0)


def changed(change):
    data = copy.deepcopy(recorded("settled"))
    change(data)
    return parsed(data)


def entry(data, name):
    return next(member for member in data["cluster"]["members"] if member["name"] == name)


def reason(state):
    return settled(state, EXPECTED, max_lag=1000).reason


def test_a_settled_cluster_is_seen_as_it_is():
    state = parsed(recorded("settled"))
    assert (state.service, state.cluster, state.leader, state.certificate_days) == ("postgresql", SCOPE, "b1", 80.0)
    assert [(m.name, m.address, m.role, m.zone, m.healthy, m.lag, m.version) for m in state.members] == [
        ("a1", "10.87.0.11", "sync_standby", "a", True, 0, "17.11"),
        ("b1", "10.87.1.11", "leader", "b", True, None, "17.11"),
        ("c1", "10.87.2.11", "replica", "c", True, 0, "17.11"),
    ]
    assert not any(member.pending_restart for member in state.members)
    assert state.problems == ()
    assert reason(state) is None


def stops(state):
    return {name: may_stop(state, name, expected=EXPECTED, max_lag=1000).reason for name in EXPECTED}


def test_in_a_settled_cluster_anybody_may_stop_and_the_standby_in_sync_may_lead():
    state = parsed(recorded("settled"))
    assert (state.elects, state.synchronous, state.quorum) == (False, True, 2)
    assert [m.in_sync for m in state.members] == [True, True, False]
    assert stops(state) == {"a1": None, "b1": None, "c1": None}
    assert [may_lead(state, name, 0).reason for name in EXPECTED] == [None, None, "c1 is not in sync"]


def test_a_stopped_replica_may_be_restarted_and_nobody_else():
    why = "GET https://10.87.2.11:8008/patroni: Connection refused"
    state = parsed(recorded("replica_stopped"), unreachable={"c1": why})
    assert state.member("c1").problems == (why,)
    found = stops(state)
    assert found["c1"] is None
    others = f"{why}; c1 is of unknown health; 1 healthy copy that may lead would be left, 2 are needed"
    assert (found["a1"], found["b1"]) == (others, others)


def test_nobody_stops_while_failover_is_paused():
    paused = "automatic failover is paused"
    assert stops(parsed(recorded("paused"))) == {"a1": paused, "b1": paused, "c1": paused}


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({}, ()),
        (None, ()),
        ({"nofailover": True, "noloadbalance": True, "nosync": True}, ("nofailover", "noloadbalance", "nosync")),
        ({"nosync": True, "clonefrom": True, "rack": "b"}, ("nosync",)),
        ({"nofailover": False, "failover_priority": 0}, ()),
        ({"failover_priority": 0, "sync_priority": 0}, ("nofailover", "nosync")),
        ({"failover_priority": 2, "sync_priority": 1}, ()),
    ],
)
def test_what_a_member_is_kept_from(tags, found):
    state = changed(lambda data: entry(data, "c1").update(tags=tags))
    assert state.member("c1").tags == found
    assert state.member("c1").drained is (len(found) == 3)
    assert state.member("a1").tags == ()


def test_a_priority_that_is_no_number_is_not_understood():
    with pytest.raises(DriverError, match="was not understood"):
        changed(lambda data: entry(data, "c1").update(tags={"failover_priority": "high"}))


def in_quorum(data):
    entry(data, "a1")["role"] = entry(data, "c1")["role"] = "quorum_standby"


def kept_from_leading(data):
    entry(data, "a1")["tags"] = {"nofailover": True}


def asynchronous(**of_c1):
    def change(data):
        not_asked_to_be_synchronous(data)
        entry(data, "c1").update(of_c1)

    return change


@pytest.mark.parametrize(
    ("change", "in_sync"),
    [
        (in_quorum, [True, True, True]),
        (kept_from_leading, [False, True, False]),
        (lambda data: data["status"].pop("a1"), [None, True, False]),
        (lambda data: data["status"].pop("b1"), [True, None, False]),
        (lambda data: entry(data, "a1").update(state="stopped"), [False, True, False]),
        (asynchronous(), [True, True, True]),
        (asynchronous(lag=1048576), [True, True, True]),
        (asynchronous(lag=1048577), [True, True, False]),
        (asynchronous(lag="unknown"), [True, True, None]),
        (asynchronous(tags={"nofailover": True}), [True, True, False]),
    ],
)
def test_who_could_lead_and_lose_nothing(change, in_sync):
    assert [m.in_sync for m in changed(change).members] == in_sync


def test_a_pending_restart_is_seen_and_leaves_the_gate_open():
    state = parsed(recorded("pending_restart"))
    assert [member.pending_restart for member in state.members] == [True, True, True]
    assert reason(state) is None


def test_paused_failover_closes_the_gate():
    assert reason(parsed(recorded("paused"))) == "automatic failover is paused"


def test_a_stopped_replica_closes_the_gate():
    data = recorded("replica_stopped")
    state = parsed(data, unreachable={"c1": "GET https://10.87.2.11:8008/patroni: Connection refused"})
    assert state.member("c1").healthy is None
    assert reason(state) == "GET https://10.87.2.11:8008/patroni: Connection refused; c1 is of unknown health"


def no_leader(data):
    entry(data, "b1")["role"] = "replica"


def lagging(data):
    entry(data, "c1")["lag"] = 1001


def lag_unknown(data):
    entry(data, "c1")["lag"] = "unknown"


def other_timeline(data):
    entry(data, "c1")["timeline"] = 1


def not_streaming(data):
    entry(data, "c1")["state"] = "in archive recovery"


def postgres_down(data):
    data["status"]["c1"]["state"] = "stopped"


def not_synchronous(data):
    entry(data, "a1")["role"] = "replica"


def not_asked_to_be_synchronous(data):
    not_synchronous(data)
    data["config"]["synchronous_mode"] = False


def other_scope(data):
    data["cluster"]["scope"] = "other"


def gone(data):
    data["cluster"]["members"] = [m for m in data["cluster"]["members"] if m["name"] != "c1"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (no_leader, "no leader of postgresql is known; a1 is not healthy; b1 is not healthy; c1 is not healthy"),
        (lagging, "c1 lags by 1001, 1000 is allowed"),
        (lag_unknown, "the lag of c1 is unknown"),
        (other_timeline, "c1 is not healthy"),
        (not_streaming, "c1 is not healthy"),
        (postgres_down, "c1 is not healthy"),
        (not_synchronous, "no standby is synchronous"),
        (not_asked_to_be_synchronous, None),
        (other_scope, f"Patroni's cluster is other, not {SCOPE}"),
        (gone, "c1 is no member of postgresql"),
    ],
)
def test_what_closes_the_gate(change, expected):
    assert reason(changed(change)) == expected


def test_a_synchronous_standby_in_the_primarys_zone_is_a_problem():
    known = (*MEMBERS[1:], KnownMember("a1", "10.87.0.11", "b"))
    assert parsed(recorded("settled"), known).problems == ("the synchronous standby a1 is in zone b, like its primary",)


def test_a_cluster_of_one_needs_no_standby():
    data = recorded("settled")
    data["cluster"]["members"] = [entry(data, "b1")]
    assert parsed(data).problems == ()


@pytest.mark.parametrize(
    "cluster", [{}, {"members": None}, {"members": [{"role": "leader"}]}, {"members": [{"name": "a1"}]}]
)
def test_answers_that_make_no_sense_are_never_green(cluster):
    with pytest.raises(DriverError, match="was not understood"):
        parsed({"cluster": cluster, "config": {}, "status": {}})


class Client:
    """One member's API over recorded answers; a member without a status refuses the connection."""

    def __init__(self, data, url):
        self.data, self.connection, self.closed = data, Connection(url=url), False

    def call(self, method, path, *, accept=(200,)):
        assert method == "GET"
        host = self.connection.url.split("//")[1].split(":")[0]
        name = {m.address: m.name for m in MEMBERS}[host]
        if name not in self.data["status"]:
            raise DriverError(f"GET {self.connection.url}{path}: Connection refused")
        answers = {"/cluster": self.data["cluster"], "/config": self.data["config"]}
        return Answer(200, answers.get(path, self.data["status"][name]), {})

    def certificate_days(self):
        return 80.0

    def close(self):
        self.closed = True


def driver(data, first="10.87.0.11"):
    return PostgresqlDriver(lambda url: Client(data, url), f"https://{first}:8008", MEMBERS, SCOPE)


def test_each_member_is_asked_for_itself():
    assert driver(recorded("settled")).state() == parsed(recorded("settled"))


def test_a_member_that_does_not_answer_is_named():
    state = driver(recorded("replica_stopped")).state()
    assert state.problems == ("GET https://10.87.2.11:8008/patroni: Connection refused",)
    assert names(state.members) == ["a1", "b1", "c1"]


def test_a_member_without_an_api_is_named():
    data = recorded("settled")
    del entry(data, "c1")["api_url"]
    assert driver(data).state().problems == ("c1 has not published where its API listens",)


def test_the_first_member_must_answer():
    with pytest.raises(DriverError, match="Connection refused"):
        driver(recorded("replica_stopped"), first="10.87.2.11").state()


def test_an_answer_that_is_no_object_is_refused():
    data = recorded("settled")
    data["cluster"] = "<html>"
    with pytest.raises(DriverError, match="answered no object"):
        driver(data).state()


def test_the_driver_is_registered():
    params = {"connection": {"url": "https://10.0.0.1:8008"}, "members": [], "cluster": SCOPE}
    assert isinstance(open_driver("postgresql", params), PostgresqlDriver)
