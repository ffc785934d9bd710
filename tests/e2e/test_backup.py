"""Backups on the running lab: both repositories, timers, gates, PITR between two rows, a copy beside, Consul back.

Each test leaves the lab whole. Not covered here: disaster_recovery, which destroys the lab (docs/recovery.md).
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request

import psycopg
import pytest
from lab import secret, wait_until

STATE = "/var/lib/rsp-platform/backup"
TIMERS = ["rsp-backup-consul.timer", "rsp-backup-postgresql.timer"]
PG, CONSUL = "rsp-local-postgresql", "rsp-local-dc1"


def record(lab, service, name="last"):
    """A record as it is on the backup host."""
    return json.loads(lab.on("ops", "cat", f"{STATE}/{service}/{name}.json"))


def stanza(lab):
    """What the repositories list."""
    argv = ["runuser", "-u", "postgres", "--", "pgbackrest", f"--stanza={PG}", "--output=json", "info"]
    return json.loads(lab.on("ops", *argv))[0]


def rows(conninfo):
    """The canaries that are there."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        return [row[0] for row in conn.execute("SELECT k FROM backup_canary ORDER BY k")]


def canary(conninfo, number):
    """Write one more; returns the time, position and transaction right after it."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS backup_canary (k int PRIMARY KEY)")
        xid = conn.execute("INSERT INTO backup_canary VALUES (%s) RETURNING pg_current_xact_id()::text", (number,))
        found = xid.fetchone()[0]
        time.sleep(1.1)  # commits are told apart by their time
        now, lsn = conn.execute("SELECT clock_timestamp(), pg_current_wal_lsn()::text").fetchone()
        time.sleep(1.1)
    return now.isoformat(), lsn, found


@pytest.fixture
def fresh_table(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS backup_canary")
    yield
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS backup_canary")


def test_timers_are_on_and_started_at_boot(lab):
    for timer in TIMERS:
        assert lab.on("ops", "systemctl", "is-active", timer).strip() == "active"
        assert lab.on("ops", "systemctl", "is-enabled", timer).strip() == "enabled"


def test_wal_arrives_in_both_repositories_and_a_lock_holds(playbook):
    output, changed = playbook("verify", "--tags", "backup")
    assert not changed, output[-2000:]


def test_a_backup_goes_into_both_repositories(lab, job):
    code, output = job("backup", "-e", "service=postgresql", "-e", "type=full")
    assert code == 0, output[-3000:]
    found = record(lab, "postgresql")
    assert (found["state"], [copy["repository"] for copy in found["copies"]]) == ("done", ["1", "2"])
    listed = {(b["database"]["repo-key"], b["label"]) for b in stanza(lab)["backup"]}
    assert {(int(copy["repository"]), copy["label"]) for copy in found["copies"]} <= listed
    assert 'state="done"} 1' in lab.on("ops", "cat", "/var/lib/prometheus/node-exporter/rsp_backup_postgresql.prom")


def test_the_unit_does_what_the_job_does(lab):
    for service in ("consul", "postgresql"):
        before = record(lab, service)["ended"] if service == "postgresql" else 0
        lab.on("ops", "systemctl", "start", f"rsp-backup-{service}.service")
        found = record(lab, service)
        assert (found["state"], found["by"]) == ("done", "timer"), found
        assert found["ended"] > before
    assert {copy["repository"] for copy in record(lab, "consul")["copies"]} == {"files", "s3"}


def test_check_prints_a_plan_and_makes_nothing(lab, job):
    before = len(stanza(lab)["backup"])
    code, output = job("backup", "-e", "service=postgresql", "--check")
    assert code == 0, output[-3000:]
    assert "free_mb" in output
    assert len(stanza(lab)["backup"]) == before


def test_a_backup_is_postponed_while_somebody_holds_the_cluster(lab, job):
    """The lock that a rolling job would hold; the unit says 75, and tries again later."""
    lab.on("c1", "systemctl", "stop", "patroni.service")
    try:
        waiting = threading.Thread(
            target=job, args=("restart", "-e", "service=postgresql", "-e", "force=true", "-e", "wait_s=60")
        )
        waiting.start()
        wait_until("the lock is held", lambda: "held" in held(lab), 60)
        lab.on("ops", "sh", "-c", "runuser -u postgres -- rsp-backup postgresql || true")
        found = record(lab, "postgresql")
        assert (found["state"], "holds the cluster" in found["reason"]) == ("postponed", True), found
        waiting.join(120)
    finally:
        lab.on("c1", "systemctl", "start", "patroni.service")
    wait_until("the cluster is whole", lab.whole)


def held(lab):
    """Whether somebody holds PostgreSQL's lock, by the key in Consul."""
    read = (
        "import json,sys; sys.path.insert(0, '/usr/local/lib/rsp-platform');"
        "from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import held;"
        "print('held' if held(json.load(open('/etc/rsp-backup/postgresql.json'))) else 'free')"
    )
    return lab.on("ops", "python3", "-c", read)


