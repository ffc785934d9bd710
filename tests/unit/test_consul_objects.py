"""consul_objects: the plan by tables, then the whole way against a small Consul in memory."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects import (
    ANONYMOUS,
    Object,
    accessor_id,
    canonical_durations,
    plan,
    wanted_objects,
)
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects_api import ConsulObjects, converge
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from fixtures.consul.memory import ROOT, Clock, Consul

FOREIGN = "99999999-9999-4999-8999-999999999999"
SECRETS = {"app": "a0000000-0000-4000-8000-000000000001", "agent/a1": "a0000000-0000-4000-8000-000000000002",
           "db": "canary-value"}  # fmt: skip


def policy(name: str, rules: str | None = "x", **body: Any) -> Object:
    return Object("policy", name, name, None if rules is None else {"rules": rules, "description": "", **body})


def token(name: str, secret: str = "s1", **body: Any) -> Object:
    return Object("token", name, name, {"secret": secret, "local": False, **body})


# --- the plan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "actual", "actions"),
    [
        ([], [], []),
        ([policy("p")], [], ["create policy p"]),
        ([policy("p")], [policy("p")], []),
        ([policy("p", "y")], [policy("p", "x")], ["update policy p"]),
        ([policy("p", None)], [policy("p")], ["delete policy p"]),
        ([policy("p", None)], [], []),
        ([token("t", policies=["q"])], [token("t", policies=[])], ["update token t"]),
        ([token("t", "s2")], [token("t", "s1")], ["replace token t"]),
        ([token("t", local=True)], [token("t", local=False)], ["replace token t"]),
        (
            [Object("autopilot", "autopilot", "settings", {"min_quorum": 3})],
            [Object("autopilot", "autopilot", "settings", {"min_quorum": 3, "max_trailing_logs": 250})],
            [],
        ),
        (
            [Object("autopilot", "autopilot", "settings", {"min_quorum": 3})],
            [Object("autopilot", "autopilot", "settings", {"min_quorum": 0, "max_trailing_logs": 250})],
            ["update autopilot settings"],
        ),
    ],
)
def test_plan(wanted, actual, actions):
    assert [str(a) for a in plan(wanted, actual, "report").actions] == actions


def test_what_depends_comes_later_and_goes_earlier():
    kinds = ("service", "token", "role", "policy", "key")
    made = plan([Object(k, "n", "n", {}) for k in kinds], [], "report").actions
    assert [a.subject.kind for a in made] == ["policy", "role", "token", "key", "service"]
    gone = plan([Object("policy", "new", "new", {})], [Object(k, "n", "n", {}) for k in kinds], "delete").actions
    assert [a.subject.kind for a in gone] == ["policy", "service", "key", "token", "role", "policy"]


@pytest.mark.parametrize(
    ("prune", "rogue", "deleted"), [("ignore", [], []), ("report", ["bad"], []), ("delete", ["bad"], ["bad"])]
)
def test_prune(prune, rogue, deleted):
    actual = [policy("good"), policy("bad"), Object("policy", "builtin", "builtin", {}, protected=True)]
    found = plan([policy("good")], actual, prune)
    assert [o.name for o in found.rogue] == rogue
    assert [a.subject.name for a in found.actions if a.verb == "delete"] == deleted


def test_the_diff_masks_secrets_and_still_shows_that_they_differ():
    key = Object("key", "k", "k", {"value": "canary-2"}, hidden=True)
    found = plan(
        [token("t", "canary-1"), key],
        [token("t", "canary-0"), Object("key", "k", "k", {"value": "canary-3"})],
        "report",
    )
    text = json.dumps(found.diff())
    assert "canary" not in text
    assert text.count("another one") == 2
    assert found.diff()["before"]["token t"] != found.diff()["after"]["token t"]


def test_the_diff_holds_only_what_changes():
    diff = plan([policy("new"), policy("same")], [policy("same"), policy("old")], "delete").diff()
    assert diff["before"].keys() == {"policy old"}
    assert diff["after"].keys() == {"policy new"}


# --- the options ------------------------------------------------------------------------------------------------

EMPTY: dict[str, Any] = {
    "policies": [], "roles": [], "tokens": [], "nodes": [], "kv": [], "services": [], "autopilot": None,
    "secrets": SECRETS, "datacenter": "dc1", "prune": "report", "owned_keys": [], "protected": [],
    "bootstrap": True, "fresh": False, "wait_s": 1, "connection": {"url": "https://x", "token": ROOT},
}  # fmt: skip
PRESENT = {"state": "present"}
NO_GRANTS = {"policies": None, "node_identities": None, "service_identities": None}


def a_policy(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": None, "rules": None, **PRESENT, **more}


def a_role(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": None, **NO_GRANTS, **PRESENT, **more}


def a_token(name: str, **more: Any) -> dict[str, Any]:
    return {**a_role(name), "roles": None, "local": False, **more}


def a_key(path: str, **more: Any) -> dict[str, Any]:
    return {"key": path, "value": None, "secret": None, **PRESENT, **more}


def a_service(name: str, **more: Any) -> dict[str, Any]:
    base = {"name": name, "id": None, "node": "ext", "address": "10.9.9.9", "port": 80, "tags": None, "meta": None}
    return {**base, **PRESENT, **more}


def options(**given: Any) -> dict[str, Any]:
    return {**EMPTY, **given}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens": [a_token("unknown")]}, "token unknown: its secret was not handed over"),
        ({"nodes": ["z9"]}, "token agent/z9: its secret was not handed over"),
        ({"kv": [a_key("k", secret="unknown")]}, "key k: its secret was not handed over"),
        ({"tokens": [a_token("gossip")]}, "the name is reserved"),
        ({"tokens": [a_token("bootstrap-token")]}, "the name is reserved"),
        ({"policies": [a_policy("p"), a_policy("p", state="absent")]}, "policy p is listed twice"),
        ({"tokens": [a_token("agent/a1")], "nodes": ["a1"]}, "token agent/a1 is listed twice"),
        ({"services": [a_service("s"), a_service("s")]}, "service ext/s is listed twice"),
        ({"autopilot": {"server_stabilization_time": "soon"}}, "'soon' is no duration"),
        ({"autopilot": {"server_stabilization_time": "10 s"}}, "is no duration"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(DriverError, match=message):
        wanted_objects(options(**given))


def test_an_absent_token_needs_no_secret():
    (gone,) = wanted_objects(options(tokens=[a_token("unknown", state="absent")]))
    assert gone.body is None


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("10s", "10000ms"), ("1m", "60000ms"), ("1m0s", "60000ms"), ("200ms", "200ms"), ("1.5s", "1500ms")],
)
def test_durations_have_one_spelling(text, spelled):
    assert canonical_durations({"a": text, "b": 3, "c": True}) == {"a": spelled, "b": 3, "c": True}


def test_accessors_are_stable_and_differ():
    assert accessor_id("app") == accessor_id("app")
    assert accessor_id("app") != accessor_id("apps")
    assert uuid.UUID(accessor_id("app")).version == 5


# --- the whole way ----------------------------------------------------------------------------------------------


def run(consul: Consul, *, check: bool = False, clock: Clock | None = None, **given: Any) -> dict[str, Any]:
    params, clock = options(**given), clock or Clock()
    return converge(ConsulObjects(consul, clock, clock.sleep), wanted_objects(params), params, check)


EVERYTHING: dict[str, Any] = {
    "policies": [a_policy("app", rules='key_prefix "app/" { policy = "write" }\n')],
    "roles": [a_role("ops", policies=["app"], service_identities=["web"])],
    "tokens": [a_token("app", policies=["app"], roles=["ops"])],
    "nodes": ["a1"],
    "kv": [a_key("app/colour", value="blue"), a_key("app/db pass", secret="db"), a_key("app/empty", value="")],
    "services": [a_service("mail", tags=["z", "a"], meta={"tier": 1})],
    "autopilot": {"min_quorum": 3, "server_stabilization_time": "10s", "max_trailing_logs": None},
}
ALL_ACTIONS = [
    "update autopilot settings", "create policy app", "create role ops", "create token app", "create token agent/a1",
    "create key app/colour", "create key app/db pass", "create key app/empty", "create service ext/mail",
]  # fmt: skip


def test_the_twelve_steps():
    """Check, make, repeat, check again; change in check, for real, repeat; remove in check, for real, repeat."""
    consul = Consul()
    predicted = run(consul, check=True, **EVERYTHING)
    assert (predicted["changed"], predicted["actions"], consul.log) == (True, ALL_ACTIONS, [])
    made = run(consul, **EVERYTHING)
    assert made == predicted
    consul.log.clear()
    for check in (False, True):
        again = run(consul, check=check, **EVERYTHING)
        assert (again["changed"], again["actions"], again["rogue"]) == (False, [], [])
        assert again["diff"] == {"before": {}, "after": {}}
    assert consul.log == []

    other = {**EVERYTHING, "kv": [a_key("app/colour", value="red")], "policies": [a_policy("app", rules="other")]}
    predicted = run(consul, check=True, **other)
    assert predicted["actions"] == ["update policy app", "update key app/colour"]
    assert predicted["diff"]["before"]["key app/colour"] == {"value": "blue"}
    assert run(consul, **other) == predicted
    assert run(consul, **other)["changed"] is False

    kinds = ("policies", "roles", "tokens", "kv", "services")
    gone = {kind: [{**entry, "state": "absent"} for entry in EVERYTHING[kind]] for kind in kinds}
    predicted = run(consul, check=True, **gone)
    assert run(consul, **gone) == predicted
    assert predicted["actions"][0] == "delete service ext/mail"
    assert predicted["actions"][-1] == "delete policy app"
    assert run(consul, **gone)["changed"] is False
    assert consul.kv == {}
    assert "ext" not in consul.nodes


def test_what_arrives_in_consul():
    consul = Consul()
    run(consul, **EVERYTHING)
    app = consul.acl["token"][accessor_id("app")]
    assert app["SecretID"] == SECRETS["app"]
    assert app["Roles"] == [{"Name": "ops"}]
    agent = consul.acl["token"][accessor_id("agent/a1")]
    assert agent["NodeIdentities"] == [{"NodeName": "a1", "Datacenter": "dc1"}]
    assert base64.b64decode(consul.kv["app/db pass"]["Value"]) == b"canary-value"
    assert consul.nodes["ext"]["services"]["mail"]["Meta"] == {"tier": "1"}
    assert consul.autopilot["MinQuorum"] == 3
    assert consul.autopilot["MaxTrailingLogs"] == 250


def test_nothing_that_is_returned_holds_a_secret():
    text = json.dumps(run(Consul(), **EVERYTHING))
    assert not any(secret in text for secret in [*SECRETS.values(), ROOT])


def test_a_rotated_secret_replaces_the_token():
    consul = Consul()
    run(consul, **EVERYTHING)
    new = {**SECRETS, "app": str(uuid.uuid4())}
    assert run(consul, **EVERYTHING, secrets=new)["actions"] == ["replace token app"]
    assert consul.acl["token"][accessor_id("app")]["SecretID"] == new["app"]
    assert run(consul, **EVERYTHING, secrets=new)["changed"] is False


# --- bootstrap --------------------------------------------------------------------------------------------------


def test_bootstrap_happens_once():
    consul = Consul(boot=False)
    assert run(consul)["actions"] == ["bootstrap ACLs"]
    assert run(consul)["actions"] == []
    assert consul.log == ["PUT /v1/acl/bootstrap"]


def test_check_mode_predicts_the_bootstrap():
    consul = Consul(boot=False)
    predicted = run(consul, check=True, policies=[a_policy("p")])
    assert consul.log == []
    assert run(consul, policies=[a_policy("p")]) == predicted


def test_a_cluster_that_somebody_else_bootstrapped_is_refused():
    consul = Consul()
    consul.token = FOREIGN
    with pytest.raises(DriverError, match=r"bootstrapped with another token .* \(Permission denied.*reset index: 21"):
        run(consul)


def test_without_leave_nothing_is_bootstrapped():
    consul = Consul(boot=False)
    with pytest.raises(DriverError, match="a bootstrap was not asked for"):
        run(consul, bootstrap=False)
    assert consul.log == []


def test_a_fresh_cluster_is_not_asked_in_check_mode():
    consul = Consul(boot=False)
    consul.answer = None  # type: ignore[assignment, method-assign]
    result = run(consul, check=True, fresh=True, **EVERYTHING)
    assert result["actions"] == ["bootstrap ACLs", "create autopilot settings", *ALL_ACTIONS[1:]]


def test_fresh_without_check_mode_asks():
    assert run(Consul(), fresh=True)["actions"] == []


def test_it_waits_for_a_leader():
    consul = Consul()
    consul.leader = False
    clock = Clock(lambda: None, lambda: setattr(consul, "leader", True))
    assert run(consul, clock=clock, wait_s=5)["changed"] is False
    assert clock.now == 1.0


def test_no_leader_in_time():
    consul = Consul()
    consul.leader = False
    with pytest.raises(DriverError, match="Consul has no leader after 2 s"):
        run(consul, wait_s=2)


# --- prune ------------------------------------------------------------------------------------------------------


def planted() -> Consul:
    """A converged cluster with one rogue object of each kind, and with what prune must leave alone."""
    consul = Consul()
    run(consul, **EVERYTHING)
    consul.acl["policy"]["p1"] = {"ID": "p1", "Name": "rogue", "Description": "", "Rules": ""}
    consul.acl["policy"]["p2"] = {"ID": "p2", "Name": "kept", "Description": "", "Rules": ""}
    consul.acl["role"]["r1"] = {"ID": "r1", "Name": "rogue", "Description": ""}
    consul.add_token("t1", "s", "rogue")
    consul.add_token("t2", "s", "kept")
    consul.add_token("t3", "s", "a login", AuthMethod="k8s")
    consul.add_token(accessor_id("agent/c9"), "s", "x", NodeIdentities=[{"NodeName": "c9", "Datacenter": "dc1"}])
    consul.add_token("t4", "s", "", NodeIdentities=[{"NodeName": "c9", "Datacenter": "dc1"}])
    consul.kv["app/rogue"] = {"Value": None, "ModifyIndex": 1}
    consul.kv["service/patroni/leader"] = {"Value": None, "ModifyIndex": 1}
    consul.nodes["old"] = {
        "meta": {"external-node": "true"},
        "services": {"x": {"ID": "x", "Service": "x", "Address": "", "Port": 1, "Tags": None, "Meta": None}},
    }
    consul.nodes["a1"]["services"]["consul"] = {"ID": "consul"}
    consul.log.clear()
    return consul


PRUNE = {**EVERYTHING, "owned_keys": ["app/"], "protected": ["kept"]}
ROGUE = {"policy rogue", "role rogue", "token rogue", "token t4", "key app/rogue", "service old/x"}


def test_prune_reports_by_name_and_touches_nothing():
    consul = planted()
    result = run(consul, **PRUNE, prune="report")
    assert set(result["rogue"]) == ROGUE
    assert (result["changed"], consul.log) == (False, [])


def test_prune_ignores():
    assert run(planted(), **PRUNE, prune="ignore")["rogue"] == []


def test_prune_deletes_exactly_the_rogue_ones():
    consul = planted()
    predicted = run(consul, check=True, **PRUNE, prune="delete")
    assert consul.log == []
    result = run(consul, **PRUNE, prune="delete")
    assert result == predicted
    assert {a.removeprefix("delete ") for a in result["actions"]} == ROGUE
    assert {"t2", "t3", accessor_id("agent/c9"), ANONYMOUS} <= consul.acl["token"].keys()
    assert "service/patroni/leader" in consul.kv
    assert consul.nodes.keys() == {"a1", "ext"}
    assert run(consul, **PRUNE, prune="delete")["changed"] is False


def test_keys_are_pruned_only_below_owned_prefixes():
    result = run(planted(), **{**PRUNE, "owned_keys": []}, prune="report")
    assert not any(name.startswith("key") for name in result["rogue"])


# --- refusals ---------------------------------------------------------------------------------------------------


def test_a_refused_object_fails_with_its_name_and_what_was_done_before():
    consul = Consul()
    consul.refuse = "'Name': 'ops'"
    with pytest.raises(DriverError, match="create role ops: 500 refused") as caught:
        run(consul, **EVERYTHING)
    assert caught.value.result["actions"] == ["update autopilot settings", "create policy app"]


def test_a_run_that_was_cut_off_goes_on():
    consul = Consul()
    consul.refuse = "'Name': 'ops'"
    with pytest.raises(DriverError):
        run(consul, **EVERYTHING)
    consul.refuse = ""
    assert run(consul, **EVERYTHING)["actions"] == ALL_ACTIONS[2:]


def test_a_missing_policy_is_named():
    with pytest.raises(DriverError, match="create token app: 400 policy nothing does not exist"):
        run(Consul(), tokens=[a_token("app", policies=["nothing"])])


@pytest.mark.parametrize("target", ["key", "autopilot"])
def test_an_edit_at_the_same_time_is_not_lost(monkeypatch, target):
    consul = Consul()
    run(consul, kv=[a_key("k", value="1")])
    read = ConsulObjects.read

    def read_then_somebody_edits(self: Any, *args: Any) -> Any:
        found = read(self, *args)
        consul.kv["k"]["ModifyIndex"] += 1
        consul.autopilot["ModifyIndex"] += 1
        return found

    monkeypatch.setattr(ConsulObjects, "read", read_then_somebody_edits)
    given = {"kv": [a_key("k", value="2")]} if target == "key" else {"autopilot": {"min_quorum": 5}}
    with pytest.raises(DriverError, match=rf"update {target} .*somebody else changed it"):
        run(consul, **given)
    assert base64.b64decode(consul.kv["k"]["Value"]) == b"1"


def test_a_key_that_appeared_meanwhile_is_not_overwritten(monkeypatch):
    consul = Consul()
    monkeypatch.setattr(ConsulObjects, "_keys", lambda *_: [])
    consul.kv["k"] = {"Value": "", "ModifyIndex": 5}
    with pytest.raises(DriverError, match="create key k: somebody else"):
        run(consul, kv=[a_key("k", value="1")])


def test_services_of_a_node_with_an_agent_belong_to_the_agent():
    with pytest.raises(DriverError, match="node a1 is kept by its own agent"):
        run(Consul(), services=[a_service("web", node="a1")])


def test_an_external_node_stays_while_it_has_services():
    consul = Consul()
    both = [a_service("mail"), a_service("web")]
    run(consul, services=both)
    run(consul, services=[both[0], {**both[1], "state": "absent"}])
    assert consul.nodes["ext"]["services"].keys() == {"mail"}
