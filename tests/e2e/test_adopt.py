"""A Patroni cluster that was made by hand is taken over without a restart, and is then managed like any other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent / "adopt"))

import hand

SERVICE = ("-e", "service=postgresql")
CONFIRM = ("-e", "confirm=shop")
CANARY = "by-hand"  # every password of the cluster begins with it


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A fresh lab for this module, gone afterwards."""
    hand.make()
    yield
    hand.WRITTEN.unlink(missing_ok=True)
    hand.good(hand.play("lab_down"))


@pytest.fixture(scope="module")
def before(cluster):
    """Processes and rows as they were before anything was taken over."""
    return hand.processes(), hand.digests()


def refused(*reasons, check=True, more=()):
    """A run that stops with these reasons, after which everything is as it was."""
    there = hand.processes()
    ran = hand.play("adopt", *SERVICE, *(["--check"] if check else CONFIRM), *more)
    assert ran.code != 0
    for reason in reasons:
        assert reason in ran.output, ran.output[-6000:]
    assert hand.processes() == there
    return ran


def test_the_plan_names_what_the_inventory_must_follow(before):
    plan = refused(
        "postgresql_cluster_name is rsp-local-postgresql, the running cluster has shop → postgresql_cluster_name: shop",
        "postgresql_data_dir: /srv/pg/shop",
    ).plan()
    follow = plan["3_write_into_the_inventory"]
    assert follow == {
        "postgresql_cluster_name": "shop",
        "postgresql_data_dir": "/srv/pg/shop",
        "postgresql_etcd_user": "dba",
        "postgresql_namespace": "/db/",
        "postgresql_replication_user": "repl",
    }
    lost = plan["4_goes_away_unless_the_inventory_names_it"]
    assert lost["postgresql_parameters"]["work_mem"] == "7MB"
    assert lost["postgresql_parameters"]["checkpoint_timeout"] == "7min"
    assert "host all all 10.0.0.0/8 scram-sha-256" in lost["postgresql_hba"]
    assert all(
        any(note.startswith(host) and "log.level, tags.clonefrom" in note for note in plan["9_notes"])
        for host in hand.MEMBERS
    )
    assert "max_connections: 150 → 200" in plan["5_settings_that_change"]["restart"]
    assert "role:app" in plan["7_objects_that_nobody_asked_for"]
    assert "database:shop" in plan["7_objects_that_nobody_asked_for"]
    assert set(plan["8_secrets_that_go_into_the_store"]) == {
        "postgresql/superuser",
        "postgresql/replication",
        "etcd/patroni",
    }
    # The plan is taken word for word: that it is enough, the take-over below proves
    hand.WRITTEN.write_text(yaml.safe_dump({**follow, **lost}, allow_unicode=True))


def test_the_plan_of_a_fitting_inventory_is_open_and_changes_nothing(before):
    ran = hand.good(hand.play("adopt", *SERVICE, "--check"))
    plan = ran.plan()
    assert plan["3_write_into_the_inventory"] == {}
    assert plan["4_goes_away_unless_the_inventory_names_it"] == {}
    assert CANARY not in ran.output
    assert (hand.processes(), hand.digests()) == before
    for host in hand.MEMBERS:
        assert "scope: shop" in hand.on(host, "cat", "/etc/patroni/config.yml")
        hand.on(host, "test", "!", "-e", "/etc/patroni/rsp")


def test_a_member_that_the_inventory_lacks_closes_it(before):
    two = "{\"postgresql_members\": \"{{ ['a1', 'b1'] | rsp.platform.members(hostvars) }}\"}"
    refused("c1", more=("-e", two))


def test_a_standby_that_is_down_closes_it(before):
    hand.on("c1", "systemctl", "stop", "patroni")
    try:
        ran = hand.play("adopt", *SERVICE, "--check")
        assert ran.code != 0
        assert "there is no running Patroni to take over" in ran.output
    finally:
        hand.on("c1", "systemctl", "start", "patroni")
        hand.wait("c1")


