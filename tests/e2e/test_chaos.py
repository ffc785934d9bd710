"""Chaos on the running lab: faults that undo themselves, verdicts against independent counts, nothing left behind.

The order is from what changes nothing to what takes longest: a defect shows before an hour is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
import yaml
from lab import ROOT, run, secret, wait_until
from psycopg import sql
from rolling import client, job

MEMBERS = ("a1", "b1", "c1")
TTL_S = 20
RUN_S = 1200  # no run of one experiment takes longer, the refusals of a busy machine included
REPORTS = ROOT / ".lab" / "chaos"
LEADERS = {"consul": "consul_leader_killed", "postgresql": "postgresql_primary_killed"}
UNITS = {"consul": "consul.service", "postgresql": "patroni.service"}
LIBRARY = [
    (service, name)
    for service in LEADERS
    for name in yaml.safe_load((ROOT / f"roles/{service}/meta/chaos.yml").read_text(encoding="utf-8"))
]


def module(host, name, **arguments):
    """The result of a module on a host; a failure too."""
    done = subprocess.run(
        [".venv/bin/ansible", host, "-m", f"rsp.platform.{name}", "-a", json.dumps(arguments), "-o"],
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert "{" in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def fault(host, name, kind, ttl_s=TTL_S, **params):
    """Inject a fault by hand: nobody renews it."""
    found = module(host, "chaos_fault", fault=name, state="injected", kind=kind, ttl_s=ttl_s, params=params)
    assert found.get("changed"), found
    return found


def chaos(service, experiment, *arguments):
    """Exit code and output of one experiment."""
    return job("chaos", service, "-e", f"experiment={experiment}", *arguments, timeout_s=RUN_S)


def peers(lab, host):
    return [lab.services["consul"]["members"][name].rsplit(":", 1)[0] for name in MEMBERS if name != host]


def left(lab, host):
    """What chaos left on a host: rules, units, records."""
    script = (
        "iptables -S; ip6tables -S; ls -d /etc/systemd/system/rsp-lease-chaos* /var/lib/rsp/chaos/* "
        "/var/lib/rsp/chaos-ledger/* 2>/dev/null || true"
    )
    lines = lab.on(host, "sh", "-c", script).splitlines()
    return [line for line in lines if "CHAOS" in line or line.startswith("/")]


def snapshot(lab, host):
    """What check mode must leave alone: rules, files, the units of the services with their processes, leases."""
    script = (
        "iptables -S; ip6tables -S; "
        "find /var/lib/rsp /etc/systemd/system /etc/rsp -printf '%p %s %T@\\n' 2>/dev/null | sort; "
        "systemctl show -p Id,ActiveState,MainPID,NRestarts,ActiveEnterTimestampMonotonic consul patroni etcd; "
        "systemctl list-units --all --no-legend 'rsp-*'"
    )
    return lab.on(host, "sh", "-c", script)


@pytest.fixture(scope="module")
def monitor():
    """Token that may read Consul's health."""
    return secret("consul/monitor")


@pytest.fixture
def whole(lab, monitor):
    """Whether both services are whole, as they say it themselves and not as the gates of the collection do."""
    tls = ssl.create_default_context(cafile=lab.ca)

    def consul():
        for host in MEMBERS:
            url = f"{lab.consul_url(host)}/v1/operator/autopilot/health"
            request = urllib.request.Request(url, headers={"X-Consul-Token": monitor})
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5, context=tls) as answer:
                health = json.load(answer)
                return health["Healthy"] and len(health["Servers"]) == len(MEMBERS)
        return False

    return lambda: consul() and lab.whole()


@pytest.fixture(autouse=True)
def _whole_before_and_clean_after(lab, whole):
    wait_until("both services are whole", whole, 300)
    yield
    subprocess.run([".venv/bin/ansible-playbook", "playbooks/chaos_recover.yml"], cwd=ROOT, check=True, timeout=600)
    for host in (*MEMBERS, "ops"):
        assert left(lab, host) == []
    wait_until("both services are whole", whole, 300)


def newest(since):
    """The report that was written after a moment, and its directory."""
    paths = [path for path in REPORTS.glob("*/report.json") if path.stat().st_mtime >= since]
    assert len(paths) == 1, paths
    return json.loads(paths[0].read_text(encoding="utf-8"))["reports"][0], paths[0].parent


# --- nothing is changed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", LEADERS)
def test_check_mode_changes_nothing_and_shows_the_undo(lab, service):
    before = {host: snapshot(lab, host) for host in (*MEMBERS, "ops")}
    code, output = chaos(service, LEADERS[service], "--check")
    assert code == 0, output[-3000:]
    assert "undo" in output
    assert UNITS[service] in output
    assert {host: snapshot(lab, host) for host in (*MEMBERS, "ops")} == before


