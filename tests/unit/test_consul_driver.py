"""services/consul: its driver on answers recorded from a cluster of three servers and two agents."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import may_lead, may_stop, settled
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer, Connection, HttpError
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import (
    ConsulDriver,
    consul_client,
    parse_members,
)
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, ServiceState

FIXTURES = Path(__file__).parent / "fixtures" / "consul"
PATHS = {
    "/v1/agent/members": "agent_members",
    "/v1/operator/raft/configuration?stale": "raft_configuration",
    "/v1/operator/autopilot/health": "autopilot_health",
    "/v1/catalog/nodes?stale": "catalog_nodes",
}
EVERYBODY = ("a1", "b1", "c1", "mirror", "ops")
Change = Callable[[dict[str, Any]], None]


def recorded(scene: str) -> dict[str, Any]:
    return {name: json.loads((FIXTURES / scene / f"{name}.json").read_text()) for name in PATHS.values()}


class Replay:
    """Answers as they were recorded; an exception in their place is raised."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def get(self, path: str) -> Any:
        return self.call("GET", path).data

    def call(self, method: str, path: str, accept: tuple[int, ...] = (200,)) -> Answer:
        assert method == "GET"
        data = self.answers[PATHS[path]]
        if isinstance(data, Exception):
            raise data
        status = 500 if isinstance(data, str) else 200
        if status not in accept:
            raise HttpError(str(data), status)
        return Answer(status, data, {})

    def certificate_days(self) -> float:
        return 19.5


def seen(answers: dict[str, Any], *known: KnownMember) -> ServiceState:
    return ConsulDriver(Replay(answers), known, "test").state()


def changed(scene: str, change: Change) -> dict[str, Any]:
    answers = recorded(scene)
    change(answers)
    return answers


def entry(answers: dict[str, Any], file: str, name: str) -> dict[str, Any]:
    found = answers[file]["Servers"] if isinstance(answers[file], dict) else answers[file]
    return next(e for e in found if name in (e.get("Name"), e.get("Node")))


def test_a_healthy_cluster():
    state = seen(recorded("healthy"))
    assert [m.name for m in state.members] == list(EVERYBODY)
    assert [m.zone for m in state.members] == ["a", "b", "c", "m", "m"]
    assert [m.voter for m in state.members] == [True, True, True, False, False]
    assert {m.version for m in state.members} == {"1.22.5"}
    assert all(m.healthy for m in state.members)
    assert all(m.lag == 0 for m in state.voters)
    assert [m.lag for m in state.members if m.role == "agent"] == [None, None]
    assert (state.quorum, state.certificate_days, state.problems) == (2, 19.5, ())
    leader = state.member(state.leader or "")
    assert leader
    assert leader.role == "leader"
    assert settled(state, EVERYBODY, 0).open
    assert all(may_stop(state, name, expected=EVERYBODY, max_lag=0).open for name in EVERYBODY)
    assert (state.elects, [m.agent for m in state.members]) == (True, [False, False, False, True, True])


def test_a_dead_server_is_not_healthy_and_still_counts():
    state = seen(recorded("leader_gone"))
    assert state.leader == "b1"
    assert len(state.voters) == 3
    dead = state.member("c1")
    assert dead
    assert (dead.healthy, dead.lag, dead.role) == (False, 6, "voter")
    verdict = settled(state, EVERYBODY, 100)
    assert verdict.reasons == ("c1 is not healthy",)
    stops = {name: may_stop(state, name, expected=EVERYBODY, max_lag=100).reason for name in ("a1", "b1", "c1", "ops")}
    closed = "c1 is not healthy; 1 healthy voter would be left, 2 are needed"
    assert stops == {"a1": closed, "b1": closed, "c1": None, "ops": "c1 is not healthy"}
    assert [m.in_sync for m in state.members] == [True, True, False, False, False]
    assert may_lead(state, "a1", 100).open
    assert may_lead(state, "c1", 100).reason == "c1 is not healthy"


def test_without_quorum_nothing_is_known_to_be_well():
    state = seen(recorded("no_quorum"))
    assert state.leader is None
    assert [m.healthy for m in state.voters] == [None, None, None]
    assert [m.in_sync for m in state.voters] == [None, None, None]
    assert not any(may_stop(state, name, expected=EVERYBODY, max_lag=100).open for name in EVERYBODY)
    assert state.problems == ("autopilot does not judge the servers: No cluster leader",)
    verdict = settled(state, ("a1", "b1", "c1"), 0)
    assert not verdict.open
    assert "no leader of consul is known" in verdict.reasons


def test_autopilot_that_does_not_answer_is_a_problem_not_the_end():
    answers = recorded("healthy")
    answers["autopilot_health"] = DriverError("GET …: The read operation timed out")
    state = seen(answers)
    assert state.leader
    assert "timed out" in state.problems[0]
    assert not settled(state, EVERYBODY, 0).open


