"""The modules as Ansible calls them, over a repository in a directory; what they take, refuse, predict and return."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.doc_fragments.backup import ModuleDocFragment
from ansible_collections.rsp.platform.plugins.module_utils.backup import object_lock, opening, plant, record
from ansible_collections.rsp.platform.plugins.module_utils.backup.drill_options import drill_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import Level, judge, passed
from ansible_collections.rsp.platform.plugins.module_utils.backup.object_lock import probe
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import policy_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import NEEDED
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.s3.client import Answer, S3Client
from ansible_collections.rsp.platform.plugins.module_utils.s3.sign import Account
from ansible_collections.rsp.platform.plugins.modules import (
    backup_info,
    backup_report,
    backup_retention,
    backup_tamper,
    backup_verify,
    restore_drill,
)
from backup_data import FULL, IDENTITY, INCR, KEY, NOW, Tool, build, snapshot
from module_call import call
from test_backup_canary import KEY as CANARY_KEY
from test_backup_canary import STORE, TEN

MODULES = (backup_info, backup_verify, backup_retention, restore_drill)


@pytest.fixture
def root(tmp_path):
    return build(tmp_path / "repo1")


@pytest.fixture
def source(root, tmp_path, monkeypatch):
    """Options that find the repository; every module gets the stand-in instead of runuser."""
    config = tmp_path / "pgbackrest.conf"
    config.write_text("[global]\nrepo1-path=/x\n", encoding="utf-8")
    tool = Tool(root)
    for module in MODULES:
        monkeypatch.setattr(module, "as_user", lambda _module, _user: tool)
        if hasattr(module, "time"):
            monkeypatch.setattr(module.time, "time", lambda: NOW)
    return {"service": "postgresql", "stanza": "rsp", "config": str(config)}


# --- documentation


def test_the_fragment_documents_what_the_modules_take():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert set(documented) == set(opening.source_options())
    assert set(documented["policy"]["suboptions"]) == set(policy_options()["options"])
    assert set(yaml.safe_load(ModuleDocFragment.POINT)["options"]) == set(opening.point_options())


def documented(module):
    return yaml.safe_load(module.DOCUMENTATION)["options"]


def test_the_drill_documents_what_it_takes():
    shared = {*opening.source_options(), *opening.point_options()}
    assert set(documented(restore_drill)) - {"point"} == set(drill_options()) - shared
    assert documented(restore_drill)["plant"]["choices"] == list(plant.PLANTS)


@pytest.mark.parametrize("module", [backup_tamper, backup_report])
def test_examples_are_tasks(module):
    for task in yaml.safe_load(module.EXAMPLES):
        assert task["name"]
        assert any(key.startswith("rsp.platform.") for key in task)


# --- backup_info


def test_info(source, capsys):
    result = call(backup_info.main, capsys, **source)
    [only] = result["repositories"]
    assert result["changed"] is False
    assert (only["name"], only["latest"], len(only["points"]), only["problem"]) == ("repo1", INCR, 3, None)
    assert call(backup_info.main, capsys, check=True, **source)["repositories"] == result["repositories"]


def test_info_tells_when_a_restore_last_proved_a_point_that_is_there(tmp_path, source, capsys):
    evidence, key = tmp_path / "proofs.jsonl", b"k"
    asked = {**source, "evidence": str(evidence), "evidence_key": "k"}
    assert call(backup_info.main, capsys, **asked)["proved_at"] is None
    for label, ended_at, level in ((INCR, 50.0, 5), (INCR, 90.0, 3), ("20200101-000000F", 80.0, 6)):
        record.append(evidence, "t", {"label": label, "ended_at": ended_at, "level": level, "proved": True}, key)
    assert call(backup_info.main, capsys, **asked)["proved_at"] == 50.0  # the others were only read, or are gone
    broken = call(backup_info.main, capsys, **{**asked, "evidence_key": "another"})
    assert broken["rc"] == 1
    assert str(evidence) in broken["msg"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service": "kafka"}, "must be one of: consul, postgresql"),
        ({"service": None}, "missing required arguments: service"),
        ({"stanza": None}, "needs a stanza"),
        ({"stanza": "other"}, "says nothing of stanza other"),
        ({"config": "/none/pgbackrest.conf"}, "No such file"),
        ({"options": ["repo1-path=/x"]}, "only --name=value"),
        ({"options": ["--repo1-cipher-pass=x"]}, "never a key"),
        ({"policy": {"rto": 1}}, "Unsupported parameters"),
        ({"service": "consul"}, "needs directories"),
    ],
)
def test_bad_sources(changes, said, source, capsys):
    arguments = {name: value for name, value in {**source, **changes}.items() if value is not None}
    result = call(backup_info.main, capsys, **arguments)
    assert result["rc"] == 1
    assert said in result["msg"]


def test_snapshots_of_consul(tmp_path, source, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.snap").write_bytes(snapshot(20))
    result = call(backup_info.main, capsys, service="consul", directories={"files": str(tmp_path / "s"), "s3": "/none"})
    files, s3 = result["repositories"]
    assert files["latest"] == "a.snap"
    assert "No such file" in s3["problem"]


# --- backup_verify

PROVED = {"repository": "repo1", "identity": IDENTITY, "escrow": {"repo1": KEY}}


@pytest.mark.parametrize("level", ["L0", "L1", "L2", "L3"])
def test_verify_up_to_the_escrow(level, source, capsys):
    result = call(backup_verify.main, capsys, **source, **PROVED, level=level)
    assert (result["rc"], result["reached"], result["proved"], result["label"]) == (0, level, True, INCR)
    assert result["changed"] is False


@pytest.mark.parametrize(
    ("changes", "expected", "said"),
    [
        ({"escrow": None}, ("L2", []), "no key of repo1 came from the escrow"),
        ({"escrow": {"repo1": "wrong"}}, ("L2", ["escrow_decrypts"]), "does not open"),
        ({"identity": None}, ("L0", []), "was not said"),
        ({"identity": "1"}, ("L0", ["same_cluster"]), "not of 1"),
        ({"later_s": 3 * 86400}, (None, ["fresh", "advancing"]), "s are allowed"),
        ({"policy": {"max_age_s": 5}}, (None, ["fresh"]), "5 s are allowed"),
        ({"policy": {"rpo_s": 5}}, (None, ["advancing"]), "5 s are promised"),
        ({"level": "L4"}, ("L3", []), "L4 restored: was not checked"),
        ({"level": "L6"}, ("L3", []), "L6 canaries_exact: was not checked"),
    ],
)
def test_verify_says_how_far_it_came(changes, expected, said, source, capsys):
    arguments = {name: value for name, value in {**source, **PROVED, **changes}.items() if value is not None}
    result = call(backup_verify.main, capsys, **arguments)
    assert (result["rc"], (result["reached"], result["tripped"])) == (1, expected)
    assert said in result["msg"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repository": "repo9"}, "there is no repository repo9 → one of repo1"),
        ({"point": "20200101-000000F"}, "has no point 20200101-000000F"),
        ({"level": "L8"}, "must be one of"),
        ({"repository": None}, "missing required arguments: repository"),
    ],
)
def test_bad_input_of_verify(changes, said, source, capsys):
    arguments = {name: value for name, value in {**source, **PROVED, **changes}.items() if value is not None}
    result = call(backup_verify.main, capsys, **arguments)
    assert result["rc"] == 1
    assert said in result["msg"]


def test_another_host_decrypts(source, tmp_path, capsys):
    """A member that reaches repository 1 over TLS uses its host's key, whatever key it is given: no proof."""
    Path(source["config"]).write_text("[global]\nrepo1-host=10.0.0.9\n", encoding="utf-8")
    result = call(backup_verify.main, capsys, **source, **PROVED)
    assert (result["reached"], result["rc"]) == ("L2", 1)
    assert "another host decrypts repo1" in result["msg"]