@pytest.mark.parametrize(
    ("kind", "params"),
    [("disk_fill", {"path": "/var/lib/postgresql"}), ("clock_shift", {"seconds": 60}), ("latency", {})],
)  # fmt: skip
def test_what_this_host_cannot_do_is_refused(kind, params):
    found = module("c1", "chaos_fault", fault="e2e-6", state="injected", kind=kind, params=params, ttl_s=30)
    assert found.get("failed"), found


def test_the_stop_file_is_honoured_on_the_host(lab):
    lab.on("c1", "sh", "-c", "mkdir -p /etc/rsp && touch /etc/rsp/chaos.stop")
    try:
        found = module("c1", "chaos_fault", fault="e2e-7", state="injected", kind="unit_stop", ttl_s=30,
                       params={"unit": "consul.service"})  # fmt: skip
        assert "forbids every fault" in found["msg"]
        assert lab.on("c1", "systemctl", "is-active", "consul.service") == "active"
    finally:
        lab.on("c1", "rm", "-f", "/etc/rsp/chaos.stop")


def test_a_degraded_cluster_is_refused_and_nothing_is_done(lab):
    lab.on("c1", "systemctl", "stop", "consul.service")
    try:
        code, output = chaos("consul", LEADERS["consul"])
        assert code != 0
        assert "refused, nothing was armed" in output
        assert [left(lab, host) for host in MEMBERS] == [[], [], []]
    finally:
        lab.on("c1", "systemctl", "start", "consul.service")


# --- one fault on one host, nobody renews it ---------------------------------------------------------------------


def test_a_fault_that_nobody_renews_undoes_itself(lab):
    fault("c1", "e2e-1", "partition", peers=peers(lab, "c1"))
    armed = time.monotonic()
    assert any("CHAOS-e2e-1" in line for line in left(lab, "c1"))
    proved = module("c1", "chaos_fault", fault="e2e-1", state="proved")
    assert proved["effective"], proved["seen"]
    wait_until("it is undone", lambda: not any("CHAOS" in line for line in left(lab, "c1")), TTL_S + 15)
    assert time.monotonic() - armed < TTL_S + 5


def test_foreign_rules_stay_and_two_faults_are_undone_in_any_order(lab):
    foreign = ["INPUT", "-s", "192.0.2.1", "-j", "DROP"]
    before = lab.on("c1", "iptables", "-S")
    for name in ("e2e-4", "e2e-5"):
        fault("c1", name, "packet_loss", ttl_s=120, percent=50, direction="in", peers=peers(lab, "c1"))
    lab.on("c1", "iptables", "-A", *foreign)
    try:
        for name in ("e2e-4", "e2e-5"):
            undone = module("c1", "chaos_fault", fault=name, state="undone")
            assert undone["undone"], undone
        assert lab.on("c1", "iptables", "-S") == f"{before}\n-A INPUT -s 192.0.2.1/32 -j DROP"
    finally:
        lab.on("c1", "iptables", "-D", *foreign)


def test_a_host_that_restarts_in_the_middle_has_nothing_left(lab):
    fault("c1", "e2e-2", "process_pause", ttl_s=300, unit="consul.service")
    fault("c1", "e2e-3", "partition", ttl_s=300, direction="in", peers=peers(lab, "c1"))
    run("docker", "restart", "-t", "1", lab.container("c1"))

    def clean():
        with contextlib.suppress(RuntimeError):  # docker exec while it boots
            return not any("CHAOS" in line or "rsp-lease" in line for line in left(lab, "c1"))
        return False

    wait_until("nothing is left", clean, 90)
    wait_until("it runs", lambda: lab.on("c1", "systemctl", "is-active", "consul.service") == "active", 60)


# --- whole experiments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", LEADERS)
def test_an_experiment_holds_and_a_stopwatch_sees_the_same_outage(lab, conninfo, service):
    """The stopwatch is the client of the benchmarks, which shares no code with the ledger."""
    watch = client(lab, service, conninfo, 0.01)
    watch.start()
    try:
        wait_until("the stopwatch writes", lambda: len(watch.ledger.acked) > 100, 60)
        since, began = time.time(), time.monotonic()
        code, output = chaos(service, LEADERS[service])
        ended = time.monotonic()
    finally:
        watch.stop()
        watch.join(30)
    assert code == 0, output[-4000:]
    report, folder = newest(since)
    assert report["verdict"] == "held"
    assert report["measures"]["before"]["ok"] > 100
    assert abs(report["measures"]["client_rto_s"] - watch.ledger.longest_gap(began, ended)) < 1.0
    assert run(".venv/bin/python", "-I", "plugins/module_utils/evidence.py", str(folder / "evidence.jsonl"))
    assert Path(REPORTS / "history.jsonl").exists()


