# SPDX-License-Identifier: Apache-2.0
"""Uses Consul as a client does: writes through one server, reads through another, asks the DNS."""

from __future__ import annotations

import base64
import secrets
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.rsp.platform.plugins.module_utils.http_client import JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

TYPE_A, CLASS_IN, RECURSION_DESIRED = 1, 1, 0x0100
HEADER = struct.Struct(">6H")  # id, flags, questions, answers, authorities, additional
RECORD = struct.Struct(">HHIH")  # type, class, time to live, length
POINTER = 0xC0
RCODE = 0x000F


def write_and_read(clients: Mapping[str, JsonClient], key: str) -> list[str]:
    """Write a new value through each server and read it through the next one; the key is deleted at the end.

    Args:
        clients: a client for each server by name; a server that fails is an error that names it.
        key: path of the key; this client's own.

    Returns:
        Names of the servers that took a write and answered a read.
    """
    names = list(clients)
    path = f"/v1/kv/{quote(key)}"
    for writer, reader in zip(names, names[1:] + names[:1], strict=True):
        value = secrets.token_hex(8)
        if clients[writer].call("PUT", path, data=value.encode()).data is not True:
            raise DriverError(f"{writer} did not take the write of {key}")
        found = clients[reader].get(f"{path}?consistent")[0]["Value"]
        if base64.b64decode(found).decode() != value:
            raise DriverError(f"{reader} does not have what was written through {writer}")
    if names:
        clients[names[0]].call("DELETE", path)
    return names


def leaders(clients: Mapping[str, JsonClient]) -> list[str]:
    """Ask each server who leads, without writing; names of those that know a leader."""
    for name, client in clients.items():
        if not client.get("/v1/status/leader"):
            raise DriverError(f"{name} knows no leader")
    return list(clients)


def ask_dns(name: str, send: Callable[[bytes], bytes]) -> list[str]:
    """IPv4 addresses of a name. `send` carries one DNS message there and back."""
    query_id = secrets.randbelow(1 << 16)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    question = labels + b"\0" + struct.pack(">HH", TYPE_A, CLASS_IN)
    try:
        answer = send(HEADER.pack(query_id, RECURSION_DESIRED, 1, 0, 0, 0) + question)
    except OSError as err:
        raise DriverError(f"DNS does not answer for {name}: {err}") from err
    return parse_addresses(answer, query_id, name)


def parse_addresses(message: bytes, query_id: int, name: str) -> list[str]:
    """The A records of an answer. Anything else than a good answer to this question raises DriverError."""
    try:
        got_id, flags, questions, answers, _authorities, _additional = HEADER.unpack_from(message)
        if got_id != query_id or flags & RCODE or not answers:
            raise DriverError(f"DNS has no address for {name} (code {flags & RCODE})")
        at = HEADER.size
        for _question in range(questions):
            at = _after_name(message, at) + 4
        found = []
        for _answer in range(answers):
            at = _after_name(message, at)
            kind, _class, _ttl, length = RECORD.unpack_from(message, at)
            at += RECORD.size
            if kind == TYPE_A:
                found.append(socket.inet_ntoa(message[at : at + length]))
            at += length
    except (struct.error, IndexError, OSError) as err:
        raise DriverError(f"DNS answered nonsense for {name}: {err}") from err
    return sorted(found)


def _after_name(message: bytes, at: int) -> int:
    """The offset behind a name, which is labels and at last a zero or a pointer."""
    while message[at]:
        if message[at] >= POINTER:
            return at + 2
        at += message[at] + 1
    return at + 1


def udp(address: str, port: int, timeout_s: float) -> Callable[[bytes], bytes]:
    """A `send` for ask_dns over UDP."""

    def send(message: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect((address, port))
            sock.send(message)
            return sock.recv(4096)

    return send


def smoke(options: Mapping[str, Any], connect: Callable[[str], JsonClient], check: bool) -> dict[str, Any]:
    """Everything that the module does; `checked` is the number of servers and DNS addresses that proved themselves."""
    clients = {name: connect(url) for name, url in options["servers"].items()}
    passed = leaders(clients) if check else write_and_read(clients, options["key"])
    addresses: list[str] = []
    if dns := options["dns"]:
        addresses = ask_dns(dns["name"], udp(dns["address"], dns["port"], options["connection"]["timeout_s"]))
        strangers = set(addresses) - set(dns["expected"]) if dns["expected"] else set()
        if strangers or not addresses:
            raise DriverError(f"DNS names {', '.join(sorted(strangers)) or 'nobody'} for {dns['name']}")
    if not passed:
        raise DriverError("no server was given: nothing was checked")
    return {"servers": passed, "addresses": addresses, "checked": len(passed) + bool(dns)}
