"""The ledger's writer against a real HTTP server that misbehaves as Consul's servers do, and read back as the run does.

Whatever goes wrong on the way, an honest store is never accused, and a store that forgets is caught with every token.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import workload, writer
from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import Operation, classify
from ansible_collections.rsp.platform.plugins.module_utils.chaos.measures import measure
from ansible_collections.rsp.platform.plugins.module_utils.chaos.workload import Workload

PREFIX = "/v1/kv/rsp/smoke/chaos/"
TOKEN = "4b1d-secret"
HONEST = ("ok", "dead", "no_leader", "denied", "applied_then_dead", "applied_then_500", "asked_twice")


class Store:
    """Keys of a cluster, and how its servers behave at the moment."""

    def __init__(self):
        self.keys, self.index, self.lock = {}, 0, threading.Lock()
        self.modes = {}  # port → mode
        self.forgotten, self.seen_tokens = [], set()

    def put(self, key, value):
        """As with cas=0: only once."""
        with self.lock:
            if key in self.keys:
                return False
            self.index += 1
            self.keys[key] = (value, self.index)
            return True

    def below(self, prefix):
        with self.lock:
            return [
                {"Key": key, "Value": base64.b64encode(value.encode()).decode(), "CreateIndex": index}
                for key, (value, index) in self.keys.items()
                if key.startswith(prefix)
            ]


class Handler(BaseHTTPRequestHandler):
    """One server."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet
    store = None

    def log_message(self, *_arguments):
        return

    def mode(self):
        self.store.seen_tokens.add(self.headers.get("X-Consul-Token"))
        return self.store.modes.get(self.server.server_address[1], "ok")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def die(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        key, mode = self.path.partition("?")[0], self.mode()
        assert self.path.endswith("?cas=0")
        if mode == "dead":
            return self.die()
        if mode in ("no_leader", "denied"):
            return self.answer(*{"no_leader": (500, b"No cluster leader"), "denied": (403, b"ACL not found")}[mode])
        if mode == "forgets":
            self.store.forgotten.append(int(body))
            return self.answer(200, b"true\n")
        made = self.store.put(key, body)
        if mode == "asked_twice":
            made = self.store.put(key, body)  # the server asks the next leader: its own first write is there
        if mode == "applied_then_dead":
            return self.die()
        if mode == "applied_then_500":
            return self.answer(500, b"leadership lost while committing log")
        return self.answer(200, b"true\n" if made else b"false\n")

    def do_GET(self):
        path, _mark, query = self.path.partition("?")
        if self.mode() == "dead":
            return self.die()
        found = (
            self.store.below(path) if "recurse" in query else [e for e in self.store.below(path) if e["Key"] == path]
        )
        return self.answer(200, json.dumps(found).encode()) if found else self.answer(404, b"")

    def do_DELETE(self):
        with self.store.lock:
            self.store.keys = {
                k: v for k, v in self.store.keys.items() if not k.startswith(self.path.partition("?")[0])
            }
        return self.answer(200, b"true\n")


class Server(ThreadingHTTPServer):
    """One address; the original asks the DNS for its name."""

    daemon_threads = True

    def server_bind(self):
        TCPServer.server_bind(self)


@pytest.fixture
def cluster(monkeypatch):
    """Three servers over one store, spoken to without TLS."""
    store = Store()
    handler = type("Own", (Handler,), {"store": store})
    servers = [Server(("127.0.0.1", 0), handler) for _ in range(3)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    store.ports = [server.server_address[1] for server in servers]
    monkeypatch.setattr(writer.ssl, "create_default_context", lambda **_options: None)
    monkeypatch.setattr(writer.http.client, "HTTPSConnection", plain)
    monkeypatch.setattr(workload, "AGREE_S", 0)
    yield store
    for server in servers:
        server.shutdown()
        server.server_close()


def plain(host, port, timeout, context):
    """A connection without TLS in place of one with it."""
    assert context is None
    return HTTPConnection(host, port, timeout=timeout)


def config_of(store, **changes):
    servers = [f"127.0.0.1:{port}" for port in store.ports]
    return {
        "driver": "consul", "servers": servers, "members": dict(zip("abc", servers, strict=True)), "ca_path": "/ca",
        "token": TOKEN, "timeout_s": 1.0, "run": "ab", **changes,
    }  # fmt: skip


class Writing:
    """Writers that write until the block ends."""

    def __init__(self, store, folder, writers=2, rate=400):
        config, self.folder, self.stopping = config_of(store), folder, threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self.writers = [
            writer.Writer(n + 1, writer.Consul(config), folder, rate / writers, self.stopping) for n in range(writers)
        ]

    def __enter__(self):
        for each in self.writers:
            each.start()
        return self

    def __exit__(self, *_error):
        self.stopping.set()
        for each in self.writers:
            each.join(5)
            assert not each.is_alive()

    def more(self, count, outcome=None):
        """Wait for so many more lines, of an outcome."""
        wanted = len(self.lines(outcome)) + count
        end = time.monotonic() + 20
        while len(self.lines(outcome)) < wanted:
            assert time.monotonic() < end, f"{outcome}: {len(self.lines(outcome))} of {wanted}"
            time.sleep(0.005)

    def lines(self, outcome=None):
        found = [
            json.loads(line)
            for path in self.folder.glob("ledger-*.jsonl")
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return [line for line in found if outcome in (None, line["o"])]


def findings(store, home):
    """What the run would say of the ledger in `home`/ab."""
    store.modes = {}
    found = Workload("ab", home).read(config_of(store))
    assert found["errors"] == {}
    operations = [Operation.from_line(line) for line in found["operations"]]
    return operations, classify(operations, found["client"], found["members"], found["reads"])


@pytest.mark.parametrize("seed", range(6))
def test_an_honest_store_is_never_accused(cluster, tmp_path, seed):
    rng = random.Random(seed)
    with Writing(cluster, tmp_path / "ab") as writing:
        writing.more(20)
        for _turn in range(8):
            cluster.modes = {port: rng.choice(HONEST) for port in cluster.ports}
            writing.more(rng.randint(3, 15))
        cluster.modes = {}
        writing.more(20, "ok")
    operations, found = findings(cluster, tmp_path)
    counts = found.counts()
    for accusation in ("lost", "resurrected", "duplicated", "reordered", "diverged", "foreign", "unread"):
        assert counts[accusation] == 0, (accusation, found.as_dict())
    assert {operation.outcome for operation in operations} >= {"ok"}
    assert cluster.seen_tokens == {TOKEN}


def test_the_planted_violation_a_store_that_forgets_is_caught_with_every_token(cluster, tmp_path):
    with Writing(cluster, tmp_path / "ab") as writing:
        writing.more(20, "ok")
        cluster.modes = dict.fromkeys(cluster.ports, "forgets")
        writing.more(30, "ok")
        cluster.modes = {}
        writing.more(10, "ok")
    _operations, found = findings(cluster, tmp_path)
    assert cluster.forgotten
    assert list(found.lost) == sorted(cluster.forgotten)


def test_the_planted_violation_a_row_that_was_refused_and_is_there(cluster, tmp_path):
    with Writing(cluster, tmp_path / "ab", writers=1) as writing:
        writing.more(5, "ok")
        cluster.modes = dict.fromkeys(cluster.ports, "denied")
        writing.more(3, "fail")
        cluster.modes = {}
        writing.more(3, "ok")
    refused = writing.lines("fail")[0]["t"]
    cluster.put(f"{PREFIX}ab/{refused}", str(refused))
    _operations, found = findings(cluster, tmp_path)
    assert list(found.resurrected) == [refused]


@pytest.mark.parametrize(
    ("mode", "outcome", "there"),
    [
        ("denied", "fail", False),
        ("no_leader", "unknown", False),
        ("dead", "unknown", False),
        ("applied_then_dead", "unknown", True),
        ("applied_then_500", "unknown", True),
        ("asked_twice", "unknown", True),
    ],
)
def test_each_misbehaviour_has_its_outcome(cluster, tmp_path, mode, outcome, there):
    with Writing(cluster, tmp_path / "ab", writers=1) as writing:
        writing.more(5, "ok")
        cluster.modes = dict.fromkeys(cluster.ports, mode)
        writing.more(4, outcome)
        bad = [line["t"] for line in writing.lines(outcome)]
        cluster.modes = {}
        writing.more(3, "ok")
    _operations, found = findings(cluster, tmp_path)
    assert set(bad) & set(found.recovered) == (set(bad) if there else set())
    assert found.counts()["resurrected"] == found.counts()["lost"] == 0


def test_a_server_that_dies_costs_one_write_and_the_next_server_takes_over(cluster, tmp_path):
    with Writing(cluster, tmp_path / "ab", writers=1, rate=100) as writing:
        writing.more(10, "ok")
        cluster.modes = {cluster.ports[0]: "dead"}
        writing.more(20, "ok")
    bad = [line for line in writing.lines() if line["o"] != "ok"]
    assert 1 <= len(bad) <= 3
    _operations, found = findings(cluster, tmp_path)
    assert found.counts()["lost"] == 0
    assert not [line["c"] for line in bad if "timed out" in line["c"]], "a client with three addresses waits for nobody"


def test_an_outage_is_measured_from_the_outside_as_from_the_inside(cluster, tmp_path):
    with Writing(cluster, tmp_path / "ab", writers=2) as writing:
        writing.more(30, "ok")
        injected = time.monotonic()
        cluster.modes = dict.fromkeys(cluster.ports, "no_leader")
        time.sleep(0.6)
        cluster.modes = {}
        undone = time.monotonic()
        writing.more(30, "ok")
    operations, _found = findings(cluster, tmp_path)
    seen = measure(operations, injected, undone, max(o.end for o in operations), undone)
    acks = [o.end for o in operations if o.acked]
    gap = min(end for end in acks if end > undone) - max(end for end in acks if end < undone)
    assert seen.client_rto_s == pytest.approx(gap, abs=0.01)
    assert gap > 0.3, "a fault of 0.6 s is seen: equal figures of an outage that never was would prove nothing"
    assert sum(seen.errors.values()) == seen.during.unknown + seen.after.unknown + seen.before.unknown
    assert set(seen.errors) == {"OSError: http 500 No cluster leader"} or all("500" in name for name in seen.errors)


def test_the_newest_acknowledgement_survives_a_long_outage(cluster, tmp_path):
    """A writer that is refused at once fills its ledger; the abort condition still has to know the last good write."""
    with Writing(cluster, tmp_path / "ab", writers=1) as writing:
        writing.more(5, "ok")
        cluster.modes = dict.fromkeys(cluster.ports, "denied")
        writing.more(5, "fail")
        last = writing.lines("ok")[-1]["e"]
        path = tmp_path / "ab" / "ledger-1.jsonl"
        assert Workload("ab", tmp_path).status()["last_ack"] == last
    with path.open("a") as file:
        for n in range(2000):
            file.write(json.dumps({"t": 10**9 + 10**6 + n, "s": 1.0, "e": 2.0, "o": "fail", "c": "x" * 60}) + "\n")
    assert path.stat().st_size > 10 * workload.TAIL_BYTES
    assert Workload("ab", tmp_path).status()["last_ack"] == last


def test_the_data_of_a_run_go_without_the_others(cluster, tmp_path):
    cluster.put(f"{PREFIX}other/1", "1")
    cluster.put("/v1/kv/rsp/locks/x", "held")
    with Writing(cluster, tmp_path / "ab") as writing:
        writing.more(10, "ok")
    assert Workload("ab", tmp_path).clean(config_of(cluster)) is True
    assert set(cluster.keys) == {f"{PREFIX}other/1", "/v1/kv/rsp/locks/x"}
    assert not (tmp_path / "ab").exists()


def test_a_new_run_takes_away_what_dead_runs_left_and_nothing_else(cluster):
    for key in (f"{PREFIX}dead/1", f"{PREFIX}dead/2", "/v1/kv/rsp/smoke/a1", "/v1/kv/rsp/locks/x"):
        cluster.put(key, "1")
    writer.Consul(config_of(cluster)).prepare()
    assert set(cluster.keys) == {"/v1/kv/rsp/smoke/a1", "/v1/kv/rsp/locks/x"}


# --- writers that a dead run left ---


@pytest.fixture
def dead_run(tmp_path):
    """A ledger whose controller is gone: its process runs on until somebody says stop."""
    folder = tmp_path / "home" / "ab12"
    folder.mkdir(parents=True)
    (folder / "ledger-1.jsonl").write_text(row(1))
    waits = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1], 'stop').exists(): time.sleep(0.02)"
    with subprocess.Popen([sys.executable, "-c", waits, str(folder)]) as process:
        text = Path(f"/proc/{process.pid}/stat").read_text()
        start = int(text.rpartition(")")[2].split()[19])
        (folder / "process.json").write_text(json.dumps({"pid": process.pid, "start": start}))
        yield folder, process
        process.kill()


def test_check_mode_names_a_writer_and_leaves_it_alone(dead_run):
    folder, process = dead_run
    [found] = workload.end_all(folder.parent, check=True)
    assert (found["fault"], found["changed"], found["undone"]) == ("ledger ab12", True, True)
    assert folder.is_dir()
    assert process.poll() is None


def test_a_writer_that_a_dead_run_left_is_ended_and_its_files_go(dead_run):
    folder, process = dead_run
    [found] = workload.end_all(folder.parent)
    assert found == {"fault": "ledger ab12", "changed": True, "undone": True, "wrong": [], "by": "recover"}
    assert process.wait(5) == 0
    assert not folder.exists()
    assert workload.end_all(folder.parent) == []


def test_a_writer_that_does_not_end_is_said_and_the_others_are_ended(tmp_path, monkeypatch):
    for name in ("aa", "bb", "cc"):
        (tmp_path / name).mkdir()

    def stop(self, wait_s=30):
        if self.run == "bb":
            raise workload.ChaosError("the writer of bb did not end in 30 s and was killed")

    monkeypatch.setattr(Workload, "stop", stop)
    found = workload.end_all(tmp_path)
    assert [(each["fault"], each["undone"]) for each in found] == [
        ("ledger aa", True),
        ("ledger bb", False),
        ("ledger cc", True),
    ]
    assert "was killed" in found[1]["wrong"][0]
    assert (tmp_path / "bb").is_dir()


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}'])
def test_a_record_of_a_process_that_nobody_understands_is_said(tmp_path, text):
    (tmp_path / "aa").mkdir()
    (tmp_path / "aa" / "process.json").write_text(text)
    [found] = workload.end_all(tmp_path)
    assert found["undone"] is False
    assert found["wrong"]


