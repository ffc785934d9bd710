"""The ledger's writer against pretended services and as a process, and the questions of abort conditions."""

from __future__ import annotations

import base64
import fcntl
import http.client
import importlib.util
import json
import os
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import probes, workload, writer
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.probes import ask, one_number, one_sample
from ansible_collections.rsp.platform.plugins.module_utils.chaos.workload import Workload
from ansible_collections.rsp.platform.plugins.module_utils.chaos.writer import (
    NotDoneError,
    Writer,
    error_class,
    read_along,
)


class Service:
    """Takes tokens; `answers` are outcomes by token: an exception, or a function."""

    def __init__(self, answers=None, connect=None):
        self.there, self.answers, self.closed, self.fails = [], answers or {}, 0, connect

    def connect(self):
        if self.fails:
            raise self.fails

    def write(self, token):
        answer = self.answers.get(token % writer.SPAN)
        if not isinstance(answer, NotDoneError):
            self.there.append(token)
        if answer:
            raise answer

    def seen(self, token, _how="default"):
        return token in self.there

    def all(self):
        return self.there

    def close(self):
        self.closed += 1


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(tmp_path, service, count=5):
    """Let a writer write some tokens."""
    stopping = threading.Event()
    thread = Writer(1, service, tmp_path, 1000, stopping)
    thread.start()
    end = time.monotonic() + 10
    while not (path := tmp_path / "ledger-1.jsonl").exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < end
        time.sleep(0.005)
    stopping.set()
    thread.join(5)
    return lines(path)


def test_every_write_has_a_token_and_an_outcome(tmp_path):
    found = written(tmp_path, Service())
    assert [line["t"] for line in found[:3]] == [writer.SPAN + 1, writer.SPAN + 2, writer.SPAN + 3]
    assert {line["o"] for line in found} == {"ok"}
    assert all(line["s"] <= line["e"] for line in found)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(NotDoneError("sqlstate 25006"), "fail"), (OSError("reset"), "unknown"), (TimeoutError("timed out"), "unknown"),
     (http.client.RemoteDisconnected("gone"), "unknown"), (ValueError("odd"), "unknown")],
)  # fmt: skip
def test_what_nobody_can_say_is_unknown_and_what_was_refused_is_not(tmp_path, answer, outcome):
    service = Service({2: answer})
    found = written(tmp_path, service)
    assert found[1]["o"] == outcome
    assert type(answer).__name__ in found[1]["c"]
    assert service.closed == 1
    assert found[2]["o"] == "ok"


def test_a_connection_that_fails_wrote_nothing(tmp_path):
    found = written(tmp_path, Service(connect=ConnectionRefusedError("refused")))
    assert {line["o"] for line in found} == {"fail"}


def test_an_outcome_is_on_the_disk_before_the_next_write_begins(tmp_path):
    """Its line is there, and the descriptor is one whose writes return when they are on the disk."""
    seen, service = [], Service()
    take = service.write

    def write(token):
        path = tmp_path / "ledger-1.jsonl"
        [handle] = [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists() and fd.samefile(path)]
        seen.append((len(lines(path)), bool(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DSYNC)))
        return take(token)

    service.write = write
    written(tmp_path, service)
    assert seen[:3] == [(0, True), (1, True), (2, True)]


def test_reads_after_the_acknowledgement(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "READ_PAUSE_S", 0.05)
    stopping = threading.Event()
    fresh, stale = Service(), Service()
    fresh.there = [writer.SPAN + 7]
    thread = Writer(1, fresh, tmp_path, 1, stopping)
    thread.newest = (writer.SPAN + 7, 1.0)
    for number, service in enumerate((fresh, stale, Service(connect=OSError("down")))):
        folder = tmp_path / str(number)
        folder.mkdir()
        stopping.clear()
        reader = threading.Thread(
            target=read_along, args=([thread], service, {"how": "stale", "at": "a"}, folder, stopping)
        )
        reader.start()
        time.sleep(0.25)
        stopping.set()
        reader.join(5)
    first = [lines(tmp_path / str(n) / "reads.jsonl")[0] for n in range(3)]
    assert [line["seen"] for line in first] == [True, False, None]
    assert {(line["how"], line["at"]) for line in first} == {("stale", "a")}


def test_errors_have_short_names():
    assert error_class(OSError("two\nlines")) == "OSError: two"
    assert error_class(TimeoutError()) == "TimeoutError"
    assert len(error_class(OSError("x" * 500))) == 80


# --- Consul ------------------------------------------------------------------------------------------------------


class Answers:
    """A server of Consul's KV over a pretended connection."""

    def __init__(self, status, body=b"true"):
        self.status, self.body, self.asked = status, body, []

    def request(self, method, path, body=None, headers=None):
        self.asked.append((method, path, body, headers))

    def getresponse(self):
        return self

    def read(self):
        return self.body

    def close(self):
        self.asked.append("close")


