"""Chaos on the running lab: faults that undo themselves, verdicts against independent counts, nothing left behind.

The order is from what changes nothing to what takes longest: a defect shows before an hour is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
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
from breaking import (
    MEMBERS,
    REPORTS,
    RUN_S,
    chaos,
    left,
    module,
    newest,
)
from lab import ROOT, run, secret, wait_until
from psycopg import sql
from rolling import client, job

pytestmark = pytest.mark.usefixtures("tools", "whole_before_and_clean_after")
TTL_S = 20
KEY = "rsp/chaos/e2e"
ASYNCHRONOUS = ("postgresql_primary_cut_from_standbys", "postgresql_primary_sends_nothing")
LEADERS = {"consul": "consul_leader_killed", "postgresql": "postgresql_primary_killed"}
UNITS = {"consul": "consul.service", "postgresql": "patroni.service"}
LIBRARY = {
    (service, name): data
    for service in LEADERS
    for name, data in yaml.safe_load((ROOT / f"roles/{service}/meta/chaos.yml").read_text(encoding="utf-8")).items()
}


def fault(host, name, kind, ttl_s=TTL_S, **params):
    """Inject a fault by hand: nobody renews it."""
    found = module(host, "chaos_fault", fault=name, state="injected", kind=kind, ttl_s=ttl_s, params=params)
    assert found.get("changed"), found
    return found


def peers(lab, host):
    return [lab.services["consul"]["members"][name].rsplit(":", 1)[0] for name in MEMBERS if name != host]


def snapshot(lab, host):
    """What check mode must leave alone: rules, files, the units of the services with their processes, leases."""
    script = (
        "iptables -S; ip6tables -S; "
        "find /var/lib/rsp /etc/systemd/system /etc/rsp -printf '%p %s %T@\\n' 2>/dev/null | sort; "
        "systemctl show -p Id,ActiveState,MainPID,NRestarts,ActiveEnterTimestampMonotonic consul patroni etcd; "
        "systemctl list-units --all --no-legend 'rsp-*'"
    )
    return lab.on(host, "sh", "-c", script)


def verify(folder):
    """Evidence is signed, holds, and knows every report file; the verifier is the auditor's script, without Ansible."""
    key = folder.parent / ".evidence-key"
    key.touch(mode=0o600)
    try:
        key.write_text(secret("chaos/evidence"), encoding="ascii")
        script = [".venv/bin/python", "-I", "plugins/module_utils/evidence.py", str(folder / "evidence.jsonl")]
        assert run(*script, "--key-file", str(key))
        assert subprocess.run(script, cwd=ROOT, capture_output=True, check=False).returncode == 1, "it is signed"
    finally:
        key.unlink()
    last = json.loads((folder / "evidence.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    for name, digest in last["body"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


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
    [("disk_fill", {"path": "/var/lib/postgresql"}), ("clock_shift", {"seconds": 60}), ("packet_delay", {})],
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
        assert lab.on("c1", "systemctl", "is-active", "consul.service") == "active"
    finally:
        lab.on("c1", "rm", "-f", "/etc/rsp/chaos.stop")


def switched(lab, value):
    """Give the key in Consul a value; None: take it away."""
    method = "DELETE" if value is None else "PUT"
    request = urllib.request.Request(
        f"{lab.consul_url('a1')}/v1/kv/{KEY}", data=(value or "").encode(), method=method,
        headers={"X-Consul-Token": secret("consul/operations")},
    )  # fmt: skip
    tls = ssl.create_default_context(cafile=lab.ca)
    with urllib.request.urlopen(request, timeout=20, context=tls) as answer:
        assert json.load(answer) is True


@pytest.fixture
def watched(policy):
    """Arguments of a run whose inventory names the key in Consul."""
    return policy(consul_key=KEY)


@pytest.mark.parametrize("value", [None, "stop", "GO"])
def test_a_key_in_consul_that_does_not_say_go_forbids_every_fault(lab, value, watched):
    switched(lab, value)
    code, output = chaos("consul", LEADERS["consul"], *watched)
    assert code != 0
    assert "no fault is allowed on this host" in output
    assert [left(lab, host) for host in MEMBERS] == [[], [], []]


def test_the_planted_violation_with_go_it_is_allowed_and_a_host_that_hears_nobody_refuses(lab, watched):
    switched(lab, "go")
    try:
        code, output = chaos("consul", LEADERS["consul"], "--check", *watched)
        assert code == 0, output[-3000:]
        asked = {"urls": ["https://192.0.2.1:8501"], "key": KEY}
        found = module("c1", "chaos_fault", fault="e2e-8", state="injected", kind="unit_stop", ttl_s=30,
                       params={"unit": "consul.service"}, switch=asked)  # fmt: skip
        assert "nobody says" in found["msg"]
    finally:
        switched(lab, None)


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


def test_a_line_that_is_late_is_late_for_a_client_that_knows_nothing_of_it(lab):
    """A socket on another host is the stopwatch. TCP ends at the proxy: TLS and the question are two round trips."""
    [client_address, *_] = lab.on("ops", "hostname", "-I").split()
    address, port = lab.services["consul"]["members"]["c1"].rsplit(":", 1)
    script = (
        "import socket, ssl, sys, time; began = time.monotonic(); "
        "tls = ssl._create_unverified_context().wrap_socket(socket.create_connection((sys.argv[1], sys.argv[2]))); "
        "tls.sendall(b'GET /v1/status/leader HTTP/1.0\\r\\n\\r\\n'); tls.recv(1); print(time.monotonic() - began)"
    )
    ask = ["python3", "-c", script, address, port]
    before, rules = float(lab.on("ops", *ask)), lab.on("c1", "iptables-save")
    fault("c1", "e2e-9", "latency", ttl_s=120, ms=200, port=int(port), address=address, peers=[client_address])
    idle = module("c1", "chaos_fault", fault="e2e-9", state="proved")
    late = float(lab.on("ops", *ask))
    proved = module("c1", "chaos_fault", fault="e2e-9", state="proved")
    undone = module("c1", "chaos_fault", fault="e2e-9", state="undone")
    assert late - before > 2 * 2 * 0.2 - 0.1
    assert (idle["effective"], proved["effective"]) == (False, True), "without traffic nothing is proved"
    assert undone["undone"], undone
    assert float(lab.on("ops", *ask)) < 0.2 + before

    def bare(text):
        return sorted(line for line in text.splitlines() if line.startswith("-A"))

    assert bare(lab.on("c1", "iptables-save")) == bare(rules)


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
    verify(folder)
    assert Path(REPORTS / "history.jsonl").exists()


@pytest.mark.parametrize(
    ("service", "experiment"), [each for each in LIBRARY if each[1] not in (*LEADERS.values(), *ASYNCHRONOUS)]
)
def test_an_experiment_holds(service, experiment):
    since = time.time()
    code, output = chaos(service, experiment)
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    assert report["verdict"] == "held"
    assert report["measures"]["before"]["ok"] > 100
    for how in LIBRARY[service, experiment]["load"].get("reads", ()):
        assert report["findings"]["reads"][how]["answered"] > 20


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
    argv = [".venv/bin/ansible-playbook", "playbooks/chaos.yml", "-e", "service=consul"]
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


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("experiment", ASYNCHRONOUS)
def test_a_primary_that_is_cut_off_and_dies_loses_as_many_rows_as_sql_misses(conninfo, experiment, asynchronous):
    """Synchronous: none. Without that protection rows are lost, as many as an independent count lacks."""
    counter, since = Counter(conninfo), time.time()
    counter.start()
    code, output = chaos("postgresql", experiment, "-e", f"control={str(asynchronous).lower()}")
    counter.done.set()
    counter.join(30)
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    counts = report["findings"]["counts"]
    acked = sum(report["measures"][phase]["ok"] for phase in ("before", "during", "after"))
    assert (counts["lost"] > 0) is asynchronous
    assert counter.rows == acked - counts["lost"] + counts["recovered"]
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'chaos%'").fetchone()
        mode = connection.execute("SHOW synchronous_standby_names").fetchone()
    assert tables[0] == 0, "the ledger cleans up"
    assert mode[0], "the protection is on again"


@pytest.mark.parametrize(("service", "experiment"), [each for each in LIBRARY if each[1] not in ASYNCHRONOUS])
def test_a_negative_control_is_violated(service, experiment):
    """Without what protects, the same claim must fail; else the experiment could not have failed either."""
    since = time.time()
    code, output = chaos(service, experiment, "-e", "control=true")
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    assert (report["verdict"], report["control"]) == ("violated", True)
    assert report["findings"]["counts"]["lost"] == 0, "who has no majority acknowledges nothing"
    assert report["measures"]["client_rto_s"] > report["expect"]["client_rto_s"]


class Stranger(threading.Thread):
    """A client that knows the platform's CA and nothing of chaos: what each member's listener says to it."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.refused, self.done = lab, {}, threading.Event()

    def run(self):
        tls = ssl.create_default_context(cafile=self.lab.ca)
        while not self.done.wait(0.5):
            for host in MEMBERS:
                try:
                    url = f"{self.lab.consul_url(host)}/v1/status/leader"
                    urllib.request.urlopen(url, timeout=3, context=tls).close()
                except urllib.error.URLError as err:
                    if isinstance(err.reason, ssl.SSLCertVerificationError):
                        self.refused[host] = err.reason.verify_message


def test_a_certificate_that_ended_is_refused_by_any_client_and_comes_back_byte_equal(lab):
    seen = ["sh", "-c", "stat -c '%u %g %a %s' /etc/consul.d/tls/agent.crt; sha256sum /etc/consul.d/tls/agent.*"]
    before, stranger, since = {host: lab.on(host, *seen) for host in MEMBERS}, Stranger(lab), time.time()
    stranger.start()
    code, output = chaos("consul", "consul_follower_certificate_expired")
    stranger.done.set()
    stranger.join(30)
    assert code == 0, output[-4000:]
    report, _folder = newest(since)
    assert report["targets"] == sorted(stranger.refused)
    assert "expired" in next(iter(stranger.refused.values()))
    assert {host: lab.on(host, *seen) for host in MEMBERS} == before


def test_a_replica_that_rots_is_cloned_anew_and_its_page_is_as_it_was(lab, conninfo):
    """The page is compared on the disk: a server that reads it keeps it, and the next run would prove nothing."""
    ask = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('information_schema.sql_features')"
    psql = ["runuser", "-u", "postgres", "--", "psql", "-Atc"]

    def page(host):
        path = lab.on(host, *psql, ask).strip()
        return lab.on(host, "sh", "-c", f"dd if={path} bs=64 skip=192 count=1 2>/dev/null | sha256sum")

    def started(host):
        return lab.on(host, *psql, "SELECT pg_postmaster_start_time()")

    before = {host: (page(host), started(host)) for host in MEMBERS}
    since = time.time()
    code, output = chaos("postgresql", "postgresql_replica_rots")
    assert code == 0, output[-4000:]
    report, folder = newest(since)
    after = {host: (page(host), started(host)) for host in MEMBERS}
    assert {host: seen[0] for host, seen in after.items()} == {host: seen[0] for host, seen in before.items()}
    assert [host for host in MEMBERS if after[host][1] != before[host][1]] == report["targets"], "it alone was cloned"
    assert "invalid page" in (folder / "evidence.jsonl").read_text(encoding="utf-8")


def test_a_game_day_writes_one_report():
    since = time.time()
    chosen = "consul_follower_killed,consul_leader_stopped"
    code, output = job("game_day", "consul", "-e", f"experiments={chosen}", timeout_s=2 * RUN_S)
    assert code == 0, output[-4000:]
    [path] = [p for p in REPORTS.glob("game-day-*/report.json") if p.stat().st_mtime >= since]
    reports = json.loads(path.read_text(encoding="utf-8"))["reports"]
    assert sorted(report["experiment"] for report in reports) == sorted(chosen.split(","))
    assert {report["verdict"] for report in reports} == {"held"}
    verify(path.parent)