def test_no_point_at_all(source, root, capsys):
    for name in ("backup.info", "backup.info.copy"):
        (root / "backup" / "rsp" / name).unlink()
    result = call(backup_verify.main, capsys, **source, **PROVED)
    assert result["tripped"] == ["repository_answers", "exists", "fresh"]


def drilled(**changes):
    checks = [name for level in (4, 5, 6, 7) for name in NEEDED[Level(level)]]
    proof = judge(Level.APPLICATION, [passed(name) for name in checks], NEEDED)
    return {"label": INCR, "repository": "repo1", "plant": None, "findings": proof.as_result()["findings"], **changes}


def test_a_drill_lifts_the_proof_to_the_top(source, capsys):
    result = call(backup_verify.main, capsys, **source, **PROVED, level="L7", drill=drilled())
    assert (result["reached"], result["proved"]) == ("L7", True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": FULL}, "the drill was of repo1"),
        ({"repository": "repo2"}, "the drill was of repo2"),
        ({"plant": "page_torn"}, "a planted fault proves nothing"),
    ],
)
def test_a_drill_of_something_else_proves_nothing(changes, said, source, capsys):
    result = call(backup_verify.main, capsys, **source, **PROVED, level="L7", drill=drilled(**changes))
    assert (result["rc"], result["reached"]) == (1, None)
    assert said in result["msg"]


