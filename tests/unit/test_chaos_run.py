"""A whole run on pretended machines and a pretended clock: order, refusals, aborts, undo, and the report."""

from __future__ import annotations

from datetime import datetime, time
from itertools import pairwise

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import guard
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.outcome import allowed_loss, document
from ansible_collections.rsp.platform.plugins.module_utils.chaos.run import Runner
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Seen
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import plan
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import peers, resolve, state_from
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain
from chaos_data import PLACES, SPAN, Machines, Time, experiment, member, setting, sick, state

NOON = datetime(2026, 1, 1, 12, 0)
LOSS = {"ttl_s": 20.0, "maximum_lag_bytes": 1000.0, "row_bytes": 200.0}


class Ran:
    """One run and everything that came of it."""

    def __init__(self, made=None, where=None, now=NOON, control=False, **machines):
        self.time = Time()
        self.machines = Machines(self.time, **machines)
        self.chain = Chain()
        self.experiment = made or experiment(control)
        self.runner = Runner(
            self.experiment,
            where or setting(),
            hosts=self.machines,
            clock=self.time.clock,
            run="ab12cd34",
            chain=self.chain,
        )
        planned, self.plans = self.runner.prepare(now)
        self.prepared = len(self.machines.calls)
        began = self.time.t
        self.seen = self.runner.run(planned)
        self.report = document(
            self.experiment,
            self.seen,
            run="ab12cd34",
            at="2026-01-01T00:00:00+00:00",
            control=control,
            loss=LOSS,
            seconds=self.time.t - began,
        )

    @property
    def verdict(self):
        return self.report["verdict"]


def refused(**options):
    time_ = Time()
    machines = Machines(time_, **{k: v for k, v in options.items() if k in ("states", "fail")})
    made, where = options.get("made") or experiment(), options.get("where") or setting()
    runner = Runner(made, where, hosts=machines, clock=time_.clock, run="ab12cd34", chain=Chain())
    with pytest.raises(ChaosError) as error:
        runner.prepare(options.get("now", NOON))
    states = {arguments.get("state") for _t, _host, module, arguments in machines.calls if module != "service_info"}
    assert states <= {"planned"}, "something was done"
    return str(error.value)


def test_a_run_that_holds():
    ran = Ran(silent=(105.3, 107.0))
    assert ran.verdict == "held", ran.report["reasons"]
    assert ran.report["green"] is True
    assert ran.report["targets"] == ["a1"]
    assert ran.report["measures"]["client_rto_s"] == pytest.approx(1.75, abs=0.1)
    assert ran.report["findings"]["counts"]["lost"] == 0
    verbs = [verb for _host, verb in ran.machines.verbs()]
    assert verbs[:2] == ["planned", "injected"]
    assert verbs[-2:] == ["proved", "undone"]
    assert ran.machines.verbs("chaos_workload")[0] == ("ops", "started")
    assert [verb for _host, verb in ran.machines.verbs("chaos_workload")][-3:] == ["stopped", "read", "absent"]


def test_nothing_is_injected_before_the_client_writes_and_everything_is_undone_before_it_stops():
    calls = [(module, arguments.get("state")) for _t, _host, module, arguments in Ran().machines.calls]
    order = [
        calls.index(each)
        for each in (
            ("chaos_fault", "planned"),
            ("chaos_workload", "started"),
            ("chaos_fault", "injected"),
            ("chaos_fault", "proved"),
            ("chaos_fault", "undone"),
            ("chaos_workload", "stopped"),
            ("chaos_workload", "read"),
        )
    ]
    assert order == sorted(order)


def test_a_lease_is_renewed_at_a_third_of_its_time():
    ran = Ran(experiment(hold_s=60))
    moments = [
        t
        for t, _host, module, a in ran.machines.calls
        if module == "chaos_fault" and a["state"] in ("injected", "renewed")
    ]
    assert len(moments) >= 5
    assert max(later - earlier for earlier, later in pairwise(moments)) < 30 / 2


def test_a_lost_write_is_found():
    ran = Ran(lost=[SPAN + 30])
    assert ran.verdict == "violated"
    assert ran.report["findings"]["tokens"]["lost"] == [SPAN + 30]
    assert "1 acknowledged writes are lost, 0 may be" in "".join(ran.report["reasons"])


def test_an_outage_that_is_too_long_is_found():
    assert Ran(silent=(105.3, 115.0)).verdict == "violated"


def test_no_effect_is_inconclusive():
    ran = Ran(effective=False)
    assert ran.verdict == "inconclusive"
    assert "nobody saw that ab12cd34-0 took effect" in ran.report["reasons"][0]