def test_a_host_that_never_wrote_has_no_writers(tmp_path):
    assert workload.end_all(tmp_path / "never") == []


# --- the end of a ledger -----------------------------------------------------------------------------------------


def row(n, outcome="ok", width=0):
    return json.dumps({"t": n, "s": n, "e": n + 0.5, "o": outcome, "c": "x" * width}) + "\n"


TAILS = {
    "empty": ("", None),
    "one": (row(1), 1.5),
    "none was good": (row(1, "fail") + row(2, "unknown"), None),
    "the last is cut": (row(1) + row(2)[:-10], 1.5),
    "only a cut one": (row(1)[:-1], None),
    "good, then bad": (row(1) + row(2) + row(3, "fail"), 2.5),
    "a long outage": (row(1) + "".join(row(n, "fail", 60) for n in range(2, 1000)), 1.5),
    "a line longer than a block": (row(1) + row(2, "fail", 3 * workload.TAIL_BYTES), 1.5),
    "a good line longer than a block": (row(1, width=3 * workload.TAIL_BYTES) + row(2, "fail"), 1.5),
    "bad ones before": ("".join(row(n, "fail", 60) for n in range(1000)) + row(1000), 1000.5),
}


@pytest.mark.parametrize("case", TAILS)
def test_the_end_of_a_ledger(tmp_path, case):
    text, end = TAILS[case]
    (tmp_path / "l").write_text(text)
    assert workload._last_ack(tmp_path / "l") == end