def test_a_drill_does_not_repair_what_reads_badly(source, root, capsys):
    next(root.rglob("backup.manifest")).write_bytes(b"rotten")
    result = call(backup_verify.main, capsys, **source, **PROVED, level="L7", drill=drilled())
    assert result["reached"] == "L0"


# --- restore_drill: its refusals have a table of their own in test_backup_drill


@pytest.fixture
def drill(source, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(t.text() + "\n" for t in TEN), encoding="utf-8")
    return {
        **source,
        **PROVED,
        "name": "nightly",
        "binaries": "/bin",
        "directory": str(tmp_path / "drills"),
        "canary": {"store": STORE, "key": CANARY_KEY.decode(), "ledger": str(ledger)},
        "evidence": str(tmp_path / "e.jsonl"),
    }


def test_check_mode_prints_the_plan_and_makes_nothing(drill, tmp_path, capsys):
    result = call(restore_drill.main, capsys, check=True, **drill)
    assert (result["rc"], result["changed"], result["plan"]["label"]) == (0, True, INCR)
    assert {"need_bytes", "free_bytes", "estimate_s", "lease_s"} <= set(result["plan"])
    assert not (tmp_path / "drills").exists()
    assert not (tmp_path / "e.jsonl").exists()


def test_check_mode_refuses_as_the_run_would(drill, capsys, monkeypatch):
    for check in (True, False):
        result = call(restore_drill.main, capsys, check=check, **{**drill, "lease_s": 61})
        assert (result["rc"], len(result["refused"])) == (1, 1)
        assert "its lease is 61 s" in result["msg"]


