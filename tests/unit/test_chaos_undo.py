"""The promise of the undo: cut off at any moment, in any order, and however often it fails at first."""

from __future__ import annotations

import json
import random

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import run as runs
from ansible_collections.rsp.platform.plugins.module_utils.chaos import steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.faults import HOME, Faults, Request
from ansible_collections.rsp.platform.plugins.module_utils.chaos.run import Runner
from ansible_collections.rsp.platform.plugins.module_utils.chaos.watchdog import ProcessWatchdog
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain
from chaos_data import Machines, Time, experiment, host, setting
from test_chaos_faults import Place, request
from test_chaos_run import NOON, Ran
from test_chaos_steps import Tables

ALL = [{"kind": "unit_stop", "lease_s": 60, "targets": {"role": "all"}}]


# --- the controller: rounds --------------------------------------------------------------------------------------


class Peers:
    """Servers that are up only when another one is, as Consul's are: an undo alone waits in vain."""

    def __init__(self, needs):
        self.needs, self.asked, self.waits = needs, [], []

    def __call__(self, arguments):
        self.asked.append(arguments["fault"])
        self.waits.append(arguments["wait_s"])
        return None if len(set(self.asked)) >= self.needs else "it waits for its peers"


@pytest.mark.parametrize("needs", [1, 2, 3])
def test_servers_that_wait_for_each_other_are_all_asked_before_one_is_asked_again(needs):
    peers = Peers(needs)
    ran = Ran(experiment(faults=ALL, allow_quorum_loss=True), fail={("chaos_fault", "undone"): peers})
    assert ran.verdict == "held", ran.report["reasons"]
    assert len(set(peers.asked[:3])) == 3
    assert peers.waits[:3] == [runs.UNDO_FIRST_S] * 3
    assert set(peers.waits[3:]) <= {runs.UNDO_LATER_S}
    assert len(peers.asked) == 3 + needs - 1


def test_the_planted_violation_one_that_never_comes_back_is_loud_and_asked_to_the_end():
    stuck = []

    def never(arguments):
        if arguments["fault"].endswith("-1"):
            stuck.append(arguments["wait_s"])
            return "it waits for its peers"
        return None

    ran = Ran(experiment(faults=ALL, allow_quorum_loss=True), fail={("chaos_fault", "undone"): never})
    assert ran.verdict == "rollback_failed"
    assert len(stuck) == runs.UNDO_TRIES
    reasons = [reason for reason in ran.report["reasons"] if reason.startswith("rollback_failed")]
    assert len(reasons) == 1
    assert "ab12cd34-1 on b1" in reasons[0]


def test_an_undo_that_is_late_is_good_when_it_is_good():
    answers = [
        {"undone": False, "wrong": ["consul.service: active → activating"]},
        {"undone": True, "wrong": []},
    ]
    time_ = Time()
    machines = Machines(time_)
    machines._chaos_fault = lambda a: answers.pop(0) if a["state"] == "undone" else {"plan": {}, "effective": True,
                                                                                     "seen": []}  # fmt: skip
    runner = Runner(experiment(), setting(), hosts=machines, clock=time_.clock, run="ab12cd34", chain=Chain())
    planned, _plans = runner.prepare(NOON)
    seen = runner.run(planned)
    assert seen.undone == {"ab12cd34-0 on a1": []}
    assert [record["body"]["wrong"] for record in runner.chain.records if record["kind"] == "undone"] == [
        ["consul.service: active → activating"],
        [],
    ], "the evidence keeps what was wrong at first"


def test_the_last_fault_is_undone_first():
    faults = [
        {"kind": "unit_stop", "lease_s": 60},
        {"kind": "process_pause", "lease_s": 60, "at_s": 2, "targets": {"role": "replica"}},
    ]
    ran = Ran(experiment(faults=faults, allow_quorum_loss=True))
    assert [host_ for host_, verb in ran.machines.verbs() if verb == "undone"] == ["b1", "a1"]