@pytest.mark.parametrize("seed", range(30))
def test_property_the_newest_acknowledgement_is_what_reading_everything_finds(tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    monkeypatch.setattr(workload, "TAIL_BYTES", rng.randint(1, 400))
    rows = [(n, rng.choice(["ok", "fail", "unknown"]), rng.randint(0, 90)) for n in range(rng.randint(0, 40))]
    text = "".join(row(*each) for each in rows)
    (tmp_path / "l").write_text(text + row(99)[: rng.randint(0, 20)])
    good = [n + 0.5 for n, outcome, _width in rows if outcome == "ok"]
    assert workload._last_ack(tmp_path / "l") == (good[-1] if good else None)


# --- deadlines of PostgreSQL's client ----------------------------------------------------------------------------


class Library:
    """psycopg2 with one callback for the whole process, whose connections are never answered."""

    class OperationalError(Exception):
        """As psycopg2's."""

    Error = OperationalError
    POLL_OK, POLL_READ, POLL_WRITE = 0, 1, 2

    def __init__(self):
        self.pipe = writer.os.pipe()
        self.frozen, self.callback, self.settings = True, None, None

    def set_wait_callback(self, callback):
        self.callback = callback

    def connect(self, **settings):
        self.settings = settings
        self.callback(self)
        return self

    def poll(self):
        return self.POLL_READ if self.frozen else self.POLL_OK

    def fileno(self):
        return self.pipe[0]


@pytest.fixture
def library(monkeypatch):
    made = Library()
    for name in ("psycopg2", "extensions"):
        monkeypatch.setattr(writer, name, made, raising=False)
    yield made
    for handle in made.pipe:
        writer.os.close(handle)


def session(timeout_s):
    config = {
        "servers": ["10.0.0.1:5000"],
        "database": "d",
        "user": "u",
        "password": "p",
        "ca_path": "/ca",
        "run": "ab",
    }
    return writer.Postgresql({**config, "timeout_s": timeout_s})


def test_a_server_that_freezes_while_a_client_connects_is_a_timeout(library):
    began = time.monotonic()
    with pytest.raises(Library.OperationalError, match="timeout"):
        session(0.2).connect()
    assert 0.1 < time.monotonic() - began < 2


def test_an_old_deadline_ends_no_new_connection(library):
    """The deadline of a question that failed lies in the past when the client connects again."""
    client = session(0.1)
    with pytest.raises(Library.OperationalError):
        client.connect()
    time.sleep(0.15)
    threading.Timer(0.05, lambda: setattr(library, "frozen", False) or writer.os.write(library.pipe[1], b"x")).start()
    client = session(2)
    client.connect()
    assert client._connection is library


def test_every_writer_has_a_deadline_of_its_own(library):
    took = {}

    def connect(seconds):
        began = time.monotonic()
        with pytest.raises(Library.OperationalError):
            session(seconds).connect()
        took[seconds] = time.monotonic() - began

    threads = [threading.Thread(target=connect, args=(seconds,)) for seconds in (0.6, 0.1)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join(5)
    assert took[0.1] == pytest.approx(0.1, abs=0.15)
    assert took[0.6] == pytest.approx(0.6, abs=0.25)