@pytest.fixture
def consul(monkeypatch):
    monkeypatch.setattr(writer.ssl, "create_default_context", lambda **_options: None)

    def made(status=200, body=b"true", server=None):
        config = {
            "ca_path": "/ca",
            "servers": ["10.0.0.1:8501", "10.0.1.1:8501"],
            "token": "t",
            "run": "ab",
            "timeout_s": 1,
        }
        client = writer.Consul(config, server)
        client._http = Answers(status, body)
        return client

    return made


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"true\n", None), (200, b"false", OSError), (403, b"", NotDoneError), (429, b"", NotDoneError),
     (500, b"rpc error", OSError), (503, b"", OSError)],
)  # fmt: skip
def test_what_consul_says_of_a_write(consul, status, body, error):
    client = consul(status, body)
    if error is None:
        client.write(7)
        assert client._http.asked[0][:3] == ("PUT", "/v1/kv/rsp/smoke/chaos/ab/7?cas=0", "7")
        assert client._http.asked[0][3] == {"X-Consul-Token": "t"}
    else:
        with pytest.raises(error):
            client.write(7)


def test_what_consul_has(consul):
    entries = [{"Value": base64.b64encode(str(n).encode()).decode(), "CreateIndex": 100 - n} for n in (1, 2, 3)]
    assert consul(200, json.dumps(entries).encode()).all() == [3, 2, 1]
    assert consul(404).all() == []
    with pytest.raises(OSError, match="http 500"):
        consul(500).all()
    assert consul(200).seen(1) is True
    assert consul(404).seen(1) is False
    for how, end in (("default", "/1"), ("consistent", "/1?consistent"), ("stale", "/1?stale")):
        asked = consul(200)
        assert asked.seen(1, how) is True
        assert asked._http.asked[-1][1].endswith(end)
    with pytest.raises(OSError, match="http 500"):
        consul(500).seen(1)


def test_a_member_gives_its_own_answer_and_the_client_path_the_leaders(consul):
    alone, path = consul(404, server="10.0.1.1:8501"), consul(404)
    alone.all()
    path.all()
    assert alone._http.asked[0][1].endswith("?recurse&stale")
    assert path._http.asked[0][1].endswith("?recurse&consistent")


def test_the_next_server_after_a_failure(consul, monkeypatch):
    client, tried = consul(), []

    class Connection(Answers):
        def __init__(self, host, _port, **_options):
            super().__init__(200)
            tried.append(host)

        def connect(self):
            if len(tried) < 3:
                raise ConnectionRefusedError("refused")

    monkeypatch.setattr(writer.http.client, "HTTPSConnection", Connection)
    client.close()
    for _turn in range(2):
        with pytest.raises(ConnectionRefusedError):
            client.connect()
    client.connect()
    assert tried == ["10.0.0.1", "10.0.1.1", "10.0.0.1"]
    client.prepare()
    client.clean()
    assert client._http.asked[-1][0] == "DELETE"
    client.close()
    with pytest.raises(OSError, match="not connected"):
        client.write(1)


# --- PostgreSQL --------------------------------------------------------------------------------------------------


class Error(Exception):
    """psycopg2's."""

    def __init__(self, text="", pgcode=None):
        super().__init__(text)
        self.pgcode = pgcode


class Library:
    """psycopg2 as far as the writer needs it."""

    Error = OperationalError = Error

    def __init__(self, rows=(), error=None):
        self.rows, self.error, self.ran, self.settings = rows, error, [], None
        self.description = True

    def connect(self, **settings):
        self.settings = settings
        return self

    def cursor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def execute(self, text, values):
        self.ran.append((text, values))
        if self.error:
            raise self.error

    def fetchall(self):
        return list(self.rows)

    def close(self):
        self.ran.append("close")

    def set_wait_callback(self, callback):
        self.callback = callback


class Sql:
    """psycopg2.sql as text."""

    SQL = Identifier = str


@pytest.fixture
def postgresql(monkeypatch):
    def made(server=None, **options):
        library = Library(**options)
        monkeypatch.setattr(writer, "psycopg2", library)
        monkeypatch.setattr(writer, "extensions", library, raising=False)
        monkeypatch.setattr(writer, "sql", Sql, raising=False)
        config = {
            "servers": ["10.0.0.1:5000", "10.0.1.1:5000"],
            "database": "d",
            "user": "u",
            "password": "p",
            "ca_path": "/ca",
            "timeout_s": 4,
            "run": "ab",
        }
        client = writer.Postgresql(config, server)
        client.connect()
        return client, library

    return made


