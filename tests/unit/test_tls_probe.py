"""What a listener really serves: asked over real sockets, with a planted violation for every sentence."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.tls_probe import (
    SSL_REQUEST,
    Endpoint,
    Expected,
    Served,
    ask,
    ask_all,
)
from ansible_collections.rsp.platform.plugins.modules import tls_probe
from cryptography.hazmat.primitives import hashes
from module_call import call
from test_certificates import Leaf, make_ca

CA, OTHER = make_ca(), make_ca("Other")
LONG = Leaf(days=3000)
GOOD, CLIENT, STRANGER = LONG.signed_by(CA), LONG.signed_by(OTHER), LONG.signed_by(make_ca("Stranger"))


def sha256(pair):
    return pair.certificate.fingerprint(hashes.SHA256()).hex()


class Listener(threading.Thread):
    """Serves one certificate, behind what the protocol says before TLS."""

    def __init__(self, tmp_path, pair, before=b"", answer=b"", clients=None):
        super().__init__(daemon=True)
        self.before, self.answer = before, answer
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (tmp_path / "pair.pem").write_text(pair.pem + pair.key)
        self.context.load_cert_chain(tmp_path / "pair.pem")
        if clients:
            self.context.load_verify_locations(cadata=clients.pem)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _peer = self.socket.accept()
            try:
                if self.before and connection.recv(len(self.before)) == self.before:
                    connection.sendall(self.answer)
                with self.context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)
            except (OSError, ssl.SSLError):
                continue


@pytest.fixture
def listener(tmp_path):
    """Starts a listener; its endpoint is named x."""

    def started(pair=GOOD, protocol="tls", **how):
        made = Listener(tmp_path, pair, **how)
        return Endpoint("x", "127.0.0.1", made.port, protocol, asks_clients="clients" in how)

    return started


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"protocol": "postgresql", "before": SSL_REQUEST, "answer": b"S"},
        {"protocol": "consul_rpc", "before": b"\x03"},
    ],
)
def test_what_is_served(listener, how):
    served = ask(listener(**how), Expected(CA.pem, sha256(GOOD)))
    assert served.sha256 == sha256(GOOD)
    assert int(served.serial, 16) == GOOD.certificate.serial_number
    assert 2500 < served.days < 3000


@pytest.mark.parametrize(
    ("how", "expected", "text"),
    [
        ({}, Expected(OTHER.pem), "serves a certificate of another CA, or one that ended: unable to get local issuer"),
        ({"pair": Leaf(days=1).signed_by(CA)}, Expected(CA.pem), "or one that ended: certificate has expired"),
        ({}, Expected(CA.pem, sha256(CLIENT)), "still serves an older certificate, serial"),
        ({"protocol": "postgresql", "before": SSL_REQUEST, "answer": b"N"}, Expected(CA.pem), "offers no TLS"),
    ],
)
def test_what_is_not_as_it_should_be(listener, how, expected, text):
    with pytest.raises(DriverError, match=rf"^x \(127.0.0.1:\d+\) .*{text}"):
        ask(listener(**how), expected)


def test_a_listener_that_trusts_the_client_lets_it_in(listener):
    assert ask(listener(clients=OTHER), Expected(CA.pem, None, CLIENT.pem, CLIENT.key)).sha256 == sha256(GOOD)


def test_a_listener_that_does_not_trust_the_client_is_found(listener):
    with pytest.raises(DriverError, match=r"^x \(127.0.0.1:\d+\) refuses TLS: .*UNKNOWN_CA"):
        ask(listener(clients=OTHER), Expected(CA.pem, None, STRANGER.pem, STRANGER.key))


def test_nobody_there():
    with pytest.raises(DriverError, match=r"^x \(127.0.0.1:1\) does not answer: Connection refused"):
        ask(Endpoint("x", "127.0.0.1", 1), Expected(CA.pem))


def test_no_listener_proves_nothing():
    assert ask_all([], Expected(CA.pem), 0) == ([], ["there is no listener to ask, which proves nothing"])


@pytest.mark.parametrize(("late", "problems"), [(0, 0), (3, 0), (9, 1)])
def test_it_is_asked_until_it_is_right_or_time_is_over(late, problems):
    clock, asked = [0.0], []

    def question(endpoint, expected):
        asked.append(endpoint.name)
        if endpoint.name == "b" and asked.count("b") <= late:
            raise DriverError("b is late")
        return Served(endpoint.name, "", "", "", 1)

    def sleep(seconds):
        clock[0] += seconds

    endpoints = [Endpoint(name, "h", 1) for name in "ab"]
    served, found = ask_all(endpoints, Expected(CA.pem), 3, question=question, clock=lambda: clock[0], sleep=sleep)
    assert (len(served), found) == (2 - problems, ["b is late"] * problems)
    assert asked.count("a") == 1  # what was right is not asked again


def test_the_module_says_what_is_served_and_what_is_wrong(listener, capsys):
    at = listener()
    endpoints = [{"name": "x", "address": at.address, "port": at.port}]
    good = call(tls_probe.main, capsys, endpoints=endpoints, authority=CA.pem, sha256=sha256(GOOD), wait_s=0)
    assert [each["sha256"] for each in good["served"]] == [sha256(GOOD)]
    assert good["changed"] is False
    bad = call(tls_probe.main, capsys, endpoints=endpoints, authority=OTHER.pem, wait_s=0)
    assert bad["failed"] is True
    assert bad["problems"] == [bad["msg"]]
