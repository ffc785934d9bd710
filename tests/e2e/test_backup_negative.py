"""Backups on the running lab: faults in a copy of a repository trip their checks, a killed drill leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab import run, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
LIVE, COPY = "/srv/pgbackrest", "/var/lib/rsp/tamper/repo1"
DRILLS = "/var/lib/rsp/drills"
COPY_S = 90
# fault → the check that must trip, and what it is asked with
READ = {
    "data_flipped": ("bytes_match", {}),
    "data_truncated": ("bytes_match", {}),
    "data_missing": ("bytes_match", {}),
    "manifest_flipped": ("copies_agree", {}),
    "catalogue_flipped": ("copies_agree", {}),
    "catalogue_missing": ("copies_agree", {}),
    "wal_flipped": ("bytes_match", {}),
    "wal_missing": ("log_continuous", {}),
    "base_missing": ("chain_complete", {}),
    "key_wrong": ("escrow_decrypts", {"escrow": {"repo1": "not-the-key"}}),
    "wrong_cluster": ("same_cluster", {"identity": "1"}),
    "stale": ("fresh", {"later_s": 366 * 86400}),
}
PLANTED = {
    "page_torn": "pages_whole",
    "index_broken": "indexes_whole",
    "collation_changed": "collations_same",
    "canary_removed": "canaries_exact",
}


def module(name, **arguments):
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
def identity(lab):
    out = lab.on("ops", "pgbackrest", "info", "--output=json")
    return str(json.loads(out)[0]["db"][0]["system-id"])


@pytest.fixture
def copy(lab):
    lab.on("ops", "mkdir", "-p", str(Path(COPY).parent))
    module("backup_tamper", state="copied", source=LIVE, copy=COPY, live=[LIVE])
    yield COPY
    module("backup_tamper", state="absent", copy=COPY, live=[LIVE])
    assert lab.on("ops", "ls", str(Path(COPY).parent)) == ""


def verify(stanza, identity, path, **changes):
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


def test_a_restore_between_two_canaries(job, lab):
    k = tokens(lab, 3)
    lab.on(lab.primary(), "runuser", "-u", "postgres", "--", "psql", "-qc", "select pg_switch_wal()")
    code, said = job("restore_drill", "-e", "service=postgresql", "-e", f"token={k}")
    assert code == 0, said[-4000:]
    assert lab.on("ops", "ls", DRILLS) == ""


def test_a_restore_across_a_failover(job, lab):
    before = tokens(lab, 2)
    assert job("switchover", "-e", "service=postgresql")[0] == 0
    after = tokens(lab, 3)
    lab.on(lab.primary(), "runuser", "-u", "postgres", "--", "psql", "-qc", "select pg_switch_wal()")
    for k in (before, after):
        code, said = job("restore_drill", "-e", "service=postgresql", "-e", f"token={k}")
        assert code == 0, said[-4000:]


@pytest.mark.parametrize("kind", PLANTED)
def test_a_fault_in_the_restored_copy_trips_its_check(kind, job, lab):
    k = tokens(lab, 2)
    code, said = job("restore_drill", "-e", "service=postgresql", "-e", f"token={k}", "-e", f"plant={kind}")
    assert code != 0
    assert PLANTED[kind] in said


def test_a_drill_that_is_killed_leaves_nothing(lab):
    drill = subprocess.Popen(
        [".venv/bin/ansible-playbook", "playbooks/restore_drill.yml", "-e", "service=postgresql", "-e", "level=L5",
         "-e", f"copy_s={COPY_S}"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    wait_until("a copy is there", lambda: "postgresql" in lab.on("ops", "ls", DRILLS))
    begun = time.monotonic()
    os.killpg(drill.pid, signal.SIGKILL)
    workers = run("docker", "exec", lab.container("ops"), "pgrep", "-f", "AnsiballZ_restore_drill", check=False)
    for pid in workers.split():
        lab.on("ops", "kill", "-9", pid)
    wait_until("the copy is gone", lambda: lab.on("ops", "ls", DRILLS) == "", COPY_S + 5)
    assert time.monotonic() - begun <= COPY_S + 5
    units = lab.on(
        "ops", "systemctl", "list-units", "--all", "--plain", "--no-legend", "rsp-drill-*", "rsp-lease-drill-*"
    )
    assert units == ""
