"""Restored copies of PostgreSQL and Consul: how they are brought, started, asked, hurt, and what their answers mean."""

from __future__ import annotations

import base64
import json
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import plant, scratch_consul, scratch_postgresql
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import ConsulSnapshots
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import PgBackRest
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import Target
from ansible_collections.rsp.platform.plugins.module_utils.backup.scratch_consul import ConsulScratch
from ansible_collections.rsp.platform.plugins.module_utils.backup.scratch_postgresql import PostgresqlScratch
from backup_data import IDENTITY, INCR, KEY, SEGMENTS, Tool, build, recorded, snapshot
from test_backup_canary import KEY as CANARY_KEY
from test_backup_canary import STORE, T0, chain

AT = Target("time", "2026-11-25 09:15:34.534749+00")
BIN = "/usr/lib/postgresql/17/bin"
CONFIGURATION = "[global]\nrepo1-path=/x\nprocess-max=3\n"
SOUND = "Checksum operation completed\nBad checksums:  0\n"
TORN = "Checksum operation completed\nBad checksums:  1\n"


@dataclass
class Cage:
    """A sandbox that answers by the words of a command. Answers of the same words come in order, the last stays."""

    root: Path
    answers: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    log: str = ""
    pid: int = 77
    name: str = "x"
    steps: list[tuple[str, list[str], dict]] = field(default_factory=list)

    def step(self, step, argv, *, network=False, env=None, stdin=""):
        self.steps.append((step, list(argv), {"network": network, "env": dict(env or {}), "stdin": stdin}))
        words = " ".join(argv) + " " + stdin
        for part, answers in self.answers.items():
            if part in words:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return 0, "", ""

    def begin(self, step, argv):
        self.steps.append((step, list(argv), {"network": False}))

    def end(self, step):
        self.steps.append((f"end {step}", [], {}))

    def main_pid(self, _step):
        return self.pid

    def said(self, _step):
        return self.log

    def named(self, name):
        return [(argv, options) for step, argv, options in self.steps if step == name]


@pytest.fixture
def cage(tmp_path):
    root = tmp_path / "scratch"
    for name in ("data", "wal", "run"):
        (root / name).mkdir(parents=True)
    return Cage(
        root,
        {
            "pg_controldata": [(0, recorded("controldata.txt"), "")],
            "pg_is_in_recovery(), coalesce": [(0, "t|0/F000308|t\n", "")],
            "select pg_is_in_recovery()": [(0, "f\n", "")],
            "pg_checksums": [(0, SOUND, "")],
        },
        recorded("recovery_time.log"),
    )


def copy(cage, tmp_path, target=AT, **options):
    source = PgBackRest(Tool(build(tmp_path / "repo1")), "rsp")
    repository = source.repositories()[0]
    fields = {"identity": IDENTITY, "escrow": KEY, "settings": CONFIGURATION, "secrets": {"S3": "hush"}}
    clock = iter(range(10**6))
    return PostgresqlScratch(
        cage,
        source,
        repository,
        repository.point("latest"),
        target,
        BIN,
        **{**fields, **options},
        clock=lambda: float(next(clock)),
        sleep=lambda _s: None,
    )


# --- the fetch


def fetched(cage):
    """Segments that one step has asked for, as many at a time as pgBackRest may have processes."""
    [(argv, options)] = cage.named("wal")
    assert argv[:3] == ["xargs", "-I{}", "--max-procs=3"]
    assert argv[-3:] == ["archive-get", "{}", f"{cage.root}/wal/{{}}"]
    return options["stdin"].splitlines()


def test_the_backup_and_all_wal_that_it_needs_are_fetched(cage, tmp_path):
    size = copy(cage, tmp_path, Target("latest")).fetch()
    [(restore, options)] = cage.named("fetch")
    assert restore[-1] == "restore"
    assert f"--set={INCR}" in restore
    assert "--archive-mode=off" in restore
    assert "--repo=1" in restore
    assert options["network"] is True
    assert options["env"] == {"S3": "hush", "PGBACKREST_REPO1_CIPHER_PASS": KEY}
    assert fetched(cage) == ["00000002.history", *SEGMENTS[11:]]
    assert size > len(SEGMENTS[11:]) * 16 * 1024 * 1024
    assert (cage.root / "pgbackrest.conf").read_text(encoding="utf-8") == CONFIGURATION


