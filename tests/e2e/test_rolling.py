"""Rolling jobs on the running lab under a client's writes: order, refusals, a gate that fails, a dead controller."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from lab import ROOT, wait_until
from rolling import acted, job, measure, results

ROLLING = {"consul": ["a1", "b1", "c1", "mirror", "ops", "store"], "postgresql": ["a1", "b1", "c1"]}
UNITS = {"consul": "consul.service", "postgresql": "patroni.service"}
DRAIN_FILE = "/etc/patroni/rsp/zz-drain.yml"


def leader(lab, service):
    if service == "postgresql":
        return lab.primary()
    _code, output = job("switchover", service, "--check")
    return re.search(r"before: (\S+)", output)[1] if "before:" in output else None


def drained(lab, host):
    """What is left of a drain on a host: its file, its lease, a paused pooler."""
    left = lab.on(host, "sh", "-c", f"ls {DRAIN_FILE} /etc/systemd/system/rsp-lease-* 2>/dev/null || true").split()
    state = lab.on(
        host, "runuser", "-u", "postgres", "--", "psql", "-h", "/var/run/postgresql", "-p", "6432", "-U", "pgbouncer",
        "-d", "pgbouncer", "-Atc", "SHOW STATE",
    )  # fmt: skip
    return left + (["paused"] if "paused|yes" in state else [])


@pytest.mark.parametrize("service", ["consul", "postgresql"])
def test_everybody_is_restarted_and_no_write_is_lost(lab, conninfo, unit_times, service):
    wait_until("the cluster is whole", lab.whole)
    before = unit_times()
    led = lab.primary() if service == "postgresql" else None
    outcome = measure(lab, conninfo, service, "restart", "-e", "force=true")
    print({key: value for key, value in vars(outcome).items() if key != "output"})
    assert outcome.rc == 0, outcome.output[-3000:]
    assert outcome.lost == 0
    assert outcome.acked > 500
    assert sorted(outcome.acted) == ROLLING[service]
    assert led is None or outcome.acted[-1] == led
    after = unit_times()
    moved = {host for host in before if before[host].get(UNITS[service]) != after[host].get(UNITS[service])}
    assert sorted(moved) == ROLLING[service]
    if service == "postgresql":
        assert [drained(lab, host) for host in ROLLING[service]] == [[], [], []]
    _code, again = job("restart", service)
    assert acted(again) == []


def test_the_leader_of_consul_comes_last_after_a_hand_over(lab, conninfo):
    outcome = measure(lab, conninfo, "consul", "restart", "-e", "force=true")
    handed = [
        host
        for task, host, state in results(outcome.output)
        if task == "Drain | Another server leads" and state == "changed"
    ]
    assert handed == outcome.acted[-1:]
    assert outcome.lost == 0


@pytest.mark.parametrize(("service", "sick"), [("consul", "c1"), ("postgresql", "c1")])
def test_a_degraded_peer_closes_every_gate(lab, service, sick):
    wait_until("the cluster is whole", lab.whole)
    lab.on(sick, "systemctl", "stop", UNITS[service])
    try:
        code, output = job("restart", service, "-e", "force=true", "-e", "members=a1", "-e", "wait_s=5")
        assert code != 0
        assert acted(output) == []
        assert re.search(rf"{sick} is (not healthy|of unknown health)|{sick}", output)
    finally:
        lab.on(sick, "systemctl", "start", UNITS[service])
    wait_until("the cluster is whole", lab.whole)
    # The clean twin: the same call goes through once the peer is back
    code, output = job("restart", service, "-e", "force=true", "-e", "members=a1")
    assert (code, acted(output)) == (0, ["a1"]), output[-2000:]


class Saboteur(threading.Thread):
    """Stops a peer as soon as a first member was restarted."""

    def __init__(self, lab, unit, hosts):
        super().__init__(daemon=True)
        self.lab, self.unit, self.hosts, self.victim = lab, unit, hosts, None

    def started(self):
        show = "systemctl show -p ActiveEnterTimestampMonotonic --value"
        return {host: self.lab.on(host, "sh", "-c", f"{show} {self.unit}") for host in self.hosts}

    def run(self):
        before = self.started()
        while True:
            now = self.started()
            done = [host for host in self.hosts if now[host] not in (before[host], "0", "")]
            if done:
                self.victim = next(h for h in reversed(self.hosts) if h not in done)
                self.lab.on(self.victim, "systemctl", "stop", self.unit)
                return
            time.sleep(0.3)


def test_a_gate_that_fails_in_the_middle_leaves_the_rest_untouched(lab, conninfo):
    wait_until("the cluster is whole", lab.whole)
    hosts = ROLLING["postgresql"]
    saboteur = Saboteur(lab, "patroni.service", hosts)
    saboteur.start()
    code, output = job("restart", "postgresql", "-e", "force=true", "-e", "wait_s=10")
    saboteur.join(10)
    first = acted(output)
    assert code != 0
    assert len(first) == 1
    assert "members after it are untouched" in output
    running = [host for host in hosts if host != saboteur.victim]
    assert [drained(lab, host) for host in running] == [[], []]
    lab.on(saboteur.victim, "systemctl", "start", "patroni.service")
    wait_until("the cluster is whole", lab.whole)
    code, output = job("restart", "postgresql", "-e", "force=true")
    assert code == 0, output[-2000:]
    assert (
        sorted([*first, *acted(output), saboteur.victim]) == sorted({*hosts})
        or sorted([*first, *acted(output)]) == hosts
    )
    assert first[0] not in acted(output)


def test_a_dead_controller_leaves_no_drain_and_no_lock(lab):
    """Killed while a member is drained: the lease undoes the drain, the lock's lease ends, the next run goes on."""
    wait_until("the cluster is whole", lab.whole)
    argv = [".venv/bin/ansible-playbook", "playbooks/restart.yml", "-e", "service=postgresql", "-e", "force=true"]
    argv += ["-e", "lease_s=30", "-e", json.dumps({"postgresql_drain_lease_s": 30})]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        wait_until("a member is drained", lambda: any(drained(lab, host) for host in ROLLING["postgresql"]), 120)
        os.killpg(run.pid, signal.SIGKILL)
    code, output = job("restart", "postgresql", "-e", "force=true")
    assert code != 0
    assert "is locked by" in output
    wait_until("nothing is drained", lambda: not any(drained(lab, host) for host in ROLLING["postgresql"]), 90)
    wait_until("the lock is free", lambda: job("restart", "postgresql", "-e", "force=true")[0] == 0, 300)
    assert [drained(lab, host) for host in ROLLING["postgresql"]] == [[], [], []]
    wait_until("the cluster is whole", lab.whole)


@pytest.mark.parametrize("service", ["consul", "etcd", "postgresql"])
def test_switchover_by_command(lab, service):
    wait_until("the cluster is whole", lab.whole)
    code, output = job("switchover", service)
    assert code == 0, output[-2000:]
    assert any(
        task == "Transfer | Hand leadership over" and state == "changed" for task, _host, state in results(output)
    )