@pytest.mark.parametrize("file", ["agent_members", "raft_configuration", "catalog_nodes"])
def test_what_else_does_not_answer_ends_it(file):
    answers = recorded("healthy")
    answers[file] = HttpError("GET …: 403 Permission denied", 403)
    with pytest.raises(DriverError, match="403"):
        seen(answers)


def leave(answers: dict[str, Any]) -> None:
    entry(answers, "agent_members", "ops")["Status"] = 3


def fail(answers: dict[str, Any]) -> None:
    entry(answers, "agent_members", "ops")["Status"] = 4


def lose_from_gossip(answers: dict[str, Any]) -> None:
    answers["agent_members"].remove(entry(answers, "agent_members", "c1"))


def hide_by_acl(answers: dict[str, Any]) -> None:
    answers["agent_members"] = []


def lag_behind(answers: dict[str, Any]) -> None:
    entry(answers, "autopilot_health", "c1")["LastIndex"] -= 500


def run_ahead(answers: dict[str, Any]) -> None:
    """Autopilot asks one server after the other: a follower may be asked later than the leader."""
    entry(answers, "autopilot_health", "c1")["LastIndex"] += 3


def unjudged(answers: dict[str, Any]) -> None:
    answers["autopilot_health"]["Servers"].remove(entry(answers, "autopilot_health", "c1"))


@pytest.mark.parametrize(
    ("change", "member", "expected"),
    [
        (leave, "ops", None),
        (fail, "ops", {"healthy": False, "role": "agent"}),
        (lose_from_gossip, "c1", {"healthy": None, "voter": True, "address": "10.0.2.11"}),
        (hide_by_acl, "a1", {"healthy": None, "voter": True}),
        (lag_behind, "c1", {"healthy": True, "lag": 500}),
        (run_ahead, "c1", {"lag": 0}),
        (unjudged, "c1", {"healthy": None, "lag": None}),
    ],
)
def test_one_thing_wrong(change, member, expected):
    state = seen(changed("healthy", change))
    found = state.member(member)
    if expected is None:
        assert found is None
    else:
        assert found
        assert {key: getattr(found, key) for key in expected} == expected
    healthy = change is run_ahead
    assert settled(state, EVERYBODY, 100).open is healthy


def test_a_server_without_a_vote():
    def demote(answers: dict[str, Any]) -> None:
        entry(answers, "raft_configuration", "c1")["Voter"] = False

    state = seen(changed("healthy", demote))
    assert state.member("c1").role == "nonvoter"
    assert len(state.voters) == 2


def test_the_inventory_names_members_by_their_address():
    state = seen(recorded("healthy"), KnownMember("pg-a-1", "10.0.0.11", "elsewhere"))
    member = state.member("pg-a-1")
    assert member
    assert member.zone == "a"
    assert state.member("a1") is None


def test_the_inventory_tells_a_zone_that_the_node_does_not():
    def forget(answers: dict[str, Any]) -> None:
        entry(answers, "catalog_nodes", "a1")["Meta"] = None

    answers = changed("healthy", forget)
    assert seen(answers).member("a1").zone is None
    assert seen(answers, KnownMember("a1", "10.0.0.11", "z")).member("a1").zone == "z"


def test_a_lost_server_with_an_ipv6_address():
    raft = {"Servers": [{"ID": "1", "Node": "x", "Address": "[fd00::1]:8300", "Leader": False, "Voter": True}]}
    (member,) = parse_members([], raft, {}, [], ())
    assert member.address == "fd00::1"


@pytest.mark.parametrize(
    "broken",
    [
        {"agent_members": [{"Name": "x"}]},
        {"agent_members": None},
        {"raft_configuration": "words"},
        {"raft_configuration": {}},
        {"autopilot_health": {"Servers": [{"ID": "1"}]}},
        {"catalog_nodes": [{"Node": "x"}]},
    ],
)
def test_nonsense_is_an_error_that_says_so(broken):
    with pytest.raises(DriverError, match=r"not understood|words"):
        seen({**recorded("healthy"), **broken})


def test_parsing_does_not_change_its_input():
    answers = recorded("healthy")
    before = copy.deepcopy(answers)
    seen(answers)
    assert answers == before


def test_the_token_goes_into_consuls_header():
    assert consul_client(Connection("https://x", token="t")).connection.headers == {"X-Consul-Token": "t"}
    assert consul_client(Connection("https://x")).connection.headers == {}
    driver = ConsulDriver.connect(Connection("https://x", token="t"), (), "c")
    assert isinstance(driver, ConsulDriver)


def test_the_recordings_are_complete_and_hold_no_secrets():
    texts = [path.read_text() for path in FIXTURES.rglob("*.json")]
    assert len(texts) == 12
    assert not any("SecretID" in text for text in texts)
