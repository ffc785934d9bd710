"""The plan of a take-over: every refusal has a planted cause, and the cluster that fits has none."""

from __future__ import annotations

from copy import deepcopy

import pytest
from adoption_data import ADDRESSES, HBA, NAMES, cluster, wanted
from ansible_collections.rsp.platform.plugins.filter.adoption import FilterModule
from ansible_collections.rsp.platform.plugins.module_utils.adoption.plan import (
    adoption,
    lost,
    must_follow,
)


def refusals(found, inventory):
    return adoption(found, inventory)["refusals"]


def test_a_cluster_that_fits_is_not_refused():
    said = adoption(cluster(), wanted())
    assert said["refusals"] == []
    assert said["inventory"] == {}
    assert said["leader"] == "b1"
    assert said["members"][1] == "b1: leader at 10.0.1.11, None"
    assert said["cluster"]["system"] == "7400000000000000001"
    assert "name" not in said["cluster"]
    assert said["order"] == ["b1", "a1", "c1"]
    assert said["left"] == list(NAMES)


@pytest.mark.parametrize(
    ("variable", "here", "live"),
    [
        ("postgresql_cluster_name", "rsp-postgresql", "shop"),
        ("postgresql_namespace", "/service/", "/db/"),
        ("postgresql_dcs", "consul", "etcd"),
        ("postgresql_etcd_user", "patroni", "dba"),
        ("postgresql_data_dir", "/var/lib/postgresql/17/rsp", "/srv/pg/shop"),
        ("postgresql_version", "18", "17"),
        ("postgresql_port", 5433, 5432),
        ("postgresql_restapi_port", 8009, 8008),
        ("postgresql_replication_user", "replicator", "repl"),
    ],
)
def test_what_the_inventory_must_follow_is_named_with_its_value(variable, here, live):
    said = adoption(cluster(), wanted(**{variable: here}))
    assert said["inventory"] == {variable: live}
    assert said["refusals"] == [f"{variable} is {here}, the running cluster has {live} → {variable}: {live}"]


def test_a_user_that_the_cluster_lacks_is_made_and_not_followed():
    assert must_follow(cluster(), wanted(postgresql_rewind_user="other")) == {}


def test_a_user_that_it_has_is_followed():
    found = cluster()
    for info in found.values():
        info["identity"]["users"]["rewind"] = "rewinder"
    assert must_follow(found, wanted()) == {"postgresql_rewind_user": ("rewind", "rewinder")}


def test_a_slash_at_the_end_is_no_difference():
    assert must_follow(cluster(), wanted(postgresql_namespace="/db", postgresql_data_dir="/srv/pg/shop/")) == {}


def test_the_user_of_another_store_is_not_compared():
    found = cluster()
    for info in found.values():
        info["identity"] |= {"store": "consul", "store_user": None}
    assert must_follow(found, wanted(postgresql_dcs="consul", postgresql_etcd_user="nobody")) == {}


def change(key, value, *names):
    """A cluster whose members have another value in their identity."""
    found = cluster()
    for name in names:
        found[name]["identity"][key] = value
    return found


def stranger():
    found = cluster()
    for info in found.values():
        info["members"].append({"name": "d1", "host": "10.0.3.11", "role": "replica"})
    return found


def without(name):
    found = cluster()
    for info in found.values():
        info["members"] = [entry for entry in info["members"] if entry["name"] != name]
    return found


def moved():
    found = cluster()
    for info in found.values():
        info["members"][0]["host"] = "192.0.2.1"
    return found


def directory():
    found = cluster()
    found["c1"] |= {"directory": True}
    return found


def taken_directory():
    found = cluster()
    found["c1"] |= {"directory": True, "taken": True}
    return found


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (change("system", "7400000000000000002", "c1"), "the members are not of one cluster: system identifiers 74"),
        (change("system", "None", *NAMES), "the members are not of one cluster: system identifiers None"),
        (stranger(), "d1 (10.0.3.11) is a member of the running cluster and no host of the inventory → add it"),
        (without("c1"), "c1 is a member in the inventory and not in the running cluster → take it out"),
        (moved(), "a1 is at 192.0.2.1, the inventory says 10.0.0.11 → platform_address"),
        (change("name", "pg1", "a1"), "a1 calls itself pg1 in Patroni → name the host pg1 in the inventory"),
        (change("version", "15", "c1"), "the members differ in version: 15, 17"),
        (change("owner", "dba", "a1"), "a1: Patroni runs as dba, the role's files are for postgres"),
        (change("users", {"superuser": "admin", "replication": "repl", "rewind": None}, "c1"), "superuser is admin"),
        (change("sockets", ["/tmp"], "b1"), "b1: PostgreSQL has no socket in /var/run/postgresql"),
        (change("scope", "other", "c1"), "the members differ in scope: other, shop"),
        (change("data_dir", "/x", "c1"), "the members differ in data_dir: /srv/pg/shop, /x"),
        (change("port", 5499, "c1"), "the members differ in port: 5432, 5499"),
        (directory(), "c1: Patroni reads the directory /etc/patroni/config.yml"),
    ],
)
def test_refused(found, reason):
    said = refusals(found, wanted())
    assert len(said) == 1
    assert reason in said[0]


