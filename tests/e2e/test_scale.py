"""3 → 5 → 3 members, a lost host that comes back empty, a replica copied anew: each under a client's writes.

The tests of this file build on each other, in order: a2 and b2 join, b2 is lost, both leave.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import urllib.request
from contextlib import contextmanager

import pytest
from lab import ROOT, run, secret, wait_until
from rolling import measure

LOCAL = ("-i", "inventories/local")
SPARE = (*LOCAL, "-i", "tests/lab/inventories/spare")
FIVE_CONSUL = (*SPARE, "-i", "tests/lab/inventories/five_consul")
FIVE = (*FIVE_CONSUL, "-i", "tests/lab/inventories/five_postgresql")
NEW = ("a2", "b2")
# What a job says to the cluster itself, through whichever member: its lock, and how many members it has.
TO_THE_CLUSTER = ("Lock | ", "Peers | ")


class Quorum(threading.Thread):
    """Asks Consul every second who votes and who of them is well."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.samples, self._stopping = [], threading.Event()
        self._urls = [lab.consul_url(name) for name in sorted(lab.services["consul"]["members"])]
        self._headers = {"X-Consul-Token": secret("consul/monitor")}
        self._tls = ssl.create_default_context(cafile=lab.ca)

    def ask(self, path):
        for url in self._urls:
            request = urllib.request.Request(f"{url}{path}", headers=self._headers)
            try:
                with urllib.request.urlopen(request, timeout=5, context=self._tls) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as err:
                if err.code == 429:  # autopilot: one of them is not well
                    return json.loads(err.read())
            except OSError:
                continue
        return None

    def run(self):
        while not self._stopping.wait(1):
            health = self.ask("/v1/operator/autopilot/health")
            if health:
                voters = [server for server in health["Servers"] if server["Voter"]]
                self.samples.append((len(voters), sum(server["Healthy"] for server in voters)))

    def stop(self):
        self._stopping.set()
        self.join(10)


@contextmanager
def watched(lab):
    watch = Quorum(lab)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
    assert len(watch.samples) > 3
    short = [(voters, well) for voters, well in watch.samples if well < voters // 2 + 1 or voters < 3]
    assert short == []


@pytest.fixture
def under_load(lab, conninfo, tmp_path, monkeypatch):
    """Runs a job while a client writes; returns what it said, and the hosts on which it changed something."""

    def job(service, name, *arguments):
        changes = tmp_path / "changes.json"
        monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "rsp.platform.changes")
        monkeypatch.setenv("RSP_CHANGES_FILE", str(changes))
        with watched(lab):
            outcome = measure(lab, conninfo, service, name, *arguments, interval_s=0.01)
        log = ROOT / ".lab" / "log" / f"e2e-{name}-{service}.log"
        log.write_text(outcome.output)
        assert outcome.rc == 0, outcome.output[-5000:]
        assert outcome.lost == 0
        print(f"{name} {service}: {outcome.seconds} s, {outcome.acked} acknowledged, {outcome.lost} lost, "
              f"gaps {outcome.gaps_s}, errors {outcome.errors}")  # fmt: skip
        rows = json.loads(changes.read_text())
        tasks = [(row["host"], row["task"].split(" : ")[-1]) for row in rows]
        return outcome.output, {host for host, task in tasks if not task.startswith(TO_THE_CLUSTER)}

    return job


def make_hosts(*names):
    """Containers of the overlay, with empty disks where they were not there."""
    run(".venv/bin/ansible-playbook", *SPARE, "playbooks/lab.yml", "--limit", ",".join(names))


@pytest.fixture(scope="module", autouse=True)
def spare_hosts(lab):
    """They stay when a test fails: they are members of clusters then. The last test removes them."""
    make_hosts(*NEW)


@pytest.fixture(scope="module")
def consul(lab):
    """Answers of Consul's API, from whichever server answers."""
    return Quorum(lab).ask


def servers(consul):
    return {server["Node"]: server["ID"] for server in consul("/v1/operator/raft/configuration")["Servers"]}


def gossip(consul):
    return {node["Name"]: node["Status"] for node in consul("/v1/agent/members")}


def voters(consul):
    found = consul("/v1/operator/raft/configuration")["Servers"]
    return {server["Node"] for server in found if server["Voter"]}


def slots(lab):
    query = "SELECT slot_name FROM pg_replication_slots"
    found = lab.on(lab.primary(), "runuser", "-u", "postgres", "--", "psql", "-Atc", query)
    return set(found.split())


def haproxy_servers(lab):
    stats = lab.on("ops", "grep", "-oE", "^ +server [^ ]+", "/etc/haproxy/haproxy.cfg")
    return {line.split()[1] for line in stats.splitlines()}