def test_space_that_does_not_do(drill, capsys, monkeypatch):
    full = os.statvfs_result((4096, 4096, 10, 5, 5, 10, 5, 5, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    result = call(restore_drill.main, capsys, check=True, **drill)
    assert "0 MiB are free" in result["msg"]


def proof_of(level, plant_=None):
    findings = [passed(name) for each in NEEDED for name in NEEDED[each] if each <= level]
    proof = judge(Level.CONTENT, findings, NEEDED)
    body = {
        "label": INCR,
        "repository": "repo1",
        "level": int(proof.reached),
        "proved": proof.verdict.open,
        "reasons": [],
        "plant": plant_,
        "ended_at": NOW,
        "rto_s": 9.0,
        "rpo_s": 1.0,
        "findings": [],
        "stages": {"mib_per_s": {}},
    }
    return proof, body


def test_a_drill_leaves_evidence(drill, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(restore_drill, "run_drill", lambda _wanted, _execute: proof_of(Level.CONTENT))
    result = call(restore_drill.main, capsys, **drill)
    assert (result["rc"], result["reached"], result["changed"]) == (0, "L6", True)
    [body] = record.proofs(tmp_path / "e.jsonl")
    assert body["label"] == INCR
    skipped = call(restore_drill.main, capsys, **drill, fresh_s=100)
    assert (skipped["changed"], skipped["msg"]) == (False, f"{INCR} is proved already")
    assert len(record.proofs(tmp_path / "e.jsonl")) == 1


def test_a_drill_that_failed_leaves_evidence_too(drill, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(restore_drill, "run_drill", lambda _wanted, _execute: proof_of(Level.RESTORED))
    result = call(restore_drill.main, capsys, **drill)
    assert (result["rc"], result["reached"]) == (1, "L4")
    assert "is not proved up to L6: L5 pages_whole: was not checked" in result["msg"]
    assert len(record.proofs(tmp_path / "e.jsonl")) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../x"}, "small letters"),
        ({"directory": "/"}, "is no directory for drills"),
        ({"level": "L3"}, "must be one of"),
        ({"target": {"kind": "moon"}}, "must be one of"),
        ({"target": {}}, "missing required arguments"),
        ({"plant": "meteor"}, "must be one of"),
        ({"content": [{"name": "x"}]}, "missing required arguments"),
        ({"destroyed": [{"table": "x"}]}, "missing required arguments"),
        ({"canary": {"store": "x"}}, "missing required arguments"),
        ({"lease_s": "1h"}, "lease_s"),
        ({"binaries": None}, "missing required arguments: binaries"),
    ],
)
def test_bad_input_of_the_drill(changes, said, drill, capsys):
    arguments = {name: value for name, value in {**drill, **changes}.items() if value is not None}
    result = call(restore_drill.main, capsys, **arguments)
    assert result["rc"] == 1
    assert said in result["msg"]


# --- backup_retention

KEPT = {"policy": {"min_points": 3, "min_span_s": 0}}


def test_what_is_kept_as_promised(source, capsys):
    result = call(backup_retention.main, capsys, **source, **KEPT)
    assert (result["rc"], result["tripped"]) == (0, [])
    assert {f["repository"] for f in result["findings"]} == {"repo1"}


@pytest.mark.parametrize(
    ("changes", "tripped", "said"),
    [
        ({"policy": {"min_points": 4, "min_span_s": 0}}, ["enough_points"], "3 points are kept, 4 are promised"),
        ({"policy": {"min_points": 1}}, ["enough_points"], "7.0 are promised"),
        ({"later_s": 9 * 86400, "policy": {"max_keep_s": 8 * 86400}}, ["not_too_old"], "should have been deleted"),
        (
            {**KEPT, "copies": [{"name": "live", "domain": "a", "medium": "disk", "production": True}]},
            ["copies_apart"],
            "no backup at all",
        ),
    ],
)
def test_what_is_not(changes, tripped, said, source, capsys):
    result = call(backup_retention.main, capsys, **source, **changes)
    assert (result["rc"], result["tripped"]) == (1, tripped)
    assert said in result["msg"]


BUCKET = {
    "endpoint": "https://10.0.0.1:7443",
    "bucket": "b",
    "access_key": "who-asks",
    "secret_key": "long-secret-of-s3",
}
COPIES = [
    {"name": "live", "domain": "zone-a", "medium": "disk", "production": True},
    {"name": "repo1", "domain": "zone-m", "medium": "disk", "errors": 0},
    {"name": "repo2", "domain": "cloud", "medium": "object", "off_site": True, "errors": 0},
]


@pytest.mark.parametrize(("refuses", "rc"), [(True, 0), (False, 1)])
def test_the_probe_answers_for_its_copy(refuses, rc, source, capsys, monkeypatch):
    monkeypatch.setattr(backup_retention, "client_of", lambda _asked: Store(locked=refuses).client())
    result = call(backup_retention.main, capsys, **source, **KEPT, copies=COPIES, probe={**BUCKET, "copy": "repo2"})
    assert result["rc"] == rc, result
    assert result["tripped"] == ([] if refuses else ["copies_apart", "object_lock"])


def test_check_mode_tries_no_delete(source, capsys, monkeypatch):
    monkeypatch.setattr(backup_retention, "client_of", lambda _asked: pytest.fail("asked"))
    result = call(backup_retention.main, capsys, check=True, **source, **KEPT, probe=BUCKET)
    assert "check mode tries no delete" in result["msg"]


@pytest.mark.parametrize(
    ("probe_", "said"),
    [({"bucket": "b"}, "missing required arguments"), ({**BUCKET, "endpoint": "http://a"}, "must begin with https")],
)
def test_bad_input_of_the_probe(probe_, said, source, capsys):
    result = call(backup_retention.main, capsys, **source, **KEPT, probe=probe_)
    assert (result["rc"], said in result["msg"]) == (1, True)


# --- the probe itself


class Store:
    """A bucket: versions are kept or not, deletes refused or not."""

    def __init__(self, *, locked=True, versions=True, bypass=False, put=200, says=403, keeps=True):
        self.locked, self.versions, self.bypass, self.put, self.says, self.keeps = (
            locked,
            versions,
            bypass,
            put,
            says,
            keeps,
        )
        self.asked, self.body, self.hidden = [], b"", False

    def client(self):
        return S3Client(Connection("https://10.0.0.1:7443"), Account("who-asks", "long-secret-of-s3"), exchange=self)

    def __call__(self, request, headers):
        self.asked.append((request.method, request.path))
        version = request.query.get("versionId")
        if request.method == "PUT":
            self.body = request.body
            made = {"x-amz-version-id": "v/1"} if self.versions else {}
            return Answer(self.put, b"<Error><Code>NoSuchBucket</Code></Error>", made)
        if request.method == "GET":
            there = self.keeps if version else not self.hidden
            return Answer(200 if there else 404, self.body if there else b"")
        if not version:
            self.hidden = True
        elif self.locked and not ("x-amz-bypass-governance-retention" in headers and self.bypass):
            return Answer(self.says, b"<Error><Code>AccessDenied</Code></Error>")
        return Answer(204, b"")


@pytest.mark.parametrize(
    ("store", "outcome", "said"),
    [
        (Store(), "passed", ""),
        (Store(locked=False), "failed", "version v/1 was deleted: the object lock does not hold"),
        (Store(bypass=True), "failed", "was deleted with a bypass of the lock"),
        (Store(versions=False), "failed", "the write made no version"),
        (Store(put=404), "unknown", "404 NoSuchBucket"),
        (Store(says=503), "unknown", "503 AccessDenied"),
        (Store(says=401), "unknown", "401 AccessDenied"),
        (Store(says=409), "passed", ""),
        (Store(keeps=False), "failed", "the locked version is not what was written"),
    ],
)
def test_a_delete_is_tried(store, outcome, said):
    finding = probe(store.client(), "b", NOW)
    assert finding.outcome == outcome
    assert said in finding.reason
    assert all(object_lock.PROBE in path for _method, path in store.asked), "nobody else's object is touched"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"endpoint": "https://127.0.0.1:1"}, "could not be tried"), ({"ca_path": "/none/ca.crt"}, "/none/ca.crt")],
)
def test_nobody_answers(changes, said):
    client = object_lock.client_of({**BUCKET, "region": "us-east-1", "ca_path": None, **changes})
    finding = probe(client, "b", NOW)
    assert (finding.outcome, said in finding.reason) == ("unknown", True)
    assert "long-secret" not in finding.reason


