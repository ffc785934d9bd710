"""Certificates that nobody accepts: made for the host's key, shown by a listener, refused by a client, taken back."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds, effects, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.certificate import sha256_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, UnavailableError
from ansible_collections.rsp.platform.plugins.plugin_utils import chaos_certificates
from chaos_data import host
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
NAME = "pki/a1/consul"


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def private(key):
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


class Store:
    """A secret store with a CA and a certificate of a1."""

    def __init__(self):
        now = datetime.datetime.now(datetime.UTC)
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name, name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("the CA", "a1"))

        def builder(issuer, subject, public):
            made = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            return made.not_valid_before(now - DAY).not_valid_after(now + 9 * DAY)

        ca = builder(ca_name, ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
        sans = x509.SubjectAlternativeName([x509.DNSName("a1")])
        own = builder(ca_name, name, key.public_key()).add_extension(sans, False)
        self.values = {
            "pki/ca/cert": pem(ca.sign(ca_key, hashes.SHA256())), "pki/ca/key": private(ca_key),
            f"{NAME}/cert": pem(own.sign(ca_key, hashes.SHA256())), f"{NAME}/key": private(key),
        }  # fmt: skip

    def get(self, name):
        return self.values.get(name)


@pytest.fixture(scope="module")
def store():
    return Store()


def made(store, kind):
    return chaos_certificates.made(store, NAME, kind)


@pytest.mark.parametrize("kind", ["certificate_expired", "certificate_wrong"])
def test_it_says_the_same_for_the_same_key_and_only_one_thing_is_wrong(store, kind):
    text = made(store, kind)
    found, own = (x509.load_pem_x509_certificate(t.encode()) for t in (text, store.get(f"{NAME}/cert")))
    ca = x509.load_pem_x509_certificate(store.get("pki/ca/cert").encode())
    assert (found.subject, found.issuer) == (own.subject, own.issuer)
    assert found.public_key() == own.public_key()
    assert [e.value for e in found.extensions] == [e.value for e in own.extensions]
    now = datetime.datetime.now(datetime.UTC)
    assert (found.not_valid_after_utc < now) is (kind == "certificate_expired")
    if kind == "certificate_expired":
        found.verify_directly_issued_by(ca)
    else:
        with pytest.raises(InvalidSignature):
            found.verify_directly_issued_by(ca)
    assert text.endswith(store.get("pki/ca/cert"))
    assert sha256_of(text) == found.fingerprint(hashes.SHA256()).hex()


def test_without_the_key_of_the_ca_an_expired_one_is_unavailable_and_never_faked(store):
    class Corporate(Store):
        def get(self, name):
            return None if name == "pki/ca/key" else store.get(name)

    with pytest.raises(UnavailableError, match="pki/ca/key is not in the secret store"):
        made(Corporate(), "certificate_expired")
    assert made(Corporate(), "certificate_wrong")


def test_a_store_that_is_not_described_is_a_refusal():
    with pytest.raises(ChaosError, match="a1: platform_secrets is not set"):
        chaos_certificates.issuer(None, "consul")("a1", "certificate_wrong")


# --- a real listener ---------------------------------------------------------------------------------------------


class Listener:
    """TLS with a certificate that it reads anew when it is told to; PostgreSQL's way of asking when wanted."""

    def __init__(self, folder, store, protocol):
        self.cert, self.key, self.protocol = folder / "x.crt", folder / "x.key", protocol
        self.key.write_text(store.get(f"{NAME}/key"))
        self.cert.write_text(store.get(f"{NAME}/cert") + store.get("pki/ca/cert"))
        self.cert.chmod(0o640)
        self.reload()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def reload(self):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, self.key)

    def _serve(self):
        while True:
            try:
                plain, _address = self.socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain:
                if self.protocol == "postgresql":
                    assert plain.recv(8) == deeds.SSL_REQUEST
                    plain.sendall(b"S")
                with self.context.wrap_socket(plain, server_side=True) as tls:
                    tls.recv(1)


@pytest.fixture(params=["tls", "postgresql"])
def listener(request, tmp_path, store, monkeypatch):
    made_ = Listener(tmp_path, store, request.param)
    (tmp_path / "ca.crt").write_text(store.get("pki/ca/cert"))

    def run(argv, ok=(0,), timeout_s=60):
        if argv[1] == "reload":
            made_.reload()
        return "active"

    monkeypatch.setattr(steps, "run", run)
    yield made_
    made_.socket.close()


