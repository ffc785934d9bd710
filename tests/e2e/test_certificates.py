"""Certificates of ten minutes and the platform's CA, renewed and rolled while clients work: nobody is refused."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from consul_ledger import ConsulWriter
from cryptography import x509
from lab import secret, wait_until
from ledger import Writer, prepare, present
from rolling import results

TABLE = "certificates_ledger"
MEMBER = "c1"
BROKEN = "/run/systemd/system/pgbouncer.service.d/zz-planted.conf"


class NewClients(threading.Thread):
    """Comes anew ten times a second, as a client that keeps no connection: it reads the CA file each time.

    Patroni closes and opens its REST API to take a certificate, which resets who waits there at that moment.
    HAProxy asks three times before it believes a bad answer, so its clients see none of it: these are counted apart.
    """

    def __init__(self, lab, conninfo):
        super().__init__(daemon=True)
        self.served, self.errors, self.reopened, self.done = 0, [], [], threading.Event()
        self.ca, self.conninfo = lab.ca, conninfo
        self.urls = [f"{url}/v1/status/leader" for url in lab.services["consul"]["urls"]]
        self.urls += [f"{url}/health" for url in lab.services["postgresql"]["restapi"]]
        self.headers = {"X-Consul-Token": secret(lab.services["consul"]["password"]["secret"])}

    def run(self):
        turn = 0
        while not self.done.wait(0.1):
            turn += 1
            url = self.urls[turn % len(self.urls)]
            try:
                with psycopg.connect(self.conninfo) as connection:
                    connection.execute("SELECT 1")
                request = urllib.request.Request(url, headers=self.headers)
                tls = ssl.create_default_context(cafile=self.ca)
                urllib.request.urlopen(request, timeout=10, context=tls).close()
                self.served += 1
            except (psycopg.Error, OSError) as error:
                reset = isinstance(getattr(error, "reason", error), ConnectionResetError | ConnectionRefusedError)
                where = self.reopened if reset and url.endswith("/health") else self.errors
                where.append((time.time(), f"{url}: {error}"))


class Load:
    """Writers that keep their connection, and clients that never do."""

    def __init__(self, lab, conninfo):
        prepare(conninfo, TABLE)
        consul = lab.services["consul"]
        self.conninfo = conninfo
        self.rows = Writer(conninfo, TABLE, 0.01)
        self.keys = ConsulWriter(consul["rw"], secret(consul["password"]["secret"]), lab.ca, 0.01)
        self.new = NewClients(lab, conninfo)

    def __enter__(self):
        for each in (self.rows, self.keys, self.new):
            each.start()
        wait_until("everybody works", lambda: len(self.rows.ledger.acked) > 50 and len(self.keys.ledger.acked) > 50, 30)
        return self

    def __exit__(self, *_error):
        self.rows.stop()
        self.keys.stop()
        self.new.done.set()
        for each in (self.rows, self.keys, self.new):
            each.join(30)
        print(
            f"rows {len(self.rows.ledger.acked)}, keys {len(self.keys.ledger.acked)}, new clients {self.new.served}; "
            f"errors {len(self.rows.ledger.errors)}, {len(self.keys.ledger.errors)}, {len(self.new.errors)}; "
            f"reset while Patroni opened its REST API anew {len(self.new.reopened)}"
        )

    def check(self):
        """Nothing failed and nothing that was acknowledged is lost."""
        assert self.rows.ledger.errors == []
        assert self.keys.ledger.errors == []
        assert self.new.errors == []
        assert self.new.served > 50
        assert len(self.new.reopened) < self.new.served / 100, self.new.reopened
        assert set(self.rows.ledger.acked) <= present(self.conninfo, TABLE)
        assert self.keys.lost() == set()


def served(address, port, greeting=b""):
    """Serial number of the certificate that a listener serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=5) as plain:
        if greeting:
            plain.sendall(greeting)
            assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as tls:
            raw = tls.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(raw)


def all_served(lab):
    """What every listener of the lab serves, by host and port."""
    tls_please = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    found = {}
    for name, at in lab.services["postgresql"]["members"].items():
        address = at.rsplit(":", 1)[0]
        ports = {8501: b"", 2379: b"", 8008: b"", 5432: tls_please, 6432: tls_please}
        found |= {(name, port): served(address, port, greeting) for port, greeting in ports.items()}
    backups = [*lab.services["postgresql"]["members"], "ops"]
    found |= {(name, 8432): served(lab.address(name), 8432) for name in backups}
    return found | {(name, port): served(lab.address(name), port) for name, port in (("ops", 8404), ("store", 7443))}