def refused(*arguments):
    done = subprocess.run(
        [".venv/bin/ansible-playbook", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_consul_grows(under_load, unit_times, consul):
    """The inventory's list does not know them yet."""
    before = unit_times()
    output, hosts = under_load("consul", "scale", *SPARE, "-e", f"add={','.join(NEW)}")
    assert hosts == set(NEW)
    assert unit_times() == before
    assert "consul_members" in output
    wait_until("both may vote", lambda: voters(consul) == {"a1", "b1", "c1", *NEW}, 60)
    assert set(gossip(consul).values()) == {1}


def test_postgresql_grows(lab, under_load, unit_times, playbook):
    """The inventory's list has them already. HAProxy reloads; nobody restarts, nobody waits for a restart."""
    before, primary = unit_times(), lab.primary()
    _output, hosts = under_load("postgresql", "scale", *FIVE, "-e", f"add={','.join(NEW)}")
    assert hosts == {*NEW, "ops"}
    assert unit_times() == before
    members = {member["name"]: member for member in lab.patroni()}
    assert set(members) == {"a1", "b1", "c1", *NEW}
    assert {members[name]["state"] for name in NEW} == {"streaming"}
    assert lab.primary() == primary
    assert not any(member.get("pending_restart") for member in members.values())
    assert haproxy_servers(lab) == set(members)


def test_a_second_run_changes_nothing(playbook):
    _, changes = playbook("scale", *FIVE, "-e", "service=postgresql", "-e", f"add={','.join(NEW)}")
    assert [row for row in changes if not row["task"].split(" : ")[-1].startswith(TO_THE_CLUSTER)] == []


def test_a_lost_host_comes_back_empty(lab, under_load, consul):
    """b2's container is made anew: the old peer is forgotten, the new one has another id and all data."""
    old = servers(consul)["b2"]
    run("docker", "rm", "--force", "--volumes", lab.container("b2"))
    make_hosts("b2")
    _output, hosts = under_load("consul", "replace", *FIVE, "-e", "member=b2", "-e", "confirm=rsp-local-dc1")
    assert hosts == {"b2"}
    assert servers(consul)["b2"] != old
    assert old not in servers(consul).values()
    wait_until("it may vote", lambda: "b2" in voters(consul), 60)
    _output, hosts = under_load("postgresql", "replace", *FIVE, "-e", "member=b2", "-e", "confirm=rsp-local-postgresql")
    assert hosts == {"b2"}
    assert {m["name"]: m["state"] for m in lab.patroni()}["b2"] == "streaming"


def test_a_member_that_is_well_is_not_replaced():
    said = refused("playbooks/replace.yml", *FIVE, "-e", "service=consul", "-e", "member=b2",
                   "-e", "confirm=rsp-local-dc1", "-e", "wait_s=2")  # fmt: skip
    assert "b2 is healthy: a member that is not lost is removed, not replaced" in said


def test_a_replica_is_copied_anew(lab, under_load):
    name = next(m["name"] for m in lab.patroni() if m["name"] in NEW)
    before = lab.on(name, "stat", "-c", "%i", "/var/lib/postgresql/17/rsp/PG_VERSION")
    _output, hosts = under_load(
        "postgresql", "reinit", *FIVE, "-e", f"members={name}", "-e", "confirm=rsp-local-postgresql"
    )
    assert hosts == {name}
    assert lab.on(name, "stat", "-c", "%i", "/var/lib/postgresql/17/rsp/PG_VERSION") != before


def test_the_leader_is_not_copied_anew(lab):
    said = refused("playbooks/reinit.yml", *FIVE, "-e", "service=postgresql", "-e", f"members={lab.primary()}",
                   "-e", "confirm=rsp-local-postgresql")  # fmt: skip
    assert f"{lab.primary()} leads rsp-local-postgresql" in said


def test_consul_is_not_taken_away_from_under_postgresql():
    said = refused("playbooks/scale.yml", *FIVE, "-e", "service=consul", "-e", f"remove={','.join(NEW)}",
                   "-e", "confirm=rsp-local-dc1")  # fmt: skip
    assert "remove it first: -e service=postgresql" in said


def test_postgresql_shrinks(lab, under_load, unit_times):
    before = unit_times()
    _output, hosts = under_load("postgresql", "scale", *FIVE, "-e", f"remove={','.join(NEW)}",
                                "-e", "wipe=true", "-e", "confirm=rsp-local-postgresql")  # fmt: skip
    assert hosts == {*NEW, "ops"}
    assert unit_times() == before
    wait_until("the cluster is whole", lab.whole)
    assert slots(lab).isdisjoint(NEW)
    assert haproxy_servers(lab) == {"a1", "b1", "c1"}
    for name in NEW:
        assert lab.on(name, "sh", "-c", "systemctl is-active patroni pgbouncer || true").split() == ["inactive"] * 2
        assert lab.on(name, "sh", "-c", "ls /var/lib/postgresql/17") == ""


def test_consul_shrinks(lab, under_load, unit_times, consul):
    """PostgreSQL's list in the inventory is the short one again."""
    before = unit_times()
    _output, hosts = under_load("consul", "scale", *FIVE_CONSUL, "-e", f"remove={','.join(NEW)}",
                                "-e", "confirm=rsp-local-dc1")  # fmt: skip
    assert hosts == set(NEW)
    assert unit_times() == before
    assert set(servers(consul)) == {"a1", "b1", "c1"}
    assert set(gossip(consul)) == {"a1", "b1", "c1", "ops", "mirror", "store"}
    assert {node["Node"] for node in consul("/v1/catalog/nodes")} == {"a1", "b1", "c1", "ops", "mirror", "store"}
    for name in NEW:
        state = lab.on(name, "sh", "-c", "systemctl is-active consul; systemctl is-enabled consul; true")
        assert state.split() == ["inactive", "disabled"]


def test_afterwards_everything_is_as_it_was(playbook, lab):
    run("docker", "rm", "--force", "--volumes", *(lab.container(name) for name in NEW))
    _, changes = playbook("site", check=True)
    assert changes == []
