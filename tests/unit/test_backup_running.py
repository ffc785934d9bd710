"""A whole drill of PostgreSQL, from the module's options to the record: only the host's commands are played.

What the played host answers was seen on pgBackRest 2.55.1 and PostgreSQL 17.12.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import drilling, record, sandbox, scratch_postgresql
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Sandbox
from ansible_collections.rsp.platform.plugins.module_utils.lease import Lease, LeaseError, Present, parse
from ansible_collections.rsp.platform.plugins.modules import restore_drill
from backup_data import IDENTITY, INCR, KEY, NOW, SEGMENTS, Tool, build, recorded
from module_call import call
from test_backup_canary import KEY as CANARY_KEY
from test_backup_canary import STORE, TEN
from test_backup_drill import LO, ROUTES

LATEST = recorded("recovery_lsn.log")


@dataclass
class Host:
    """Plays systemd and every program that a drill starts.

    Attributes:
        tokens: canaries that the restored copy has.
        answers: program → exit code and output, instead of the sound one.
        gone: the lease fires after so many commands.
    """

    base: Path
    tokens: list = field(default_factory=lambda: list(TEN))
    answers: dict = field(default_factory=dict)
    log: str = LATEST
    gone: int = 0
    running: bool = False
    restored: list = field(default_factory=list)
    words: list = field(default_factory=list)
    units: list = field(default_factory=list)

    def __call__(self, argv, stdin):
        self.words.append(" ".join(argv))
        if self.gone and len(self.words) == self.gone:
            shutil.rmtree(self.base / "nightly")
        if argv[0] == "systemd-run":
            return self.unit(list(argv), stdin)
        if argv[:2] == ["systemctl", "stop"]:
            self.running = False
        if argv[:2] == ["systemctl", "show"]:
            return 0, "77\n" if self.running else "0\n", ""
        return 0, "", ""

    def unit(self, argv, stdin):
        inner = argv[argv.index("--") + 1 :]
        self.units.append(next(word for word in argv if word.startswith("--unit=")))
        if inner[0] != "/usr/bin/python3":
            self.running = "postgres" in inner[0]
            (self.base / "nightly" / "engine.log").write_text(self.log, encoding="utf-8")
            return 0, "", ""
        env, text = json.loads(stdin.split("\n", 1)[0]), stdin.split("\n", 1)[1]
        program = Path(inner[3]).name
        if program in self.answers:
            return self.answers[program]
        return getattr(self, program)(inner[3:], env, text)

    def pgbackrest(self, argv, env, _text):
        if env.get("PGBACKREST_REPO1_CIPHER_PASS") != KEY:
            return 75, "", "P00  ERROR: [075]: no backup set found to restore"
        if argv[-1] == "restore":
            self.restored.append("data")
        else:
            self.restored.append(argv[-2])
        return 0, "", ""

    def xargs(self, argv, env, text):
        """One run for each line, in place of {}."""
        for name in text.splitlines():
            code, out, err = self.pgbackrest([word.replace("{}", name) for word in argv[3:]], env, "")
            if code != 0:
                return 123, out, err
        return 0, "", ""

    def pg_controldata(self, *_args):
        return 0, recorded("controldata.txt"), ""

    def psql(self, _argv, _env, text):
        if not self.running:
            return 2, "", "could not connect"
        if "coalesce" in text:
            return 0, "f||f\n", ""
        if "rsp_canary" in text:
            return 0, "".join(t.text() + "\n" for t in self.tokens), ""
        return (0, "7\n", "") if "count" in text else (0, "", "")

    def pg_amcheck(self, *_args):
        return 0, "", ""

    def pg_checksums(self, *_args):
        return (1, "", "cluster must be shut down") if self.running else (0, "Bad checksums:  0\n", "")


class Leased:
    """Leases of the played host: arming is kept, firing does what the undo says."""

    armed: ClassVar[list[Lease]] = []

    def __init__(self, run):
        self.run = run

    def find(self, _name):
        return None

    def arm(self, lease):
        Leased.armed.append(lease)

    def fire(self, name, wait_s):
        [lease] = [each for each in Leased.armed if each.name == name]
        stop, remove = lease.undo
        self.run(["systemctl", *stop[1:]])
        shutil.rmtree(remove[-1], ignore_errors=True)


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Calls the module on a played host; returns its result and the host."""
    tool, base = Tool(build(tmp_path / "repo1")), tmp_path / "drills"
    config, ledger = tmp_path / "pgbackrest.conf", tmp_path / "ledger.jsonl"
    config.write_text("[global]\nrepo1-path=/x\nrepo1-cipher-pass=of-the-host\n", encoding="utf-8")
    ledger.write_text("".join(t.text() + "\n" for t in TEN), encoding="utf-8")
    proc = tmp_path / "proc"
    for name, net in (("77", "net:[2]"), ("self", "net:[1]")):
        (proc / name / "ns").mkdir(parents=True)
        (proc / name / "net").mkdir()
        (proc / name / "ns" / "net").symlink_to(net)
        (proc / name / "net" / "dev").write_text(LO, encoding="utf-8")
        (proc / name / "net" / "route").write_text(ROUTES, encoding="utf-8")
    monkeypatch.setattr(sandbox.shutil, "chown", lambda *_args: None)
    monkeypatch.setattr(scratch_postgresql, "POLL_S", 0)
    monkeypatch.setattr(drilling, "Leases", Leased)
    monkeypatch.setattr(drilling, "Sandbox", lambda *args: Sandbox(*args, proc=proc))
    monkeypatch.setattr(restore_drill.time, "time", lambda: NOW)
    monkeypatch.setattr(restore_drill, "as_user", lambda _module, _user: tool)
    monkeypatch.setattr(Leased, "armed", [])
    arguments = {
        "name": "nightly",
        "service": "postgresql",
        "stanza": "rsp",
        "config": str(config),
        "repository": "repo1",
        "identity": IDENTITY,
        "escrow": {"repo1": KEY},
        "binaries": "/bin17",
        "directory": str(base),
        "evidence": str(tmp_path / "e.jsonl"),
        "policy": {"rpo_s": 10**6},
        "canary": {"store": STORE, "key": CANARY_KEY.decode(), "ledger": str(ledger)},
        "content": [{"name": "rows", "database": "shop", "query": "select count(*) from o", "equals": "7"}],
        "recover_s": 1,
    }

    def run(capsys, changes=None, first=None, **host):
        one = Host(base, **host)
        monkeypatch.setattr(restore_drill, "as_root", lambda _module: one)
        result = call(restore_drill.main, capsys, **{**arguments, **(changes or {})})
        assert first or not (base / "nightly").exists(), "the copy is gone, however it ended"
        assert not one.running
        return result, one

    return run


