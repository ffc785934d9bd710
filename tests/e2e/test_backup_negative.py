"""Backups on the running lab: faults in a copy of a repository trip their checks, a killed drill leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from lab import run, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
LIVE, COPY = "/srv/pgbackrest", "/var/lib/rsp/tamper/repo1"
DRILLS = "/var/lib/rsp/drills"
SNAPSHOTS, SNAPSHOTS_COPY = "/srv/backup/consul", "/var/lib/rsp/tamper/snapshots"
OBJECTS = "/var/lib/rsp/objects"
UNLOCKED = "rsp-local-unlocked"
CA = "/etc/rsp-backup/ca.crt"
# As playbooks/vars/proving.yml has it
UNSEAL = ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-md", "sha256", "-pass",
          "env:RSP_BACKUP_KEY", "-in", "{file}"]  # fmt: skip
COPY_S = 150
YEAR_S = 366 * 86400
# fault → the check that must trip, and what it is asked with
READ = {
    "data_flipped": ("bytes_match", {}),
    "data_truncated": ("bytes_match", {}),
    "data_missing": ("bytes_match", {}),
    "manifest_flipped": ("copies_agree", {}),
    "manifest_copy_flipped": ("copies_agree", {}),
    "catalogue_flipped": ("copies_agree", {}),
    "catalogue_missing": ("copies_agree", {}),
    "catalogues_missing": ("repository_answers", {}),
    "wal_flipped": ("bytes_match", {}),
    "wal_truncated": ("bytes_match", {}),
    "wal_missing": ("log_continuous", {}),
    "base_missing": ("chain_complete", {}),
    "key_wrong": ("escrow_decrypts", {"escrow": {"repo1": "not-the-key"}}),
    "wrong_cluster": ("same_cluster", {"identity": "1"}),
    "wrong_timeline": ("right_timeline", {}),
    "stale": ("fresh", {"later_s": YEAR_S}),
    "frozen": ("advancing", {"later_s": 7200, "policy": {"min_span_s": 0}}),
}
KEPT = {
    "expired_early": ("enough_points", {"policy": {"min_points": 1000000}}),
    "not_expired": ("not_too_old", {"later_s": YEAR_S, "policy": {"max_keep_s": 30 * 86400}}),
}
SNAPSHOT = {
    "snapshot_flipped": ("bytes_match", {}),
    "snapshot_truncated": ("bytes_match", {}),
    "snapshot_empty": ("bytes_match", {}),
    "snapshot_stale": ("fresh", {"later_s": YEAR_S}),
    "snapshot_frozen": ("advancing", {}),
    "snapshot_wrong_cluster": ("same_cluster", {"identity": "elsewhere"}),
    "snapshot_key_wrong": ("escrow_decrypts", {"escrow": {"files": "not-the-key"}}),
}
PLANTED = {
    "page_torn": "pages_whole",
    "index_broken": "indexes_whole",
    "collation_changed": "collations_same",
    "table_emptied": "content_expected",
    "canary_removed": "canaries_exact",
    "destroyed_is_back": "destroyed_absent",
}
PROOFS = ("proof_subjects", "proof_orders")
# What the copy is asked besides, as an inventory says it
QUESTIONS = {
    "backup_content": {"postgresql": [
        {"name": "orders", "database": "rsp_smoke", "table": "proof_orders", "at_least": 1,
         "query": "select count(*) from proof_orders"},
    ]},
    "backup_destroyed": {"postgresql": [
        {"database": "rsp_smoke", "table": "proof_subjects", "column": "id", "values": ["4711"]},
    ]},
    "backup_application": {"postgresql": [
        {"name": "who is not destroyed", "database": "rsp_smoke", "equals": "4712",
         "query": "select id from proof_subjects where id = '4712'"},
    ]},
}  # fmt: skip


def module(name, /, **arguments):
    """The result of a module on the backup host."""
    done = subprocess.run(
        [".venv/bin/ansible", "ops", "-m", f"rsp.platform.{name}", "-a", json.dumps(arguments)],
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout.split("=> ", 1)[1])


@pytest.fixture(scope="module")
def stanza(lab):
    return lab.services["postgresql"].get("cluster", "rsp-local-postgresql")


@pytest.fixture(scope="module")
def identity(lab, job):
    """The system identifier; there is a full backup of this cluster, and a timeline that has a history."""
    code, output = job("switchover", "-e", "service=postgresql")
    assert code == 0, output[-3000:]
    code, output = job("backup", "-e", "service=postgresql", "-e", "type=full")
    assert code == 0, output[-3000:]
    out = lab.on("ops", "pgbackrest", "--repo=1", "info", "--output=json")
    return str(json.loads(out)[0]["db"][-1]["system-id"])


@pytest.fixture
def copy(lab):
    lab.on("ops", "mkdir", "-p", str(Path(COPY).parent))
    module("backup_tamper", state="copied", source=LIVE, copy=COPY, live=[LIVE])
    yield COPY
    module("backup_tamper", state="absent", copy=COPY, live=[LIVE])
    assert lab.on("ops", "ls", str(Path(COPY).parent)) == ""


def verify(stanza, identity, path, /, **changes):
    key = "{{ lookup('rsp.platform.secret', 'pgbackrest/repository1') }}"
    arguments = {
        "service": "postgresql", "stanza": stanza, "repository": "repo1", "identity": identity, "level": "L3",
        "options": [f"--repo1-path={path}"], "escrow": {"repo1": key}, "policy": {"min_span_s": 0, "rpo_s": 0},
    }  # fmt: skip
    return module("backup_verify", **{**arguments, **changes})


def test_the_clean_copy_is_proved(copy, stanza, identity):
    assert verify(stanza, identity, copy)["reached"] == "L3"


@pytest.mark.parametrize("kind", READ)
def test_a_fault_in_a_copy_trips_its_check(kind, copy, stanza, identity):
    broken = module("backup_tamper", state="broken", kind=kind, copy=copy, live=[LIVE])
    check, changes = READ[kind]
    assert broken["trips"] == check
    assert check in verify(stanza, identity, copy, **changes)["tripped"]


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_not_kept_as_promised_trips_its_check(kind, copy, stanza):
    check, changes = KEPT[kind]
    asked = {"service": "postgresql", "stanza": stanza, "options": [f"--repo1-path={copy}"]}
    promised = {"min_points": 1, "min_span_s": 0, "max_keep_s": 0}
    assert module("backup_retention", **asked, policy=promised)["tripped"] == []
    found = module("backup_retention", **{**asked, **changes, "policy": {**promised, **changes["policy"]}})
    assert found["tripped"] == [check]


@pytest.fixture
def _segments(lab, identity):
    """Whole segments behind the newest backup, archived."""
    for _ in range(4):
        lab.sql("select txid_current()")
        last = lab.sql("select pg_walfile_name(pg_switch_wal())")
    wait_until("they are archived", lambda: lab.sql("select last_archived_wal from pg_stat_archiver") >= last, 60)


@pytest.mark.usefixtures("_segments")
def test_wal_that_is_gone_before_the_target_is_not_reached(lab, copy, stanza, identity):
    """It reads well: only a restore finds it. Its clean twin is the copy before."""
    key = "{{ lookup('rsp.platform.secret', 'pgbackrest/repository1') }}"
    asked = {
        "name": "negative", "service": "postgresql", "stanza": stanza, "repository": "repo1", "identity": identity,
        "options": [f"--repo1-path={copy}"], "escrow": {"repo1": key}, "policy": {"min_span_s": 0, "rpo_s": 0},
        "level": "L4", "binaries": "/usr/lib/postgresql/17/bin",
        "target": {"kind": "lsn", "value": behind(lab, copy, stanza)},
    }  # fmt: skip
    assert module("restore_drill", **asked)["reached"] == "L4"
    broken = module("backup_tamper", state="broken", kind="wal_missing_before_target", copy=copy, live=[LIVE])
    assert broken["trips"] == "target_reached"
    assert "target_reached" in module("restore_drill", **asked)["tripped"]
    assert lab.on("ops", "ls", DRILLS) == ""


def behind(lab, copy, stanza):
    """An LSN in the last segment of the copy; there are whole segments between the newest backup and it."""
    ask = ["runuser", "-u", "postgres", "--", "pgbackrest", f"--stanza={stanza}", f"--repo1-path={copy}", "--repo=1",
           "--output=json", "info"]  # fmt: skip
    newest = json.loads(lab.on("ops", *ask))[0]["archive"][-1]["max"]
    return f"{int(newest[8:16], 16):X}/{int(newest[16:], 16) * 0x1000000 + 0x28:X}"


@pytest.fixture
def snapshots(lab, job):
    for _ in range(2):  # a copy that is the same again needs one before it
        assert job("backup", "-e", "service=consul")[0] == 0
        lab.consul_put("a1", "rsp/smoke/negative", str(time.time()))
    lab.on("ops", "mkdir", "-p", str(Path(COPY).parent))
    module("backup_tamper", state="copied", source=SNAPSHOTS, copy=SNAPSHOTS_COPY, live=[SNAPSHOTS])
    yield SNAPSHOTS_COPY
    module("backup_tamper", state="absent", copy=SNAPSHOTS_COPY, live=[SNAPSHOTS])


def test_a_fault_in_a_snapshot_trips_its_check(snapshots):
    key = "{{ lookup('rsp.platform.secret', 'backup/consul') }}"
    asked = {
        "service": "consul", "user": "", "repository": "files", "level": "L3", "identity": "dc1",
        "directories": {"files": snapshots}, "unseal": UNSEAL, "keys": {"files": key}, "escrow": {"files": key},
        "policy": {"min_span_s": 0, "rpo_s": 0},
    }  # fmt: skip
    clean = module("backup_verify", **asked)
    assert clean["reached"] == "L3", clean["reasons"]
    for kind, (check, changes) in SNAPSHOT.items():
        module("backup_tamper", state="absent", copy=snapshots, live=[SNAPSHOTS])
        module("backup_tamper", state="copied", source=SNAPSHOTS, copy=snapshots, live=[SNAPSHOTS])
        broken = module("backup_tamper", state="broken", kind=kind, copy=snapshots, live=[SNAPSHOTS])
        found = module("backup_verify", **{**asked, **changes})
        assert (broken["trips"], check in found["tripped"]) == (check, True), (kind, found["reasons"])


@pytest.fixture
def objects(lab):
    """The bucket's objects as the gateway keeps them, on the backup host: the repository, read without the gateway."""
    source = ROOT / ".lab" / "s3" / "objects" / "rsp-local-postgresql" / "pgbackrest"
    lab.on("ops", "mkdir", "-p", OBJECTS, str(Path(COPY).parent))
    run("docker", "cp", "-q", f"{source}/.", f"{lab.container('ops')}:{OBJECTS}")
    lab.on("ops", "chown", "-R", "postgres:postgres", OBJECTS)
    yield OBJECTS
    lab.on("ops", "rm", "-rf", OBJECTS)


