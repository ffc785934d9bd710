"""Bad calls of jobs, one wrong thing each, and their clean twins: judged by the plugin on inventories/staging.

Hosts have addresses that nobody answers at, so a plugin that opened a connection would fail or hang.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.rsp.platform.plugins.action import job as action
from ansible_collections.rsp.platform.plugins.modules import job as documented
from fixtures.jobs import TABLE, run_job
from fixtures.preflight.plugin import provide_secrets

ROOT = Path(__file__).resolve().parents[2]
GOOD = ROOT / "inventories" / "staging"
SECONDS = 5
HASH = "0123456789abcdef" * 4
PG = "rsp-staging-postgresql"
CONSUL = "rsp-staging-dc1"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    provide_secrets(monkeypatch, "RSP_STAGING_")


# job, what stands behind each -e → what names the parameter, the rule, the fix
BAD: dict[str, tuple[str, tuple[str, ...], str, str, str]] = {
    # names of parameters
    "misspelt parameter": (
        "restart", ("service=consul", "membrs=consul-a-1"),
        'membrs = "consul-a-1"', "job restart has no such parameter", "did you mean members?",
    ),
    "parameter of another job": (
        "restart", ("service=consul", "plan=x"),
        'plan = "x"', "no such parameter, apply has", "remove it; it takes confirm, force, lease_s, members",
    ),
    "unknown variable": (
        "restart", ("service=consul", "node=consul-a-1"),
        'node = "consul-a-1"', "job restart has no such parameter", "remove it; it takes confirm",
    ),
    "the job itself": (
        "restart", ("service=consul", "job_name=reinit"),
        "job_name", "which job runs is said by its playbook", "run playbooks/reinit.yml",
    ),
    "several members for a job of one": (
        "replace", ("service=consul", "members=consul-a-1", "member=consul-a-1", f"confirm={CONSUL}"),
        'members = "consul-a-1"', "job replace has no such parameter", "did you mean member?",
    ),
    # types and values
    "no boolean": (
        "restart", ("service=consul", "force=yes"),
        'force = "yes"', "must be a boolean, not a string", "write true without quotes",
    ),
    "no number": (
        "restart", ("service=consul", "wait_s=1h"),
        'wait_s = "1h"', "must be an integer, not a string", "give it an integer",
    ),
    "a wait out of range": (
        "restart", ("service=consul", "wait_s=0"),
        "wait_s = 0", "is outside 1 to 3600", "use a value of 1 to 3600",
    ),
    "a lease out of range": (
        "restart", ("service=consul", "lease_s=86400"),
        "lease_s = 86400", "is outside 30 to 3600", "use a value of 30 to 3600",
    ),
    "a list of what is no name": (
        "restart", ("service=consul", '{"members": [1]}'),
        "members[0] = 1", "must be a string, not an integer", "put it in quotes",
    ),
    "a number as a release": (
        "upgrade", ("service=consul", '{"version": 1.22}'),
        "version = 1.22", "must be a string, not a number", "put it in quotes",
    ),
    "a reason of two lines": (
        "restart", ("service=consul", '{"reason": "a\\nb"}'),
        'reason = "a\\nb"', "does not match", "give one line of at most 200 characters",
    ),
    "unlisted choice": (
        "patch_os", ("reboot=neded",),
        'reboot = "neded"', "must be one of needed, always, never", "did you mean needed?",
    ),
    "a value with blanks": (
        "restart", ("service=consul", "reason=new kernel"),
        '-e = "kernel"', "a value with blanks needs quotes of its own", "write -e 'reason=",
    ),
    # the service
    "no service": (
        "restart", (),
        "service", "job restart needs it", "add -e service=NAME, one of consul, etcd, postgresql",
    ),
    "empty service": ("restart", ("service=",), 'service = ""', "is empty", "add -e service=NAME"),
    "unknown service": (
        "restart", ("service=postgres",),
        'service = "postgres"', "is no service", "did you mean postgresql?",
    ),
    "service without the job": (
        "reinit", ("service=consul", "members=consul-a-1"),
        'service = "consul"', "consul has no job reinit", "use it for postgresql; consul has restart, switchover",
    ),
    "all services at once": (
        "restart", ("service=all",),
        'service = "all"', "job restart works on one service at a time", "use one of consul, etcd, postgresql",
    ),
    # members and hosts
    "misspelt member": (
        "restart", ("service=postgresql", "members=pg-a-2"),
        'members = "pg-a-2"', "pg-a-2 is no host of this inventory", "did you mean pg-a-1?",
    ),
    "host that is no member": (
        "restart", ("service=postgresql", "members=ops-a-1"),
        'members = "ops-a-1"', f"ops-a-1 is no member of {PG}", "pg-a-1",
    ),
    "empty list": (
        "restart", ("service=postgresql", "members="),
        'members = ""', "is empty", "name members as -e members=NAME,NAME",
    ),
    "empty list as JSON": (
        "restart", ("service=postgresql", '{"members": []}'),
        "members = []", "is empty", "name members as -e members=NAME,NAME",
    ),
    "surplus comma": (
        "restart", ("service=postgresql", "members=pg-a-1,"),
        'members = "pg-a-1,"', "has an empty name in it", "remove the surplus comma",
    ),
    "member twice": (
        "restart", ("service=postgresql", "members=pg-a-1,pg-a-1"),
        'members = "pg-a-1"', "pg-a-1 is named 2 times", "name each once",
    ),
    "two members to replace": (
        "replace", ("service=consul", "member=consul-a-1,consul-b-1", f"confirm={CONSUL}"),
        'member = "consul-a-1,consul-b-1"', "job replace takes one member at a time", "run it once for each",
    ),
    "two members to replace, as JSON": (
        "replace", ("service=consul", '{"member": ["consul-a-1", "consul-b-1"]}', f"confirm={CONSUL}"),
        'member = "consul-a-1,consul-b-1"', "job replace takes one member at a time", "run it once for each",
    ),
    "nobody to replace": (
        "replace", ("service=consul", f"confirm={CONSUL}"),
        "member", "job replace needs it", "add -e member=NAME",
    ),
    "all replicas anew": (
        "reinit", ("service=postgresql", "members=pg-a-1,pg-b-1,pg-c-1", f"confirm={PG}"),
        'members = "pg-a-1,pg-b-1,pg-c-1"', f"names all 3 members of {PG}", "leave 1 out",
    ),
    "host outside the inventory": (
        "patch_os", ("members=ops-z-9",),
        'members = "ops-z-9"', "ops-z-9 is no host of this inventory", "did you mean ops-a-1?",
    ),
    "switchover to who leads": (
        "switchover", ("service=postgresql", "member=pg-a-1", "to=pg-a-1"),
        'to = "pg-a-1"', "is the member that shall step down", "name another member, or leave it out",
    ),
    "switchover to a stranger": (
        "switchover", ("service=postgresql", "to=etcd-a-1"),
        'to = "etcd-a-1"', f"etcd-a-1 is no member of {PG}", "did you mean",
    ),
    # scale
    "neither added nor removed": (
        "scale", ("service=consul",),
        "add", "job scale needs one of add and remove", "name hosts as -e add=NAME,NAME",
    ),
    "added and removed": (
        "scale", ("service=consul", "add=etcd-a-1,etcd-b-1", "remove=consul-a-1", f"confirm={CONSUL}"),
        "add", "add and remove can't be given together", "do one, let the cluster settle",
    ),
    "an even number of voters is left": (
        "scale", ("service=consul", "remove=consul-a-1", f"confirm={CONSUL}"),
        'remove = "consul-a-1"', "leaves consul_members = 2 members: 2 voters survive", "list 3 members, one a zone",
    ),
    "a single voter is left": (
        "scale", ("service=consul", "remove=consul-a-1,consul-b-1", f"confirm={CONSUL}"),
        "remove", "1 voter is no quorum", "list 3 members, one a zone",
    ),
    "the last voter goes": (
        "scale", ("service=consul", "remove=consul-a-1,consul-b-1,consul-c-1", f"confirm={CONSUL}"),
        "remove", f"names all 3 members of {CONSUL}", "leave 1 out",
    ),
    "the last standby goes": (
        "scale", ("service=postgresql", "remove=pg-b-1,pg-c-1", f"confirm={PG}"),
        "remove", f"leaves pg-a-1 alone: {PG} would die with its host", "leave 2 or more",
    ),
    "an even number of voters is reached": (
        "scale", ("service=consul", "add=etcd-a-1"),
        'add = "etcd-a-1"', "leaves consul_members = 4 members", "list 3 or 5 members",
    ),
    "a majority in one zone": (
        "scale", ("service=postgresql", "add=ops-a-1,lb-a-1"),
        "add", "postgresql has 3 of 5 voters in zone a", "in another zone",
    ),
    "a member to add that is not there": (
        "scale", ("service=postgresql", "add=pg-a-2"),
        'add = "pg-a-2"', "pg-a-2 is no host of this inventory", "did you mean pg-a-1?",
    ),
    "removed without a confirmation": (
        "scale", ("service=postgresql", "remove=pg-c-1"),
        "confirm", f"the members that are removed: it must be confirmed by the name {PG}",
        f"add -e confirm={PG} (--check needs none)",
    ),
    "a lock of nobody": (
        "unlock", ("service=postgresql",),
        "owner", "", "add -e owner=OWNER, as the refusal names it",
    ),
    # confirmation
    "no confirmation": (
        "reinit", ("service=postgresql", "members=pg-a-1"),
        "confirm", f"must be confirmed by the name {PG}", f"add -e confirm={PG}",
    ),
    "the wrong confirmation": (
        "reinit", ("service=postgresql", "members=pg-a-1", "confirm=yes"),
        'confirm = "yes"', f"must be confirmed by the name {PG}", f"add -e confirm={PG}",
    ),
    "a confirmation in other letters": (
        "reinit", ("service=postgresql", "members=pg-a-1", "confirm=RSP-staging-postgresql"),
        'confirm = "RSP-staging-postgresql"', f"must be confirmed by the name {PG}", f"add -e confirm={PG}",
    ),
    "an empty confirmation": (
        "reinit", ("service=postgresql", "members=pg-a-1", "confirm="),
        'confirm = ""', "is empty", "leave it out",
    ),
    "another cluster's name where none is asked for": (
        "restart", ("service=postgresql", "confirm=rsp-production-postgresql"),
        'confirm = "rsp-production-postgresql"', "is another name", f"this is {PG}: look twice",
    ),
    "a new CA without a confirmation": (
        "renew_certificates", ("authority=true",),
        "confirm", "this destroys trust in the old CA", "add -e confirm=rsp-staging (--check needs none)",
    ),
    "a new CA for one service": (
        "renew_certificates", ("authority=true", "service=consul", "confirm=rsp-staging-dc1"),
        'authority = "true"', "is about the whole platform, not about consul alone", "leave service out",
    ),
    "adopt without a confirmation": (
        "adopt", ("service=postgresql",),
        "confirm", "settings that were made by hand", f"add -e confirm={PG}",
    ),
    # releases
    "unlisted release": (
        "upgrade", ("service=consul", "version=1.23.0"),
        'version = "1.23.0"', "consul 1.23.0 is not in the catalogue, which lists 1.22.3, 1.22.5", "or add it",
    ),
    "the same release": (
        "upgrade", ("service=consul", "version=1.22.5"),
        'version = "1.22.5"', "is what the inventory pins (1.22.5)", "leave it out",
    ),
    "an older release": (
        "upgrade", ("service=consul", "version=1.22.3"),
        'version = "1.22.3"', "is older than 1.22.5, which the inventory pins", "add a newer release to the catalogue",
    ),
    "a skipped release": (
        "upgrade", ("service=consul", "version=1.22.5", "consul_version=1.20.6"),
        'version = "1.22.5"', "skips a minor release: 1.20.6 is pinned", "add a 1.21 to the catalogue",
    ),
    "a release of what comes as a package": (
        "upgrade", ("service=postgresql", "version=17.6"),
        'version = "17.6"', "job upgrade takes it for consul only, not for postgresql", "leave it out",
    ),
    "the same major release": (
        "upgrade_major", ("service=postgresql", "version=17", f"confirm={PG}"),
        'version = "17"', "is not newer than 17", "name a release above 17",
    ),
    "an older major release": (
        "upgrade_major", ("service=postgresql", "version=15", f"confirm={PG}"),
        'version = "15"', "is older than 17", "name a release above 17",
    ),
    "no major release": (
        "upgrade_major", ("service=postgresql", "version=18.1", f"confirm={PG}"),
        'version = "18.1"', "is no major release", "add -e version=MAJOR",
    ),
    "no experiment": ("chaos", ("service=consul",), "experiment", "job chaos needs it", "add -e experiment=NAME"),
    "no name of an experiment": (
        "chaos", ("service=consul", "experiment=Leader-Killed"),
        "experiment =", "does not match", "add -e experiment=NAME",
    ),
    "chaos of a service that has none": (
        "game_day", ("service=etcd",), 'service = "etcd"', "etcd has no job game_day", "use it for consul, postgresql",
    ),
    # secrets, plans
    "unknown secret": (
        "rotate_secrets", ("service=postgresql", "secrets=postgresql/replicaton"),
        'secrets = "postgresql/replicaton"', "is no secret of postgresql", "did you mean postgresql/replication?",
    ),
    "no plan": ("apply", ("service=postgresql",), "plan", "job apply needs it", "add -e plan=HASH"),
    "no hash": (
        "apply", ("service=postgresql", "plan=latest"),
        'plan = "latest"', "does not match [0-9a-f]{64}", "that playbooks/plan.yml printed",
    ),
    "a hash that was cut off": (
        "apply", ("service=postgresql", f"plan={HASH[:-1]}"),
        "plan =", "does not match [0-9a-f]{64}", "the 64 hexadecimal digits",
    ),
    # drills and reports of backups
    "a drill of nothing": ("restore_drill", (), "service", "job restore_drill needs it", "add -e service=NAME"),
    "a drill of all services": (
        "restore_drill", ("service=all",),
        'service = "all"', "job restore_drill works on one service at a time", "use one of consul, postgresql",
    ),
    "a drill of what has no backups": (
        "restore_drill", ("service=haproxy",),
        'service = "haproxy"', "haproxy has no job restore_drill", "use it for consul, postgresql",
    ),
    "a drill of a misspelt service": (
        "restore_drill", ("service=postgres",),
        'service = "postgres"', "is no service", "did you mean postgresql?",
    ),
    "a third repository": (
        "restore_drill", ("service=postgresql", "repository=3"),
        "repository = 3", "is outside 1 to 2", "use a value of 1 to 2",
    ),
    "a repository by a name": (
        "restore_drill", ("service=postgresql", "repository=repo1"),
        'repository = "repo1"', "must be an integer", "",
    ),
    "a backup that is no label": (
        "restore_drill", ("service=postgresql", "label=yesterday"),
        'label = "yesterday"', "does not match", "name it as the report does, or latest, or sample",
    ),
    "a label with a path": (
        "restore_drill", ("service=postgresql", "label=../../etc/passwd"),
        "label =", "does not match", "or latest, or sample",
    ),
    "a level that only reads": (
        "restore_drill", ("service=postgresql", "level=L2"),
        'level = "L2"', "must be one of L4, L5, L6, L7", "",
    ),
    "a level that is none": (
        "restore_drill", ("service=postgresql", "level=L9"),
        'level = "L9"', "must be one of L4, L5, L6, L7", "",
    ),
    "a time without its zone": (
        "restore_drill", ("service=postgresql", "time=2026-11-25T09:30:00"),
        "time =", "does not match", "write it like 2026-11-25T09:30:00+03:00",
    ),
    "a time in words": (
        "restore_drill", ("service=postgresql", "time=yesterday"),
        'time = "yesterday"', "does not match", "write it like 2026-11-25T09:30:00+03:00",
    ),
    "no position in the WAL": (
        "restore_drill", ("service=postgresql", "lsn=F000280"),
        'lsn = "F000280"', "does not match", "write it like 0/B022480",
    ),
    "no transaction": (
        "restore_drill", ("service=postgresql", "xid=0"),
        'xid = "0"', "does not match", "give the number of the transaction",
    ),
    "a restore point with a star": (
        "restore_drill", ("service=postgresql", "point=a*b"),
        "point =", "does not match", "give its name",
    ),
    "a point in the past of Consul": (
        "restore_drill", ("service=consul", "lsn=0/B022480"),
        'lsn = "0/B022480"', "job restore_drill takes it for postgresql only, not for consul", "leave it out",
    ),
    "a drill that ends twice": (
        "restore_drill", ("service=postgresql", "lsn=0/B022480", "xid=7"),
        'xid = "7"', "lsn and xid can't be given together", "keep one, lsn for example",
    ),
    "token zero": ("restore_drill", ("service=postgresql", "token=0"), "token = 0", "is outside 1 to 999999999999", ""),
    "a token that is no number": (
        "restore_drill", ("service=postgresql", "token=last"),
        'token = "last"', "must be an integer", "",
    ),
    "a copy that would live for seconds": (
        "restore_drill", ("service=postgresql", "copy_s=5"),
        "copy_s = 5", "is outside 60 to 86400", "",
    ),
    "a copy that would live for a week": (
        "restore_drill", ("service=postgresql", "copy_s=604800"),
        "copy_s = 604800", "is outside 60 to 86400", "",
    ),
    "a fault that nobody knows": (
        "restore_drill", ("service=postgresql", "plant=meteor"),
        'plant = "meteor"', "", "page_torn",
    ),
    "a fault in Consul": (
        "restore_drill", ("service=consul", "plant=page_torn"),
        'plant = "page_torn"', "job restore_drill takes it for postgresql only, not for consul", "leave it out",
    ),
    "a drill that waits for a lock": (
        "restore_drill", ("service=postgresql", "wait_s=5"),
        'wait_s = "5"', "job restore_drill has no such parameter", "remove it",
    ),
    "a drill of another cluster": (
        "restore_drill", ("service=postgresql", "confirm=rsp-production-postgresql"),
        'confirm = "rsp-production-postgresql"', "is another name", f"this is {PG}: look twice",
    ),
    "a report that restores": (
        "backup_report", ("level=L6",),
        'level = "L6"', "", "L3",
    ),
    "a report that is half strict": (
        "backup_report", ("strict=maybe",),
        'strict = "maybe"', "must be a boolean", "",
    ),
    "a report of one backup": (
        "backup_report", ("label=latest",),
        'label = "latest"', "job backup_report has no such parameter", "did you mean level?",
    ),
}  # fmt: skip

CLEAN: list[tuple[str, tuple[str, ...], dict[str, object]]] = [
    ("unlock", ("service=postgresql", "owner=root@ops:4711-0a1b"), {"owner": "root@ops:4711-0a1b", "cluster": PG}),
    ("restart", ("service=consul", "force=true", 'reason="new kernel"', "wait_s=90", "consul_raft_multiplier=2"),
     {"cluster": CONSUL, "force": True, "wait_s": 90, "members": [], "reason": "new kernel",
      "cluster_members": ["consul-a-1", "consul-b-1", "consul-c-1"]}),
    ("restart", ("service=consul", "members=ops-a-1"), {"members": ["ops-a-1"]}),
    ("restart", ("service=postgresql", "members=pg-c-1,pg-a-1", f"confirm={PG}"),
     {"members": ["pg-a-1", "pg-c-1"], "cluster_members": ["pg-a-1", "pg-b-1", "pg-c-1"]}),
    ("switchover", ("service=postgresql", "to=pg-b-1"), {"to": "pg-b-1", "member": None, "members": []}),
    ("switchover", ("service=consul", "member=consul-a-1", "to=consul-b-1"), {"members": ["consul-a-1"]}),
    ("upgrade", ("service=consul", "version=1.22.5", "consul_version=1.22.3"),
     {"version": "1.22.5", "release": "1.22.3"}),
    ("upgrade", ("service=consul",), {"version": "1.22.5", "release": "1.22.5"}),
    ("upgrade", ("service=postgresql",), {"version": None, "release": "17"}),
    ("upgrade_major", ("service=postgresql", "version=18", f"confirm={PG}"), {"version": "18", "release": "17"}),
    ("scale", ("service=consul", "add=etcd-a-1,etcd-b-1"),
     {"members": ["etcd-a-1", "etcd-b-1"], "remove": None}),
    ("scale", ("service=postgresql", "remove=pg-c-1", f"confirm={PG}"),
     {"members": ["pg-c-1"], "add": None}),
    ("replace", ("service=consul", "member=consul-c-1", f"confirm={CONSUL}"), {"members": ["consul-c-1"]}),
    ("reinit", ("service=postgresql", "members=pg-b-1,pg-c-1", f"confirm={PG}"), {"members": ["pg-b-1", "pg-c-1"]}),
    ("rotate_secrets", ("service=postgresql", "secrets=postgresql/replication"),
     {"secrets": ["postgresql/replication"]}),
    ("rotate_secrets", ("service=etcd",), {"secrets": None, "cluster": "rsp-staging-etcd"}),
    ("renew_certificates", (), {"service": "all", "cluster": "rsp-staging", "authority": False, "force": False,
                                "services": ["consul", "etcd", "postgresql", "s3", "pgbackrest", "haproxy"]}),
    ("renew_certificates", ("authority=true", "confirm=rsp-staging"), {"authority": True}),
    ("patch_os", ("members=ops-a-1,pg-a-1",), {"members": ["pg-a-1", "ops-a-1"], "reboot": "needed"}),
    ("adopt", ("service=postgresql", f"confirm={PG}"), {"cluster_members": ["pg-a-1", "pg-b-1", "pg-c-1"]}),
    ("chaos", ("service=consul", "experiment=consul_leader_killed"), {"control": False, "approval": None}),
    ("game_day", ("service=postgresql", "experiments=postgresql_primary_killed"),
     {"experiments": ["postgresql_primary_killed"], "control": False}),
    ("backup", ("service=postgresql", "type=full"), {"type": "full", "cluster": PG}),
    ("restore", ("service=postgresql", "point=before_sale", f"confirm={PG}"), {"point": "before_sale", "time": None}),
    ("restore_side", ("service=postgresql", "member=pg-c-1", "side=x"), {"members": ["pg-c-1"], "databases": None}),
    ("disaster_recovery", ("repository=2", "confirm=rsp-staging"), {"services": ["consul", "postgresql"]}),
    ("restore_drill", ("service=postgresql", "token=4711", "repository=2", "label=sample"),
     {"token": 4711, "repository": 2, "label": "sample", "level": "L6", "copy_s": 3600, "cluster": PG}),
    ("restore_drill", ("service=postgresql", "label=20261125-091508F_20261125-091529I", "lsn=0/F000280"),
     {"lsn": "0/F000280", "time": None, "label": "20261125-091508F_20261125-091529I"}),
    ("restore_drill", ("service=postgresql", "time=2026-11-25T09:30:00.5+03:00", "plant=page_torn"),
     {"time": "2026-11-25T09:30:00.5+03:00", "plant": "page_torn"}),
    ("restore_drill", ("service=consul", "level=L5", "label=20261125T093000Z-4711.snap.enc"),
     {"level": "L5", "cluster": CONSUL, "clusters": {"consul": CONSUL}}),
    ("backup_report", (), {"services": ["consul", "postgresql"], "level": "L3", "strict": True}),
    ("backup_report", ("service=postgresql", "level=L1", "strict=false"), {"level": "L1", "strict": False}),
    ("plan", ("service=postgresql",), {"services": ["postgresql"]}),
    ("plan", (), {"clusters": {"consul": CONSUL, "etcd": "rsp-staging-etcd", "postgresql": PG}}),
    ("apply", ("service=postgresql", f"plan={HASH}"), {"plan": HASH}),
]  # fmt: skip

# Their bad calls are a table of their own: test_backup_jobs.py
JUDGED_IN_BACKUP_JOBS = {"backup", "restore", "restore_side", "disaster_recovery"}


def test_there_are_enough_rows():
    assert len(BAD) >= 25
    assert {row[0] for row in CLEAN} == set(TABLE.jobs), "every job has a clean twin"
    assert {row[0] for row in BAD.values()} >= set(TABLE.jobs) - {"plan"} - JUDGED_IN_BACKUP_JOBS


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_refused_with_the_way_out(name, monkeypatch):
    job, typed, parameter, rule, fix = BAD[name]
    started = time.process_time()  # not the wall clock: a busy machine must not fail the test
    result = run_job(monkeypatch, GOOD, job, *typed)
    assert time.process_time() - started < SECONDS
    assert result.get("failed") is True, "it was accepted"
    head, *lines = result["msg"].splitlines()
    assert head == f"job {job} on inventories/staging: 1 problem, nothing was touched", result["msg"]
    [line] = lines
    assert line.startswith(f"  command line  {parameter}"), line
    assert rule in line, line
    assert fix in line.split(" → ")[1], line


@pytest.mark.parametrize(("job", "typed", "facts"), CLEAN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_good_call_is_read(job, typed, facts, monkeypatch):
    result = run_job(monkeypatch, GOOD, job, *typed)
    assert result.get("failed") is None, result["msg"]
    assert {name: result[name] for name in facts} == facts
    assert (result["changed"], result["job"], result["lock_arguments"]["job"]) == (False, job, job)
    for name in set(TABLE.jobs[job].parameters) - {"confirm"}:
        assert name in result


def test_several_wrong_things_are_told_at_once(monkeypatch):
    typed = ("service=postgresql", "members=pg-a-2", "confirm=no", "lease_s=1", "wait=3")
    message = run_job(monkeypatch, GOOD, "reinit", *typed, limit="pg-a-1")["msg"]
    assert message.startswith("job reinit on inventories/staging: 5 problems, nothing was touched")
    for text in ("pg-a-2 is no host", 'confirm = "no"', "lease_s = 1", "did you mean wait_s?", '--limit = "pg-a-1"'):
        assert text in message


@pytest.mark.parametrize("job", ["restart", "plan", "patch_os"])
def test_no_job_takes_a_limit(job, monkeypatch):
    typed = ("service=postgresql",) if job != "patch_os" else ()
    [line] = run_job(monkeypatch, GOOD, job, *typed, limit="pg-a-1")["msg"].splitlines()[1:]
    assert f'--limit = "pg-a-1"  job {job} chooses its hosts itself' in line
    assert ("remove it; name members as -e members=NAME" in line) == (job != "plan")


@pytest.mark.parametrize("job", TABLE.jobs)
def test_a_preview_needs_no_confirmation(job, monkeypatch):
    typed = next(typed for name, typed, _facts in CLEAN if name == job)
    typed = tuple(each for each in typed if not each.startswith("confirm="))
    assert run_job(monkeypatch, GOOD, job, *typed, check=True).get("failed") is None


def test_a_service_without_members(monkeypatch, tmp_path):
    directory = shutil.copytree(GOOD, tmp_path / "staging")
    path = directory / "group_vars/all/platform.yml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**data, "postgresql_members": []}), encoding="utf-8")
    [line] = run_job(monkeypatch, directory, "adopt", "service=postgresql")["msg"].splitlines()[1:]
    assert "postgresql has no members in this inventory → choose another inventory with -i" in line
    assert run_job(monkeypatch, directory, "plan")["services"] == ["consul", "etcd"]


def test_the_list_of_members_afterwards(monkeypatch):
    grown = run_job(monkeypatch, GOOD, "scale", "service=consul", "add=etcd-a-1,etcd-b-1")["members_after"]
    assert grown[3:] == [
        {"name": "etcd-a-1", "address": "10.22.0.21", "zone": "a"},
        {"name": "etcd-b-1", "address": "10.22.1.21", "zone": "b"},
    ]
    shrunk = run_job(monkeypatch, GOOD, "scale", "service=postgresql", "remove=pg-c-1", f"confirm={PG}")
    assert [entry["name"] for entry in shrunk["members_after"]] == ["pg-a-1", "pg-b-1"]


def test_what_an_inventory_already_lists_may_be_added(monkeypatch):
    result = run_job(monkeypatch, GOOD, "scale", "service=consul", "add=consul-c-1")
    assert result["members"] == ["consul-c-1"]
    assert len(result["members_after"]) == 3


def test_the_lock_is_told_what_tells_jobs_apart(monkeypatch):
    typed = ("service=postgresql", "members=pg-a-1", f"confirm={PG}", 'reason="slow disk"', "lease_s=60", "wait_s=5")
    lock = run_job(monkeypatch, GOOD, "reinit", *typed)["lock_arguments"]
    owner = lock.pop("owner")
    assert lock == {
        "cluster": PG,
        "reason": "slow disk",
        "job": "reinit",
        "arguments": {"service": "postgresql", "members": ["pg-a-1"]},
        "lease_s": 60,
    }
    assert "@" in owner
    assert owner.isprintable()
    assert run_job(monkeypatch, GOOD, "plan")["lock_arguments"]["reason"] == "plan of rsp-staging"


def test_every_run_is_another_owner():
    assert action.owner() != action.owner()


def test_an_importing_playbook_hands_arguments_over(monkeypatch):
    result = run_job(monkeypatch, GOOD, "restart", play={"service": "{{ 'con' ~ 'sul' }}", "members": ["consul-a-1"]})
    assert (result["service"], result["members"]) == ("consul", ["consul-a-1"])
    told = run_job(monkeypatch, GOOD, "restart", play={"service": "consul", "membrs": ["consul-a-1"]})
    assert "did you mean members?" in told["msg"]


def test_the_inventory_hands_nothing_over(monkeypatch, tmp_path):
    directory = shutil.copytree(GOOD, tmp_path / "staging")
    (directory / "group_vars/all/other.yml").write_text("service: consul\nmembers: [x]\nnode: y\n", encoding="utf-8")
    message = run_job(monkeypatch, directory, "restart")["msg"]
    assert "1 problem" in message
    assert "job restart needs it" in message
    assert run_job(monkeypatch, directory, "restart", "service=postgresql")["service"] == "postgresql"


def test_variables_of_others_are_not_the_jobs(monkeypatch):
    typed = ("service=consul", "ansible_user=admin", "awx_job_id=7", "platform_domain=x.y", "preflight_confirm=z")
    assert run_job(monkeypatch, GOOD, "restart", *typed).get("failed") is None


@pytest.mark.parametrize(
    ("play", "text"),
    [
        ({"service": "{{ no_such_thing }}"}, "an argument can't be computed: 'no_such_thing' is undefined"),
        ({"service": "consul", "reason": "{{ gone }}"}, "an argument can't be computed: 'gone' is undefined"),
    ],
)
def test_what_cant_be_computed_is_told(play, text, monkeypatch):
    with pytest.raises(AnsibleActionFail) as caught:
        run_job(monkeypatch, GOOD, "restart", play=play)
    assert text in str(caught.value)


def test_a_name_that_cant_be_computed_is_told(monkeypatch, tmp_path):
    directory = shutil.copytree(GOOD, tmp_path / "staging")
    (directory / "group_vars/all/other.yml").write_text('consul_datacenter: "{{ gone }}"\n', encoding="utf-8")
    with pytest.raises(AnsibleActionFail, match="the name or release of consul can't be computed: 'gone' is undefined"):
        run_job(monkeypatch, directory, "restart", "service=consul")


def test_an_unknown_job_is_a_fault_of_the_playbook(monkeypatch):
    with pytest.raises(AnsibleActionFail, match=r"there is no job restrat → did you mean restart\?"):
        run_job(monkeypatch, GOOD, "restrat")


def test_a_malformed_table_is_a_fault_of_the_collection(monkeypatch, tmp_path):
    (tmp_path / "jobs.yml").write_text("services: {}\nparameters: {}\njobs: {}\nextra: 1\n", encoding="utf-8")
    monkeypatch.setattr(action, "TABLE", tmp_path / "jobs.yml")
    with pytest.raises(AnsibleActionFail, match="the file has unknown keys extra"):
        run_job(monkeypatch, GOOD, "restart")


def test_the_documentation_describes_arguments_and_result(monkeypatch):
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    kept = {
        name: {key: value for key, value in option.items() if key != "description"} for name, option in options.items()
    }
    assert kept == action.ARGUMENTS
    described = set(yaml.safe_load(documented.RETURN)) - {"parameter"}
    result = run_job(monkeypatch, GOOD, "restart", "service=consul")
    assert set(result) - {"changed"} == described | set(TABLE.jobs["restart"].parameters) - {"confirm"}
