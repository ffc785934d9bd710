"""The doorways service_gate and service_info, the registry, and the wait for a gate."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rsp.platform.plugins.doc_fragments.service import ModuleDocFragment
from ansible_collections.rsp.platform.plugins.module_utils import services
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember, service_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, Member, ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import closed, opened
from ansible_collections.rsp.platform.plugins.module_utils.waiting import wait_until_open
from ansible_collections.rsp.platform.plugins.modules import service_gate, service_info
from yaml import safe_load

MEMBERS = [{"name": name, "address": f"10.0.0.{i}", "zone": name[0]} for i, name in enumerate(("a1", "b1", "c1"))]
CANARY = "canary-token"


def state(*sick: str, leader: str | None = "a1", lag: int = 0) -> ServiceState:
    members = tuple(
        Member(
            m["name"],
            m["address"],
            "voter",
            healthy=(well := m["name"] not in sick),
            lag=lag,
            in_sync=well,
            zone=m["zone"],
        )
        for m in MEMBERS
    )
    return ServiceState("toy", "toy", members, leader, certificate_days=9.5)


class Clock:
    """Time that only passes in sleep."""

    def __init__(self) -> None:
        self.now, self.naps = 0.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


class Toy:
    """A driver that shows one state after the other; the last one stays."""

    def __init__(self, *states: Any) -> None:
        self.states, self.asked, self.opened_with = list(states), 0, None

    def connect(self, connection: Any, known: Any, cluster: str) -> Toy:
        self.opened_with = (connection, known, cluster)
        return self

    def state(self) -> ServiceState:
        self.asked += 1
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(found, Exception):
            raise found
        return found


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, module: Any, toy: Toy, **params: Any) -> dict[str, Any]:
    """The result of a module that asks the toy service, in check mode when `check` is given."""
    monkeypatch.setitem(services.DRIVERS, "toy", toy.connect)
    monkeypatch.setattr(basic.AnsibleModule, "_log_invocation", lambda self: None)
    args = {"service": "toy", "connection": {"url": "https://x", "token": CANARY}, "members": MEMBERS, **params}
    args["_ansible_check_mode"] = args.pop("check", False)
    with patch_module_args(args), pytest.raises(SystemExit):
        module.main()
    out = capsys.readouterr().out
    assert CANARY not in out
    return json.loads(out)


GATE = {"question": "settled", "wait_s": 0}


def test_an_open_gate(monkeypatch, capsys):
    result = run(monkeypatch, capsys, service_gate, Toy(state()), **GATE)
    assert (result["open"], result["changed"], result["reason"]) == (True, False, None)
    assert result["evidence"] == {"leader": "a1"}


@pytest.mark.parametrize(
    ("seen", "params", "reason"),
    [
        (state("b1"), {}, "b1 is not healthy"),
        (state(leader=None), {}, "no leader of toy is known"),
        (state(lag=5), {"max_lag": 4}, "a1 lags by 5, 4 is allowed"),
        (state(), {"expected": ["a1", "d1"]}, "d1 is no member of toy"),
        (state(), {"expected": []}, "no member is expected"),
        (state(), {"members": []}, "no member is expected"),
        (DriverError("GET https://x: Connection refused"), {}, "Connection refused"),
    ],
)
def test_a_closed_gate_fails_with_its_reasons(monkeypatch, capsys, seen, params, reason):
    result = run(monkeypatch, capsys, service_gate, Toy(seen), **{**GATE, **params})
    assert result["failed"] is True
    assert result["open"] is False
    assert reason in result["msg"]
    assert reason in result["reasons"][0]


def test_all_reasons_are_told_at_once(monkeypatch, capsys):
    result = run(monkeypatch, capsys, service_gate, Toy(state("b1", "c1", leader=None)), **GATE)
    assert len(result["reasons"]) == 3


def test_the_gate_waits_inside_one_call(monkeypatch, capsys):
    toy = Toy(DriverError("starting"), state("b1"), state())
    result = run(monkeypatch, capsys, service_gate, toy, question="settled", wait_s=5, interval_s=0.01)
    assert result["open"] is True
    assert toy.asked == 3


def test_lag_within_the_limit_is_fine(monkeypatch, capsys):
    assert run(monkeypatch, capsys, service_gate, Toy(state(lag=5)), **GATE, max_lag=5)["open"] is True


def test_only_known_questions(monkeypatch, capsys):
    result = run(monkeypatch, capsys, service_gate, Toy(state()), question="pretty")
    assert all(question in result["msg"] for question in ("settled", "may_stop", "may_lead"))


@pytest.mark.parametrize(
    ("sick", "params", "reason"),
    [
        ([], {"question": "after_removal", "member": "c1", "removing": ["b1", "c1"]}, None),
        (
            [],
            {"question": "after_removal", "member": "c1"},
            "2 voters would be left in the end, an odd number is needed",
        ),
        (["b1"], {"question": "may_forget", "member": "b1"}, None),
        (["b1"], {"question": "may_forget", "member": "c1"}, "c1 is healthy"),
        ([], {"question": "gone", "member": "d1"}, None),
        ([], {"question": "gone", "member": "c1"}, "c1 is still a member of toy"),
    ],
)
def test_questions_about_who_belongs_to_it(monkeypatch, capsys, sick, params, reason):
    result = run(monkeypatch, capsys, service_gate, Toy(state(*sick)), wait_s=0, **params)
    assert result.get("open") is (reason is None)
    assert (reason or "") in result.get("msg", "")


@pytest.mark.parametrize("question", ["may_stop", "may_lead"])
@pytest.mark.parametrize("check", [True, False])
def test_a_question_about_a_member(monkeypatch, capsys, question, check):
    asked = {"question": question, "wait_s": 0, "check": check}
    result = run(monkeypatch, capsys, service_gate, Toy(state()), member="b1", **asked)
    assert (result["open"], result["changed"], result["reason"]) == (True, False, None)
    result = run(monkeypatch, capsys, service_gate, Toy(state()), **asked)
    assert result["msg"] == f"question is {question} but all of the following are missing: member"


@pytest.mark.parametrize(
    ("seen", "params", "message"),
    [
        (
            state("c1"),
            {"question": "may_stop", "member": "b1"},
            "b1 of toy may not stop (may_stop closed for 0 s): c1 is not healthy; "
            "1 healthy voter would be left, 2 are needed",
        ),
        (
            state(),
            {"question": "may_stop", "member": "b1", "expected": ["d1"]},
            "b1 of toy may not stop (may_stop closed for 0 s): d1 is no member of toy",
        ),
        (
            state(),
            {"question": "may_stop", "member": "b1", "holder": "ana", "owner": "bob"},
            "b1 of toy may not stop (may_stop closed for 0 s): ana holds the maintenance lock of toy",
        ),
        (state(), {"question": "may_stop", "member": "b1", "holder": "bob", "owner": "bob"}, None),
        (
            state(lag=5),
            {"question": "may_lead", "member": "b1"},
            "b1 of toy may not lead (may_lead closed for 0 s): b1 lags by 5, 0 is allowed",
        ),
        (state(lag=5), {"question": "may_lead", "member": "b1", "max_lag": 5}, None),
        (
            DriverError("Connection refused"),
            {"question": "may_stop", "member": "b1"},
            "b1 of toy may not stop (may_stop closed for 0 s): Connection refused",
        ),
        (state("b1"), {"question": "settled"}, "toy has not settled in 0 s: b1 is not healthy"),
    ],
)
def test_a_failure_names_the_member_and_the_question(monkeypatch, capsys, seen, params, message):
    result = run(monkeypatch, capsys, service_gate, Toy(seen), wait_s=0, **params)
    assert result.get("msg") == message
    assert result["open"] is (message is None)


def test_a_lost_peer_is_waited_for(monkeypatch, capsys):
    toy = Toy(state("c1"), state("c1"), state())
    asked = {"question": "may_stop", "member": "b1", "wait_s": 5, "interval_s": 0.01}
    assert run(monkeypatch, capsys, service_gate, toy, **asked)["open"] is True
    assert toy.asked == 3


@pytest.mark.parametrize("module", [service_gate, service_info])
@pytest.mark.parametrize("check", [True, False])
def test_an_unknown_service_names_the_known_ones(monkeypatch, capsys, module, check):
    params = GATE if module is service_gate else {}
    result = run(monkeypatch, capsys, module, Toy(state()), **{**params, "service": "toyy"}, check=check)
    assert result["failed"] is True
    assert "no driver for service 'toyy'" in result["msg"]
    assert "consul" in result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_info_returns_the_state(monkeypatch, capsys, check):
    result = run(monkeypatch, capsys, service_info, Toy(state("c1")), check=check)
    assert result["changed"] is False
    found = result["state"]
    assert (found["leader"], found["quorum"], found["certificate_days"]) == ("a1", 2, 9.5)
    assert [m["healthy"] for m in found["members"]] == [True, True, False]


def test_info_returns_the_order_of_a_rolling_job(monkeypatch, capsys):
    result = run(monkeypatch, capsys, service_info, Toy(state()))
    assert result["rolling_order"] == ["b1", "c1", "a1"]
    assert result["state"]["problems"] == []


def test_info_says_why_there_is_no_order(monkeypatch, capsys):
    seen = replace(state(leader=None), problems=("one",))
    result = run(monkeypatch, capsys, service_info, Toy(seen))
    assert result["rolling_order"] == []
    assert result["state"]["problems"] == ["one", "no leader of toy is known"]


def test_info_is_the_same_on_repeat(monkeypatch, capsys):
    toy = Toy(state())
    first = run(monkeypatch, capsys, service_info, toy)
    assert run(monkeypatch, capsys, service_info, toy) == first


def test_info_fails_when_the_service_cannot_be_asked(monkeypatch, capsys):
    result = run(monkeypatch, capsys, service_info, Toy(DriverError("denied", status=403)))
    assert result["failed"] is True
    assert (result["msg"], result["status"]) == ("denied", 403)


def test_the_driver_is_told_connection_members_and_cluster(monkeypatch, capsys):
    toy = Toy(state())
    run(monkeypatch, capsys, service_info, toy, cluster="prod")
    connection, known, cluster = toy.opened_with
    assert connection.token == CANARY
    assert known[1] == KnownMember("b1", "10.0.0.1", "b")
    assert cluster == "prod"
    run(monkeypatch, capsys, service_info, toy)
    assert toy.opened_with[2] == "toy"


def test_the_fragment_documents_the_spec():
    documented = safe_load(ModuleDocFragment.DOCUMENTATION)["options"]

    def compare(spec: dict[str, Any], docs: dict[str, Any]) -> None:
        assert spec.keys() == docs.keys()
        for name, option in spec.items():
            for key in ("type", "default", "elements"):
                assert option.get(key) == docs[name].get(key), name
            assert option.get("required", False) == docs[name].get("required", False), name
            compare(option.get("options", {}), docs[name].get("suboptions", {}))

    compare(service_options(), documented)


@pytest.mark.parametrize(
    ("answers", "wait_s", "opens", "naps"),
    [
        ([True], 0, True, []),
        ([False], 0, False, []),
        ([False, False, True], 10, True, [1, 1]),
        ([False] * 9, 2.5, False, [1, 1, 0.5]),
        ([DriverError("x"), True], 5, True, [1]),
        ([DriverError("x")] * 9, 1, False, [1]),
    ],
)
def test_wait_until_open(answers, wait_s, opens, naps):
    clock, left = Clock(), list(answers)

    def ask() -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return opened() if answer else closed("not yet")

    verdict = wait_until_open(ask, wait_s, 1, clock, clock.sleep)
    assert verdict.open is opens
    assert clock.naps == naps


def test_the_last_reason_is_kept():
    clock = Clock()
    reasons = iter(["first", "second", "third"])
    verdict = wait_until_open(lambda: closed(next(reasons)), 2, 1, clock, clock.sleep)
    assert verdict.reason == "third"