def test_no_key_is_in_a_list_of_words(cage, tmp_path):
    copy(cage, tmp_path).fetch()
    assert not any(KEY in word or "hush" in word for _step, argv, _options in cage.steps for word in argv)


def test_a_segment_that_is_gone_is_not_asked_for(cage, tmp_path):
    """Recovery must find out, so that "target not reached" is what a missing segment ends in."""
    scratch = copy(cage, tmp_path, Target("latest"))
    for path in (tmp_path / "repo1").rglob(f"{SEGMENTS[14]}-*"):
        path.unlink()
    scratch.fetch()
    assert SEGMENTS[14] not in fetched(cage)


def test_a_restore_that_fails_says_what_the_tool_said(cage, tmp_path):
    cage.answers = {" restore": [(75, "", "P00  ERROR: [075]: no backup set found to restore\n")]}
    with pytest.raises(BackupError, match=r"pgbackrest fetch: \[075\] no backup set found"):
        copy(cage, tmp_path).fetch()


@pytest.mark.parametrize(
    ("target", "last"),
    [
        (Target("latest"), SEGMENTS[-1]),
        (Target("name", "x"), SEGMENTS[-1]),
        (Target("xid", "748"), SEGMENTS[-1]),
        # Archiving may have stood still: the time of a file does not say what is in it
        (AT, SEGMENTS[-1]),
        (Target("lsn", "0/F000280"), "000000010000000000000010"),
        (Target("lsn", "0/13004528"), SEGMENTS[-1]),
        (Target("immediate"), "00000001000000000000000C"),
    ],
)
def test_how_much_wal_a_target_needs(target, last, cage, tmp_path):
    copy(cage, tmp_path, target).fetch()
    assert fetched(cage)[-1] == last


# --- the engine


def test_the_engine_archives_nothing_follows_nobody_and_loads_nothing(cage, tmp_path):
    copy(cage, tmp_path).start()
    [(argv, options)] = cage.named("engine")
    assert options == {"network": False}
    for setting in (
        "archive_mode=off",
        "archive_command=",
        "archive_library=",
        "primary_conninfo=",
        "primary_slot_name=",
        "shared_preload_libraries=",
        "listen_addresses=",
        "ssl=off",
        "archive_cleanup_command=",
        "recovery_end_command=",
        "synchronous_standby_names=",
    ):
        assert f"-c{setting}" in argv
    assert f'-crestore_command=cp "{cage.root}/wal/%f" "%p"' in argv
    assert f"-cconfig_file={cage.root}/postgresql.conf" in argv


def test_the_engine_has_what_its_primary_had_and_no_file_of_the_cluster(cage, tmp_path):
    copy(cage, tmp_path).start()
    text = (cage.root / "postgresql.conf").read_text(encoding="utf-8")
    for line in (
        "max_connections = '100'",
        "max_worker_processes = '8'",
        "max_wal_senders = '10'",
        "max_locks_per_transaction = '64'",
        "max_logical_replication_workers = '0'",
        "listen_addresses = ''",
    ):
        assert line in text
    assert "include" not in text
    assert (cage.root / "hba.conf").read_text(encoding="utf-8") == "local all all trust\n"


@pytest.mark.parametrize("answer", [(1, "", "could not open file"), (0, "nonsense", "")])
def test_a_copy_without_pg_control(answer, cage, tmp_path):
    cage.answers = {"pg_controldata": [answer]}
    with pytest.raises(BackupError, match="pg_control"):
        copy(cage, tmp_path).start()


def recovered(cage, tmp_path, **options):
    scratch = copy(cage, tmp_path, **options)
    scratch.start()
    return {f.check: f for f in scratch.recover(30)}


def test_recovery_to_a_time(cage, tmp_path):
    found = recovered(cage, tmp_path)
    assert {name: f.outcome for name, f in found.items()} == {
        "restored": "passed",
        "target_reached": "passed",
        "same_cluster": "passed",
    }
    assert any("pg_wal_replay_resume" in options["stdin"] for _argv, options in cage.named("ask"))


def test_recovery_is_waited_for(cage, tmp_path):
    starting = (2, "", "FATAL:  the database system is starting up")
    going_on = (0, "t|0/C000120|f\n", "")
    cage.answers["pg_is_in_recovery(), coalesce"] = [starting, starting, going_on, (0, "t|0/F000308|t\n", "")]
    assert recovered(cage, tmp_path)["restored"].outcome == "passed"


