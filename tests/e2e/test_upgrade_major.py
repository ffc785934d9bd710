"""PostgreSQL from 15 to 17 on real servers: the dry run, what refuses it, what brings the old cluster back, the job.

The lab's cluster is made anew with Debian 12's PostgreSQL 15, and is the same as before when all tests have passed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
from lab import ROOT, wait_until
from ledger import Writer, prepare, present
from rolling import job

FROM, TO = "15", "17"
TABLE = "major_ledger"
SOURCES = "\n".join(
    f"Types: deb\nURIs: http://deb.debian.org/{archive}\nSuites: {suite}\nComponents: main\n"
    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    for archive, suite in (("debian", "bookworm"), ("debian-security", "bookworm-security"))
)
PIN = "Package: *\nPin: release n=bookworm*\nPin-Priority: 100\n"
REMOVE = (
    "from patroni.config import Config; from patroni.dcs import get_dcs; c = Config('/etc/patroni/rsp', None).copy(); "
    "c.update(patronictl=True); get_dcs(c).delete_cluster()"
)
SEED = """
CREATE TABLE seed AS SELECT i, md5(i::text) AS word, i * 1.5::numeric AS amount, now() AS at,
  jsonb_build_object('i', i) AS data FROM generate_series(1, 20000) i;
ALTER TABLE seed ADD PRIMARY KEY (i);
CREATE SEQUENCE seed_next START 777;
SELECT nextval('seed_next');
CREATE VIEW seed_sum AS SELECT sum(amount) FROM seed;
CREATE EXTENSION IF NOT EXISTS pgaudit;
"""
TABLES = """SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
AND tablename NOT IN ('smoke', 'major_ledger') ORDER BY 1"""
# A column that PostgreSQL 17 has no more: pg_upgrade --check does not see it
GONE = "CREATE VIEW planted AS SELECT buffers_backend FROM pg_stat_bgwriter"
RESETWAL = f"/usr/lib/postgresql/{TO}/bin/pg_resetwal"
BROKEN = f"#!/bin/sh\ncase $1 in --version|-V|-n) exec {RESETWAL}.real $1;; esac\necho 'error: planted' >&2\nexit 1\n"


class Cluster:
    """The lab's PostgreSQL as its superuser sees it."""

    def __init__(self, lab, pinned):
        self.lab, self.pinned, self.hosts = lab, pinned, sorted(lab.services["postgresql"]["members"])
        self.name = "rsp-local-postgresql"

    def sql(self, text, database="rsp_smoke"):
        psql = ["runuser", "-u", "postgres", "--", "psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]
        return self.lab.on(self.lab.primary(), *psql)

    def digests(self):
        """md5 over the ordered rows of every table of every database, and what sequences and views say."""
        found = {}
        for database in self.sql("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1").splitlines():
            for table in self.sql(TABLES, database).splitlines():
                rows = f"SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {table} t"
                found[f"{database}.{table}"] = self.sql(rows, database)
        found["sequence"] = self.sql("SELECT last_value FROM seed_next")
        found["view"] = self.sql("SELECT * FROM seed_sum")
        return found

    def versions(self):
        ask = ["runuser", "-u", "postgres", "--", "psql", "-XAt", "-c", "SHOW server_version_num"]
        return {host: self.lab.on(host, *ask)[:2] for host in self.hosts}

    def disk(self):
        """Packages and files that a dry run must leave as they are."""
        look = "dpkg-query -W; find /var/lib/postgresql /etc/patroni /etc/systemd/system -maxdepth 3 | sort"
        return {host: self.lab.on(host, "sh", "-c", look) for host in self.hosts}

    def started(self):
        show = [
            "systemctl",
            "show",
            "-p",
            "ExecMainStartTimestampMonotonic,MainPID",
            "patroni.service",
            "pgbouncer.service",
        ]
        return {host: self.lab.on(host, *show) for host in self.hosts}

    def left_over(self):
        """Traces that a job must not leave behind."""
        look = "ls /etc/patroni/rsp/zz-* /etc/systemd/system/rsp-lease-postgresql-major* 2>/dev/null; true"
        return {host: found for host in self.hosts if (found := self.lab.on(host, "sh", "-c", look))}

    def upgrade(self, *arguments, version=TO):
        given = ["-i", "inventories/local", "-i", str(self.pinned), "-e", f"version={version}", *arguments]
        return job("upgrade_major", "postgresql", *given, timeout_s=2400)


@pytest.fixture(scope="module")
def cluster(lab, tmp_path_factory):
    """The lab with PostgreSQL 15."""
    pinned = tmp_path_factory.mktemp("inventory") / "pinned.yml"
    pinned.write_text(f'all:\n  vars:\n    postgresql_version: "{FROM}"\n')
    cluster = Cluster(lab, pinned)
    if set(cluster.versions().values()) != {FROM}:
        make_old(cluster)
    cluster.sql("DROP TABLE IF EXISTS seed CASCADE; DROP SEQUENCE IF EXISTS seed_next; DROP VIEW IF EXISTS planted")
    cluster.sql(SEED)
    yield cluster
    for host in cluster.hosts:
        lab.on(host, "rm", "-f", "/etc/apt/sources.list.d/bookworm.sources", "/etc/apt/preferences.d/bookworm")


def make_old(cluster):
    """Throw the lab's cluster away and make one of Debian 12's release."""
    for host in cluster.hosts:
        cluster.lab.on(host, "systemctl", "stop", "patroni.service", "pgbouncer.service")
    cluster.lab.on(cluster.hosts[0], "runuser", "-u", "postgres", "--", "python3", "-c", REMOVE)
    for host in cluster.hosts:
        cluster.lab.on(
            host, "sh", "-c", "rm -rf /var/lib/postgresql/1* /etc/patroni/rsp /var/lib/rsp/files/postgresql*"
        )
        cluster.lab.on(host, "sh", "-c", f"printf '{SOURCES}' > /etc/apt/sources.list.d/bookworm.sources")
        cluster.lab.on(host, "sh", "-c", f"printf '{PIN}' > /etc/apt/preferences.d/bookworm")
        cluster.lab.on(host, "apt-get", "-qq", "update")
    site(cluster.pinned)
    assert set(cluster.versions().values()) == {FROM}


def site(*inventories):
    argv = [".venv/bin/ansible-playbook", "playbooks/site.yml", "--tags", "postgresql"]
    for inventory in ("inventories/local", *inventories):
        argv += ["-i", str(inventory)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def writable(conninfo, seconds=90):
    """Whether a client can write through the endpoint, soon."""
    writer = Writer(conninfo, TABLE, 0.01)
    prepare_when_up(conninfo)
    writer.start()
    wait_until("a client writes", lambda: len(writer.ledger.acked) > 20, seconds)
    writer.stop()
    writer.join(30)
    return set(writer.ledger.acked) <= present(conninfo, TABLE)


def prepare_when_up(conninfo):
    def done():
        try:
            prepare(conninfo, TABLE)
        except Exception:
            return False
        return True

    wait_until("the endpoint takes a table", done, 90)


def confirmed(cluster):
    return ("-e", f"confirm={cluster.name}")


def test_the_dry_run_reports_and_changes_nothing(cluster):
    before = cluster.disk(), cluster.started(), cluster.digests()
    rc, output = cluster.upgrade("--check")
    assert rc == 0, output[-4000:]
    assert re.search(rf"old_version: '?{FROM}\.\d+", output)
    assert re.search(rf"new_version: .*{TO}\.\d+", output)
    assert "Clusters are compatible" in output
    assert "postgres.pgaudit: 1.7 →" in output
    assert (cluster.disk(), cluster.started(), cluster.digests()) == before
    assert cluster.left_over() == {}


def test_the_name_of_the_cluster_must_be_typed(cluster):
    before = cluster.started()
    for arguments in ((), ("-e", "confirm=wrong")):
        rc, output = cluster.upgrade(*arguments)
        assert rc != 0
        assert cluster.name in output
    assert cluster.started() == before


def test_a_schema_that_the_new_release_refuses_stops_it_before_anything_stops(cluster):
    cluster.sql(GONE)
    before = cluster.started()
    rc, output = cluster.upgrade(*confirmed(cluster))
    cluster.sql("DROP VIEW planted")
    assert rc != 0
    assert "nothing was touched" in output
    assert "column pg_stat_bgwriter.buffers_backend does not exist" in output
    assert cluster.started() == before


def test_a_failure_brings_the_old_cluster_back(cluster, conninfo):
    """pg_upgrade dies in the middle: after the schema, before the files."""
    before = cluster.digests()
    for host in cluster.hosts:
        cluster.lab.on(
            host,
            "sh",
            "-c",
            f"mv {RESETWAL} {RESETWAL}.real && printf '%s' \"$0\" > {RESETWAL} && chmod 755 {RESETWAL}",
            BROKEN,
        )
    try:
        rc, output = cluster.upgrade(*confirmed(cluster))
    finally:
        for host in cluster.hosts:
            cluster.lab.on(host, "mv", f"{RESETWAL}.real", RESETWAL)
    assert rc != 0
    assert "The old cluster is back" in output
    assert "Point of no return" not in output
    assert set(cluster.versions().values()) == {FROM}
    assert cluster.digests() == before
    assert cluster.left_over() == {}
    assert cluster.lab.whole()
    assert writable(conninfo)


def test_a_dead_controller_can_be_followed_by_a_rollback(cluster, conninfo):
    """The controller is killed while everything is stopped; the rollback needs nobody to wait for the lease."""
    before = cluster.digests()
    argv = [
        ".venv/bin/ansible-playbook",
        "playbooks/upgrade_major.yml",
        "-i",
        "inventories/local",
        "-i",
        str(cluster.pinned),
    ]
    given = ["service=postgresql", f"version={TO}", f"confirm={cluster.name}", "reason=killed by a test"]
    log = ROOT / ".lab" / "log" / "e2e-major-killed.log"
    with log.open("w") as out:
        running = subprocess.Popen(
            [*argv, *(word for one in given for word in ("-e", one))],
            cwd=ROOT, stdout=out, stderr=out, start_new_session=True, env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip
    wait_until("the upgrade is in its window", lambda: "Major upgrade | Is the way still ours?" in log.read_text(), 900)
    time.sleep(5)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert cluster.lab.patroni() == []
    rc, output = cluster.upgrade("-e", "rollback=true", *confirmed(cluster))
    assert rc == 0, output[-4000:]
    assert set(cluster.versions().values()) == {FROM}
    assert cluster.digests() == before
    assert cluster.left_over() == {}
    assert writable(conninfo)
    rc, output = cluster.upgrade(*confirmed(cluster))
    assert rc != 0
    owner = re.search(r"is locked by (\S+)", output)[1]
    assert job("unlock", "postgresql", "-e", f"owner={owner}")[0] == 0


def test_a_rollback_of_nothing_is_refused(cluster):
    before = cluster.started()
    rc, output = cluster.upgrade("-e", "rollback=true", *confirmed(cluster))
    assert rc != 0
    assert "nothing to go back from" in output
    assert cluster.started() == before


def test_the_upgrade(cluster, conninfo):
    """Rows are equal by digest, what was acknowledged to a client is there, every member has the new release."""
    before = cluster.digests()
    prepare(conninfo, TABLE)
    writer = Writer(conninfo, TABLE, 0.005)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > 100, 30)
    began = time.monotonic()
    rc, output = cluster.upgrade(*confirmed(cluster), "-e", "lease_s=1200")
    assert rc == 0, output[-6000:]
    enough = len(writer.ledger.acked) + 100
    wait_until("the writer still writes", lambda: len(writer.ledger.acked) > enough, 60)
    writer.stop()
    writer.join(30)
    print(f"{len(writer.ledger.acked)} writes, longest gap {writer.ledger.longest_gap(began, time.monotonic()):.1f} s, "
          f"{len(writer.ledger.errors)} errors, {time.monotonic() - began:.0f} s in all")  # fmt: skip
    assert set(writer.ledger.acked) <= present(conninfo, TABLE)
    assert "Point of no return" in output
    assert set(cluster.versions().values()) == {TO}
    assert cluster.digests() == before
    assert cluster.left_over() == {}
    assert cluster.lab.whole()
    kept = {host: cluster.lab.on(host, "ls", f"/var/lib/postgresql/{FROM}") for host in cluster.hosts}
    assert set(kept.values()) == {f"rsp.before-{TO}"}


def test_afterwards_there_is_no_way_back(cluster):
    before = cluster.started()
    rc, output = cluster.upgrade("-e", "rollback=true", *confirmed(cluster))
    assert rc != 0
    assert "nothing to go back from" in output
    assert cluster.started() == before


def test_the_inventory_must_follow(cluster):
    """Files of the old release would make Patroni start an empty cluster: refused. The new one needs nothing."""
    argv = [
        ".venv/bin/ansible-playbook",
        "playbooks/site.yml",
        "--tags",
        "postgresql",
        "--check",
        "-i",
        "inventories/local",
    ]
    done = subprocess.run(
        [*argv, "-i", str(cluster.pinned)], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode != 0
    assert f"postgresql_version is {FROM}" in done.stdout
    before = cluster.started()
    output = site()
    assert not re.search(r"changed=[1-9]", output), output[-3000:]
    assert cluster.started() == before