def test_an_undo_that_fails_is_louder_than_everything():
    ran = Ran(undone={"undone": False, "wrong": ["a rule is left"]}, lost=[SPAN + 30])
    assert ran.verdict == "rollback_failed"


def test_a_host_that_is_away_when_it_is_undone_is_asked_again():
    tries = []

    def away(_arguments):
        tries.append(1)
        return "connection refused" if len(tries) < 3 else None

    ran = Ran(fail={("chaos_fault", "undone"): away})
    assert ran.verdict == "held"
    assert len(tries) == 3
    ran = Ran(fail={("chaos_fault", "undone"): "connection refused"})
    assert ran.verdict == "rollback_failed"
    assert "its watchdog undoes it" in ran.report["reasons"][0]


@pytest.mark.parametrize(
    ("fail", "verdict", "reason"),
    [
        ({("chaos_fault", "injected"): "no space left"}, "aborted", "could not be injected: no space left"),
        ({("chaos_fault", "renewed"): "undone without us"}, "aborted", "was not renewed: undone without us"),
        ({("chaos_workload", "started"): "refused"}, "inconclusive", "the ledger could not be started: refused"),
        ({("chaos_workload", "read"): "refused"}, "inconclusive", "the ledger: refused"),
        ({("chaos_workload", "stopped"): "refused"}, "inconclusive", "the ledger: refused"),
        ({("chaos_fault", "proved"): "refused"}, "inconclusive", "took effect"),
    ],
)
def test_what_fails_on_the_way_is_never_green_and_always_undone(fail, verdict, reason):
    ran = Ran(experiment(hold_s=30), fail=fail)
    assert ran.verdict == verdict, ran.report["reasons"]
    assert reason in "\n".join(ran.report["reasons"])
    verbs = [verb for _host, verb in ran.machines.verbs()]
    assert ("undone" in verbs) is ("injected" in verbs)


def test_a_client_that_cannot_write_means_nothing_is_injected():
    ran = Ran(silent=(0, 10**6))
    assert ran.verdict == "inconclusive"
    assert "injected" not in [verb for _host, verb in ran.machines.verbs()]


def test_something_unforeseen_still_undoes():
    time_ = Time()
    machines = Machines(time_)
    runner = Runner(experiment(), setting(), hosts=machines, clock=time_.clock, run="ab12cd34", chain=Chain())
    planned, _plans = runner.prepare(NOON)

    def interrupted(_seconds):
        if "injected" in [verb for _host, verb in machines.verbs()]:
            raise KeyboardInterrupt

    runner._clock.sleep = interrupted
    machines._writes = lambda: [(100.0, 100.1)]
    with pytest.raises(KeyboardInterrupt):
        runner.run(planned)
    assert machines.verbs()[-1] == ("a1", "undone")


ABORTS = {
    "no writes": ({"kind": "no_writes_s", "above": 5}, {"silent": (106, 10**6)}),
    "voters": ({"kind": "voters", "when": "<", "value": 3}, {"states": [state(), sick("b1")]}),
    "a probe": ({"kind": "http", "url": "https://x/"}, {"probe": {"holds": True}}),
    "a probe that fails": ({"kind": "http", "url": "https://x/"}, {"fail": {("chaos_probe", "ops"): "unreachable"}}),
    "nobody can be asked": ({"kind": "voters", "when": "<", "value": 1}, {}),
}


@pytest.mark.parametrize("case", ABORTS)
def test_abort_conditions_undo_within_two_intervals(case):
    condition, machines = ABORTS[case]
    if case == "nobody can be asked":
        asked = []
        machines = {"fail": {("service_info", host): lambda _a: "down" if asked.append(1) or len(asked) > 1 else None
                             for host in ("a1", "b1", "c1")}}  # fmt: skip
    ran = Ran(experiment(hold_s=60, abort=[{**condition, "times": 2}]), **machines)
    assert ran.verdict == "aborted", ran.report["reasons"]
    injected = next(t for t, _h, m, a in ran.machines.calls if m == "chaos_fault" and a["state"] == "injected")
    undone = next(t for t, _h, m, a in ran.machines.calls if m == "chaos_fault" and a["state"] == "undone")
    assert undone - injected < (10 if case == "no writes" else 4)


