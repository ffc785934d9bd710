"""consul_smoke: the round through servers with small servers in memory, the DNS with messages of RFC 1035."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from typing import Any

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.consul_smoke import (
    ask_dns,
    leaders,
    parse_addresses,
    smoke,
    udp,
    write_and_read,
)
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

NAME = "consul.service.consul"
LABELS = b"\x06consul\x07service\x06consul\x00"


def record(address: str | None = "10.0.0.11", kind: int = 1) -> bytes:
    data = socket.inet_aton(address) if address else b"\x01x\x00"
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


def message(*records: bytes, query_id: int = 1, flags: int = 0x8580, answers: int | None = None) -> bytes:
    count = len(records) if answers is None else answers
    return struct.pack(">6H", query_id, flags, 1, count, 0, 0) + LABELS + struct.pack(">HH", 1, 1) + b"".join(records)


class Server:
    """One server of a cluster that shares `store`; a split one keeps its own."""

    def __init__(self, store: dict[str, str], *, takes: bool = True, leader: str = "x:8300") -> None:
        self.store, self.takes, self.leader, self.reads = store, takes, leader, []

    def get(self, path: str) -> Any:
        return self.call("GET", path).data

    def call(self, method: str, path: str, data: bytes | None = None) -> Answer:
        if path == "/v1/status/leader":
            return Answer(200, self.leader, {})
        key = path.removeprefix("/v1/kv/").split("?")[0]
        if method == "PUT":
            self.store[key] = (data or b"").decode()
            return Answer(200, self.takes, {})
        if method == "DELETE":
            return Answer(200, bool(self.store.pop(key)), {})
        self.reads.append(path)
        return Answer(200, [{"Value": base64.b64encode(self.store.get(key, "nothing").encode()).decode()}], {})


def cluster() -> dict[str, Server]:
    store: dict[str, str] = {}
    return {name: Server(store) for name in ("a1", "b1", "c1")}


def test_every_server_writes_and_reads_and_nothing_stays():
    servers = cluster()
    assert write_and_read(servers, "rsp/smoke/ops 1") == ["a1", "b1", "c1"]
    assert [s.reads for s in servers.values()] == [["/v1/kv/rsp/smoke/ops%201?consistent"]] * 3
    assert servers["a1"].store == {}


def test_one_server_is_enough():
    assert write_and_read({"a1": Server({})}, "k") == ["a1"]


def test_no_server_proves_nothing():
    assert write_and_read({}, "k") == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"takes": False}, "b1 did not take the write of k"),
        ({"store": {}}, "b1 does not have what was written through a1"),
    ],
)
def test_a_broken_server_is_named(fault, problem):
    servers = cluster()
    servers["b1"] = Server(fault.get("store", servers["a1"].store), takes=fault.get("takes", True))
    with pytest.raises(DriverError, match=problem):
        write_and_read(servers, "k")


def test_a_server_without_a_leader_is_named():
    assert leaders(cluster()) == ["a1", "b1", "c1"]
    with pytest.raises(DriverError, match="b1 knows no leader"):
        leaders({**cluster(), "b1": Server({}, leader="")})


def test_dns_asks_and_understands():
    asked = []

    def send(query: bytes) -> bytes:
        asked.append(query)
        (query_id,) = struct.unpack_from(">H", query)
        return message(record("10.0.1.11"), record("10.0.0.11"), query_id=query_id)

    assert ask_dns(NAME + ".", send) == ["10.0.0.11", "10.0.1.11"]
    assert asked[0][12:] == LABELS + b"\x00\x01\x00\x01"


def test_records_of_other_kinds_are_passed_over():
    assert parse_addresses(message(record(None, kind=5), record()), 1, NAME) == ["10.0.0.11"]


def test_names_that_are_not_compressed():
    plain = LABELS + record()[2:]
    assert parse_addresses(message(plain), 1, NAME) == ["10.0.0.11"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (message(flags=0x8583), r"no address .*code 3"),
        (message(flags=0x8585), r"no address .*code 5"),
        (message(), "no address"),
        (message(record(), query_id=2), "no address"),
        (message(record())[:-2], "nonsense"),
        (message(record(), answers=2), "nonsense"),
        (b"", "nonsense"),
        (b"\x00\x01", "nonsense"),
    ],
)
def test_bad_answers(answer, reason):
    with pytest.raises(DriverError, match=reason):
        parse_addresses(answer, 1, NAME)


def test_dns_over_a_real_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            query, peer = server.recvfrom(4096)
            server.sendto(message(record(), query_id=struct.unpack_from(">H", query)[0]), peer)

        threading.Thread(target=serve, daemon=True).start()
        assert ask_dns(NAME, udp("127.0.0.1", server.getsockname()[1], 5)) == ["10.0.0.11"]


def test_a_silent_dns():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        with pytest.raises(DriverError, match=r"DNS does not answer for consul\.service\.consul"):
            ask_dns(NAME, udp("127.0.0.1", server.getsockname()[1], 0.05))


def options(**given: Any) -> dict[str, Any]:
    urls = {name: f"https://{name}" for name in ("a1", "b1", "c1")}
    return {"servers": urls, "key": "k", "dns": None, "connection": {"timeout_s": 1}, **given}


def connect_to(servers: dict[str, Server]) -> Any:
    return lambda url: servers[url.removeprefix("https://")]


@pytest.mark.parametrize("check", [True, False])
def test_what_is_counted(check):
    servers = cluster()
    outcome = smoke(options(), connect_to(servers), check)
    assert outcome == {"servers": ["a1", "b1", "c1"], "addresses": [], "checked": 3}
    assert bool(servers["a1"].reads) is not check


def test_zero_servers_are_a_failure():
    with pytest.raises(DriverError, match="nothing was checked"):
        smoke(options(servers={}), connect_to({}), check=False)


@pytest.mark.parametrize(
    ("expected", "found", "problem"),
    [
        ([], ["10.0.0.11"], None),
        (["10.0.0.11", "10.0.1.11"], ["10.0.0.11"], None),
        (["10.0.0.11"], ["10.0.0.11", "10.6.6.6"], "DNS names 10.6.6.6"),
        ([], [], "DNS names nobody"),
    ],
)
def test_addresses_of_strangers(monkeypatch, expected, found, problem):
    monkeypatch.setattr("ansible_collections.rsp.platform.plugins.module_utils.consul_smoke.ask_dns", lambda *_: found)
    dns = {"address": "127.0.0.1", "port": 8600, "name": NAME, "expected": expected}
    if problem:
        with pytest.raises(DriverError, match=problem):
            smoke(options(dns=dns), connect_to(cluster()), check=False)
    else:
        assert smoke(options(dns=dns), connect_to(cluster()), check=False)["checked"] == 4