def test_target_not_reached_is_a_failure(cage, tmp_path):
    cage.pid, cage.log = 0, recorded("recovery_gap.log")
    found = recovered(cage, tmp_path)
    assert found["restored"].outcome == "failed"
    assert "the engine ended" in found["restored"].reason
    assert "recovery ended before configured recovery target" in found["target_reached"].reason


def test_recovery_that_does_not_end(cage, tmp_path):
    cage.answers["pg_is_in_recovery(), coalesce"] = [(0, "t|0/C000120|f\n", "")]
    found = recovered(cage, tmp_path)
    assert found["restored"].outcome == "failed"
    assert "did not end within 30 s" in found["restored"].reason


@pytest.mark.parametrize(("identity", "outcome"), [(IDENTITY, "passed"), ("42", "failed"), (None, "unknown")])
def test_whose_data_these_are(identity, outcome, cage, tmp_path):
    assert recovered(cage, tmp_path, identity=identity)["same_cluster"].outcome == outcome


# --- what the engine finds

HEAP = """heap table "postgres.public.rsp_planted":
    ERROR:  invalid page in block 0 of relation base/5/24576
"""
WARNING = "WARNING:  page verification failed, calculated checksum 26313 but expected 40433\n"
INDEX = """btree index "postgres.public.rsp_planted_id_idx":
    ERROR:  heap tuple (0,10) from table "rsp_planted" lacks matching index tuple within index "rsp_planted_id_idx"
"""


@pytest.mark.parametrize(
    ("answers", "tripped"),
    [
        (((0, "", ""), "\n", (0, SOUND, "")), set()),
        (((2, HEAP, WARNING), "\n", (1, TORN, "")), {"pages_whole"}),
        (((2, HEAP, ""), "\n", (0, SOUND, "")), {"pages_whole"}),
        (((0, "", ""), "\n", (1, TORN, "")), {"pages_whole"}),
        (((2, INDEX, ""), "\n", (0, SOUND, "")), {"indexes_whole"}),
        (((0, "", ""), "database shop\n", (0, SOUND, "")), {"collations_same"}),
        (((2, INDEX, ""), "collation ru\n", (1, TORN, "")), {"indexes_whole", "collations_same", "pages_whole"}),
    ],
)
def test_what_the_engine_finds(answers, tripped, cage, tmp_path):
    amcheck, collations, checksums = answers
    cage.answers |= {"pg_amcheck": [amcheck], "datcollversion": [(0, collations, "")], "pg_checksums": [checksums]}
    scratch = copy(cage, tmp_path)
    scratch.start()
    found = scratch.engine()
    assert {f.check for f in found} == {"pages_whole", "indexes_whole", "collations_same"}
    assert {f.check for f in found if f.outcome == "failed"} == tripped
    assert {f.outcome for f in found} <= {"passed", "failed"}


@pytest.mark.parametrize("answer", [(1, "", "could not connect"), (2, "", ""), (127, "", "no such file")])
def test_amcheck_that_did_not_run_proves_nothing(answer, cage, tmp_path):
    cage.answers["pg_amcheck"] = [answer]
    scratch = copy(cage, tmp_path)
    scratch.start()
    assert {f.outcome for f in scratch.engine()} == {"unknown"}


@pytest.mark.parametrize("answer", [(1, "", "cluster must be shut down"), (1, SOUND, ""), (0, "", "")])
def test_checksums_that_were_not_counted_are_unknown(answer, cage, tmp_path):
    cage.answers["pg_checksums"] = [answer]
    scratch = copy(cage, tmp_path)
    scratch.start()
    assert [f.outcome for f in scratch.engine() if f.check == "pages_whole"] == ["unknown"]


def test_the_engine_is_stopped_before_its_pages_are_counted(cage, tmp_path):
    scratch = copy(cage, tmp_path)
    scratch.start()
    scratch.engine()
    names = [step for step, _argv, _options in cage.steps]
    assert names.index("end engine") < names.index("checksums")


def test_a_cluster_without_checksums(cage, tmp_path):
    text = recorded("controldata.txt").replace("checksum version:           1", "checksum version:           0")
    cage.answers["pg_controldata"] = [(0, text, "")]
    scratch = copy(cage, tmp_path)
    scratch.start()
    [pages] = [f for f in scratch.engine() if f.check == "pages_whole"]
    assert "the cluster has no checksums" in pages.evidence["note"]


