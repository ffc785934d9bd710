"""Patroni's dynamic configuration: the plan as tables, the API as a small Patroni in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer, HttpError
from ansible_collections.rsp.platform.plugins.module_utils.patroni_config import PatroniApi, applied, plan
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import patroni_config
from module_call import call

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "postgresql" / "settled.json").read_text())["config"]
HERE = {"ttl": 20, "postgresql": {"parameters": {"work_mem": "4MB", "ssl": "on"}, "pg_hba": ["a"]}}


def parameters(**values):
    return {"ttl": 20, "postgresql": {"parameters": values, "pg_hba": ["a"]}}


@pytest.mark.parametrize(
    ("wanted", "actual", "patch"),
    [
        (HERE, HERE, {}),
        (RECORDED, RECORDED, {}),
        ({"ttl": 30}, HERE, {"ttl": 30}),
        ({"ttl": "20"}, HERE, {}),
        ({"failsafe_mode": True}, {"failsafe_mode": True}, {}),
        ({"failsafe_mode": False}, {}, {"failsafe_mode": False}),
        (parameters(work_mem="8MB", ssl="on"), HERE, {"postgresql": {"parameters": {"work_mem": "8MB"}}}),
        (parameters(ssl="on"), HERE, {"postgresql": {"parameters": {"work_mem": None}}}),
        (
            parameters(ssl="on", work_mem="4MB", jit="off"),
            HERE,
            {"postgresql": {"parameters": {"jit": "off"}}},
        ),
        ({"postgresql": {"parameters": HERE["postgresql"]["parameters"]}}, HERE, {"postgresql": {"pg_hba": None}}),
        ({"postgresql": {**HERE["postgresql"], "pg_hba": ["b"]}}, HERE, {"postgresql": {"pg_hba": ["b"]}}),
        (parameters(n=100), parameters(n="100"), {}),
        (parameters(n=True), parameters(n="true"), {}),
        (parameters(n=1.1), parameters(n=1.1), {}),
        (parameters(n="100MB"), parameters(n=100), {"postgresql": {"parameters": {"n": "100MB"}}}),
        (HERE, {}, HERE),
        ({"slots": {"x": {"type": "physical"}}}, {"slots": {}}, {"slots": {"x": {"type": "physical"}}}),
    ],
)
def test_plan(wanted, actual, patch):
    assert plan(wanted, actual).patch == patch
    # Applying the plan leaves nothing to do
    assert plan(wanted, applied(patch, actual)).patch == {}


@pytest.mark.parametrize(
    ("wanted", "patch"),
    [
        ({"postgresql": {"pg_hba": ["b"]}}, {"postgresql": {"pg_hba": ["b"]}}),
        ({"postgresql": {"pg_hba": ["a"]}}, {}),
        ({"postgresql": {"parameters": {"jit": "off"}}}, {"postgresql": {"parameters": {"jit": "off"}}}),
        ({"ttl": None}, {"ttl": None}),
        ({"member_slots_ttl": None}, {}),
    ],
)
def test_a_part_leaves_the_rest_alone(wanted, patch):
    assert plan(wanted, HERE, whole=False).patch == patch


def test_keys_that_nobody_asked_for_are_reported_and_stay():
    todo = plan({"ttl": 20}, {"ttl": 20, "pause": True, "standby_cluster": {}})
    assert todo.patch == {}
    assert todo.unmanaged == ("pause", "standby_cluster")


class Patroni:
    """Answers like a member's API. `looks`: how often it looked at the DCS, once a question about it."""

    def __init__(self, config=None, led=True, pending=None, frozen=False):
        self.config, self.led, self.pending, self.frozen = config, led, pending or {}, frozen
        self.looks, self.patches = 0, []

    def get(self, path):
        return self.call("GET", path).data

    def call(self, method, path, *, json=None, accept=(200,)):
        if method == "PATCH":
            self.patches.append(json)
            self.config = applied(json, self.config)
            return Answer(200, self.config, {})
        if path == "/config":
            if self.config is None:
                raise HttpError("GET /config: 502", 502)
            return Answer(200, self.config, {})
        if path == "/cluster":
            role = "leader" if self.led else "replica"
            member = {"name": "a1", "role": role, **({"pending_restart": True} if self.pending else {})}
            return Answer(200, {"members": [{**member, "pending_restart_reason": self.pending}]}, {})
        self.looks += 0 if self.frozen else 1
        return Answer(200, {"dcs_last_seen": self.looks // 3}, {})


class Clock:
    """Time that passes only while somebody sleeps, and what happens at that time."""

    def __init__(self, then=lambda at: None):
        self.at, self.then = 0.0, then

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds
        self.then(self.at)


def api(server, clock=None):
    clock = clock or Clock()
    return PatroniApi(server, clock.now, clock.sleep)


PARAMS = {"config": {"ttl": 30, "loop_wait": 2}, "whole": True, "fresh": False, "wait_s": 10}


def test_a_change_is_patched_and_waited_for():
    server = Patroni({"ttl": 20, "loop_wait": 2}, pending={"max_connections": {"old_value": "1", "new_value": "2"}})
    result = patroni_config.converge(PARAMS, api(server), check_mode=False)
    assert server.patches == [{"ttl": 30}]
    assert server.looks >= 6
    assert result == {
        "changed": True,
        "patch": {"ttl": 30},
        "unmanaged": [],
        "pending_restart": {"a1": {"max_connections": {"old_value": "1", "new_value": "2"}}},
        "diff": {"before": {"ttl": 20, "loop_wait": 2}, "after": {"ttl": 30, "loop_wait": 2}},
    }


def test_check_mode_predicts_the_same_and_patches_nothing():
    server = Patroni({"ttl": 20, "loop_wait": 2})
    predicted = patroni_config.converge(PARAMS, api(server), check_mode=True)
    assert server.patches == []
    real = patroni_config.converge(PARAMS, api(server), check_mode=False)
    assert predicted == real
    again = patroni_config.converge(PARAMS, api(server), check_mode=False)
    assert (again["changed"], server.patches) == (False, [{"ttl": 30}])


def test_a_fresh_cluster_has_nothing_to_predict():
    result = patroni_config.converge({**PARAMS, "fresh": True}, api(None), check_mode=True)
    assert (result["changed"], result["patch"]) == (False, {})


def test_a_cluster_that_is_being_made_is_waited_for():
    server = Patroni(None)

    def make(at):
        if at > 3:
            server.config = {"ttl": 30, "loop_wait": 2}

    assert patroni_config.converge(PARAMS, api(server, Clock(make)), check_mode=False)["changed"] is False


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Patroni(None), "could not be read in 10 s: GET /config: 502"),
        (Patroni({"ttl": 20}, led=False), "could not be read in 10 s: the cluster has no leader"),
        (Patroni("<html>"), "could not be read in 10 s: Patroni's /config answered no object"),
        (Patroni({"ttl": 20}, frozen=True), "has not looked at its configuration for 10 s"),
    ],
)
def test_what_does_not_come_true_fails(server, reason):
    with pytest.raises(DriverError, match=reason):
        patroni_config.converge(PARAMS, api(server), check_mode=False)


def test_a_refusal_is_not_waited_for():
    class Refusing(Patroni):
        def call(self, method, path, **_):
            raise HttpError("GET /config: 401", 401)

    clock = Clock()
    with pytest.raises(HttpError, match="401"):
        api(Refusing(), clock).read(10)
    assert clock.at == 0


def test_the_module_fails_when_nobody_answers(capsys):
    connection = {"url": "https://127.0.0.1:1", "password": "canary-restapi", "username": "patroni"}
    result = call(patroni_config.main, capsys, connection=connection, config={"ttl": 20}, wait_s=0)
    assert result["rc"] == 1
    assert "could not be read in 0 s" in result["msg"]
    assert "canary" not in result["msg"]


def test_the_module_predicts_for_a_fresh_host(capsys):
    connection = {"url": "https://127.0.0.1:1"}
    result = call(patroni_config.main, capsys, check=True, connection=connection, config={"ttl": 20}, fresh=True)
    assert (result["rc"], result["changed"]) == (0, False)