def test_a_member_that_reads_the_roles_directory_is_fine():
    said = adoption(taken_directory(), wanted())
    assert said["refusals"] == []
    assert said["left"] == ["a1", "b1"]


def test_a_password_that_the_store_lacks_would_lock_the_application_out():
    inventory = {**wanted(), "passwords": {"app": "postgresql/app", "new": "postgresql/new"}}
    assert refusals(cluster(), inventory) == [
        "the store has no postgresql/app: role app would get another password → put the one in use there"
    ]


def test_everything_that_is_wrong_is_said_at_once():
    said = refusals(stranger(), wanted(postgresql_port=1, postgresql_namespace="/x/"))
    assert len(said) == 3


def test_what_the_inventory_does_not_name_is_told_under_the_variables_that_keep_it():
    assert lost(cluster(), wanted()) == {
        # What Patroni sets itself is none; a line that differs in blanks is the same
        "postgresql_parameters": {"checkpoint_timeout": "7min", "work_mem": "7MB"},
        "postgresql_hba": HBA[1:],
    }


def test_named_settings_are_not_lost():
    inventory = wanted()
    inventory["config"]["postgresql"]["parameters"] |= {"checkpoint_timeout": "7min", "work_mem": "7MB"}
    inventory["config"]["postgresql"]["pg_hba"] += HBA
    assert lost(cluster(), inventory) == {}


def test_sizes_of_a_member_that_is_taken_over_are_its_own():
    found = cluster()
    for info in found.values():
        info["taken"] = True
    assert "checkpoint_timeout" not in lost(found, wanted())["postgresql_parameters"]


def test_the_inventory_is_not_changed_by_planning():
    inventory = wanted()
    before = deepcopy(inventory)
    adoption(cluster(), inventory)
    assert inventory == before


def test_settings_are_told_with_members_and_need():
    found = cluster()
    found["c1"]["settings"] = [{"name": "shared_buffers", "live": "128MB", "wanted": "256MB", "needs": "restart"}]
    found["b1"]["settings"].append({"name": "ssl", "live": "off", "wanted": "on", "needs": "reload"})
    assert adoption(found, wanted())["settings"] == {
        "restart": ["max_connections: 150 → 200 (a1, b1)", "shared_buffers: 128MB → 256MB (c1)"],
        "reload": ["ssl: off → on (b1)"],
    }
    assert adoption(cluster(), wanted())["settings"] == {"restart": ["max_connections: 150 → 200"]}


def test_patronis_own_settings_and_objects_and_notes():
    found = cluster()
    for info in found.values():
        info["database"]["roles"]["old"] = "md5"
    found["a1"]["process"]["environment"] = ["PATRONI_SCOPE"]
    found["c1"]["taken"] = True
    said = adoption(found, wanted())
    assert said["top_level"] == ["ttl: 30 → 20", "slots: nobody asked for it, it stays"]
    assert said["objects"] == ["role:app", "role:old", "database:shop"]
    assert said["notes"] == [
        "passwords as MD5, which the endpoints refuse until they are set anew: old",
        "goes away, the role has no variable for it: postgresql.recovery_conf, map joe app",
        "a1: goes away with /etc/patroni/config.yml: tags.nofailover",
        "a1: the unit's environment wins over every file, take these out of it: PATRONI_SCOPE",
        "b1: goes away with /etc/patroni/config.yml: tags.nofailover",
    ]
    assert said["secrets"] == cluster()["b1"]["secrets"]


def test_a_cluster_without_a_leader_has_none():
    found = cluster()
    for info in found.values():
        for entry in info["members"]:
            entry["role"] = "replica"
    said = adoption(found, wanted())
    assert said["leader"] is None
    assert said["order"] == sorted(ADDRESSES)


def test_the_filter_is_the_plan():
    assert FilterModule().filters()["adoption_plan"](cluster(), wanted()) == adoption(cluster(), wanted())