@pytest.mark.parametrize(
    ("pgcode", "error"),
    [
        ("25006", NotDoneError),
        ("53300", NotDoneError),
        ("28P01", NotDoneError),
        ("57P01", OSError),
        ("40001", NotDoneError),
        ("40003", OSError),
        (None, OSError),
        ("08006", OSError),
        ("XX000", OSError),
    ],
)
def test_what_postgresql_says_of_a_write(postgresql, pgcode, error):
    client, _library = postgresql(error=Error("no", pgcode))
    with pytest.raises(error):
        client.write(7)


def test_what_postgresql_has(postgresql):
    client, library = postgresql(rows=[(1,), (2,)])
    assert library.settings["host"] == "10.0.0.1,10.0.1.1"
    assert library.settings["port"] == "5000,5000"
    assert library.settings["sslmode"] == "verify-full"
    assert client.all() == [1, 2]
    assert client.seen(1) is True
    client.write(9)
    assert library.ran[-1] == ("INSERT INTO chaos_ab (token) VALUES (%s)", (9,))
    client.prepare()
    client.clean()
    assert any("DROP TABLE" in ran[0] for ran in library.ran if ran != "close")
    assert client.query("SELECT 1") == [(1,), (2,)]
    alone, library = postgresql("10.0.1.1:5432", rows=[])
    assert library.settings["host"] == "10.0.1.1"
    assert alone.seen(1) is False


def test_a_new_run_drops_the_tables_of_dead_runs(postgresql):
    """Those of its own user only, which the question says; the answer is never taken for text of a statement."""
    client, library = postgresql(rows=[("chaos_dead1",), ("chaos_dead2",)])
    client.prepare()
    asked = [text for text, _values in (ran for ran in library.ran if ran != "close")]
    assert "tableowner = current_user" in asked[0]
    assert asked[1:3] == ["DROP TABLE chaos_dead1", "DROP TABLE chaos_dead2"]
    assert asked[3].startswith("CREATE TABLE chaos_ab ")


class Hanging:
    """A connection whose server never answers."""

    def __init__(self, handle):
        self.handle = handle

    def poll(self):
        return 1

    def fileno(self):
        return self.handle


def test_a_frozen_server_is_a_timeout(postgresql, monkeypatch):
    _client, library = postgresql()
    library.POLL_OK, library.POLL_READ = 0, 1
    read, _write = writer.os.pipe()
    began = time.monotonic()
    writer.DEADLINE.end = time.monotonic() + 0.1
    with pytest.raises(Error, match="timeout"):
        writer._until(Hanging(read))
    assert time.monotonic() - began < 2


# --- the process -------------------------------------------------------------------------------------------------


class Started(Service):
    """A service with a place to prepare."""

    log: ClassVar[list[str]] = []

    def __init__(self, config, server=None):
        super().__init__()
        self.there = {None: [1, 2], "a:1": [1, 2], "b:1": [1]}.get(server, [])
        if server == "c:1":
            self.fails = OSError("down")
        self.config = config

    def prepare(self):
        self.log.append("prepare")

    def clean(self):
        self.log.append(f"clean {self.config['run']}")


CONFIG = {
    "driver": "consul",
    "servers": ["127.0.0.1:1"],
    "members": {},
    "ca_path": "/no-such-ca",
    "token": "secret-token",
    "writers": 1,
    "rate": 10,
    "timeout_s": 1,
    "seconds": 5,
    "reads": [],
}


def made(tmp_path, run="ab"):
    Started.log.clear()
    return Workload(run, tmp_path, {"consul": Started})


def test_it_is_started_watched_and_stopped_and_leaves_no_secret(tmp_path):
    load = made(tmp_path)
    began = load.start(CONFIG)
    assert Started.log == ["prepare"]
    assert began["now"] > 0
    with pytest.raises(ChaosError, match="is there already"):
        load.start(CONFIG)
    load.stop(15)
    assert load.status()["running"] is False
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"secret-token" not in path.read_bytes()
    assert load.clean(CONFIG) is True
    assert Started.log[-1] == "clean ab"
    assert load.clean(CONFIG) is False


@pytest.mark.parametrize(("driver", "how"), [("postgresql", "consistent"), ("consul", "bounded")])
def test_a_way_of_reading_that_the_service_has_not_is_refused_before_anything_is_made(tmp_path, driver, how):
    load = Workload("ab", tmp_path, {driver: Started})
    Started.log.clear()
    with pytest.raises(ChaosError, match=f"{driver} has no reads of kind {how} → use default, "):
        load.start({**CONFIG, "driver": driver, "reads": ["default", how]})
    assert (Started.log, load.folder.exists()) == ([], False)