def test_a_cluster_that_has_not_settled_closes_it(before):
    """Automatic failover is paused by hand."""
    pause = ("runuser", "-u", "postgres", "--", "patronictl", "-c", "/etc/patroni/config.yml")
    hand.on("b1", *pause, "pause", "--wait")
    try:
        refused("automatic failover is paused")
    finally:
        hand.on("b1", *pause, "resume", "--wait")


def test_without_its_name_nothing_is_taken_over(before):
    ran = hand.play("adopt", *SERVICE)
    assert ran.code != 0
    assert "add -e confirm=shop" in ran.output


@pytest.fixture(scope="module")
def adopted(before):
    """The take-over itself, with processes as they were just before it."""
    hand.until("two standbys stream", lambda: hand.sql("b1", "SELECT count(*) FROM pg_stat_replication") == "2")
    there = hand.processes()
    writer = hand.Writer()
    writer.start()
    try:
        ran = hand.good(hand.play("adopt", *SERVICE, *CONFIRM))
    finally:
        writer.stop()
    return there, ran, writer


def test_nothing_was_restarted_and_no_row_is_missing(before, adopted):
    there, ran, writer = adopted
    assert hand.processes() == there
    assert hand.digests() == before[1]
    assert writer.failures == []
    assert len(writer.acknowledged) > 20
    assert writer.missing() == set()
    assert CANARY not in ran.output
    for host in hand.MEMBERS:
        assert hand.on(host, "readlink", "/etc/patroni/config.yml") == "/etc/patroni/rsp"
        assert hand.on(host, "stat", "-c", "%a %U", "/etc/patroni/config.yml.before-rsp") == "600 postgres"


def test_the_store_has_the_passwords_in_use(adopted):
    assert hand.secret("postgresql/superuser") == "by-hand-superuser"
    assert hand.secret("postgresql/replication") == "by-hand-replication"
    assert hand.secret("etcd/patroni") == "by-hand-store"


def test_what_the_inventory_names_is_kept_and_what_needs_a_restart_waits(adopted):
    assert hand.sql("b1", "SHOW work_mem") == "7MB"
    assert hand.sql("b1", "SHOW checkpoint_timeout") == "7min"
    assert hand.sql("b1", "SHOW max_connections") == "150"
    assert hand.sql("b1", "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'") == "t"
    assert hand.sql("b1", "SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == "1"
    # Standbys came back with TLS and the platform's certificates
    assert hand.sql("b1", "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid) WHERE ssl") == "2"


def test_a_run_of_the_site_afterwards_changes_nothing_on_the_cluster(adopted):
    there, _ran, _writer = adopted
    assert hand.good(hand.play("site", "--tags", "postgresql")).changes == []
    assert hand.processes() == there


def test_a_second_take_over_changes_nothing(adopted):
    there, _ran, _writer = adopted
    ran = hand.good(hand.play("adopt", *SERVICE, *CONFIRM))
    assert [row for row in ran.changes if not row["action"].endswith("cluster_lock")] == []
    assert hand.processes() == there


def test_restart_rolls_what_waits_and_then_nothing_waits(adopted, before):
    there, _ran, _writer = adopted
    hand.good(hand.play("restart", *SERVICE))
    now = hand.processes()
    assert all(now[host] != there[host] for host in hand.MEMBERS)
    assert {hand.sql(host, "SHOW max_connections") for host in hand.MEMBERS} == {"200"}
    assert hand.digests() == before[1]
    for host in hand.MEMBERS:
        assert "/etc/patroni/rsp" in hand.on(host, "systemctl", "show", "--value", "--property", "ExecStart", "patroni")
    # The extension that waited for its library is made now; afterwards nothing is left
    hand.good(hand.play("site", "--tags", "postgresql"))
    assert hand.good(hand.play("site", "--tags", "postgresql")).changes == []
    assert hand.processes() == now


def test_switchover_works_as_anywhere_else(adopted):
    leader = next(host for host in hand.MEMBERS if hand.sql(host, "SELECT pg_is_in_recovery()") == "f")
    # Another one than the member in sync is refused, and rightly
    to = hand.sql(
        leader, "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') LIMIT 1"
    )
    hand.good(hand.play("switchover", *SERVICE, "-e", f"to={to}"))
    assert hand.sql(to, "SELECT pg_is_in_recovery()") == "f"
