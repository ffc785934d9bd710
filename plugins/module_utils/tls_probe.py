# SPDX-License-Identifier: Apache-2.0
"""Asks a listener for the certificate that it serves at this moment, and whether it lets a client certificate in."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

TIMEOUT_S = 5.0
# A server of TLS 1.3 judges the client after the handshake: an alert comes with the first read, silence is consent.
VERDICT_S = 1.0
# PostgreSQL's request for TLS, and how Consul's port for servers is asked for it
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CONSUL_TLS = b"\x03"
PROTOCOLS = ("tls", "postgresql", "consul_rpc")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A listener.

    Attributes:
        protocol: what comes before the handshake, one of PROTOCOLS.
        asks_clients: whether it refuses clients whose certificate no trusted CA has signed.
    """

    name: str
    address: str
    port: int
    protocol: str = "tls"
    asks_clients: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be served.

    Attributes:
        authority: PEM of the only CA that the served certificate may chain to.
        sha256: fingerprint of the certificate in hexadecimal digits; None: any.
        certificate, key: PEM of a client certificate that listeners which ask for one must let in; None: not tried.
    """

    authority: str
    sha256: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What a listener served."""

    name: str
    sha256: str
    serial: str
    not_after: str
    days: float

    def as_dict(self) -> dict[str, Any]:
        """Keys of the module result."""
        return {name: getattr(self, name) for name in ("name", "sha256", "serial", "not_after", "days")}


def ask(endpoint: Endpoint, expected: Expected) -> Served:
    """The certificate that is served. Raises DriverError with the listener's name when it is not what is expected."""
    where = f"{endpoint.name} ({endpoint.address}:{endpoint.port})"
    try:
        with _connected(endpoint, expected) as tls:
            described, raw = tls.getpeercert() or {}, tls.getpeercert(binary_form=True) or b""
            if endpoint.asks_clients and expected.certificate:
                _let_in(tls)
    except ssl.SSLCertVerificationError as err:
        raise DriverError(
            f"{where} serves a certificate of another CA, or one that ended: {err.verify_message}"
        ) from None
    except ssl.SSLError as err:
        raise DriverError(f"{where} refuses TLS: {err.reason or err}") from None
    except OSError as err:
        raise DriverError(f"{where} does not answer: {err.strerror or err}") from None
    return judged(endpoint, expected, described, raw, time.time())


def judged(endpoint: Endpoint, expected: Expected, described: Mapping[str, Any], raw: bytes, now: float) -> Served:
    """A certificate as ssl describes it, compared with what is expected."""
    found, not_after = hashlib.sha256(raw).hexdigest(), str(described.get("notAfter", ""))
    days = round((ssl.cert_time_to_seconds(not_after) - now) / 86400, 4) if not_after else 0.0
    if expected.sha256 and found != expected.sha256:
        raise DriverError(
            f"{endpoint.name} ({endpoint.address}:{endpoint.port}) still serves an older certificate, "
            f"serial {described.get('serialNumber')}, which ends {not_after}"
        )
    return Served(endpoint.name, found, str(described.get("serialNumber", "")), not_after, days)


def ask_all(
    endpoints: Sequence[Endpoint],
    expected: Expected,
    wait_s: float,
    *,
    question: Callable[[Endpoint, Expected], Served] = ask,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[Served], list[str]]:
    """What each listener serves, and what is still wrong after `wait_s`. No listener at all is wrong too."""
    if not endpoints:
        return [], ["there is no listener to ask, which proves nothing"]
    end = clock() + wait_s
    served: dict[str, Served] = {}
    while True:
        problems = []
        for endpoint in endpoints:
            if endpoint.name in served:
                continue
            try:
                served[endpoint.name] = question(endpoint, expected)
            except DriverError as err:
                problems.append(str(err))
        if not problems or clock() >= end:
            return list(served.values()), problems
        sleep(0.5)


@contextmanager
def _connected(endpoint: Endpoint, expected: Expected) -> Iterator[ssl.SSLSocket]:
    """A finished handshake in which the server's chain was verified; names are not, the address is our own list's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.load_verify_locations(cadata=expected.authority)
    if expected.certificate and expected.key:
        _load_pair(context, expected.certificate, expected.key)
    with socket.create_connection((endpoint.address, endpoint.port), timeout=TIMEOUT_S) as plain:
        if endpoint.protocol == "postgresql":
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise DriverError(f"{endpoint.name} ({endpoint.address}:{endpoint.port}) offers no TLS")
        elif endpoint.protocol == "consul_rpc":
            plain.sendall(CONSUL_TLS)
        with context.wrap_socket(plain) as tls:
            yield tls


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give the context a key from memory: ssl reads files only, and a key does not belong into one."""
    descriptor = os.memfd_create("rsp-client", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{certificate}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _let_in(tls: ssl.SSLSocket) -> None:
    """Wait for the alert with which a server refuses a client's certificate; a timeout means that none came."""
    tls.settimeout(VERDICT_S)
    try:
        if tls.recv(1) == b"":
            raise OSError("it closed the connection of a client with a certificate of the new CA")
    except TimeoutError:
        return
