"""Secrets rotated while clients work: both hold for a while, then only the new ones do, and nobody is refused."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request

import psycopg
import pytest
from consul_ledger import ConsulWriter
from lab import secret, wait_until
from ledger import Writer, prepare, present
from rolling import job

CONSUL = ("gossip", "bootstrap-token", "monitor", "smoke", "operations", "dns", "agent/a1")
POSTGRESQL = ("postgresql/superuser", "postgresql/replication", "postgresql/rewind", "postgresql/restapi",
              "postgresql/smoke", "consul/patroni")  # fmt: skip
TABLE = "rotation_ledger"


def values(names):
    return {name: secret(name) for name in names}


def consul(lab, path, token):
    """Status and answer of Consul for a token."""
    request = urllib.request.Request(f"{lab.services['consul']['urls'][0]}{path}", headers={"X-Consul-Token": token})
    try:
        context = ssl.create_default_context(cafile=lab.ca)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def refused(lab, path, token):
    return consul(lab, path, token)[0] in (401, 403)


def test_consul_holds_both_until_the_old_ones_are_retired(lab):
    names = [f"consul/{name}" for name in CONSUL]
    old = values(names)
    writer = ConsulWriter(lab.services["consul"]["rw"], old["consul/smoke"], lab.ca, 0.01)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > 50, 30)
    code, output = job("rotate_secrets", "consul", "-e", "keep_old=true")
    assert code == 0, output[-4000:]
    new = values(names)
    assert all(new[name] != old[name] for name in names)
    for each in (old, new):
        assert consul(lab, "/v1/acl/token/self", each["consul/smoke"])[0] == 200
    writer.stop()
    writer.join(30)
    assert (writer.ledger.errors, writer.lost()) == ([], set())

    # The client has the new one, as its contract tells it where to read it; then the old ones go.
    writer = ConsulWriter(lab.services["consul"]["rw"], new["consul/smoke"], lab.ca, 0.01)
    writer.start()
    wait_until("the writer writes again", lambda: len(writer.ledger.acked) > 50, 30)
    code, more = job("rotate_secrets", "consul")
    assert code == 0, more[-4000:]
    writer.stop()
    writer.join(30)
    assert (writer.ledger.errors, writer.lost()) == ([], set())
    assert values(names) == new
    for name in names[1:]:
        assert refused(lab, "/v1/acl/token/self", old[name]), name
        assert not refused(lab, "/v1/acl/token/self", new[name]), name
    [pool] = consul(lab, "/v1/operator/keyring", new["consul/bootstrap-token"])[1]
    assert list(pool["Keys"]) == [new["consul/gossip"]]
    for value in (*old.values(), *new.values()):
        assert value not in output + more


def test_postgresql_gets_new_passwords_under_load(lab, conninfo):
    old = values(POSTGRESQL)
    prepare(conninfo, TABLE)
    writer = Writer(conninfo, TABLE, 0.01)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > 50, 30)
    code, output = job("rotate_secrets", "postgresql")
    assert code == 0, output[-4000:]
    enough = len(writer.ledger.acked) + 50
    wait_until("the writer still writes", lambda: len(writer.ledger.acked) > enough, 30)
    writer.stop()
    writer.join(30)
    assert writer.ledger.errors == []
    new = values(POSTGRESQL)
    assert all(new[name] != old[name] for name in POSTGRESQL)
    assert set(writer.ledger.acked) <= present(lab.conninfo(), TABLE)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)
    # Replicas that have to come anew are let in with the new password
    psql = ("runuser", "-u", "postgres", "--", "psql", "-XAtc")
    lab.on(lab.primary(), *psql, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication")
    wait_until("every replica streams again", lab.whole, 60)
    assert refused(lab, "/v1/acl/token/self", old["consul/patroni"])
    request = urllib.request.Request(f"{lab.services['postgresql']['restapi'][0]}/reload", method="POST")
    request.add_header(
        "Authorization", "Basic " + base64.b64encode(f"patroni:{old['postgresql/restapi']}".encode()).decode()
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=lab.ca))
    for value in (*old.values(), *new.values()):
        assert value not in output


def test_etcd_root_and_operations():
    names = ("etcd/root", "etcd/operations")
    old = values(names)
    code, output = job("rotate_secrets", "etcd")
    assert code == 0, output[-4000:]
    new = values(names)
    assert all(new[name] != old[name] for name in names)
    code, output = job("site", "etcd", "--tags", "etcd")  # root logs in with it, and nothing is out of line
    assert code == 0, output[-4000:]