# --- backup_tamper


def test_a_copy_is_made_broken_and_removed(root, tmp_path, capsys):
    copy, live = tmp_path / "copies" / "c", [str(root)]
    copy.parent.mkdir()
    arguments = {"copy": str(copy), "live": live}
    predicted = call(backup_tamper.main, capsys, check=True, state="copied", source=str(root), **arguments)
    assert (predicted["changed"], copy.exists()) == (True, False)
    assert call(backup_tamper.main, capsys, state="copied", source=str(root), **arguments)["changed"]
    planned = call(backup_tamper.main, capsys, check=True, state="broken", kind="data_flipped", **arguments)
    done = call(backup_tamper.main, capsys, state="broken", kind="data_flipped", **arguments)
    assert planned["files"] == done["files"] != []
    assert (done["trips"], done["stage"], planned["diff"]) == ("bytes_match", "copy", done["diff"])
    assert call(backup_tamper.main, capsys, state="absent", **arguments)["changed"]
    assert not copy.exists()
    assert call(backup_tamper.main, capsys, state="absent", **arguments)["changed"] is False


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "broken", "kind": "data_flipped"}, "is the live repository"),
        ({"state": "absent"}, "is the live repository"),
        ({"state": "copied", "source": "SOURCE"}, "is the live repository"),
        ({"state": "copied"}, "source"),
        ({"state": "broken"}, "kind"),
        ({"state": "melted"}, "must be one of"),
        ({"state": "absent", "live": None}, "missing required arguments: live"),
        ({"state": "broken", "kind": "meteor", "copy": "MARKED"}, "there is no fault meteor"),
        ({"state": "broken", "kind": "stale", "copy": "OTHER"}, "was not made by this module"),
        ({"state": "copied", "source": "/none/x", "copy": "NEW"}, "is no directory"),
        ({"state": "copied", "source": "SOURCE", "copy": "OTHER"}, "is there already"),
    ],
)
def test_bad_input_of_tamper(changes, said, root, tmp_path, capsys):
    marked, other = tmp_path / "copies" / "marked", tmp_path / "copies" / "other"
    other.mkdir(parents=True)
    call(backup_tamper.main, capsys, state="copied", copy=str(marked), source=str(root), live=[str(root)])
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    words = {"SOURCE": str(root), "MARKED": str(marked), "OTHER": str(other), "NEW": str(tmp_path / "copies" / "new")}
    arguments = {"copy": str(root), "live": [str(root)], **changes}
    arguments = {n: words.get(v, v) if isinstance(v, str) else v for n, v in arguments.items() if v is not None}
    result = call(backup_tamper.main, capsys, **arguments)
    assert result["rc"] == 1
    assert said in result["msg"]
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