def test_the_newest_acknowledgement_of_all_writers(tmp_path):
    load = made(tmp_path)
    load.folder.mkdir()
    rows = [{"t": n, "s": n, "e": n + 0.5, "o": "ok" if n < 90 else "fail", "c": "x" * 60} for n in range(100)]
    (load.folder / "ledger-1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"t": 1')
    (load.folder / "ledger-2.jsonl").write_text("")
    assert load.status()["last_ack"] == 89.5
    assert load.status()["running"] is False


def test_everything_is_read_back_and_who_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(workload, "AGREE_S", 0)
    load = made(tmp_path)
    load.folder.mkdir()
    (load.folder / "ledger-1.jsonl").write_text('{"t": 1, "s": 0, "e": 1, "o": "ok", "c": ""}\n{"t": 2')
    found = load.read({**CONFIG, "members": {"a": "a:1", "b": "b:1", "c": "c:1"}})
    assert [line["t"] for line in found["operations"]] == [1]
    assert found["client"] == [1, 2]
    assert found["members"] == {"a": [1, 2], "b": [1], "c": None}
    assert found["errors"] == {"c": "OSError: down"}
    assert found["reads"] == []


def test_what_cannot_be_prepared_is_not_started(tmp_path, monkeypatch):
    load = made(tmp_path)
    monkeypatch.setattr(Started, "prepare", lambda _self: 1 / 0)
    with pytest.raises(ChaosError, match="cannot be prepared: ZeroDivisionError"):
        load.start(CONFIG)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ChaosError, match="python3-psycopg2 is missing"):
        load.start({**CONFIG, "driver": "postgresql"})
    assert not load.folder.exists()


def test_a_writer_that_hangs_is_ended(tmp_path, monkeypatch):
    load = made(tmp_path)
    load.folder.mkdir()
    (load.folder / "process.json").write_text('{"pid": 12345, "start": 1}')
    killed = []
    monkeypatch.setattr(Workload, "_alive", lambda _self: True)
    monkeypatch.setattr(workload.os, "kill", lambda pid, number: killed.append(pid))
    with pytest.raises(ChaosError, match="was killed"):
        load.stop(0)
    assert killed == [12345]


# --- abort conditions --------------------------------------------------------------------------------------------


def fetch(status, body=""):
    def get(url, ca_path, timeout_s):
        if isinstance(status, Exception):
            raise status
        return status, body

    return get


def sample(*values):
    result = [{"value": [0, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


QUERY = {"url": "http://prometheus:9090/", "query": "up", "when": "<", "value": 3}
PROBES = {
    "http as expected": ("http", {"url": "https://x/", "status": 204}, fetch(204), False),
    "http otherwise": ("http", {"url": "https://x/"}, fetch(503), True),
    "http not at all": ("http", {"url": "https://x/"}, fetch(OSError("refused")), None),
    "promql holds": ("promql", QUERY, fetch(200, sample("2")), True),
    "promql does not": ("promql", QUERY, fetch(200, sample("3")), False),
    "promql without data": ("promql", QUERY, fetch(200, sample()), None),
    "promql with too much": ("promql", QUERY, fetch(200, sample("1", "2")), None),
    "promql in error": ("promql", QUERY, fetch(400, '{"status": "error", "error": "parse"}'), None),
    "promql of nonsense": ("promql", QUERY, fetch(200, "<html>"), None),
}


@pytest.mark.parametrize("case", PROBES)
def test_probes(case):
    kind, options, get, holds = PROBES[case]
    assert ask(kind, options, lambda _argv: (0, "", ""), fetch=get)[0] is holds


@pytest.mark.parametrize(("code", "holds"), [(0, False), (1, True)])
def test_a_command_is_a_probe(code, holds):
    assert ask("command", {"argv": ["/bin/x"]}, lambda _argv: (code, "", "")) == (holds, f"exit code {code}")


def test_a_scalar_is_a_sample():
    assert one_sample(200, '{"status": "success", "data": {"resultType": "scalar", "result": [0, "1.5"]}}') == 1.5


class Session:
    """A database with some rows."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, _config):
        return self

    def connect(self):
        return None

    def query(self, _text):
        return self.rows

    def close(self):
        self.rows = None


@pytest.mark.parametrize(("rows", "value"), [([(3,)], 3.0), ([], None), ([(None,)], None)])
def test_one_number_of_a_database(rows, value):
    assert one_number("SELECT 1", {}, Session(rows)) == value


def test_two_rows_are_no_number(monkeypatch):
    with pytest.raises(ValueError, match="2 rows"):
        one_number("SELECT 1", {}, Session([(1,), (2,)]))
    monkeypatch.setattr(probes, "one_number", lambda *_arguments: 2.0)
    assert ask("sql", {"query": "SELECT 1", "when": "<", "value": 3}, lambda _argv: (0, "", ""))[0] is True
