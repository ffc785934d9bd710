"""What role postgresql writes and hands over, with its own defaults."""

from __future__ import annotations

import configparser

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.lease import Lease, parse
from ansible_collections.rsp.platform.plugins.module_utils.patroni_config import plan
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade import claim_argv
from rendering import ROLES, render, value

MEMBERS = [
    {"name": "a1", "address": "10.0.0.11", "zone": "a"},
    {"name": "b1", "address": "10.0.1.11", "zone": "b"},
    {"name": "c1", "address": "10.0.2.11", "zone": "c"},
]
GIVEN = {
    "postgresql_members": MEMBERS,
    "haproxy_members": [{"name": "ops", "address": "10.0.3.11", "zone": "m"}],
    "etcd_members": MEMBERS,
    "platform_zones": [{"name": "a", "cidr": "10.0.0.0/24"}, {"name": "m", "cidr": "10.0.3.0/24"}],
    "postgresql_superuser_password": "canary-superuser",
    "postgresql_replication_password": "canary-replication",
    "postgresql_rewind_password": "canary-rewind",
    "postgresql_restapi_password": "canary-restapi",
    "postgresql_etcd_password": "canary-etcd",
    "postgresql_consul_token": "canary-consul",
    "__postgresql_host": {"memory_mb": 4096, "cpus": 2},
}
TEMPLATES = ("bootstrap", "cluster", "member", "secrets")


def variable(name, **more):
    return value("postgresql", name, **{**GIVEN, **more})


def text(name, **more):
    return render("postgresql", f"{name}.j2", **{**GIVEN, **more})


def patroni(name, **more):
    return yaml.safe_load(text(f"{name}.yml", **more))


def ini(name, **more):
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False)
    parser.read_string(text(name, **more))
    return parser


@pytest.mark.parametrize("dcs", ["etcd", "consul"])
def test_secrets_are_in_the_file_that_diffs_hide_and_nowhere_else(dcs):
    for name in (*(f"{t}.yml" for t in TEMPLATES), "pgbouncer.ini", "pgbouncer_listen.ini", "exporter.env"):
        assert ("canary" in text(name, postgresql_dcs=dcs)) is (name == "secrets.yml"), name
    assert text("secrets.yml", postgresql_dcs=dcs).count("canary") == 5
    files = yaml.safe_load((ROLES / "postgresql" / "vars" / "main" / "files.yml").read_text())
    (entry,) = [f for f in files["__postgresql_patroni_files"] if f.get("template") == "secrets.yml.j2"]
    assert entry["secret"] is True


def test_hba_lets_in_by_proof_only_and_superusers_from_members_only():
    lines = [line.split() for line in variable("__postgresql_hba")]
    assert all(line[0] in ("local", "hostssl") for line in lines if line[-1] != "reject")
    assert {line[-1] for line in lines} <= {"peer", "map=rsp", "scram-sha-256", "reject"}
    addresses = {"10.0.0.11/32", "10.0.1.11/32", "10.0.2.11/32", "127.0.0.1/32"}
    reject = lines.index(["host", "all", "postgres,rewind,replicator", "all", "reject"])
    for line in lines[:reject]:
        assert line[0] == "local" or line[3] in addresses
    assert lines[reject + 1 :] == [
        ["hostssl", "all", "all", cidr, "scram-sha-256"] for cidr in ("10.0.0.0/24", "10.0.3.0/24")
    ]


def test_lines_of_the_site_come_between_members_and_everybody():
    lines = variable("__postgresql_hba", postgresql_hba=["hostssl shop shop 10.9.0.0/16 scram-sha-256"])
    assert lines.index("hostssl shop shop 10.9.0.0/16 scram-sha-256") == len(lines) - 3


def test_ipv6_members_get_their_own_prefix():
    members = [{"name": "a1", "address": "fd00::1", "zone": "a"}]
    assert "hostssl replication replicator fd00::1/128 scram-sha-256" in variable(
        "__postgresql_hba", postgresql_members=members
    )


def test_a_new_cluster_is_born_with_the_configuration_that_it_keeps():
    born = patroni("bootstrap")["bootstrap"]["dcs"]
    assert plan(variable("__postgresql_dynamic"), born).patch == {}
    assert born["postgresql"]["parameters"]["ssl"] == "on"
    assert (born["ttl"], born["loop_wait"], born["retry_timeout"]) == (20, 2, 8)
    assert born["ttl"] >= born["loop_wait"] + 2 * born["retry_timeout"]
    assert {"data-checksums"} <= set(
        filter(lambda item: isinstance(item, str), patroni("bootstrap")["bootstrap"]["initdb"])
    )


def test_the_clusters_configuration_does_not_depend_on_a_host():
    other = {"__postgresql_host": {"memory_mb": 65536, "cpus": 32}, "inventory_hostname": "b1", "platform_address": "x"}
    assert variable("__postgresql_dynamic", **other) == variable("__postgresql_dynamic")


