"""Doors that must be closed: without TLS, without a client certificate, without a token. Each has its open twin."""

from __future__ import annotations

import json
import ssl
import stat
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest


def get(url, lab, **headers):
    context = ssl.create_default_context(cafile=lab.ca)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=context) as answer:
        return answer.status, answer.read().decode()


def test_endpoints_are_private_and_complete(lab):
    mode = stat.S_IMODE((Path(lab.ca).parent / "endpoints.json").stat().st_mode)
    assert mode == 0o600
    for service in ("consul", "etcd", "postgresql"):
        assert lab.services[service]["rw"]
        assert len(lab.services[service]["members"]) == 3


@pytest.mark.parametrize("role", ["rw", "ro"])
def test_postgresql_answers_with_tls_only(lab, conninfo, role):
    wanted = lab.conninfo(role)
    with psycopg.connect(wanted) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        assert row is not None
        assert row[0] is (role == "ro")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(wanted.replace("sslmode=verify-full", "sslmode=disable"), connect_timeout=5)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(wanted.replace(" password=", " password=not-"), connect_timeout=5)


def test_postgresql_members_refuse_plain_text(lab, conninfo):
    for address in lab.services["postgresql"]["members"].values():
        host, port = address.rsplit(":", 1)
        direct = " ".join(p for p in conninfo.split() if not p.startswith(("host=", "port=", "sslmode=")))
        with psycopg.connect(f"{direct} host={host} port={port} sslmode=verify-full", connect_timeout=5) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry|no encryption"):
            psycopg.connect(f"{direct} host={host} port={port} sslmode=disable", connect_timeout=5)


def test_consul_denies_the_anonymous(lab):
    host = next(iter(lab.services["consul"]["members"]))
    assert lab.consul_put(host, "rsp/smoke/door", "open") is True
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{lab.consul_url(host)}/v1/kv/rsp/smoke/door", lab)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{lab.consul_url(host)}/v1/acl/policies", lab)


def test_etcd_wants_a_client_certificate(lab):
    address = next(iter(lab.services["etcd"]["members"].values()))
    url = address if address.startswith("https://") else f"https://{address}"
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        get(f"{url}/version", lab)


def test_patroni_refuses_unsafe_calls_without_credentials(lab):
    for url in lab.restapi().values():
        assert json.loads(get(f"{url}/cluster", lab)[1])["members"]
        request = urllib.request.Request(f"{url}/restart", data=b"{}", method="POST")
        with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
            urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=lab.ca))
