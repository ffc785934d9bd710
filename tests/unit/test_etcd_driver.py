"""etcd's driver against answers that were recorded from a real 3.5.16 cluster of three."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import may_lead, may_stop, settled
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer, Connection
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.services.etcd import (
    MEMBER_TIMEOUT_S,
    Answers,
    EtcdDriver,
    Seen,
    parse_state,
)
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

FIXTURES = Path(__file__).parent / "fixtures" / "etcd"
G1, G2, G3 = "1279417037228136049", "7878552689916444209", "9710869155394205820"
KNOWN = (
    KnownMember("g1", "172.17.0.2", "a"),
    KnownMember("g2", "172.17.0.3", "b"),
    KnownMember("g3", "172.17.0.4", "c"),
)
NAMES = [known.name for known in KNOWN]


def recorded(name):
    """Answers of a recording, with `unreachable` for each member that did not answer."""
    data = json.loads((FIXTURES / f"{name}.json").read_text())
    answers = Answers(data["listed"], {i: Seen(s["health"], s["status"]) for i, s in data["seen"].items()})
    silent = {m["ID"]: m["name"] for m in data["listed"]["members"] if m["ID"] not in data["seen"]}
    answers.unreachable.update({member: f"{name} did not answer" for member, name in silent.items()})
    return answers


def state_of(answers):
    return parse_state(answers, KNOWN, "test-etcd", 89.5)


def changed(name, member, **status):
    """A recording with other fields in the status of one member."""
    answers = recorded(name)
    seen = answers.seen[member]
    answers.seen[member] = Seen(seen.health, {**seen.status, **status})
    return answers


def test_healthy_cluster():
    state = state_of(recorded("healthy"))
    assert (state.service, state.cluster, state.leader, state.quorum) == ("etcd", "test-etcd", "g2", 2)
    assert [(m.name, m.address, m.zone, m.role, m.healthy, m.version) for m in state.members] == [
        ("g1", "172.17.0.2", "a", "follower", True, "3.5.16"),
        ("g2", "172.17.0.3", "b", "leader", True, "3.5.16"),
        ("g3", "172.17.0.4", "c", "follower", True, "3.5.16"),
    ]
    assert state.certificate_days == 89.5
    assert state.problems == ()
    assert settled(state, NAMES, max_lag=10).open
    assert (state.elects, [m.in_sync for m in state.members]) == (True, [True, True, True])
    assert all(may_stop(state, name, expected=NAMES, max_lag=10).open for name in NAMES)


def test_a_silent_member_may_be_restarted_and_nobody_else():
    state = state_of(recorded("member_down"))
    assert state.member("g3").problems == ("g3 did not answer",)
    assert may_stop(state, "g3", expected=NAMES, max_lag=10).reason is None
    others = "g3 did not answer; g3 is of unknown health; 1 healthy voter would be left, 2 are needed"
    assert may_stop(state, "g1", expected=NAMES, max_lag=10).reason == others
    assert may_lead(state, "g1", 10).open
    assert may_lead(state, "g3", 10).reason == "g3 did not answer; g3 is of unknown health"


@pytest.mark.parametrize("scene", ["alarm", "no_quorum"])
def test_what_all_members_suffer_from_stops_nobody(scene):
    state = state_of(recorded(scene))
    assert not any(may_stop(state, name, expected=NAMES, max_lag=10).open for name in NAMES)


def test_a_members_own_complaint_is_its_own_problem():
    state = state_of(changed("healthy", G3, errors=["etcdserver: no leader"]))
    assert state.problems == state.member("g3").problems == ("etcdserver: no leader",)
    assert may_stop(state, "g3", expected=NAMES, max_lag=10).open
    assert not may_stop(state, "g1", expected=NAMES, max_lag=10).open


@pytest.mark.parametrize(
    ("answers", "reasons"),
    [
        (recorded("member_down"), ("g3 did not answer", "g3 is of unknown health")),
        (
            recorded("no_quorum"),
            (
                "g2 did not answer",
                "g3 did not answer",
                "etcdserver: no leader",
                "no leader of etcd is known",
                "g1 is not healthy",
                "g2 is of unknown health",
                "g3 is of unknown health",
            ),
        ),
        (
            recorded("alarm"),
            ("alarm NOSPACE on g3", "g1 is not healthy", "g2 is not healthy", "g3 is not healthy"),
        ),
        (changed("healthy", G2, raftIndex="10000", raftAppliedIndex="10000"), ("g1 lags by 9940", "g3 lags by ")),
        (changed("healthy", G1, raftAppliedIndex="7"), ("g1 lags by 5",)),
        (changed("healthy", G1, leader=G3), ("members of term 5 name 2 leaders", "no leader of etcd is known")),
    ],
    ids=["member_down", "no_quorum", "alarm", "leader_far_ahead", "not_applied", "two_leaders"],
)
def test_what_closes_the_gate(answers, reasons):
    verdict = settled(state_of(answers), NAMES, max_lag=10)
    assert not verdict.open
    assert len(verdict.reasons) == len(reasons), verdict.reasons
    for found, wanted in zip(verdict.reasons, reasons, strict=True):
        assert found.startswith(wanted)


@pytest.mark.parametrize(
    ("answers", "leader"),
    [
        (changed("healthy", G1, raftTerm="9", leader="0"), "g2"),  # cut off, counting terms on its own
        (changed("healthy", G1, raftTerm="4", leader=G3), "g2"),  # has not heard of the new leader yet
        (recorded("no_quorum"), None),
        (Answers(recorded("healthy").listed), None),
    ],
)
def test_leader_is_that_of_the_newest_term(answers, leader):
    assert state_of(answers).leader == leader


def test_learner_is_no_voter():
    answers = recorded("healthy")
    listed = copy.deepcopy(answers.listed)
    listed["members"][2]["isLearner"] = True
    state = state_of(Answers(listed, answers.seen))
    assert [m.name for m in state.voters] == ["g1", "g2"]
    assert state.member("g3").role == "learner"
    assert state.member("g3").in_sync is False


@pytest.mark.parametrize(("known", "name"), [(KNOWN, "g3"), ((), G3)])
def test_member_that_never_started_is_named_by_its_address(known, name):
    answers = recorded("member_down")
    listed = copy.deepcopy(answers.listed)
    del listed["members"][2]["name"], listed["members"][2]["clientURLs"]
    state = parse_state(Answers(listed, answers.seen), known, "etcd", None)
    assert name in [m.name for m in state.members]
    assert state.member(name).healthy is None


@pytest.mark.parametrize(
    "answers",
    [
        Answers({"members": [{"name": "without an ID"}]}),
        Answers({"members": [{"ID": G1, "name": "g1", "peerURLs": []}]}),
        changed("healthy", G1, raftIndex="many"),
        Answers(recorded("healthy").listed, {G1: Seen({"health": "true"}, {})}),
    ],
)
def test_nonsense_is_an_error_not_a_state(answers):
    with pytest.raises(DriverError, match="not understood"):
        state_of(answers)


def test_no_members_never_settles():
    assert not settled(state_of(Answers({})), NAMES, max_lag=10).open


class Scripted:
    """A JsonClient that answers from a recording, for one URL."""

    def __init__(self, data, url, log):
        self.data, self.url, self.log = data, url, log

    def call(self, method, path, *, json=None, accept=(200,)):
        self.log.append((method, self.url, path))
        if path == "/v3/cluster/member/list":
            return Answer(200, self.data["listed"], {})
        ids = {m["clientURLs"][0]: m["ID"] for m in self.data["listed"]["members"]}
        seen = self.data["seen"].get(ids[self.url])
        if seen is None:
            raise DriverError(f"{self.url}: Connection refused")
        return Answer(200, seen["health" if path == "/health" else "status"], {})

    def certificate_days(self):
        return 30.0

    def close(self):
        self.log.append(("close", self.url, ""))


def scripted_driver(data, log):
    return EtcdDriver(lambda url: Scripted(data, url, log), "https://127.0.0.1:2379", KNOWN, "test-etcd")


def test_driver_asks_every_member_and_closes_every_connection():
    log = []
    state = scripted_driver(json.loads((FIXTURES / "healthy.json").read_text()), log).state()
    assert settled(state, NAMES, max_lag=10).open
    assert state.certificate_days == 30.0
    asked = [entry for entry in log if entry[0] != "close"]
    assert asked[0] == ("POST", "https://127.0.0.1:2379", "/v3/cluster/member/list")
    assert asked[1:3] == [
        ("GET", "https://172.17.0.2:2379", "/health"),
        ("POST", "https://172.17.0.2:2379", "/v3/maintenance/status"),
    ]
    assert len(asked) == 1 + 2 * 3
    assert len(log) - len(asked) == 1 + 3


def test_driver_tells_who_is_silent():
    state = scripted_driver(json.loads((FIXTURES / "member_down.json").read_text()), []).state()
    assert state.problems == ("https://172.17.0.4:2379: Connection refused",)
    assert state.leader == "g2"


def test_driver_tells_who_has_not_published_an_address():
    data = json.loads((FIXTURES / "healthy.json").read_text())
    data["listed"]["members"][0]["clientURLs"] = []
    log = []
    driver = EtcdDriver(lambda url: OnlyList(data, url, log), "https://127.0.0.1:2379", KNOWN, "test-etcd")
    assert driver.state().problems[0] == f"member {G1} has not published where it listens"


class OnlyList(Scripted):
    def call(self, method, path, *, json=None, accept=(200,)):
        if path == "/v3/cluster/member/list":
            return Answer(200, self.data["listed"], {})
        raise DriverError("Connection refused")


def test_first_member_must_answer():
    class Dead(Scripted):
        def call(self, *_args, **_kwargs):
            raise DriverError("Connection refused")

    driver = EtcdDriver(lambda url: Dead({}, url, []), "https://127.0.0.1:2379")
    with pytest.raises(DriverError, match="refused"):
        driver.state()


def test_no_object_is_an_error():
    class Text(Scripted):
        def call(self, *_args, **_kwargs):
            return Answer(200, "<html>", {})

    with pytest.raises(DriverError, match="no object"):
        EtcdDriver(lambda url: Text({}, url, []), "https://127.0.0.1:2379").state()


def test_it_is_registered_and_is_patient_with_a_dead_host_for_a_short_time_only():
    params = {
        "connection": {"url": "https://127.0.0.1:2379", "timeout_s": 60.0},
        "members": [{"name": "g1", "address": "172.17.0.2", "zone": "a"}],
    }
    driver = open_driver("etcd", params)
    assert isinstance(driver, EtcdDriver)
    other = EtcdDriver.connect(Connection("https://a", timeout_s=60.0), KNOWN, "etcd")._connect("https://b")
    assert (other.connection.url, other.connection.timeout_s) == ("https://b", MEMBER_TIMEOUT_S)