def test_what_a_host_computes_gives_way_to_the_clusters_parameters():
    assert patroni("member")["postgresql"]["parameters"]["work_mem"] == "5MB"
    chosen = {"postgresql_parameters": {"work_mem": "64MB"}}
    assert "work_mem" not in patroni("member", **chosen)["postgresql"]["parameters"]
    assert variable("__postgresql_dynamic", **chosen)["postgresql"]["parameters"]["work_mem"] == "64MB"


@pytest.mark.parametrize(("memory", "shared"), [(0, "1024MB"), (16384, "4096MB")])
def test_memory_is_the_hosts_unless_it_is_given(memory, shared):
    assert patroni("member", postgresql_memory_mb=memory)["postgresql"]["parameters"]["shared_buffers"] == shared


def test_dcs_etcd():
    merged = {
        **patroni("cluster", postgresql_dcs="etcd")["etcd3"],
        **patroni("secrets", postgresql_dcs="etcd")["etcd3"],
    }
    assert merged["hosts"] == ["10.0.0.11:2379", "10.0.1.11:2379", "10.0.2.11:2379"]
    assert (merged["protocol"], merged["username"], merged["password"]) == ("https", "patroni", "canary-etcd")
    assert merged["cert"].endswith("etcd.crt")


@pytest.mark.parametrize(("endpoint", "registers"), [("haproxy", False), ("consul_dns", True)])
def test_dcs_consul(endpoint, registers):
    consul = patroni("cluster", postgresql_dcs="consul", postgresql_endpoint=endpoint)["consul"]
    assert (consul["scheme"], consul["verify"], consul["checks"]) == ("https", True, ["serfHealth"])
    assert consul.get("register_service", False) is registers


def test_no_check_is_no_key():
    """Patroni's validator refuses an empty list."""
    consul = yaml.safe_load(text("cluster.yml", postgresql_dcs="consul", postgresql_consul_checks=[]))["consul"]
    assert "checks" not in consul
    assert consul["scheme"] == "https"


@pytest.mark.parametrize(("zone", "name", "nosync"), [("c", "c1", False), ("b", "c1", True), ("b", "b1", False)])
def test_one_member_a_zone_may_be_synchronous(zone, name, nosync):
    members = [*MEMBERS[:2], {**MEMBERS[2], "zone": zone}]
    assert patroni("member", postgresql_members=members, inventory_hostname=name)["tags"] == {"nosync": nosync}


def test_listeners_follow_the_primary_and_cut_what_lags():
    writes, reads = variable("__postgresql_haproxy_listeners")
    assert (writes["port"], writes["check"]["uri"], writes["check"]["method"]) == (5000, "/primary", "OPTIONS")
    assert (reads["port"], reads["check"]["uri"]) == (5001, "/replica?lag=16MB")
    assert (reads["fallback"], reads["prefer_zone"]) == (writes["name"], True)
    assert [(s["name"], s["address"], s["port"], s["check_port"], s["zone"]) for s in reads["servers"]] == [
        ("a1", "10.0.0.11", 6432, 8008, "a"),
        ("b1", "10.0.1.11", 6432, 8008, "b"),
        ("c1", "10.0.2.11", 6432, 8008, "c"),
    ]


@pytest.mark.parametrize(
    ("endpoint", "names", "expected"),
    [
        ("haproxy", [], ["DNS:ops", "IP:10.0.3.11"]),
        ("haproxy", ["db.example.org", "10.9.9.9", "fd00::9"], ["DNS:db.example.org", "IP:10.9.9.9", "IP:fd00::9"]),
        ("consul_dns", [], ["DNS:primary.rsp-test-postgresql.service.consul"]),
    ],
)
def test_every_name_that_a_client_may_use_is_in_the_certificate(endpoint, names, expected):
    sans = variable("postgresql_certificate_sans", postgresql_endpoint=endpoint, postgresql_endpoint_names=names)
    assert {*expected, "DNS:localhost", "DNS:a1", "DNS:a1.rsp.internal", "IP:127.0.0.1", "IP:10.0.0.11"} <= set(sans)
    assert len(sans) == len(set(sans))


@pytest.mark.parametrize(
    ("endpoint", "rw", "ro"),
    [
        ("haproxy", ["10.0.3.11:5000"], ["10.0.3.11:5001"]),
        (
            "consul_dns",
            ["primary.rsp-test-postgresql.service.consul:6432"],
            ["replica.rsp-test-postgresql.service.consul:6432"],
        ),
    ],
)
def test_where_clients_go(endpoint, rw, ro):
    assert variable("__postgresql_rw", postgresql_endpoint=endpoint) == rw
    assert variable("__postgresql_ro", postgresql_endpoint=endpoint) == ro