@pytest.mark.parametrize(("service", "experiment"), [each for each in LIBRARY if each[1] not in LEADERS.values()])
def test_an_experiment_holds(service, experiment):
    since = time.time()
    code, output = chaos(service, experiment)
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    assert report["verdict"] == "held"
    assert report["measures"]["before"]["ok"] > 100


def descendants(pid):
    """Every process below one. Ansible's workers are sessions of their own: killing a group would spare them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def test_a_killed_controller_in_the_middle_of_a_partition(lab):
    argv = [".venv/bin/ansible-playbook", "playbooks/chaos.yml", "-e", "service=consul", "-e", "lease_s=30"]
    argv += ["-e", "experiment=consul_leader_cut_off"]

    def cut():
        return any("CHAOS" in line for host in MEMBERS for line in left(lab, host))

    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as playbook:
        try:
            wait_until("somebody is cut off", cut, 180)
        finally:
            for pid in [playbook.pid, *descendants(playbook.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    # The experiment's lease is 60 s and may have been renewed just before
    wait_until("everything is undone", lambda: not cut(), 90)
    assert time.monotonic() - killed < 60 + 5
    # The dead controller's lock ends by itself; until then the next experiment is refused
    wait_until("the lock is free", lambda: chaos("consul", LEADERS["consul"], "--check")[0] == 0, 300)


class Counter(threading.Thread):
    """Counts the rows of the ledger's table by SQL until the table is gone: it knows nothing of tokens and outcomes."""

    def __init__(self, conninfo):
        super().__init__(daemon=True)
        self.conninfo, self.rows, self.done = f"{conninfo} connect_timeout=3", None, threading.Event()

    def run(self):
        while not self.done.wait(0.2):
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.conninfo, autocommit=True) as connection:
                connection.execute("SET statement_timeout = '3s'")
                named = connection.execute(r"SELECT tablename FROM pg_tables WHERE tablename ~ '^chaos_[0-9a-z]+$'")
                for (table,) in named.fetchall():
                    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                    self.rows = connection.execute(count).fetchone()[0]


def test_an_asynchronous_primary_that_is_cut_off_and_dies_loses_as_many_rows_as_sql_misses(conninfo):
    """The protection is off: rows are lost, and their number is what an independent count lacks."""
    counter, since = Counter(conninfo), time.time()
    counter.start()
    code, output = chaos("postgresql", "postgresql_primary_cut_from_standbys", "-e", "control=true")
    counter.done.set()
    counter.join(30)
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    counts = report["findings"]["counts"]
    acked = sum(report["measures"][phase]["ok"] for phase in ("before", "during", "after"))
    assert counts["lost"] > 0
    assert counter.rows == acked - counts["lost"] + counts["recovered"]
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'chaos%'").fetchone()
        mode = connection.execute("SHOW synchronous_standby_names").fetchone()
    assert tables[0] == 0, "the ledger cleans up"
    assert mode[0], "the protection is on again"


@pytest.mark.parametrize(
    ("service", "experiment"), [each for each in LIBRARY if each[1] != "postgresql_primary_cut_from_standbys"]
)
def test_a_negative_control_is_violated(service, experiment):
    """Without what protects, the same claim must fail; else the experiment could not have failed either."""
    since = time.time()
    code, output = chaos(service, experiment, "-e", "control=true")
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    assert (report["verdict"], report["control"]) == ("violated", True)
    assert report["findings"]["counts"]["lost"] == 0, "who has no majority acknowledges nothing"
    assert report["measures"]["client_rto_s"] > report["expect"]["client_rto_s"]


def test_a_game_day_writes_one_report():
    since = time.time()
    chosen = "consul_follower_killed,consul_leader_stopped"
    code, output = job("game_day", "consul", "-e", f"experiments={chosen}", timeout_s=2 * RUN_S)
    assert code == 0, output[-4000:]
    [path] = [p for p in REPORTS.glob("game-day-*/report.json") if p.stat().st_mtime >= since]
    reports = json.loads(path.read_text(encoding="utf-8"))["reports"]
    assert sorted(report["experiment"] for report in reports) == sorted(chosen.split(","))
    assert {report["verdict"] for report in reports} == {"held"}