@pytest.mark.parametrize("kind", ["object_missing", "object_truncated"])
def test_a_fault_in_an_object_trips_its_check(kind, objects, stanza, identity):
    key = "{{ lookup('rsp.platform.secret', 'pgbackrest/repository2') }}"
    asked = {"repository": "repo2", "escrow": {"repo2": key}, "level": "L2"}
    asked["options"] = ["--repo2-type=posix", f"--repo2-path={COPY}"]
    module("backup_tamper", state="copied", source=objects, copy=COPY, live=[objects])
    try:
        clean = verify(stanza, identity, COPY, **asked)
        assert clean["reached"] == "L2", clean["reasons"]
        broken = module("backup_tamper", state="broken", kind=kind, copy=COPY, live=[objects])
        assert broken["trips"] in verify(stanza, identity, COPY, **asked)["tripped"]
    finally:
        module("backup_tamper", state="absent", copy=COPY, live=[objects])


def test_a_bucket_without_a_lock_trips_its_check(lab, stanza):
    """Planted: a bucket that lets everything be deleted; the repository's own refuses."""
    url = f"https://{lab.address('store')}:7443"
    account = {"access": "rsp-local-admin", "secret": "{{ lookup('rsp.platform.secret', 's3/admin') }}"}
    made = module("s3_bucket", connection={"url": url, "ca_path": CA, **account}, buckets=[{"name": UNLOCKED}])
    assert "failed" not in made, made
    promised = {"min_points": 1, "min_span_s": 0, "max_keep_s": 0}
    for bucket, tripped in (("rsp-local-postgresql", []), (UNLOCKED, ["object_lock"])):
        probe = {"endpoint": url, "bucket": bucket, "access_key": account["access"], "secret_key": account["secret"],
                 "ca_path": CA, "copy": "s3"}  # fmt: skip
        found = module("backup_retention", service="postgresql", stanza=stanza, policy=promised, probe=probe)
        assert found["tripped"] == tripped, found["reasons"]