@pytest.mark.parametrize("seed", range(25))
def test_property_whoever_fails_how_often_everybody_is_asked_and_nobody_is_forgotten(seed):
    rng = random.Random(seed)
    failures = {f"ab12cd34-{n}": rng.randint(0, runs.UNDO_TRIES + 1) for n in range(3)}
    counts = dict.fromkeys(failures, 0)

    def fails(arguments):
        counts[arguments["fault"]] += 1
        return "not yet" if counts[arguments["fault"]] <= failures[arguments["fault"]] else None

    ran = Ran(experiment(faults=ALL, allow_quorum_loss=True), fail={("chaos_fault", "undone"): fails})
    assert counts == {fault: min(times + 1, runs.UNDO_TRIES) for fault, times in failures.items()}
    hopeless = [fault for fault, times in failures.items() if times >= runs.UNDO_TRIES]
    assert (ran.verdict == "rollback_failed") is bool(hopeless)
    for fault in failures:
        named = any(fault in reason for reason in ran.report["reasons"] if reason.startswith("rollback_failed"))
        assert named is (fault in hopeless)


# --- the host: cut off at every moment ---------------------------------------------------------------------------


class CutError(Exception):
    """The power goes."""


class Breaking(Tables):
    """iptables that loses its power after so many calls; what was done before stays done."""

    def __init__(self, after):
        super().__init__()
        self.after, self.done = after, 0

    def __call__(self, argv, ok=(0,), timeout_s=60):
        if self.after is not None and self.done >= self.after:
            raise CutError
        self.done += 1
        return super().__call__(argv, ok, timeout_s)


RULES = [["-s", "10.0.0.1", "-j", "RETURN"], ["-s", "10.0.1.1", "-j", "DROP"], ["-d", "10.0.1.1", "-j", "DROP"]]
OWN = {"chain": "CHAOS-x", "tables": ["iptables"]}
INJECT = {"do": "chain", **OWN, "parents": ["INPUT", "OUTPUT"], "rules": {"iptables": RULES}}
PLAN = {
    "undo": [{"do": "no_chain", **OWN}],
    "fingerprint": [{"see": "rules", **OWN}],
}
CALLS = 1 + len(RULES) + 2  # a chain, its rules, two jumps


@pytest.mark.parametrize("after", range(CALLS + 1))
def test_a_cut_in_the_middle_of_the_injection_is_undone_without_a_trace(monkeypatch, after):
    tables = Breaking(None)
    monkeypatch.setattr(steps, "run", tables)
    before = steps.fingerprint(PLAN["fingerprint"])
    text = tables.do_s_()
    tables.after = tables.done + after
    if after < CALLS:
        with pytest.raises(CutError):
            steps.DO["chain"](INJECT)
    else:
        steps.DO["chain"](INJECT)
    tables.after = None
    assert steps.undo({**PLAN, "before": before}, settle_s=0) == []
    assert tables.do_s_() == text


@pytest.mark.parametrize("after", range(8))
def test_a_cut_in_the_middle_of_the_undo_is_undone_the_second_time(monkeypatch, after):
    tables = Breaking(None)
    monkeypatch.setattr(steps, "run", tables)
    before, text = steps.fingerprint(PLAN["fingerprint"]), tables.do_s_()
    steps.DO["chain"](INJECT)
    tables.after = tables.done + after
    try:
        steps.undo({**PLAN, "before": before}, settle_s=0)
    except CutError:
        tables.after = None
        assert steps.undo({**PLAN, "before": before}, settle_s=0) == []
    assert tables.do_s_() == text


def test_rules_are_never_complete_before_ansibles_way_in_is_spared(monkeypatch):
    """The jumps come last: a chain that is half written cuts nobody off."""
    tables = Breaking(None)
    monkeypatch.setattr(steps, "run", tables)
    for after in range(CALLS):
        tables.__init__(after)
        with pytest.raises(CutError):
            steps.DO["chain"](INJECT)
        jumped = any("-j CHAOS-x" in rule for name in ("INPUT", "OUTPUT") for rule in tables.chains[name])
        assert not jumped or len(tables.chains["CHAOS-x"]) == len(RULES)


