"""PostgreSQL on etcd as their own clients and their hosts show it."""

from __future__ import annotations

import json

import pytest

MEMBERS = ("a1", "b1", "c1")
WRITE, READ = "5000", "5001"


@pytest.fixture(scope="module")
def psql(client, secret, address):
    """Runs one statement with psql on the client host, through an endpoint."""
    password = secret("postgresql/smoke")

    def run(statement, port=WRITE, sslmode="verify-full"):
        return client(
            "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--command", statement,
            PGHOST=address["ops"], PGPORT=port, PGUSER="rsp_smoke", PGDATABASE="rsp_smoke", PGPASSWORD=password,
            PGSSLMODE=sslmode, PGSSLROOTCERT="/etc/postgresql-client/ca.crt", PGCONNECT_TIMEOUT="10",
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def etcdctl(client, address):
    """Runs etcdctl on the client host, with the certificate of the smoke test."""
    endpoints = ",".join(f"https://{address[name]}:2379" for name in MEMBERS)
    files = {"CACERT": "ca.crt", "CERT": "smoke.crt", "KEY": "smoke.key"}
    settings = {f"ETCDCTL_{name}": f"/etc/etcd-client/{file}" for name, file in files.items()}
    return lambda *argv: client("etcdctl", *argv, ETCDCTL_API="3", ETCDCTL_ENDPOINTS=endpoints, **settings)


@pytest.mark.parametrize("host", MEMBERS)
@pytest.mark.parametrize("unit", ["etcd", "patroni", "pgbouncer"])
def test_units_run_on_every_member(member, host, unit):
    assert member(host).service(unit).is_running
    assert member(host).service(unit).is_enabled


@pytest.mark.parametrize("host", MEMBERS)
def test_members_keep_their_secrets_and_know_no_consul(member, host):
    found = member(host).file("/etc/patroni/rsp/secrets.yml")
    assert found.mode & 0o077 == 0
    assert not member(host).file("/etc/consul.d").exists
    assert not member(host).file("/opt/rsp/consul").exists


def test_one_member_leads_and_one_is_synchronous(member):
    said = json.loads(member("a1").check_output("patronictl -c /etc/patroni/rsp list -f json"))
    roles = sorted(row["Role"] for row in said)
    assert roles == ["Leader", "Replica", "Sync Standby"]
    assert {row["State"] for row in said} == {"running", "streaming"}


def test_a_row_that_was_written_is_read_back(psql):
    psql("CREATE TABLE IF NOT EXISTS molecule (token int PRIMARY KEY)")
    psql("INSERT INTO molecule VALUES (1) ON CONFLICT DO NOTHING")
    assert psql("SELECT token, pg_is_in_recovery() FROM molecule") == "1|f"
    assert psql("SELECT pg_is_in_recovery()", READ) == "t"
    psql("DROP TABLE molecule")


def test_writes_are_refused_by_a_replica(psql):
    with pytest.raises(AssertionError, match="read-only transaction"):
        psql("CREATE TABLE refused ()", READ)


def test_plain_text_is_refused(psql):
    with pytest.raises(AssertionError, match="SSL required"):
        psql("SELECT 1", sslmode="disable")


def test_etcd_has_one_leader(member):
    script = "set -a; . /etc/etcd/etcdctl.env; exec etcdctl endpoint status --cluster -w json"
    status = [entry["Status"] for entry in json.loads(member("a1").check_output(f"sh -c '{script}'"))]
    assert len(status) == 3
    assert len({entry["leader"] for entry in status}) == 1
    assert {entry["leader"] for entry in status} <= {entry["header"]["member_id"] for entry in status}


def test_a_client_of_etcd_may_its_own_keys_only(etcdctl):
    assert etcdctl("put", "/rsp-smoke/molecule", "written") == "OK"
    assert etcdctl("get", "--print-value-only", "/rsp-smoke/molecule") == "written"
    assert etcdctl("del", "/rsp-smoke/molecule") == "1"
    with pytest.raises(AssertionError, match="permission denied"):
        etcdctl("get", "/service/")