def test_the_pooler_asks_for_tls_and_proof():
    pooler = ini("pgbouncer.ini")["pgbouncer"]
    assert (pooler["client_tls_sslmode"], pooler["auth_type"]) == ("require", "scram-sha-256")
    assert int(pooler["max_db_connections"]) < 200
    assert int(pooler["tcp_user_timeout"]) == 10000
    assert ini("pgbouncer.ini", postgresql_pgbouncer_settings={"log_stats": 0})["pgbouncer"]["log_stats"] == "0"


def test_the_look_up_function_hides_superusers_from_the_pooler():
    (function,) = variable("__postgresql_own_functions")
    assert "NOT rolsuper" in function["body"]
    assert "NOT rolreplication" in function["body"]
    everybody = [grant for grant in variable("__postgresql_own_grants") if grant["role"] == "public"]
    assert [grant["privileges"] for grant in everybody] == [[]]


@pytest.mark.parametrize(("mode", "loads"), [("off", False), ("automatic", True), ("required", True)])
def test_the_watchdogs_driver_is_loaded_when_it_is_wanted(mode, loads):
    assert ("softdog" in text("patroni.service.conf", postgresql_watchdog=mode)) is loads
    assert patroni("member", postgresql_watchdog=mode)["watchdog"] == {"mode": mode}


def test_limits_are_the_platforms():
    for unit in ("patroni.service.conf", "pgbouncer.service.conf"):
        assert "LimitNOFILE=16384" in text(unit)


FILES = [f"/var/lib/postgresql/{release}/rsp/PG_VERSION" for release in (15, 16, 17, 18)]


def seen(there, running=True):
    """What host_check says of a member with the data of these releases."""
    units = {"patroni.service": {"active": running, "enabled": running}}
    return {"units": units, "paths": {file: any(f"/{release}/" in file for release in there) for file in FILES}}


def test_where_data_of_each_release_would_be():
    assert variable("__postgresql_version_files") == FILES
    assert variable("__postgresql_version_files", postgresql_version="15") == FILES
    elsewhere = variable("__postgresql_version_files", postgresql_data_dir="/srv/data")
    assert elsewhere == ["/srv/data/PG_VERSION"]


@pytest.mark.parametrize(
    ("there", "running", "found"),
    [
        ((), False, []),  # a fresh host
        ((), True, []),  # a standby that is being copied
        ((17,), True, []),
        ((15, 17), True, []),  # in the middle of an upgrade
        ((15,), False, []),
        ((15,), True, FILES[:1]),  # the inventory is ahead of the cluster
        ((18,), True, FILES[3:]),  # the inventory was not told of an upgrade
    ],
)
def test_data_of_another_release_than_the_inventory_names(there, running, found):
    assert variable("__postgresql_elsewhere", __postgresql_host=seen(there, running)) == found


@pytest.mark.parametrize(
    ("data_dir", "old"),
    [
        (None, "/var/lib/postgresql/15/rsp"),
        ("/data/pg/17", "/data/pg/15"),
        ("/data/1700/17/x", "/data/1700/15/x"),
        ("/srv/data", "/srv/data"),  # refused by the report
    ],
)
def test_the_old_data_are_beside_the_new_ones(data_dir, old):
    given = {"postgresql_data_dir": data_dir} if data_dir else {}
    assert variable("__postgresql_old_data_dir", postgresql_upgrade_from="15", **given) == old


@pytest.mark.parametrize(("host", "key"), [("a1", "postgresql"), ("b1", "tags")])
def test_what_lies_over_patronis_files_during_an_upgrade(host, key):
    found = yaml.safe_load(text("major.yml", inventory_hostname=host, __postgresql_leader="a1"))
    assert list(found) == [key]
    if key == "postgresql":
        assert found[key] == {"data_dir": "/var/lib/postgresql/17/rsp", "bin_dir": "/usr/lib/postgresql/17/bin"}
    else:
        assert found[key] == {"nofailover": True}


def test_the_way_back_is_a_lease_that_systemd_understands():
    control = {"claim": claim_argv("/etc/patroni/rsp", "77")}
    for kind in ("primary", "standby"):
        undo = variable(f"__postgresql_major_undo_{kind}", __postgresql_control=control)
        lease = Lease("postgresql-major", tuple(tuple(argv) for argv in undo), 1800)
        assert parse(lease.files()[lease.service]) == lease


def test_nobody_comes_to_the_new_data_while_they_are_undone():
    """Patroni stops before the file that names the new data goes, and the pooler opens last."""
    undo = variable("__postgresql_major_undo_primary", __postgresql_control={"claim": ["/usr/bin/python3"]})
    lines = [" ".join(argv) for argv in undo]
    order = ["stop rsp-pg-upgrade", "systemctl stop patroni", "rm -f", "python3", "systemctl start patroni", "RESUME"]
    assert [next(n for n, line in enumerate(lines) if word in line) for word in order] == list(range(6))