def test_faults_at_their_time_and_a_host_that_goes_dark_is_proved_before():
    faults = [
        {"kind": "partition", "from": "members", "lease_s": 15},
        {"kind": "host_kill", "lease_s": 60, "at_s": 5},
    ]
    where = setting(engine="localhost", containers={"a1": "rsp-x-a1"})
    ran = Ran(experiment(faults=faults, hold_s=40), where)
    assert ran.verdict == "held", ran.report["reasons"]
    verbs = ran.machines.verbs()
    assert verbs.index(("a1", "proved")) < verbs.index(("localhost", "injected"))
    renewed = [host for host, verb in verbs if verb == "renewed"]
    assert set(renewed) <= {"localhost", "a1"}
    killed = verbs.index(("localhost", "injected"))
    assert "a1" not in [host for host, verb in verbs[killed:] if verb == "renewed"]
    assert [host for host, verb in verbs if verb == "undone"] == ["localhost", "a1"]


def test_the_chain_of_evidence_tells_the_run():
    ran = Ran()
    kinds = [record["kind"] for record in ran.chain.records]
    assert kinds == ["plan", "state", "injected", "effect", "undone"]


def test_the_picture_has_bars_and_events():
    picture = Ran(silent=(105.3, 108)).report["timeline"]
    assert sum(picture["rates"]) > 100
    assert 0 in picture["rates"]
    assert [event["what"] for event in picture["events"]][:2] == ["writers start", "process_kill a1"]
    assert "whole again" in [event["what"] for event in picture["events"]]


# --- refusals: nothing is armed ----------------------------------------------------------------------------------