def params(listener, text):
    return {
        "pem": text, "address": "127.0.0.1", "path": str(listener.cert), "units": ["x.service"],
        "ca_path": str(listener.cert.parent / "ca.crt"), "port": listener.port, "protocol": listener.protocol,
    }  # fmt: skip


def plan_of(kind, tmp_path, given):
    look = host(tmp_path / "host")
    object.__setattr__(look, "root", Path("/"))
    return KINDS[kind].plan(given, look, "x")


@pytest.mark.parametrize(("kind", "why"), [("certificate_expired", "expired"), ("certificate_wrong", "")])
def test_a_client_refuses_it_and_the_undo_is_byte_equal(tmp_path, store, listener, kind, why):
    before_text, before_mode = listener.cert.read_bytes(), listener.cert.stat().st_mode
    plan = plan_of(kind, tmp_path, params(listener, made(store, kind)))
    before = steps.fingerprint(plan.fingerprint)
    assert effects.prove(plan.effect)[0] is False, "before the fault nothing is proved"
    for step in plan.inject:
        steps.DO[step["do"]](step)
    good, [said] = effects.prove(plan.effect)
    assert good, said
    assert why in said
    assert steps.differences(plan.fingerprint, before, steps.fingerprint(plan.fingerprint)) != []
    record = {"undo": plan.undo, "fingerprint": plan.fingerprint, "before": before}
    assert steps.undo(record, settle_s=0) == []
    assert steps.undo(record, settle_s=0) == [], "twice is once"
    assert (listener.cert.read_bytes(), listener.cert.stat().st_mode) == (before_text, before_mode)
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_a_listener_that_did_not_read_it_again_is_no_effect_and_no_undo(tmp_path, store, listener, monkeypatch):
    plan = plan_of("certificate_wrong", tmp_path, params(listener, made(store, "certificate_wrong")))
    before = steps.fingerprint(plan.fingerprint)
    reload, listener.reload = listener.reload, lambda: None
    for step in plan.inject:
        steps.DO[step["do"]](step)
    good, [said] = effects.prove(plan.effect)
    assert (good, "does not show the certificate" in said) == (False, True)
    reload()
    wrong = steps.undo({"undo": plan.undo, "fingerprint": plan.fingerprint, "before": before}, settle_s=0)
    assert len(wrong) == 1, "the file is as it was, what is served is not"


def test_a_certificate_that_clients_accept_proves_nothing(listener):
    proof = {
        **params(listener, ""), "see": "refused", "because": "", "sha256": sha256_of(listener.cert.read_text()),
    }  # fmt: skip
    assert effects.prove([proof]) == (False, [f"127.0.0.1:{listener.port} is not refused"])


def test_refused_for_another_reason_is_not_expired(tmp_path, store, listener):
    text = made(store, "certificate_wrong")
    listener.cert.write_text(text)
    listener.reload()
    proof = {**params(listener, text), "see": "refused", "because": "expired", "sha256": sha256_of(text)}
    assert effects.prove([proof])[0] is False
    assert effects.prove([{**proof, "because": ""}])[0] is True


def test_nobody_who_listens_is_seen_as_that():
    assert deeds.served({"address": "127.0.0.1", "port": 1, "protocol": "tls"}).startswith("nothing: ")


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"path": ""}, UnavailableError, "path"),
        ({"pem": None}, UnavailableError, "pem"),
        ({"path": "/no/such/file"}, ChaosError, "is no file"),
        ({"pem": "no certificate"}, ChaosError, "there is no certificate"),
        ({"pem": "its own"}, ChaosError, "this very certificate"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_armed(tmp_path, store, changes, error, text):
    (tmp_path / "x.crt").write_text(store.get(f"{NAME}/cert"))
    given = {
        "pem": made(store, "certificate_wrong"), "address": "10.0.0.1", "path": str(tmp_path / "x.crt"),
        "units": ["x.service"], "ca_path": "/ca", "port": 1, "protocol": "tls", **changes,
    }  # fmt: skip
    if given["pem"] == "its own":
        given["pem"] = store.get(f"{NAME}/cert")
    with pytest.raises(error, match=text):
        plan_of("certificate_wrong", tmp_path, given)


@pytest.mark.parametrize(
    ("state", "verb"), [("active", "reload"), ("activating", "kill"), ("failed", None), ("inactive", None)]
)
def test_a_unit_reads_again_in_any_state(state, verb):
    calls = []
    deeds.reread({"unit": "x.service"}, lambda argv, **_options: calls.append(argv[1]) or state)
    assert calls == ["is-active", *([verb] if verb else [])]