def test_a_query_that_fails(cage, tmp_path):
    cage.answers = {"select 1": [(3, "", "ERROR: no such table")]}
    with pytest.raises(BackupError, match="shop: ERROR: no such table"):
        copy(cage, tmp_path).sql("shop", "select 1")


# --- faults in the copy

QUESTIONS = {
    "canary": {"database": "smoke"},
    "content": [{"name": "x", "database": "shop", "query": "q"}, {"name": "y", "database": "shop", "table": "orders"}],
    "destroyed": [{"database": "shop", "table": "people", "column": "id", "values": ["7"]}],
}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("index_broken", "set indisready = false"),
        ("collation_changed", "update pg_database set datcollversion"),
        ("table_emptied", 'delete from "orders"'),
        ("canary_removed", "delete from rsp_canary where seq = (select max(seq) from rsp_canary)"),
        ("destroyed_is_back", 'insert into "people" ("id") values (E\'7\')'),
    ],
)
def test_planted_faults(fault, said, cage, tmp_path):
    scratch = copy(cage, tmp_path, plant=fault, questions=QUESTIONS)
    scratch.damage()
    assert any(said in options["stdin"] for _argv, options in cage.named("ask"))


@pytest.mark.parametrize("fault", ["table_emptied", "canary_removed", "destroyed_is_back"])
def test_a_fault_that_needs_a_question(fault, cage, tmp_path):
    with pytest.raises(BackupError, match=f"{fault} needs"):
        copy(cage, tmp_path, plant=fault).damage()


def test_a_torn_page_is_made_while_the_engine_is_stopped(cage, tmp_path):
    path = cage.root / "data" / "base" / "5" / "24576"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(plant.PAGE * 2))
    cage.answers["rsp_planted"] = [(0, "base/5/24576\n", "")]
    copy(cage, tmp_path, plant="page_torn").damage()
    names = [step for step, _argv, _options in cage.steps]
    assert names.index("end engine") < names.index("engine")
    data = path.read_bytes()
    assert data[: plant.PAGE - 256] == bytes(plant.PAGE - 256)
    assert data.count(0x5A) == 128
    assert len(data) == plant.PAGE * 2


def test_without_a_fault_nothing_is_done(cage, tmp_path):
    copy(cage, tmp_path).damage()
    assert cage.steps == []


# --- Consul

INSPECTED = {"Stats": [{"Name": "KVS", "Count": 3}, {"Name": "Index", "Count": 19}, {"Name": "Register", "Count": 3}]}


def keys(tokens, index=20):
    return json.dumps(
        [
            {
                "Key": f"rsp/canary/{t.seq:012d}",
                "ModifyIndex": index,
                "Value": base64.b64encode(t.text().encode()).decode(),
            }
            for t in tokens
        ]
    ).encode()


class Agent:
    """The scratch agent's API."""

    def __init__(self, tokens=(), index=20, leader=b'"127.0.0.1:8300"'):
        self.tokens, self.index, self.leader, self.put = list(tokens), index, leader, []

    def __call__(self, method, path, body=None):
        if "leader" in path:
            return self.leader
        if "snapshot" in path:
            self.put += [body] if method == "PUT" else []
            return snapshot(20)
        return keys(self.tokens, self.index)


def consul(tmp_path, agent=None, inspected=None, identity="dc1", index=20):
    folder = tmp_path / "snapshots"
    folder.mkdir(exist_ok=True)
    (folder / "a.snap").write_bytes(snapshot(index))
    source = ConsulSnapshots(lambda _argv, _env: (1, "", ""), {"files": str(folder)})
    repository = source.repositories()[0]
    cage = Cage(tmp_path / "cage")
    (cage.root / "run").mkdir(parents=True)
    answers = iter([*(inspected or [INSPECTED, INSPECTED])])
    cage.execute = lambda _argv, _stdin: (0, json.dumps(next(answers)), "")
    clock = iter(range(10**6))
    scratch = ConsulScratch(
        cage,
        source,
        repository,
        repository.point("latest"),
        "/usr/local/bin/consul",
        identity,
        clock=lambda: float(next(clock)),
        sleep=lambda _s: None,
    )
    scratch._call = agent or Agent(chain(3))
    return scratch, cage


