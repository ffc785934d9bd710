"""Who is hit by what: the whole library on three zones whose leader is a1, and the guards."""

from __future__ import annotations

import json
import random
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.chaos import guard
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.outcome import document
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.document import (
    as_json,
    as_junit,
    as_prometheus,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Seen
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import resolve
from ansible_collections.rsp.platform.plugins.module_utils.chaos.verdicts import VERDICTS
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import table_from
from chaos_data import PLACES, SPAN, experiment, member, state
from test_chaos_cuts import LIBRARY, NAME, planned_of
from test_chaos_run import NOON, Ran

ROOT = Path(__file__).resolve().parent.parent.parent

# name → (the experiment, its negative control); seconds, kind, target, parameters | who is on the other side of the cut
EACH_OTHER = ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"]
PLANS = {
    "consul_leader_killed": (
        ["0s process_kill a1"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
    "consul_leader_stopped": (
        ["0s unit_stop a1"],
        ["0s unit_stop a1", "0s unit_stop b1"],
    ),
    "consul_leader_paused": (
        ["0s process_pause a1"],
        ["0s process_pause a1", "0s process_pause b1"],
    ),
    "consul_follower_killed": (
        ["0s process_kill b1"],
        ["0s unit_stop a1", "0s unit_stop b1"],
    ),
    "consul_leader_host_dies": (
        ["0s host_kill a1"],
        ["0s host_kill a1", "0s host_kill b1"],
    ),
    "consul_leader_host_frozen": (
        ["0s host_pause a1"],
        ["0s host_pause a1", "0s host_pause b1"],
    ),
    "consul_leader_cut_off": (
        ["0s partition a1 | b1 c1"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "consul_leader_hears_nothing": (
        ["0s partition a1 direction=in | b1 c1"],
        [
            "0s partition a1 direction=in | b1 c1",
            "0s partition b1 direction=in | a1 c1",
            "0s partition c1 direction=in | a1 b1",
        ],
    ),
    "consul_leader_refused": (
        ["0s partition a1 action=REJECT | b1 c1"],
        [
            "0s partition a1 action=REJECT | b1 c1",
            "0s partition b1 action=REJECT | a1 c1",
            "0s partition c1 action=REJECT | a1 b1",
        ],
    ),
    "consul_zone_cut_off": (
        ["0s partition a1 | b1 c1 ops"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "consul_zone_dies": (
        ["0s host_kill a1"],
        ["0s host_kill a1", "0s host_kill b1"],
    ),
    "consul_leader_lossy": (
        ["0s packet_loss a1 percent=20 | b1 c1"],
        [
            "0s packet_loss a1 percent=100 | b1 c1",
            "0s packet_loss b1 percent=100 | a1 c1",
            "0s packet_loss c1 percent=100 | a1 b1",
        ],
    ),
    "consul_leader_starved": (
        ["0s cpu_pressure a1 percent=5"],
        ["0s unit_stop a1", "0s unit_stop b1"],
    ),
    **{
        name: ([f"0s {fault} | {peers}"], EACH_OTHER)
        for name, fault, peers in (
            ("consul_follower_late", "latency b1 jitter_ms=50 ms=300", "a1 c1"),
            ("consul_follower_resets", "reset b1 after_ms=2000", "a1 c1"),
            ("postgresql_replication_late", "latency a1 ms=100", "b1 c1"),
            ("postgresql_replication_narrow", "bandwidth a1 kb_per_s=64", "b1 c1"),
        )
    },
    "consul_bridge": (
        ["0s partition a1 | b1", "0s partition b1 | a1"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "consul_ring": (
        ["0s partition a1 | c1", "0s partition b1 | ops", "0s partition c1 | a1"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "consul_follower_certificate_expired": (
        ["0s certificate_expired b1", "5s process_kill b1"],
        [
            *(f"0s certificate_expired {name}" for name in ("a1", "b1", "c1")),
            *(f"8s process_kill {name}" for name in ("a1", "b1", "c1")),
        ],
    ),
    "postgresql_primary_sends_nothing": (
        ["0s partition a1 direction=out | b1 c1", "12s host_kill a1"],
        [
            "0s patroni_setting b1 setting=synchronous_mode value=false",
            "6s partition a1 direction=out | b1 c1",
            "18s host_kill a1",
        ],
    ),
    "postgresql_bridge": (
        ["0s partition a1 | b1", "0s partition b1 | a1"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "postgresql_standby_certificate_wrong": (
        ["0s certificate_wrong b1"],
        [
            *(f"0s certificate_wrong {name}" for name in ("a1", "b1", "c1")),
            *(f"8s process_kill {name} comm=postgres" for name in ("a1", "b1", "c1")),
        ],
    ),
    "postgresql_replica_rots": (
        ["0s data_corruption b1"],
        ["0s data_corruption b1", "4s unit_stop a1", "4s unit_stop b1", "4s unit_stop c1"],
    ),
    "postgresql_primary_killed": (
        ["0s process_kill a1"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
    "postgresql_server_killed": (
        ["0s process_kill a1 comm=postgres"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
    "postgresql_primary_stopped": (
        ["0s unit_stop a1"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
    "postgresql_primary_paused": (
        ["0s process_pause a1"],
        ["0s process_pause a1", "0s process_pause b1", "0s process_pause c1"],
    ),
    "postgresql_primary_host_dies": (
        ["0s host_kill a1"],
        ["0s host_kill a1", "0s host_kill b1", "0s host_kill c1"],
    ),
    "postgresql_primary_host_frozen": (
        ["0s host_pause a1"],
        ["0s host_pause a1", "0s host_pause b1", "0s host_pause c1"],
    ),
    "postgresql_standby_killed": (
        ["0s process_kill b1"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
    "postgresql_primary_cut_off": (
        ["0s partition a1 | b1 c1 ops"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "postgresql_primary_cut_from_standbys": (
        ["0s partition a1 | b1 c1", "12s host_kill a1"],
        ["0s patroni_setting b1 setting=synchronous_mode value=false", "6s partition a1 | b1 c1", "18s host_kill a1"],
    ),
    "postgresql_zone_cut_off": (
        ["0s partition a1 | b1 c1 ops"],
        ["0s partition a1 | b1 c1", "0s partition b1 | a1 c1", "0s partition c1 | a1 b1"],
    ),
    "postgresql_zone_dies": (
        ["0s host_kill a1"],
        ["0s host_kill a1", "0s host_kill b1", "0s host_kill c1"],
    ),
    "postgresql_primary_lossy": (
        ["0s packet_loss a1 percent=10 | b1 c1"],
        [
            "0s packet_loss a1 percent=100 | b1 c1",
            "0s packet_loss b1 percent=100 | a1 c1",
            "0s packet_loss c1 percent=100 | a1 b1",
        ],
    ),
    "postgresql_primary_starved": (
        ["0s cpu_pressure a1 percent=10"],
        ["0s unit_stop a1", "0s unit_stop b1", "0s unit_stop c1"],
    ),
}


# What the controller fills in
HIDDEN = ("peers", "unit", "container", "pem", "address", "path", "units", "ca_path", "port", "protocol")


def rows(service, name, control):
    """Planned faults, one line each."""
    found = []
    for each in planned_of(service, name, control):
        params = each.arguments["params"]
        own = [f"{k}={v}" for k, v in sorted(params.items()) if k not in HIDDEN]
        cut = ["| " + " ".join(NAME[address] for address in params["peers"])] if "peers" in params else []
        found.append(" ".join([f"{each.at_s:g}s", each.arguments["kind"], each.target, *own, *cut]))
    return found


def test_every_experiment_is_in_the_table():
    assert {name for _service, name in LIBRARY} == set(PLANS)


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_who_is_hit_by_what(service, name):
    assert (rows(service, name, control=False), rows(service, name, control=True)) == PLANS[name]


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_a_control_breaks_what_its_limits_can_see(service, name):
    """It is violated by an outage that is longer than allowed, or by rows that are lost; else it proves nothing."""
    data = LIBRARY[service, name]
    control = data["control"]
    expect = {**data["expect"], **control.get("expect", {})}
    faults = control.get("faults", data["faults"])
    last = max(fault.get("at_s", 0) for fault in faults)
    loses = any(fault["kind"] == "patroni_setting" for fault in faults)
    assert loses or data["hold_s"] - last >= expect["client_rto_s"] + 5, "the outage would be too short to be seen"
    assert expect["lost"] == 0


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_a_lease_outlives_two_renewals_that_fail(service, name):
    data = LIBRARY[service, name]
    for fault in [*data["faults"], *data["control"].get("faults", [])]:
        assert fault["lease_s"] >= 60
        assert fault["lease_s"] / 3 >= 15, "an ssh that hangs takes fifteen seconds to be given up"


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_the_whole_run_fits_into_the_lease_of_the_lock(service, name):
    data = LIBRARY[service, name]
    jobs = table_from(yaml.safe_load((ROOT / "playbooks/vars/jobs.yml").read_text(encoding="utf-8"))).jobs
    undo_s = 120  # what rounds of the undo and reading back may take
    took = data.get("before_s", 5) + data["hold_s"] + data.get("recover_s", 180) + undo_s
    for job in ("chaos", "game_day"):
        assert took < jobs[job].parameters["lease_s"].option.default / 2


@pytest.mark.parametrize(
    ("job", "default"), [("chaos", 1200), ("game_day", 1200), ("upgrade_major", 1800), ("restart", 300)]
)
def test_a_job_may_have_a_lease_of_its_own(job, default):
    jobs = table_from(yaml.safe_load((ROOT / "playbooks/vars/jobs.yml").read_text(encoding="utf-8"))).jobs
    lease = jobs[job].parameters["lease_s"]
    assert lease.option.default == default
    assert (lease.option.minimum, lease.option.maximum) == (30, 3600)


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_what_production_may_run_hits_one_host_and_no_network(service, name):
    data = LIBRARY[service, name]
    if data.get("production"):
        assert len({row.split()[2] for row in rows(service, name, control=False)}) == 1
        assert {fault["kind"] for fault in data["faults"]} <= {"process_kill", "unit_stop"}


# --- guards ------------------------------------------------------------------------------------------------------

FIVE = state(*(member(name, "leader" if name == "a1" else "voter") for name in ("a1", "b1", "c1", "d1", "e1")))
NAMES = ("a1", "b1", "c1", "d1", "e1")
OTHERS = {"etcd": ["a1", "b1", "c1"]}
QUORUM = {
    "one of three": (state(), ["a1"], {}, []),
    "two of three": (state(), ["a1", "b1"], {}, ["1 healthy voters of consul would be left, 2 are needed"]),
    "two of five": (FIVE, ["a1", "b1"], {}, []),
    "three of five": (FIVE, ["a1", "b1", "c1"], {}, ["2 healthy voters of consul would be left, 3 are needed"]),
    "no member": (state(), ["ops"], {}, []),
    "one of another service": (state(), ["a1"], OTHERS, []),
    "two of another service": (FIVE, ["b1", "c1"], OTHERS, ["1 of 3 members of etcd would be left: no majority"]),
    "all of another service": (
        FIVE,
        ["ops"],
        {"redis": ["ops"]},
        ["0 of 1 members of redis would be left: no majority"],
    ),
    "another service elsewhere": (state(), ["a1"], {"redis": ["x1", "x2"]}, []),
    "one of two of another service": (
        state(),
        ["a1"],
        {"redis": ["a1", "x2"]},
        ["1 of 2 members of redis would be left: no majority"],
    ),
}


@pytest.mark.parametrize("case", QUORUM)
@pytest.mark.parametrize("allowed", [False, True])
def test_quorum(case, allowed):
    seen, hosts, others, reasons = QUORUM[case]
    expected = [each.name for each in seen.members]
    found = guard.quorum(seen, hosts, expected=expected, max_lag=0, others=others, allowed=allowed)
    assert list(found.reasons) == ([] if allowed else reasons)
    assert found.open is (allowed or not reasons)


@pytest.mark.parametrize("seed", range(40))
def test_property_no_set_of_hosts_passes_that_leaves_no_majority(seed):
    rng = random.Random(seed)
    names = NAMES[: rng.choice([3, 5])]
    members = [member(name, "leader" if name == "a1" else "voter") for name in names]
    hosts = rng.sample(names, rng.randint(1, len(names)))
    found = guard.quorum(state(*members), hosts, expected=names, max_lag=0, others={}, allowed=False)
    assert found.open is (len(names) - len(hosts) > len(names) / 2)


POLICIES = {
    "local": (Policy("local"), {}, ["a1", "b1"], []),
    "a short lease": (Policy("dev", longest_lease_s=29), {}, ["a1"], ["a lease of 30 s is longer than 29 s"]),
    "just long enough": (Policy("dev", longest_lease_s=30), {}, ["a1"], []),
    "production": (Policy("production", "me"), {"production": True}, ["a1"], []),
    "production, all wrong": (
        Policy("production", "", 10, "00:00-01:00"),
        {"allow_quorum_loss": True},
        ["a1", "b1"],
        ["a lease of 30 s", "it is 12:00", "not listed for production", "needs an approval", "2 hosts would be hit",
         "no quorum may be lost"],
    ),
    "production, with a control": (Policy("production", "me"), {"control": True}, ["a1"], ["not listed", "no quorum"]),
}  # fmt: skip


@pytest.mark.parametrize("case", POLICIES)
def test_policy(case):
    rules, changes, hosts, texts = POLICIES[case]
    found = guard.policy(experiment(changes.pop("control", False), **changes), hosts, rules, NOON)
    assert len(found.reasons) == len(texts)
    for reason, text in zip(found.reasons, texts, strict=True):
        assert text in reason


@pytest.mark.parametrize("window", ["9-17", "nine", "09:00", "25:00-26:00", "09:00-10:00-11:00"])
def test_a_window_that_is_none_is_an_error_and_never_open(window):
    with pytest.raises(ValueError, match=r".+"):
        guard.policy(experiment(), ["a1"], Policy("staging", window=window), datetime(2026, 1, 1, 9, 30))


# --- properties of choice and of reports -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_property_targets_are_hosts_that_fit_and_the_choice_is_the_same_again(seed):
    rng = random.Random(seed)
    leader = rng.choice(["a1", "b1", "c1"])
    sync = rng.choice([name for name in ("a1", "b1", "c1") if name != leader])
    members = [
        member(name, "leader" if name == leader else "voter", in_sync=name in (leader, sync))
        for name in ("a1", "b1", "c1")
    ]
    rng.shuffle(members)
    wanted = {"role": rng.choice(["leader", "replica", "sync_standby", "any", "all"])}
    found = resolve(state(*members, leader=leader), wanted, PLACES)
    assert found == resolve(state(*reversed(members), leader=leader), wanted, rng.sample(PLACES, len(PLACES)))
    fits = {
        "leader": {leader}, "replica": {"a1", "b1", "c1"} - {leader}, "sync_standby": {sync},
        "any": {"a1", "b1", "c1"}, "all": {"a1", "b1", "c1"},
    }[wanted["role"]]  # fmt: skip
    assert set(found) <= fits
    assert len(found) == (3 if wanted["role"] == "all" else 1)


def random_seen(rng):
    """What a run may have seen, any mixture of good and bad."""
    ran = Ran()
    seen = ran.seen
    if rng.random() < 0.3:
        seen.aborted = "voters < 2"
    if rng.random() < 0.3:
        seen.undone = {"x on a1": ["a rule is left"]}
    if rng.random() < 0.3:
        seen.effective = {"x": rng.random() < 0.5}
    if rng.random() < 0.3:
        seen.ledger["client"] = seen.ledger["client"][:-3]
    if rng.random() < 0.2:
        seen.ledger["client"].append(7 * SPAN)
    if rng.random() < 0.2:
        seen.ledger = None
    if rng.random() < 0.2:
        seen.whole_at = None
    if rng.random() < 0.2:
        seen.unseen.append("nobody could ask")
    return seen


@pytest.mark.parametrize("seed", range(40))
def test_property_green_is_only_what_has_no_reason_and_every_form_agrees(seed):
    seen = random_seen(random.Random(seed))
    report = document(experiment(), seen, run="ab", at="now", control=False, loss={}, seconds=1)
    assert report["verdict"] in VERDICTS
    assert report["green"] is (report["verdict"] == "held") is (not report["reasons"])
    if report["reasons"]:
        asked = {reason.partition(":")[0] for reason in report["reasons"]}
        assert report["verdict"] == min(asked, key=VERDICTS.index), "the loudest wins"
    assert json.loads(as_json([report]))["reports"][0]["verdict"] == report["verdict"]
    assert ("<failure" in as_junit([report]) or "<error" in as_junit([report])) is not report["green"]
    assert "rsp_chaos" in as_prometheus([report])


def test_what_nobody_saw_is_never_green():
    blind = Seen()
    for name, value in (("undone", {"x": []}), ("effective", {"x": True}), ("injected_at", 1.0), ("undone_at", 2.0)):
        setattr(blind, name, value)
        report = document(experiment(), blind, run="ab", at="now", control=False, loss={}, seconds=1)
        assert report["verdict"] == "inconclusive", name