def test_a_drill_from_the_options_to_the_record(played, capsys, tmp_path):
    result, host = played(capsys)
    assert (result["rc"], result["reached"], result["reasons"]) == (0, "L6", [])
    assert host.restored == ["data", "00000002.history", *SEGMENTS[11:]]
    assert {unit.removeprefix("--unit=rsp-drill-nightly-") for unit in host.units} == {
        f"{step}.service" for step in ("fetch", "wal", "control", "engine", "ask", "amcheck", "checksums")
    }
    [body] = record.proofs(tmp_path / "e.jsonl")
    assert (body["label"], body["level"], body["proved"], body["plant"]) == (INCR, 6, True, None)
    assert set(body["stages"]["stages_s"]) == {"fetch", "start", "recover", "content", "engine", "remove"}


def test_no_secret_leaves_the_drill(played, capsys, tmp_path):
    result, host = played(capsys)
    kept = (tmp_path / "e.jsonl").read_text(encoding="utf-8") + json.dumps({**result, "invocation": None})
    for secret in (KEY, CANARY_KEY.decode(), "of-the-host"):
        assert secret not in kept
        assert not any(secret in words for words in host.words)
    assert KEY not in json.dumps(result["invocation"])


@pytest.mark.parametrize(
    ("host", "changes", "expected"),
    [
        ({"tokens": TEN[:4] + TEN[5:]}, {}, ("L5", ["canaries_exact"])),
        ({"tokens": []}, {}, ("L5", ["canaries_exact"])),
        ({"log": recorded("recovery_gap.log")}, {}, ("L3", ["target_reached"])),
        ({"answers": {"pgbackrest": (75, "", "ERROR: [075]: x")}}, {}, ("L3", ["restored"])),
        ({"answers": {"pg_controldata": (1, "", "x")}}, {}, ("L3", ["restored"])),
        ({"answers": {"pg_checksums": (1, "Bad checksums:  3\n", "")}}, {}, ("L4", ["pages_whole"])),
        ({"answers": {"pg_amcheck": (1, "", "x")}}, {}, ("L4", [])),
        ({}, {"escrow": {"repo1": "wrong"}}, ("L2", ["escrow_decrypts", "restored"])),
        ({}, {"identity": "1"}, ("L0", ["same_cluster", "same_cluster"])),
        ({}, {"policy": {"rpo_s": 10**6, "max_age_s": 1}}, (None, ["fresh"])),
    ],
)
def test_what_goes_wrong_is_named_and_kept(host, changes, expected, played, capsys):
    reached, tripped = expected
    result, one = played(capsys, changes, **host)
    assert (result["rc"], result["reached"]) == (1, reached), result["msg"]
    assert result["tripped"] == tripped
    [body] = record.proofs(one.base.parent / "e.jsonl")
    assert body["proved"] is False
    assert record.proved([body]) == {}