def test_a_snapshot_goes_into_a_lone_agent(tmp_path):
    scratch, cage = consul(tmp_path)
    assert scratch.fetch() == len(snapshot(20))
    scratch.start()
    [(_argv, options)] = cage.named("engine")
    assert options == {"network": False}
    config = json.loads((cage.root / "agent.json").read_text(encoding="utf-8"))
    assert config["bind_addr"] == "127.0.0.1"
    assert config["addresses"]["http"].startswith("unix://")
    assert set(config["ports"].values()) == {-1}
    assert "retry_join" not in config
    assert "encrypt" not in config
    assert config["datacenter"] == "dc1"
    assert {f.check: f.outcome for f in scratch.recover(30)} == {
        "restored": "passed",
        "target_reached": "passed",
        "same_cluster": "passed",
    }
    assert scratch._call.put == [snapshot(20)]
    scratch.damage()
    scratch.stop()
    assert cage.named("end engine")


def test_an_agent_without_a_leader(tmp_path):
    scratch, _cage = consul(tmp_path, Agent(leader=b'""'))
    scratch.fetch()
    [finding] = scratch.recover(5)
    assert (finding.check, finding.outcome) == ("restored", "unknown")


@pytest.mark.parametrize(
    ("agent", "identity", "tripped"),
    [
        (Agent(chain(1), index=21), "dc1", {"target_reached"}),
        (Agent(chain(1)), "dc2", {"same_cluster"}),
        (Agent([]), "dc1", set()),
    ],
)
def test_what_a_restored_agent_shows(agent, identity, tripped, tmp_path):
    scratch, _cage = consul(tmp_path, agent, identity=identity)
    scratch.fetch()
    assert {f.check for f in scratch.recover(30) if f.outcome == "failed"} == tripped


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (INSPECTED, None),
        ({"Stats": [{"Name": "KVS", "Count": 2}]}, "KVS: 3 were saved, 2 are there"),
        ({"Stats": []}, "KVS: 3 were saved, 0 are there"),
        ({"Stats": [*INSPECTED["Stats"], {"Name": "ACLToken", "Count": 1}]}, "ACLToken: 0 were saved, 1 are there"),
    ],
)
def test_what_would_be_saved_again(second, reason, tmp_path):
    scratch, _cage = consul(tmp_path, inspected=[INSPECTED, second])
    scratch.fetch()
    [finding] = scratch.engine()
    assert (finding.outcome == "passed") if reason is None else (reason in finding.reason)


def test_an_inspection_that_fails(tmp_path):
    scratch, cage = consul(tmp_path)
    scratch.fetch()
    cage.execute = lambda _argv, _stdin: (1, "", "Error reading snapshot: unexpected EOF")
    with pytest.raises(BackupError, match="unexpected EOF"):
        scratch.engine()


def test_canaries_of_consul(tmp_path):
    tokens = chain(4)
    question = {"store": STORE, "key": CANARY_KEY, "ledger": tokens, "k": 3, "disaster_at": T0 + 99}
    scratch, _cage = consul(tmp_path, Agent(tokens[:3]))
    scratch.fetch()
    assert [f.outcome for f in scratch.content({"canary": question})] == ["passed"]
    scratch._call = Agent(tokens)
    assert [f.outcome for f in scratch.content({"canary": question})] == ["failed"]
    scratch._call = lambda *_args: json.dumps([{"Value": "bm8="}]).encode()
    assert [f.outcome for f in scratch.content({"canary": question})] == ["unknown"]
    assert scratch.content({}) == []


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500 to GET /v1/x"),
        (b"junk\r\n\r\n", "does not answer"),
    ],
)
def test_the_agent_is_asked_through_a_socket(answer, result, tmp_path):
    scratch, cage = consul(tmp_path)
    del scratch._call
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(cage.root / "run" / "http.sock"))
    server.listen(1)

    def serve():
        peer, _address = server.accept()
        peer.recv(4096)
        peer.sendall(answer)
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        if isinstance(result, bytes):
            assert scratch._call("GET", "/v1/x?secret=1") == result
        else:
            with pytest.raises(BackupError, match=result):
                scratch._call("GET", "/v1/x?secret=1")
    finally:
        thread.join()
        server.close()


def test_an_agent_that_is_gone(tmp_path):
    scratch, _cage = consul(tmp_path)
    del scratch._call
    with pytest.raises(BackupError, match="does not answer"):
        scratch._call("GET", "/v1/x")
    assert not scratch._leads()


def test_ports_and_counts_are_named():
    assert set(scratch_consul.PORTS) >= {"https", "dns", "grpc"}
    assert "KVS" in scratch_consul.COUNTED
    assert scratch_postgresql.ENOUGH["max_connections setting"] == "max_connections"