TWO = [{"kind": "unit_stop", "lease_s": 30, "targets": {"role": "all", "count": 2}}]
ENGINE = [{"kind": "host_kill", "lease_s": 30}]
REFUSED = {
    "one replica is down": ({"states": [sick("c1")]}, "not steady before: c1 is not healthy"),
    "no leader": ({"states": [state(leader=None)]}, "0 hosts fit role leader"),
    "quorum at risk": ({"made": experiment(faults=TWO)}, "1 healthy voters of consul would be left, 2 are needed"),
    "another service at risk": (
        {"made": experiment(allow_quorum_loss=False), "where": setting(others={"etcd": ["a1"]})},
        "0 of 1 members of etcd",
    ),
    "production without a list": (
        {"where": setting(policy=Policy("production", "me"))},
        "is not listed for production",
    ),
    "production without approval": (
        {"made": experiment(production=True), "where": setting(policy=Policy("production"))},
        "needs an approval",
    ),
    "production with two hosts": (
        {"made": experiment(production=True, faults=TWO), "where": setting(policy=Policy("production", "me"))},
        "2 hosts would be hit, in production at most 1",
    ),
    "a lease that is too long here": (
        {"where": setting(policy=Policy("staging", longest_lease_s=20))},
        "a lease of 30 s is longer than 20 s",
    ),
    "out of hours": ({"where": setting(policy=Policy("staging", window="22:00-06:00"))}, "it is 12:00"),
    "no target": (
        {"made": experiment(targets={"role": "replica", "count": 5})},
        "2 hosts fit role replica, count 5, hosts members, 5 are needed",
    ),
    "no container engine": ({"made": experiment(faults=ENGINE)}, "no container engine is known that runs it"),
    "the client itself": (
        {"made": experiment(targets={"hosts": "everything", "zone": "m"})},
        "ops runs the ledger, it can't be a target",
    ),
    "the host refuses": ({"fail": {("chaos_fault", "planned"): "shares with others"}}, "a1: shares with others"),
    "nobody can be asked": (
        {"fail": {("service_info", host): "down" for host in ("a1", "b1", "c1")}},
        "no member of consul could be asked",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_armed(case):
    options, reason = REFUSED[case]
    assert reason in refused(**options)


def test_the_clean_twins_of_the_refusals():
    assert Ran(experiment(faults=TWO, allow_quorum_loss=True)).report["targets"] == ["a1", "b1"]
    assert Ran(experiment(production=True), setting(policy=Policy("production", "me"))).verdict == "held"
    assert Ran(where=setting(policy=Policy("staging", window="09:00-17:00"))).verdict == "held"


def test_a_negative_control_may_lose_the_quorum():
    ran = Ran(control=True, silent=(105.3, 130))
    assert ran.report["targets"] == ["a1", "b1", "c1"]
    assert ran.report["control"] is True
    assert ran.verdict == "violated"


@pytest.mark.parametrize(
    ("window", "now", "inside"),
    [("09:00-17:00", time(12), True), ("09:00-17:00", time(17), False), ("22:00-06:00", time(23), True),
     ("22:00-06:00", time(5, 59), True), ("22:00-06:00", time(12), False)],
)  # fmt: skip
def test_windows(window, now, inside):
    assert guard.within(window, now) is inside


def test_a_member_that_observes_is_none_of_the_targets():
    ran = Ran(experiment(abort=[{"kind": "voters", "when": "<", "value": 1}]))
    during = [host for _t, host, module, _a in ran.machines.calls[ran.prepared :] if module == "service_info"]
    assert during[0] == "b1"
    [info] = {
        arguments["connection"]["url"]
        for _t, host, _m, arguments in ran.machines.calls
        if host == "b1" and "connection" in arguments
    }
    assert info == "https://10.0.1.11:8501"


# --- targets and peers -------------------------------------------------------------------------------------------

LEADER = {"role": "leader"}
TARGETS = [
    (LEADER, ("a1",)),
    ({"role": "replica"}, ("b1",)),
    ({"role": "replica", "count": 2}, ("b1", "c1")),
    ({"role": "all"}, ("a1", "b1", "c1")),
    ({"role": "any", "zone": "c"}, ("c1",)),
    ({"role": "any", "zone": "leader"}, ("a1",)),
    ({"role": "any", "zone": "other"}, ("b1",)),
    ({"role": "sync_standby"}, ("b1",)),
    ({"hosts": "everything", "zone": "m"}, ("ops",)),
    ({"hosts": "everything", "zone": "leader"}, ("a1",)),
]


@pytest.mark.parametrize(("wanted", "names"), TARGETS)
def test_targets(wanted, names):
    assert resolve(state(), wanted, PLACES) == names


def test_targets_follow_the_leader():
    assert resolve(state(leader="c1"), LEADER, PLACES) == ("c1",)
    assert resolve(state(leader="b1"), {"role": "any", "zone": "other"}, PLACES) == ("a1",)


@pytest.mark.parametrize(
    ("seen", "wanted", "text"),
    [
        (state(leader=None), {"role": "any", "zone": "leader"}, "no leader of consul is known"),
        (state(), {"role": "any", "zone": "x"}, "0 hosts fit"),
        (state(member("z9", "leader"), leader="z9"), LEADER, "is no host of this inventory"),
        (state(member("a1", "leader"), member("b1", "agent", voter=False)), {"role": "replica"}, "0 hosts fit"),
    ],
)
def test_targets_that_are_not_there(seen, wanted, text):
    with pytest.raises(ChaosError, match=text):
        resolve(seen, wanted, PLACES)


@pytest.mark.parametrize(
    ("kind", "targets", "addresses"),
    [
        ("members", ("a1",), ["10.0.1.11", "10.0.2.11"]),
        ("members", ("a1", "b1"), ["10.0.2.11"]),
        ("others", ("a1",), ["10.0.1.11", "10.0.2.11", "10.0.3.11"]),
        ("other_zones", ("a1",), ["10.0.1.11", "10.0.2.11", "10.0.3.11"]),
        ("clients", ("a1",), ["10.0.3.11"]),
    ],
)
def test_peers(kind, targets, addresses):
    assert peers(kind, "a1", targets, PLACES, clients=["ops"], members=["a1", "b1", "c1"]) == addresses


def test_a_cut_with_nobody_on_the_other_side_is_refused():
    with pytest.raises(ChaosError, match="nobody is on the other side"):
        peers("members", "a1", ("a1", "b1", "c1"), PLACES, clients=["ops"], members=["a1", "b1", "c1"])


def test_a_plan_has_an_id_for_each_fault_in_the_order_of_time():
    faults = [
        {"kind": "unit_stop", "lease_s": 30, "at_s": 4},
        {"kind": "process_kill", "lease_s": 30, "unit": "x.service"},
    ]
    found = plan(experiment(faults=faults), setting(), state(), "ab12cd34")
    assert [(each.fault, each.at_s, each.arguments["params"]["unit"]) for each in found] == [
        ("ab12cd34-1", 0.0, "x.service"), ("ab12cd34-0", 4.0, "consul.service")]  # fmt: skip


def test_a_state_survives_the_way_over_the_wire():
    whole = state(member("a1", "leader", tags=("nosync",), problems=("x",)), elects=False, synchronous=True)
    assert state_from(whole.as_dict()) == whole


# --- loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "service", "synchronous", "most"),
    [(0, "postgresql", False, 0), (3, "consul", False, 3), ("computed", "consul", False, 0),
     ("computed", "postgresql", True, 0), ("computed", "postgresql", False, 5 + 2000)],
)  # fmt: skip
def test_the_loss_that_is_allowed(lost, service, synchronous, most):
    made = experiment(expect={"lost": lost})
    made = type(made)(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "service": service})
    seen = Seen(state=state(synchronous=synchronous))
    assert allowed_loss(made, seen, LOSS)[0] == most


def test_a_report_of_nothing_is_inconclusive():
    report = document(experiment(), Seen(), run="x", at="now", control=False, loss={}, seconds=0)
    assert report["verdict"] == "inconclusive"
    assert report["measures"] is report["findings"] is report["timeline"] is None
