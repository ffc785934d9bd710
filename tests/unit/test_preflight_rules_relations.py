"""Relations between variables: each with its planted violation."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import relations
from fixtures.preflight.builders import inventory, member, told

TRIO = [member(name) for name in ("a1", "b1", "c1")]


@pytest.mark.parametrize(
    ("rule", "changes", "line"),
    [
        (
            relations.etcd_election_outlasts_heartbeats,
            {"etcd_election_ms": 400},
            "etcd_election_ms|is below 5 heartbeats of 100 ms: a short delay starts an election|use 500 or more",
        ),
        (
            relations.etcd_election_outlasts_heartbeats,
            {"etcd_heartbeat_ms": 300},
            "etcd_election_ms|is below 5 heartbeats of 300 ms: a short delay starts an election|use 1500 or more",
        ),
        (
            relations.postgresql_lock_outlasts_retries,
            {"postgresql_retry_timeout": 10},
            "postgresql_ttl|is below postgresql_loop_wait + 2 x postgresql_retry_timeout = 22"
            "|use 22 or more, or shorten the other two",
        ),
        (
            relations.postgresql_pool_fits,
            {"postgresql_max_connections": 50},
            "postgresql_pgbouncer_default_pool_size|with the reserve of 10 is above the 45 connections that clients"
            " can have|lower it, or raise postgresql_max_connections",
        ),
        (
            relations.postgresql_standbys_exist,
            {"postgresql_synchronous_node_count": 3},
            "postgresql_synchronous_node_count|is more than the 2 standbys of 3 members|use 2 or less, or add members",
        ),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "etcd_members": []},
            "postgresql_dcs|etcd_members is empty: there would be no store for the leader lock"
            "|give etcd members, or use another store",
        ),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "postgresql_endpoint": "consul_dns"},
            "postgresql_endpoint|Patroni registers services in Consul only when that is its store"
            "|set postgresql_dcs: consul, or postgresql_endpoint: haproxy",
        ),
        (
            relations.postgresql_archives_within_rpo,
            {"backup_members": TRIO[:1], "postgresql_archive_timeout_s": 300},
            "postgresql_archive_timeout_s|is not below the promised RPO of 300 s (backup_policies.postgresql.rpo_s)"
            "|use less than 300, half of it for example, or promise less",
        ),
        (
            relations.postgresql_archives_within_rpo,
            {"backup_members": TRIO[:1], "backup_policies": {"postgresql": {"rpo_s": 60}}},
            "postgresql_archive_timeout_s|is not below the promised RPO of 60 s (backup_policies.postgresql.rpo_s)"
            "|use less than 60, half of it for example, or promise less",
        ),
        (
            relations.pki_renews_before_the_end,
            {"pki_leaf_days": 0.0069},
            "pki_renew_days_left|is not below pki_leaf_days = 0.0069: every run would issue all certificates anew"
            "|use 0.0023 or less",
        ),
        (
            relations.pki_renews_before_the_end,
            {"pki_leaf_days": 60, "pki_renew_days_left": 60},
            "pki_renew_days_left|is not below pki_leaf_days = 60: every run would issue all certificates anew"
            "|use 20 or less",
        ),
    ],
)
def test_relations_that_do_not_hold(rule, changes, line):
    subject = inventory(**{"etcd_members": TRIO, **changes})
    assert told(rule, subject) == [f"{name}|{line}" for name in ("a1", "b1", "c1")]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (relations.etcd_election_outlasts_heartbeats, {"etcd_heartbeat_ms": 200}),
        (relations.etcd_election_outlasts_heartbeats, {"etcd_heartbeat_ms": "200", "etcd_election_ms": 300}),
        (relations.etcd_election_outlasts_heartbeats, {"etcd_election_ms": 400, "etcd_members": []}),
        (relations.postgresql_lock_outlasts_retries, {"postgresql_retry_timeout": 9}),
        (relations.postgresql_lock_outlasts_retries, {"postgresql_ttl": "5"}),
        (relations.postgresql_pool_fits, {"postgresql_max_connections": 55}),
        (relations.postgresql_pool_fits, {"postgresql_max_connections": None}),
        (relations.postgresql_standbys_exist, {"postgresql_synchronous_node_count": 2}),
        (
            relations.postgresql_standbys_exist,
            {"postgresql_synchronous_node_count": 9, "postgresql_synchronous_mode": False},
        ),
        (relations.postgresql_standbys_exist, {"postgresql_members": TRIO[:1]}),
        (relations.postgresql_archives_within_rpo, {"backup_members": TRIO[:1]}),
        (relations.postgresql_archives_within_rpo, {"backup_members": [], "postgresql_archive_timeout_s": 9999}),
        (
            relations.postgresql_archives_within_rpo,
            {"backup_members": TRIO[:1], "backup_policies": {"postgresql": {"rpo_s": 0}}},
        ),
        (relations.postgresql_archives_within_rpo, {"backup_members": TRIO[:1], "backup_policies": {"consul": {}}}),
        (relations.postgresql_archives_within_rpo, {"backup_members": TRIO[:1], "backup_policies": "strict"}),
        (relations.postgresql_store_exists, {"postgresql_dcs": "etcd"}),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "etcd_members": [], "postgresql_etcd_members": TRIO},
        ),
        (relations.postgresql_store_exists, {"postgresql_dcs": "consul", "postgresql_endpoint": "consul_dns"}),
        (relations.postgresql_store_exists, {"postgresql_dcs": "zookeeper"}),
        (relations.pki_renews_before_the_end, {"pki_leaf_days": 0.0069, "pki_renew_days_left": 0.002}),
        (relations.pki_renews_before_the_end, {"pki_leaf_days": 31}),
        (relations.pki_renews_before_the_end, {"pki_leaf_days": "soon"}),
    ],
)
def test_relations_that_hold_or_can_not_be_judged(rule, changes):
    assert told(rule, inventory(**{"etcd_members": TRIO, **changes})) == []
