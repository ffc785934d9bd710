"""Chaos on the running lab: faults that undo themselves, verdicts against independent counts, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest
from lab import ROOT, run, wait_until

MEMBERS = ("a1", "b1", "c1")
TTL_S = 20
REPORTS = ROOT / ".lab" / "chaos"
LEADERS = {"consul": "consul_leader_killed", "postgresql": "postgresql_primary_killed"}


def module(host, name, **arguments):
    """The result of a module on a host; a failure too."""
    argv = [".venv/bin/ansible", host, "-m", f"rsp.platform.{name}", "-a", json.dumps(arguments), "-o"]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout[done.stdout.index("{") :])


def peers(lab, host):
    return [lab.services["consul"]["members"][name].rsplit(":", 1)[0] for name in MEMBERS if name != host]


def left(lab, host):
    """What chaos left on a host: rules, units, records."""
    rules = lab.on(host, "sh", "-c", "iptables -S; ip6tables -S")
    found = [line for line in rules.splitlines() if "CHAOS" in line]
    return found + lab.on(host, "sh", "-c", "ls /etc/systemd/system/rsp-lease-chaos* 2>/dev/null || true").split()


def snapshot(lab, host):
    """Everything that check mode must leave alone."""
    script = "iptables -S; ip6tables -S; ls -laR /var/lib/rsp /etc/systemd/system 2>/dev/null; systemctl list-units"
    return lab.on(host, "sh", "-c", script)


@pytest.fixture(autouse=True)
def _whole_before_and_clean_after(lab):
    wait_until("the cluster is whole", lab.whole)
    yield
    run(".venv/bin/ansible-playbook", "playbooks/chaos_recover.yml")
    for host in MEMBERS:
        assert left(lab, host) == []
    wait_until("the cluster is whole", lab.whole)


def newest():
    """The newest report."""
    paths = sorted(REPORTS.glob("*/report.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(paths[-1].read_text(encoding="utf-8"))["reports"][-1], paths[-1].parent


@pytest.mark.parametrize("service", LEADERS)
def test_check_mode_changes_nothing_and_shows_the_undo(lab, job, service):
    before = {host: snapshot(lab, host) for host in MEMBERS}
    code, output = job("chaos", "--check", "-e", f"service={service}", "-e", f"experiment={LEADERS[service]}", "-v")
    assert code == 0, output[-3000:]
    assert "undo" in output
    assert {host: snapshot(lab, host) for host in MEMBERS} == before


@pytest.mark.parametrize(
    ("service", "experiment"),
    [("consul", "consul_leader_killed"), ("consul", "consul_leader_cut_off"), ("consul", "consul_leader_host_frozen"),
     ("postgresql", "postgresql_primary_killed"), ("postgresql", "postgresql_primary_cut_off"),
     ("postgresql", "postgresql_zone_dies")],
)  # fmt: skip
def test_an_experiment_holds(job, service, experiment):
    code, output = job("chaos", "-e", f"service={service}", "-e", f"experiment={experiment}", "-e", "lease_s=900")
    assert code == 0, output[-4000:]
    report, folder = newest()
    assert report["verdict"] == "held"
    assert report["measures"]["before"]["ok"] > 100
    assert run(".venv/bin/python", "-I", "plugins/module_utils/evidence.py", str(folder / "evidence.jsonl"))


@pytest.mark.parametrize("service", LEADERS)
def test_a_negative_control_is_violated(job, service):
    arguments = [
        "-e",
        f"service={service}",
        "-e",
        f"experiment={LEADERS[service]}",
        "-e",
        "control=true",
        "-e",
        "lease_s=900",
    ]
    code, output = job("chaos", *arguments)
    assert code == 0, output[-4000:]
    assert newest()[0]["verdict"] == "violated"


def test_an_asynchronous_primary_that_is_cut_off_and_dies_loses_rows(lab, conninfo, job):
    """The protection is off, so rows are lost; an independent count of them is still to be written."""
    experiment = "experiment=postgresql_primary_cut_from_standbys"
    code, output = job("chaos", "-e", "service=postgresql", "-e", experiment, "-e", "control=true", "-e", "lease_s=900")
    assert code == 0, output[-4000:]
    assert newest()[0]["findings"]["counts"]["lost"] > 0
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'chaos%'").fetchone()
    assert tables[0] == 0, "the ledger cleans up"


def test_a_degraded_cluster_is_refused_and_nothing_is_done(lab, job):
    lab.on("c1", "systemctl", "stop", "consul.service")
    try:
        before = snapshot(lab, "a1")
        code, output = job("chaos", "-e", "service=consul", "-e", "experiment=consul_leader_killed")
        assert code != 0
        assert "not steady before" in output
        assert "CHAOS" not in snapshot(lab, "a1")
        assert left(lab, "a1") == []
        assert before.count("rsp-lease") == snapshot(lab, "a1").count("rsp-lease")
    finally:
        lab.on("c1", "systemctl", "start", "consul.service")


def test_a_fault_that_nobody_renews_undoes_itself(lab):
    found = module("c1", "chaos_fault", fault="e2e-1", state="injected", kind="partition", ttl_s=TTL_S,
                   params={"direction": "both", "peers": peers(lab, "c1")})  # fmt: skip
    assert found["changed"], found
    assert left(lab, "c1")
    seconds = wait_until("it is undone", lambda: not left(lab, "c1"), TTL_S + 15)
    assert seconds < TTL_S + 5


def test_a_killed_controller_in_the_middle_of_a_partition(lab):
    argv = [
        ".venv/bin/ansible-playbook",
        "playbooks/chaos.yml",
        "-e",
        "service=consul",
        "-e",
        "experiment=consul_leader_cut_off",
    ]
    argv += ["-e", "lease_s=30"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as playbook:
        wait_until("somebody is cut off", lambda: any(left(lab, host) for host in MEMBERS), 120)
        os.killpg(playbook.pid, signal.SIGKILL)
    # The experiment's lease is 60 s and may have been renewed just before
    assert wait_until("everything is undone", lambda: not any(left(lab, host) for host in MEMBERS), 90) < 65


def test_a_host_that_restarts_in_the_middle_has_nothing_left(lab):
    module("c1", "chaos_fault", fault="e2e-2", state="injected", kind="process_pause", ttl_s=300,
           params={"unit": "consul.service"})  # fmt: skip
    module("c1", "chaos_fault", fault="e2e-3", state="injected", kind="partition", ttl_s=300,
           params={"direction": "in", "peers": peers(lab, "c1")})  # fmt: skip
    run("docker", "restart", "-t", "1", lab.container("c1"))
    wait_until("nothing is left", lambda: not left(lab, "c1"), 60)
    assert lab.on("c1", "systemctl", "is-active", "consul.service") == "active"


def test_foreign_rules_stay_and_two_faults_are_undone_in_any_order(lab):
    before = lab.on("c1", "iptables", "-S")
    for fault in ("e2e-4", "e2e-5"):
        module("c1", "chaos_fault", fault=fault, state="injected", kind="packet_loss", ttl_s=120,
               params={"percent": 50, "direction": "in", "peers": peers(lab, "c1")})  # fmt: skip
    lab.on("c1", "iptables", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    for fault in ("e2e-4", "e2e-5"):
        assert module("c1", "chaos_fault", fault=fault, state="undone")["undone"]
    assert lab.on("c1", "iptables", "-S") == f"{before}\n-A INPUT -s 192.0.2.1/32 -j DROP"
    lab.on("c1", "iptables", "-D", "INPUT", "-s", "192.0.2.1", "-j", "DROP")


@pytest.mark.parametrize(
    ("kind", "params"),
    [("disk_fill", {"path": "/var/lib/postgresql"}), ("clock_shift", {"seconds": 60}), ("latency", {})],
)  # fmt: skip
def test_what_this_host_cannot_do_is_refused(kind, params):
    found = module("c1", "chaos_fault", fault="e2e-6", state="injected", kind=kind, params=params, ttl_s=30)
    assert found["failed"], found


def test_the_stop_file_is_honoured_on_the_host(lab):
    lab.on("c1", "sh", "-c", "mkdir -p /etc/rsp && touch /etc/rsp/chaos.stop")
    try:
        found = module("c1", "chaos_fault", fault="e2e-7", state="injected", kind="unit_stop", ttl_s=30,
                       params={"unit": "consul.service"})  # fmt: skip
        assert "forbids every fault" in found["msg"]
    finally:
        lab.on("c1", "rm", "-f", "/etc/rsp/chaos.stop")


class Stopwatch(threading.Thread):
    """A client of Consul that shares no code with the ledger, one write after the other."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.acks, self.done = lab, [], threading.Event()

    def run(self):
        turn = 0
        while not self.done.is_set():
            host = MEMBERS[turn % len(MEMBERS)]
            try:
                if self.lab.consul_put(host, "rsp/smoke/stopwatch", str(time.time())):
                    self.acks.append(time.monotonic())
            except OSError:
                turn += 1


def test_the_outage_is_what_a_stopwatch_sees(lab, job):
    watch = Stopwatch(lab)
    watch.start()
    code, output = job("chaos", "-e", "service=consul", "-e", "experiment=consul_leader_killed")
    watch.done.set()
    assert code == 0, output[-3000:]
    gap = max(later - earlier for earlier, later in zip(watch.acks, watch.acks[1:], strict=False))
    assert abs(newest()[0]["measures"]["client_rto_s"] - gap) < 1.0
    assert Path(REPORTS / "history.jsonl").exists()
