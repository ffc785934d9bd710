"""module_utils/http_client: against a real TLS server on loopback, because TLS is what it is for."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, HttpError, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.UTC)
CANARY = "canary-4711"


class Issuer:
    """A CA in a directory."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self.pem(f"{name}.crt", self._sign(self.name, self.key, days=30, ca=True))

    def pem(self, name: str, cert: x509.Certificate) -> str:
        path = self.folder / name
        path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def leaf(self, name: str, days: float, address: str = "127.0.0.1") -> tuple[str, str]:
        """Certificate and key files of a server or client at `address`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        key_path = self.folder / f"{name}.key"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return self.pem(f"{name}.crt", self._sign(subject, key, days, address=address)), str(key_path)

    def _sign(self, subject: x509.Name, key: Any, days: float, *, ca: bool = False, address: str = "127.0.0.1") -> Any:
        start, end = NOW - datetime.timedelta(days=9), NOW + datetime.timedelta(days=days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        return (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number(), start, end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(self.key, hashes.SHA256())
        )


class Handler(BaseHTTPRequestHandler):
    """Echoes what it got; the path says which answer is wanted."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[Any]] = set()

    def answer(self) -> None:
        self.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        echo = {"method": self.command, "body": body, "headers": {k.lower(): v for k, v in self.headers.items()}}
        texts = {
            "/echo": json.dumps(echo), "/empty": "", "/text": "plain words", "/denied": f"no {CANARY} for you",
            "/long": "x" * 5000, "/busy": '{"Healthy": false}',
        }  # fmt: skip
        text = texts[self.path].encode()
        self.send_response({"/denied": 403, "/long": 500, "/busy": 429}.get(self.path, 200))
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Index", "7")
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("ca"), "trusted")


def serve(cert: tuple[str, str], client_ca: str | None = None) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(issuer: Issuer) -> Iterator[str]:
    Handler.connections.clear()
    yield from serve(issuer.leaf("server", days=3.5))


@pytest.fixture
def client(url: str, issuer: Issuer) -> Iterator[JsonClient]:
    made = JsonClient(Connection(url, ca_path=issuer.ca, token=CANARY, headers={"X-Token": CANARY}))
    yield made
    made.close()


def test_json_travels_both_ways(client):
    answer = client.call("PUT", "/echo", json={"a": [1, None]})
    assert json.loads(answer.data["body"]) == {"a": [1, None]}
    assert answer.data["method"] == "PUT"
    assert answer.data["headers"]["content-type"] == "application/json"
    assert answer.data["headers"]["x-token"] == CANARY
    assert answer.headers["x-index"] == "7"


def test_raw_bytes_are_sent_as_they_are(client):
    assert client.call("PUT", "/echo", data=b'"quoted"').data["body"] == '"quoted"'


def test_false_and_empty_json_bodies_are_sent(client):
    assert client.call("PUT", "/echo", json=False).data["body"] == "false"
    assert client.call("POST", "/echo", json={}).data["body"] == "{}"


@pytest.mark.parametrize(("path", "data"), [("/empty", None), ("/text", "plain words")])
def test_answers_that_are_no_json(client, path, data):
    assert client.get(path) == data


def test_one_connection_serves_many_requests(client):
    for _ in range(5):
        client.get("/echo")
    assert len(Handler.connections) == 1


def test_a_closed_connection_is_opened_again(client):
    client.get("/echo")
    client.close()
    assert client.get("/echo")["method"] == "GET"
    assert len(Handler.connections) == 2


def test_basic_authentication(url, issuer):
    client = JsonClient(Connection(url, ca_path=issuer.ca, username="u", password="p:w"))
    sent = client.get("/echo")["headers"]["authorization"]
    client.close()
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"u:p:w"


def test_a_status_is_an_error_unless_it_is_accepted(client):
    with pytest.raises(HttpError) as caught:
        client.get("/busy")
    assert caught.value.status == 429
    assert caught.value.result == {"status": 429}
    assert client.call("GET", "/busy", accept=(200, 429)).data == {"Healthy": False}


def test_an_error_names_the_url_and_never_the_token(client):
    with pytest.raises(HttpError) as caught:
        client.get("/denied")
    assert "/denied: 403 no ******** for you" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_long_error_is_cut(client):
    with pytest.raises(HttpError) as caught:
        client.get("/long")
    assert len(str(caught.value)) < 400


def test_the_connection_works_after_an_error(client):
    with pytest.raises(HttpError):
        client.get("/denied")
    assert client.get("/text") == "plain words"


def test_secrets_are_not_in_repr():
    connection = Connection("https://x", token=CANARY, password=CANARY, headers={"X-Token": CANARY})
    assert CANARY not in repr(connection)


def test_certificate_days_come_from_the_presented_certificate(client):
    assert client.certificate_days() is None
    client.get("/echo")
    assert client.certificate_days() == pytest.approx(3.5, abs=0.02)
    assert client.certificate_days(NOW.timestamp() + 4 * 86400) == pytest.approx(-0.5, abs=0.02)


def test_an_unknown_ca_is_refused(url, tmp_path):
    with pytest.raises(DriverError, match=r"TLS: .*certificate"):
        JsonClient(Connection(url, ca_path=Issuer(tmp_path, "stranger").ca)).get("/echo")


@pytest.mark.parametrize(
    ("name", "days", "address", "reason"),
    [("expired", -1, "127.0.0.1", "expired"), ("elsewhere", 5, "127.0.0.9", "IP address mismatch")],
)
def test_bad_certificates_are_refused(issuer, name, days, address, reason):
    for url in serve(issuer.leaf(name, days=days, address=address)):
        with pytest.raises(DriverError, match=reason):
            JsonClient(Connection(url, ca_path=issuer.ca)).get("/echo")


def test_client_certificates(issuer):
    cert, key = issuer.leaf("client", days=5)
    for url in serve(issuer.leaf("mutual", days=5), client_ca=issuer.ca):
        good = JsonClient(Connection(url, ca_path=issuer.ca, cert_path=cert, key_path=key))
        assert good.get("/text") == "plain words"
        good.close()
        with pytest.raises(DriverError):
            JsonClient(Connection(url, ca_path=issuer.ca)).get("/text")


@pytest.mark.parametrize("option", ["ca_path", "cert_path"])
def test_missing_tls_files_are_named(url, issuer, option):
    files = {"ca_path": issuer.ca, option: "/nowhere/x.pem"}
    with pytest.raises(DriverError, match=r"cannot use the TLS files .*/nowhere/x.pem"):
        JsonClient(Connection(url, **files)).get("/echo")


def test_nothing_listens():
    with pytest.raises(DriverError, match=r"GET https://127.0.0.1:1/x: Connection refused"):
        JsonClient(Connection("https://127.0.0.1:1", timeout_s=2)).get("/x")


def test_plain_http_has_no_certificate():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    client = JsonClient(Connection(f"http://127.0.0.1:{server.server_port}"))
    assert client.get("/text") == "plain words"
    assert client.certificate_days() is None
    client.close()
    server.shutdown()
    server.server_close()


def test_options_that_are_none_keep_their_default():
    connection = Connection.from_params({"url": "https://x", "ca_path": None, "token": None, "timeout_s": 3.0})
    assert connection == Connection("https://x", timeout_s=3.0)