def ended(certificate):
    return certificate.not_valid_after_utc.timestamp() < time.time()


def authorities(lab):
    return Path(lab.ca).read_text(encoding="utf-8").count("BEGIN CERTIFICATE")


@pytest.mark.parametrize(
    ("arguments", "days"),
    [
        (("-e", "force=true", "-e", '{"pki_leaf_days": 0.0069, "pki_renew_days_left": 0.002}'), (0.0005, 0.0069)),
        ((), (80, 90)),  # what has ten minutes is due by itself
    ],
)
def test_certificates_are_renewed_and_nobody_notices(lab, conninfo, job, arguments, days):
    before = all_served(lab)
    with Load(lab, conninfo) as load:
        code, output = job("renew_certificates", *arguments)
    assert code == 0, output[-4000:]
    load.check()
    after = all_served(lab)
    for place, certificate in after.items():
        left = (certificate.not_valid_after_utc.timestamp() - time.time()) / 86400
        assert certificate.serial_number != before[place].serial_number, place
        assert days[0] < left < days[1], (place, left)


def test_what_is_not_due_is_left_alone(lab, job):
    before = {place: each.serial_number for place, each in all_served(lab).items()}
    code, output = job("renew_certificates")
    assert code == 0, output[-4000:]
    assert {place: each.serial_number for place, each in all_served(lab).items()} == before
    changed = {task for task, _, state in results(output) if state == "changed"}
    assert changed == {"Lock | Hold, release or read the lock of a cluster, once per play"}


def test_check_mode_says_what_a_roll_would_do_and_does_nothing(lab, job):
    code, output = job("renew_certificates", "-e", "authority=true", "--check")
    assert code == 0, output[-4000:]
    assert authorities(lab) == 1


def test_the_authority_is_rolled_but_never_over_a_member_that_serves_the_old_one(lab, conninfo, job):
    """Planted: the pooler of one member can't be reloaded. The roll stops before the old CA goes, and then goes on."""
    old = {certificate.issuer.public_bytes() for certificate in all_served(lab).values()}
    ca_before = Path(lab.ca).read_text(encoding="utf-8")
    roll = ("renew_certificates", "-e", "authority=true", "-e", "confirm=rsp-local")
    planted = f"mkdir -p {Path(BROKEN).parent}; printf '[Service]\\nExecReload=\\nExecReload=/bin/true\\n' > {BROKEN}"
    with Load(lab, conninfo) as load:
        lab.on(MEMBER, "sh", "-c", f"{planted}; systemctl daemon-reload")
        try:
            code, output = job(*roll)
        finally:
            lab.on(MEMBER, "sh", "-c", f"rm {BROKEN}; systemctl daemon-reload")
        assert code != 0
        assert re.search(r"pgBouncer \(.*\) serves a certificate of another CA", output), output[-4000:]
        assert secret("pki/ca/roll") == "issue"
        assert authorities(lab) == 2
        code, output = job(*roll)
        assert code == 0, output[-4000:]
    load.check()
    assert authorities(lab) == 1
    assert Path(lab.ca).read_text(encoding="utf-8") != ca_before
    assert old  # same names, another key: the CA file alone decides
    ssl_context = ssl.create_default_context(cafile=lab.ca)
    for url in lab.services["postgresql"]["restapi"]:
        urllib.request.urlopen(f"{url}/health", timeout=10, context=ssl_context).close()


def test_a_platform_whose_certificates_have_all_ended_is_brought_back_by_a_run(lab, conninfo, job, unit_times):
    """Planted: each certificate lasts four minutes. Nobody can be reached then; site.yml issues anew, no restart."""
    started = unit_times()
    minutes = {"pki_leaf_days": 0.0028, "pki_renew_days_left": 0, "pki_issued_before": time.time()}
    job("site", "-e", json.dumps(minutes))  # on a slow machine it ends after they do, so how it ends says nothing
    wait_until("every certificate has ended", lambda: all(ended(each) for each in all_served(lab).values()), 300)
    tls = ssl.create_default_context(cafile=lab.ca)
    with pytest.raises(urllib.error.URLError, match="certificate has expired"):
        urllib.request.urlopen(lab.services["consul"]["urls"][0], timeout=10, context=tls)
    code, output = job("site")
    assert code == 0, output[-4000:]
    assert not any(ended(each) for each in all_served(lab).values())
    assert unit_times() == started
    wait_until("the cluster is whole", lab.whole, 60)
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