def test_one_step_that_fails_keeps_no_other_from_being_undone(tmp_path):
    (tmp_path / "file").write_text("x")
    items = [{"see": "exists", "path": str(tmp_path / "file")}]
    plan = {
        "undo": [
            {"do": "write", "path": str(tmp_path), "text": "a directory can't be written"},
            {"do": "no_file", "path": str(tmp_path / "file")},
        ],
        "fingerprint": items,
        "before": [False],
    }
    [wrong] = steps.undo(plan, settle_s=0)
    assert wrong.startswith("write: ")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("states", "wrong"),
    [
        (["activating", "activating", "active"], []),
        (["active"], []),
        (["failed"] * 50, ["x.service: active → failed"]),
    ],
)
def test_a_unit_may_need_its_time(monkeypatch, states, wrong):
    left = list(states)
    monkeypatch.setattr(steps, "run", lambda *_a, **_o: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(steps, "POLL_S", 0.001)
    plan = {"undo": [], "fingerprint": [{"see": "unit", "unit": "x.service"}], "before": ["active"]}
    assert steps.undo(plan, settle_s=0.1 if not wrong else 0.02) == wrong


def test_a_host_that_cannot_be_looked_at_is_not_as_it_was(monkeypatch):
    def broken(*_arguments, **_options):
        raise steps.StepError("iptables: Permission denied")

    monkeypatch.setattr(steps, "run", broken)
    [failed, blind] = steps.undo({**PLAN, "before": [{"iptables": []}]}, settle_s=0)
    assert failed == "no_chain: iptables: Permission denied"
    assert blind == "the host cannot be looked at: iptables: Permission denied"


# --- the host: recovery without memory ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "cannot be read"), ("", "cannot be read"), ("[]x", "cannot be read")],
)
def test_a_broken_record_keeps_nobody_from_being_undone(tmp_path, text, reason):
    place = Place(tmp_path)
    for fault in ("aa-0", "bb-0", "cc-0"):
        place.faults.inject(request(fault=fault))
    (place.faults.home / "bb-0" / steps.PLAN).write_text(text)
    found = {each["fault"]: each for each in place.faults.recover()}
    assert [name for name, each in found.items() if each["undone"]] == ["aa-0", "cc-0"]
    assert reason in found["bb-0"]["wrong"][0]
    assert found["bb-0"]["changed"] is False
    assert (place.faults.home / "bb-0").is_dir(), "what nobody understood is kept for people"
    assert not (place.faults.home / "aa-0").exists()


def test_a_folder_that_was_cut_off_before_its_plan_was_written_holds_nothing(tmp_path):
    place = Place(tmp_path)
    (place.faults.home / "dd-0").mkdir(parents=True)
    (place.faults.home / "dd-0" / f".{steps.PLAN}.new").write_text('{"half": ')
    assert place.faults.all() == []
    assert place.faults.recover() == []


def test_recovery_in_check_mode_tells_and_does_nothing(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    place.log.clear()
    found = place.faults.recover(check=True)
    assert [(each["fault"], each["changed"]) for each in found] == [("ab12-0", True)]
    assert place.log == []
    assert place.faults.read("ab12-0")


def test_the_time_to_wait_reaches_the_watchdog(tmp_path):
    place, waited = Place(tmp_path), []
    fire = place.dog.fire

    def noted(fault, folder, wait_s):
        waited.append(wait_s)
        fire(fault, folder, wait_s)

    place.dog.fire = noted
    for fault, arguments in (("aa-0", {}), ("bb-0", {"wait_s": 7})):
        place.faults.inject(request(fault=fault))
        place.faults.undo(fault, **arguments)
    assert waited == [60.0, 7]


# --- the real watchdog of a host without systemd -----------------------------------------------------------------


def real(root):
    """Faults on a directory, with the process that watches where there is no systemd."""
    return Faults(host(root), ProcessWatchdog(), steps.DO)


def fill(root, ttl_s=60):
    return Request("ab-0", "disk_fill", {"path": "/data", "max_mb": 1, "floor_mb": 16}, ttl_s, "a test")


def test_a_file_is_there_while_the_fault_lives_and_its_watchdog_ends_with_it(tmp_path, monkeypatch):
    faults = real(tmp_path)
    plans = faults.plan(fill(tmp_path))
    # The host is a directory: what it calls /data lies below it
    moved = json.loads(json.dumps(plans.as_dict()).replace('"/data', f'"{tmp_path}/data'))
    monkeypatch.setattr(type(plans), "as_dict", lambda _self: moved)
    object.__setattr__(plans, "inject", tuple(moved["inject"]))
    object.__setattr__(plans, "fingerprint", tuple(moved["fingerprint"]))
    monkeypatch.setattr(Faults, "plan", lambda _self, _request: plans)
    changed, _record = faults.inject(fill(tmp_path))
    path = tmp_path / "data" / ".rsp-chaos-ab-0"
    assert changed
    assert path.stat().st_size == 1 << 20
    assert faults.prove("ab-0")[0] is True
    assert faults.all()[0]["armed"] is True
    assert (tmp_path / HOME / "ab-0" / "undo.py").stat().st_mode & 0o077 == 0
    assert faults.undo("ab-0") == {"changed": True, "undone": True, "wrong": [], "by": "controller"}
    assert not path.exists()
    assert not (tmp_path / HOME / "ab-0").exists()