def test_the_live_repository_is_refused(lab):
    before = lab.on("ops", "du", "-sb", LIVE)
    said = module("backup_tamper", state="broken", kind="data_missing", copy=LIVE, live=[])
    assert "was not made by this module" in said["msg"]
    assert lab.on("ops", "du", "-sb", LIVE) == before


def tokens(lab, many):
    """Write canaries a second apart through the clients' endpoint; the number of the last but one."""
    for _ in range(many):
        lab.on("ops", "systemctl", "start", "rsp-canary.service")
        time.sleep(1)
    ledger = lab.on("ops", "tail", "-n", "2", "/var/lib/rsp-platform/canary/postgresql.jsonl")
    return json.loads(ledger.splitlines()[0])["seq"]


@pytest.fixture(scope="module")
def questions(lab, tmp_path_factory):
    """Arguments of a run whose inventory asks the copy more than its canaries, up to L7."""
    for table in PROOFS:
        lab.sql(f"create table if not exists {table} (id text primary key)", "rsp_smoke")
        lab.sql(f"insert into {table} values ('4712') on conflict do nothing", "rsp_smoke")
    more = tmp_path_factory.mktemp("inventory") / "questions.yml"
    more.write_text(yaml.safe_dump({"all": {"vars": QUESTIONS}}), encoding="utf-8")
    yield ["-i", str(ROOT / "inventories/local/hosts.yml"), "-i", str(more)]
    for table in PROOFS:
        lab.sql(f"drop table {table}", "rsp_smoke")