# --- backup_report


@pytest.fixture
def reported(tmp_path, monkeypatch):
    monkeypatch.setattr(backup_report.time, "time", lambda: NOW + 60)
    evidence = tmp_path / "e.jsonl"

    def arguments(*bodies, **store):
        for body in bodies:
            record.append(evidence, "t", body, b"chain-key-1")
        one = {
            "store": "postgresql/rsp",
            "evidence": str(evidence),
            "evidence_key": "chain-key-1",
            "points": [INCR, FULL],
            **store,
        }
        return {"stores": [one], "directory": str(tmp_path / "out"), "textfile": str(tmp_path / "metrics.prom")}

    return arguments


def test_a_report_of_what_is_proved(reported, tmp_path, capsys):
    arguments = reported(proof_of(Level.CONTENT)[1])
    predicted = call(backup_report.main, capsys, check=True, **arguments)
    assert not (tmp_path / "out").exists()
    result = call(backup_report.main, capsys, **arguments)
    assert (result["good"], result["counts"]) == (True, {"stores": 1, "good": 1, "bad": 0})
    assert result["files"] == predicted["files"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["backups.html", "backups.json", "backups.rules.yml"]
    assert json.loads((tmp_path / "out" / "backups.json").read_text())["good"] is True
    assert "last_proven_timestamp_seconds{" in (tmp_path / "metrics.prom").read_text()
    rules = yaml.safe_load((tmp_path / "out" / "backups.rules.yml").read_text())
    assert rules["groups"][0]["rules"][0]["alert"] == "BackupNotProven"
    assert call(backup_report.main, capsys, **arguments)["changed"] is False


@pytest.mark.parametrize(
    ("bodies", "store", "said"),
    [
        ([], {}, "it was never proved by a restore"),
        ([{**proof_of(Level.RESTORED)[1], "reasons": ["torn"]}], {}, "the last drill failed: torn"),
        ([proof_of(Level.CONTENT)[1]], {"reasons": ["repo2 can't be read"]}, "repo2 can't be read"),
        ([proof_of(Level.CONTENT)[1]], {"evidence_key": "another-chain-key"}, "was changed, or the key is"),
        ([proof_of(Level.CONTENT, "page_torn")[1]], {}, "it was never proved"),
        ([{**proof_of(Level.CONTENT)[1], "ended_at": NOW - 9 * 86400}], {}, "9.0 days old"),
        ([{**proof_of(Level.CONTENT)[1], "ended_at": NOW - 100}], {"policy": {"proof_max_age_s": 60}}, "days old"),
    ],
)
def test_what_stands_against_a_store(bodies, store, said, reported, capsys):
    result = call(backup_report.main, capsys, **reported(*bodies, **store))
    assert result["good"] is False
    assert any(said in reason for reason in result["stores"][0]["reasons"])


def test_a_planted_fault_does_not_spoil_the_report(reported, capsys):
    good, planted = proof_of(Level.CONTENT)[1], {**proof_of(Level.RESTORED, "page_torn")[1], "reasons": ["torn"]}
    assert call(backup_report.main, capsys, **reported(good, planted))["good"] is True


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stores": None}, "missing required arguments: stores"),
        ({"stores": [{"store": "x"}]}, "missing required arguments"),
        ({"directory": None}, "missing required arguments: directory"),
        ({"stores": [{"store": "x", "evidence": "/e", "policy": {"rto": 1}}]}, "policy has no rto"),
        ({"directory": "/dev/null/x"}, "Not a directory"),
    ],
)
def test_bad_input_of_the_report(changes, said, reported, capsys):
    arguments = {name: value for name, value in {**reported(), **changes}.items() if value is not None}
    result = call(backup_report.main, capsys, **arguments)
    assert (result["rc"], said in result["msg"]) == (1, True), result["msg"]
