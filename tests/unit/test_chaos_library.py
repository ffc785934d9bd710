"""Experiments as data: those of the collection are sound, and each kind of bad input is refused with the way out."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.chaos.abort import (
    Condition,
    Counter,
    compare,
    condition_faults,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import experiment_from, problems
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS, UNAVAILABLE
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import plan
from chaos_data import GOOD, PLACES, experiment, setting, state

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = {
    (service, name): data
    for service in ("consul", "postgresql")
    for name, data in yaml.safe_load((ROOT / f"roles/{service}/meta/chaos.yml").read_text(encoding="utf-8")).items()
}


def test_the_library_is_large_enough_and_has_whole_zones():
    assert len(LIBRARY) >= 20
    zones = [key for key, data in LIBRARY.items() if data["targets"].get("hosts") == "everything"]
    assert {service for service, _name in zones} == {"consul", "postgresql"}
    used = {fault["kind"] for data in LIBRARY.values() for fault in data["faults"]}
    assert len(used) >= 7


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_an_experiment_of_the_library_is_sound(service, name):
    data = LIBRARY[service, name]
    assert problems(name, data) == []
    assert name.startswith(f"{service}_")
    made = experiment_from(name, service, data)
    control = experiment_from(name, service, data, control=True)
    assert made.abort
    assert control.abort == ()
    assert control.allow_quorum_loss
    assert control.faults != made.faults
    assert not control.production
    assert control.expect["client_rto_s"] < control.hold_s or control.expect["lost"] == 0


@pytest.mark.parametrize(("service", "name"), LIBRARY)
@pytest.mark.parametrize("control", [False, True])
def test_an_experiment_of_the_library_finds_its_targets_in_three_zones(service, name, control):
    made = experiment_from(name, service, LIBRARY[service, name], control)
    containers = {place.name: f"rsp-x-{place.name}" for place in PLACES}
    found = plan(made, setting(engine="localhost", containers=containers, unit="x.service"), state(), "ab12cd34")
    assert found
    assert all(len(each.fault) <= 20 for each in found)
    for each in found:
        kind = KINDS[each.arguments["kind"]]
        assert each.host == ("localhost" if kind.where == "engine" else each.target)
        assert not kind.network or each.arguments["params"]["peers"]
        assert "unit" not in kind.options or each.arguments["params"]["unit"]
        assert each.target != "ops"


def change(*path, value=None, drop=False):
    data = copy.deepcopy(GOOD)
    at = data
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return data


BAD = {
    "unknown fault": (change("faults", 0, "kind", value="process_kil"), "faults[0].kind", "did you mean process_kill?"),
    "unavailable fault": (change("faults", 0, "kind", value="packet_delay"), "faults[0].kind", "netem"),
    "no lease": (change("faults", 0, "lease_s", drop=True), "faults[0].lease_s", "set lease_s"),
    "lease too short": (change("faults", 0, "lease_s", value=1), "faults[0].lease_s", "15 to 900"),
    "lease too long": (change("faults", 0, "lease_s", value=3600), "faults[0].lease_s", "15 to 900"),
    "lease as text": (change("faults", 0, "lease_s", value="60s"), "faults[0].lease_s", "integer"),
    "no fault": (change("faults", value=[]), "faults", "at least one fault"),
    "fault is no mapping": (change("faults", value=["kill"]), "faults", "mapping"),
    "unknown parameter": (change("faults", 0, "sginal", value="SIGKILL"), "sginal", "did you mean signal?"),
    "unknown signal": (change("faults", 0, "signal", value="SIGKIL"), "signal", "SIGKILL"),
    "injected after the end": (change("faults", 0, "at_s", value=10), "faults[0].at_s", "earlier"),
    "nobody to be cut off from": (
        change("faults", value=[{"kind": "partition", "lease_s": 60}]),
        "faults[0].from",
        "other_zones",
    ),
    "peers of a kill": (change("faults", 0, "from", value="members"), "faults[0].from", "remove it"),
    "unknown role": (change("targets", "role", value="primary"), "targets.role", "use one of them"),
    "no target": (change("targets", drop=True), "targets", "set targets"),
    "unknown key": (change("exptect", value={}), "exptect", "did you mean expect?"),
    "no expectation": (change("expect", drop=True), "expect", "set expect"),
    "lost left out": (change("expect", "lost", drop=True), "expect.lost", "set lost"),
    "lost is negative": (change("expect", "lost", value=-1), "expect.lost", "write 0, or computed"),
    "lost is a boolean": (change("expect", "lost", value=True), "expect.lost", "write 0, or computed"),
    "a way of reading that nobody knows": (
        change("load", "reads", value=["stael"]),
        "load.reads[0]",
        "did you mean stale?",
    ),
    "a claim about what nobody reads": (
        change("expect", "stale_max", value={"stale": 0}),
        "expect.stale_max.stale",
        "add stale to load.reads",
    ),
    "a claim about all reads": (change("expect", "stale_max", value=0), "expect.stale_max", "mapping"),
    "no title": (change("title", drop=True), "title", "set title"),
    "title of two lines": (change("title", value="two\nlines here"), "title", "write it in that form"),
    "no abort condition": (change("abort", value=[]), "abort", "add one of"),
    "unknown abort condition": (change("abort", 0, "kind", value="sqll"), "abort[0].kind", "did you mean sql?"),
    "malformed abort condition": (change("abort", value=["voters < 2"]), "abort", "mapping"),
    "abort without a number": (
        change("abort", value=[{"kind": "sql", "query": "SELECT 1", "when": "<"}]),
        "abort[0].value",
        "set value",
    ),
    "abort with an unknown operator": (
        change("abort", value=[{"kind": "voters", "when": "below", "value": 2}]),
        "abort[0].when",
        "use one of them",
    ),
    "abort after no time": (change("abort", 0, "times", value=0), "abort[0].times", "1 to 100"),
    "an address that is no url": (
        change("abort", value=[{"kind": "http", "url": "store/health"}]),
        "abort[0].url",
        "write it in that form",
    ),
    "too many writers": (change("load", "writers", value=99), "load.writers", "1 to 16"),
    "held for ever": (change("hold_s", value=100000), "hold_s", "1 to 600"),
    "a control without a reason": (change("control", value={"faults": []}), "control.without", "set without"),
    "a control with an unknown fault": (
        change("control", "faults", value=[{"kind": "unit_stopp", "lease_s": 30}]),
        "control.faults[0].kind",
        "unit_stop",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_path_and_fix(case):
    data, path, fix = BAD[case]
    found = problems("leader_killed", data)
    assert found, "it was accepted"
    assert any(path in each.path and fix in f"{each.rule} {each.fix}" for each in found), found


def test_there_are_enough_rows_and_a_clean_twin():
    assert len(BAD) >= 20
    assert problems("leader_killed", GOOD) == []
    assert [each.path for each in problems("Leader", GOOD)] == ["Leader"]
    assert problems("leader_killed", ["no mapping"])


def test_all_problems_are_told_at_once():
    data = change("faults", 0, "kind", value="x")
    data["title"], data["hold_s"] = 5, "ten"
    assert len(problems("leader_killed", data)) >= 3


def test_an_experiment_has_its_defaults():
    made = experiment()
    assert (made.before_s, made.targets["count"], made.load["timeout_s"], made.load["reads"]) == (
        5,
        None,
        10.0,
        [],
    )
    assert made.faults[0].params == {}
    data = {key: value for key, value in GOOD.items() if key != "control"}
    with pytest.raises(ValueError, match="no negative control"):
        experiment_from("leader_killed", "consul", data, control=True)


def test_what_is_unavailable_is_no_kind():
    assert not set(UNAVAILABLE) & set(KINDS)
    assert all(UNAVAILABLE.values())


@pytest.mark.parametrize(
    ("seen", "operator", "value", "answer"),
    [(1, "<", 2, True), (2, "<", 2, False), (2, "<=", 2, True), (3, ">", 2, True), (2, ">=", 2, True),
     (2, "==", 2, True), (2, "!=", 2, False), (1, "!=", 2, True), (None, "<", 2, None)],
)  # fmt: skip
def test_compare(seen, operator, value, answer):
    assert compare(seen, operator, value) is answer


@pytest.mark.parametrize(
    ("answers", "fires_at"),
    [
        ([True, True], 1),
        ([True, False, True, False], None),
        ([None, None], 1),
        ([True, None], 1),
        ([False] * 5, None),
        ([False, True, True], 2),
    ],
)
def test_n_bad_answers_in_a_row_abort(answers, fires_at):
    counter = Counter((Condition("voters", {"when": "<", "value": 2}, times=2),))
    fired = [counter.take([answer]) is not None for answer in answers]
    assert (fired.index(True) if True in fired else None) == fires_at


def test_the_reason_names_the_condition_and_why():
    counter = Counter((Condition("http", {"url": "https://x/"}, 1), Condition("voters", {"when": "<", "value": 2}, 1)))
    assert counter.take([False, None]) == "abort condition could not be asked 1 times in a row: voters < 2"
    assert counter.take([True, False]) == "abort condition holds 1 times in a row: http https://x/"


def test_a_sound_condition_has_no_faults():
    assert condition_faults("abort[0]", {"kind": "command", "argv": ["/bin/true"], "times": 3}) == []
    assert Condition.from_data({"kind": "command", "argv": ["/bin/true"]}).times == 2