def chaos_allowed(job, path, seconds):
    """What an experiment's dry run says where a proof may be so old."""
    path.write_text(yaml.safe_dump({"all": {"vars": {"chaos_policy": {"proof_max_age_s": seconds}}}}), encoding="utf-8")
    inventory = ["-i", str(ROOT / "inventories/local/hosts.yml"), "-i", str(path)]
    asked = ("-e", "service=postgresql", "-e", "experiment=postgresql_primary_killed", "--check")
    return job("chaos", *inventory, *asked)


def test_a_restore_between_two_canaries_up_to_the_application_and_chaos_knows(job, lab, questions, tmp_path):
    k = tokens(lab, 3)
    lab.sql("select pg_switch_wal()")
    code, said = job("restore_drill", *questions, "-e", "service=postgresql", "-e", f"token={k}", "-e", "level=L7")
    assert code == 0, said[-4000:]
    assert re.search(r"reached: '?L7", said)
    assert lab.on("ops", "ls", DRILLS) == ""
    code, said = chaos_allowed(job, tmp_path / "policy.yml", 3600)
    assert code == 0, said[-3000:]
    code, said = chaos_allowed(job, tmp_path / "policy.yml", 1)
    assert code != 0
    assert "nothing was armed" in said


def test_a_snapshot_starts_an_agent_that_has_the_canaries(job, lab):
    lab.on("ops", "systemctl", "start", "rsp-canary.service")
    assert job("backup", "-e", "service=consul")[0] == 0
    code, said = job("restore_drill", "-e", "service=consul")
    assert code == 0, said[-4000:]
    assert re.search(r"reached: '?L6", said)
    assert lab.on("ops", "ls", DRILLS) == ""


def test_a_report_says_what_is_proved(job, lab):
    code, said = job("backup_report", "-e", "strict=false")
    assert code == 0, said[-4000:]
    metrics = lab.on("ops", "cat", "/var/lib/prometheus/node-exporter/rsp_backup_proofs.prom")
    proven = r'^rsp_backup_last_proven_timestamp_seconds\{store="postgresql.*"\} [1-9]'
    assert re.search(proven, metrics, re.MULTILINE), metrics


def test_a_restore_across_a_failover(job, lab, questions):
    before = tokens(lab, 2)
    assert job("switchover", "-e", "service=postgresql")[0] == 0
    after = tokens(lab, 3)
    lab.sql("select pg_switch_wal()")
    for k in (before, after):
        code, said = job("restore_drill", *questions, "-e", "service=postgresql", "-e", f"token={k}")
        assert code == 0, said[-4000:]


@pytest.mark.parametrize("kind", PLANTED)
def test_a_fault_in_the_restored_copy_trips_its_check(kind, job, lab, questions):
    k = tokens(lab, 2)
    lab.sql("select pg_switch_wal()")
    code, said = job("restore_drill", *questions, "-e", "service=postgresql", "-e", f"token={k}", "-e", f"plant={kind}")
    assert code != 0
    tripped = said[said.rindex("tripped:") : said.rindex("PLAY RECAP")]
    assert re.findall(r"- (\w+)", tripped) == [PLANTED[kind]]


def test_a_drill_that_is_killed_leaves_nothing(lab):
    drill = subprocess.Popen(
        [".venv/bin/ansible-playbook", "playbooks/restore_drill.yml", "-e", "service=postgresql", "-e", "level=L5",
         "-e", f"copy_s={COPY_S}"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    step = f"if pgrep -x systemd-run >/dev/null; then ls {DRILLS}; fi"
    wait_until("a copy is made", lambda: "postgresql" in lab.on("ops", "sh", "-c", step))
    # Its code came through a pipe, so nothing but its child names it
    worker = lab.on("ops", "sh", "-c", "ps -o ppid= -C systemd-run | sort -u").split()
    assert len(worker) == 1
    begun = time.monotonic()
    lab.on("ops", "kill", "-9", *worker)
    os.killpg(drill.pid, signal.SIGKILL)
    time.sleep(COPY_S / 3)
    assert "postgresql" in lab.on("ops", "ls", DRILLS), "nobody is left to remove it but the lease"
    wait_until("the copy is gone", lambda: lab.on("ops", "ls", DRILLS) == "", COPY_S + 5)
    assert time.monotonic() - begun <= COPY_S + 5
    ask = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "rsp-drill-*", "rsp-lease-drill-*"]
    wait_until("the lease that took it away has ended too", lambda: lab.on("ops", *ask) == "", 10)