@pytest.mark.parametrize("by", ["time", "lsn", "xid", "point"])
def test_back_to_between_two_rows(lab, conninfo, job, fresh_table, by):
    """Row k is there, row k+1 is not, on every member, and the cluster is whole with its settings."""
    wait_until("the cluster is whole", lab.whole)
    code, output = job("backup", "-e", "service=postgresql", "-e", "type=incr")
    assert code == 0, output[-3000:]
    moment, lsn, xid = canary(conninfo, 1)
    lab.sql("SELECT pg_create_restore_point('between_rows')")
    canary(conninfo, 2)
    target = {"time": moment, "lsn": lsn, "xid": xid, "point": "between_rows"}[by]
    primary = lab.primary()
    call = ("-e", "service=postgresql", "-e", f"{by}={target}", "-e", "repository=2")
    code, output = job("restore", *call, "--check")
    assert code == 0, output[-3000:]
    assert "about_seconds" in output
    assert rows(conninfo) == [1, 2]
    code, output = job("restore", *call, "-e", f"confirm={PG}")
    assert code == 0, output[-5000:]
    wait_until("the cluster is whole", lab.whole)
    assert rows(conninfo) == [1]
    lab.on(primary, "sh", "-c", "rm -r /var/lib/postgresql/*/rsp.damaged")
    code, output = job("backup", "-e", "service=postgresql", "-e", "type=full")
    assert code == 0, output[-3000:]


def test_a_target_that_is_never_reached_brings_the_data_back(lab, conninfo, job, fresh_table):
    wait_until("the cluster is whole", lab.whole)
    canary(conninfo, 1)
    code, output = job("restore", "-e", "service=postgresql", "-e", "lsn=FFFF/0", "-e", f"confirm={PG}")
    assert code != 0
    assert "the target was not reached" in output
    wait_until("the cluster is whole", lab.whole)
    assert rows(conninfo) == [1]


def started(times):
    """When Patroni started on each host."""
    return {host: units.get("patroni.service") for host, units in times.items()}


def test_a_copy_beside_leaves_the_cluster_alone(lab, conninfo, job, fresh_table, unit_times):
    wait_until("the cluster is whole", lab.whole)
    canary(conninfo, 1)
    before = unit_times()
    code, output = job(
        "restore_side", "-e", "service=postgresql", "-e", "member=c1", "-e", "side=look", "-e", "databases=rsp_smoke"
    )
    assert code == 0, output[-3000:]
    assert "rsp_smoke.dump" in output
    after = unit_times()
    assert started(before) == started(after)
    code, output = job("restore_side", "-e", "service=postgresql", "-e", "member=c1", "-e", "side=look")
    assert (code != 0, "is there already" in output) == (True, True)
    stop = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_ctl -D /var/lib/postgresql/17/look -m immediate stop"
    lab.on("c1", "sh", "-c", f"{stop}; rm -r /var/lib/postgresql/17/look*")


@pytest.mark.parametrize("repository", [1, 2])
def test_consul_takes_its_snapshot_back(lab, job, repository):
    key = "rsp/smoke/backup"

    def value():
        token = secret(lab.services["consul"]["password"]["secret"])
        url = f"{lab.consul_url('a1')}/v1/kv/{key}?raw"
        request = urllib.request.Request(url, headers={"X-Consul-Token": token})
        tls = ssl.create_default_context(cafile=lab.ca)
        with urllib.request.urlopen(request, timeout=20, context=tls) as answer:
            return answer.read().decode()

    assert lab.consul_put("a1", key, "before")
    assert job("backup", "-e", "service=consul")[0] == 0
    assert lab.consul_put("a1", key, "after")
    code, output = job("restore", "-e", "service=consul", "-e", f"repository={repository}", "-e", f"confirm={CONSUL}")
    assert code == 0, output[-3000:]
    assert value() == "before"
    wait_until("the cluster is whole", lab.whole)


def test_nothing_secret_in_the_clear(lab):
    """What leaves the members is encrypted: neither the CA's name nor a table's is found in a repository's bytes."""
    for host, place in (("ops", "/srv/pgbackrest"), ("ops", "/srv/backup"), ("store", "/srv/s3/objects")):
        found = lab.on(host, "sh", "-c", f"grep -rlaE 'pg_catalog|SecretID|AccessorID' {place} | head -1 || true")
        assert not found.strip(), found


def test_a_second_run_changes_nothing(playbook):
    _output, changed = playbook("site", "--tags", "s3,pgbackrest,backup")
    assert not changed