@pytest.mark.parametrize("after", [2, 3, 6, 9])
def test_a_lease_that_fires_in_the_middle_is_the_end(after, played, capsys):
    """The directory is gone under the drill: it must neither go on nor make it anew."""
    result, _host = played(capsys, gone=after)
    assert result["rc"] == 1
    assert result["proved"] is False


@pytest.mark.parametrize("sign", ["lease", "directory"])
def test_a_second_drill_of_that_name_touches_nothing_of_the_first(sign, played, capsys, tmp_path, monkeypatch):
    copy = tmp_path / "drills" / "nightly"
    if sign == "lease":
        ticking = Present(Sandbox("nightly", Host(tmp_path), "postgres", 600).lease(), "armed", 9.0)
        monkeypatch.setattr(Leased, "find", lambda _self, _name: ticking)
    else:
        copy.mkdir(parents=True)
        monkeypatch.setattr(Leased, "fire", lambda *_args: pytest.fail("the first one's lease was fired"))
    result, host = played(capsys, first=copy)
    assert "another drill nightly runs" in result["msg"]
    assert (host.restored, host.units, Leased.armed) == ([], [], [])
    assert copy.exists() == (sign == "directory")


def test_a_lease_that_can_not_be_armed_stops_the_drill(played, capsys, monkeypatch, tmp_path):
    def refuse(_self, _lease):
        raise LeaseError("systemd does not answer")

    monkeypatch.setattr(Leased, "arm", refuse)
    result, host = played(capsys)
    assert (result["rc"], result["msg"]) == (1, "systemd does not answer")
    assert host.units == []
    assert not (tmp_path / "e.jsonl").exists()


def test_the_lease_is_one_that_systemd_understands():
    lease = Sandbox("nightly", Host(Path("/x")), "postgres", 600).lease()
    texts = lease.files()
    assert parse(texts["rsp-lease-drill-nightly.service"]) == lease
    assert "OnActiveSec=600" in texts["rsp-lease-drill-nightly.timer"]
