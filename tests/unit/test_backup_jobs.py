"""Bad calls of backup, restore, restore_side and disaster_recovery, one wrong thing each, and their clean twins.

Judged by the plugin on inventories/staging, whose hosts nobody answers at: whatever is refused, nothing was touched.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.jobs import points
from fixtures.jobs import TABLE, call, run_job
from fixtures.preflight.plugin import provide_secrets

ROOT = Path(__file__).resolve().parents[2]
GOOD = ROOT / "inventories" / "staging"
PG = "rsp-staging-postgresql"
CONSUL = "rsp-staging-dc1"
PLATFORM = "rsp-staging"
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
PG_LABEL = "20261125-092946F_20261125-100000I"
SNAPSHOT = "20261125T093309Z-25.snap.enc"
YES = f"confirm={PG}"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    provide_secrets(monkeypatch, "RSP_STAGING_")


# job, what stands behind each -e → what names the parameter, the rule, the fix
BAD: dict[str, tuple[str, tuple[str, ...], str, str, str]] = {
    # backup
    "backup of nothing": (
        "backup", (), "service", "job backup needs it", "add -e service=NAME, one of consul, postgresql",
    ),
    "backup of what has none": (
        "backup", ("service=etcd",), 'service = "etcd"', "etcd has no job backup", "use it for consul, postgresql",
    ),
    "backup of what is no service": (
        "backup", ("service=postgres",), 'service = "postgres"', "is no service", "did you mean postgresql?",
    ),
    "backup of all": (
        "backup", ("service=all",),
        'service = "all"', "works on one service at a time", "use one of consul, postgresql",
    ),
    "a kind that there is not": (
        "backup", ("service=postgresql", "type=incremental"),
        'type = "incremental"', "auto, full, diff, incr", "",
    ),
    "an increment of Consul": (
        "backup", ("service=consul", "type=incr"), 'type = "incr"', "consul has only full backups", "leave it out",
    ),
    "backup to a repository of one's choice": (
        "backup", ("service=postgresql", "repository=1"),
        'repository = "1"', "job backup has no such parameter", "did you mean reason?",
    ),
    # confirmation
    "restore without yes": (
        "restore", ("service=postgresql",),
        "confirm", "this destroys everything that was written after that point", f"add -e confirm={PG}",
    ),
    "restore with a yes for another cluster": (
        "restore", ("service=postgresql", f"confirm={CONSUL}"),
        f'confirm = "{CONSUL}"', f"it must be confirmed by the name {PG}", "--check needs none",
    ),
    "restore with a plain yes": (
        "restore", ("service=consul", "confirm=yes"), 'confirm = "yes"', f"by the name {CONSUL}", "",
    ),
    "disaster without yes": (
        "disaster_recovery", ("repository=2",), "confirm", "whatever is on these hosts", f"add -e confirm={PLATFORM}",
    ),
    # repositories and labels
    "an unknown repository": (
        "restore", ("service=postgresql", "repository=3", YES),
        "repository = 3", "is outside 1 to 2", "use a value of 1 to 2",
    ),
    "a repository by another name": (
        "restore", ("service=postgresql", "repository=s3", YES), 'repository = "s3"', "must be an integer", "",
    ),
    "disaster from nowhere": (
        "disaster_recovery", (f"confirm={PLATFORM}",),
        "repository", "job disaster_recovery needs it", "the one that is left",
    ),
    "a label that is none": (
        "restore", ("service=postgresql", "label=yesterday", YES),
        'label = "yesterday"', "", "as the record or pgbackrest info does",
    ),
    "a backup of another service": (
        "restore", ("service=consul", f"label={PG_LABEL}", f"confirm={CONSUL}"),
        f'label = "{PG_LABEL}"', "is the name of a backup of PostgreSQL", "name one of consul",
    ),
    "a snapshot of another service": (
        "restore", ("service=postgresql", f"label={SNAPSHOT}", YES),
        f'label = "{SNAPSHOT}"', "is the name of a snapshot of Consul", "name one of postgresql",
    ),
    # points
    "a time in the future": (
        "restore", ("service=postgresql", f"time={TOMORROW}", YES),
        f'time = "{TOMORROW}"', "is in the future, where nothing was written yet", "name a time before now",
    ),
    "a time without a zone": (
        "restore", ("service=postgresql", "time=2026-11-25T09:30:00", YES),
        'time = "2026-11-25T09:30:00"', "", "write it like 2026-11-25T09:30:00+03:00",
    ),
    "a time in words": (
        "restore", ("service=postgresql", "time=yesterday", YES),
        'time = "yesterday"', "", "write it like 2026-11-25T09",
    ),
    "a day that there is not": (
        "restore", ("service=postgresql", "time=2026-02-30T09:30:00Z", YES),
        'time = "2026-02-30T09:30:00Z"', "is no time: day", "write it like",
    ),
    "no position": (
        "restore", ("service=postgresql", "lsn=12345", YES), 'lsn = "12345"', "", "write it like 0/B022480",
    ),
    "no transaction": (
        "restore", ("service=postgresql", "xid=0", YES), 'xid = "0"', "", "give the number of the transaction",
    ),
    "no restore point": (
        "restore", ("service=postgresql", "point=", YES), "point", "is empty", "give its name",
    ),
    "two points": (
        "restore", ("service=postgresql", "time=2026-01-25T09:30:00Z", "lsn=0/1", YES),
        'lsn = "0/1"', "time and lsn can't be given together", "keep one, time for example",
    ),
    "just before nothing": (
        "restore", ("service=postgresql", "exclusive=true", YES),
        "exclusive", "stops just before a target, and none is given", "name a target, or leave it out",
    ),
    "a point in time of Consul": (
        "restore", ("service=consul", "time=2026-01-25T09:30:00Z", f"confirm={CONSUL}"),
        'time = "2026-01-25T09:30:00Z"', "job restore takes it for postgresql only, not for consul", "leave it out",
    ),
    "a timeline in words": (
        "restore", ("service=postgresql", "timeline=newest", YES), 'timeline = "newest"', "", "give its number",
    ),
    # members and names
    "a member that is none": (
        "restore", ("service=postgresql", "member=pg-a-9", YES), 'member = "pg-a-9"', "", "did you mean pg-a-1?",
    ),
    "two members": (
        "restore", ("service=postgresql", "member=pg-a-1,pg-b-1", YES),
        'member = "pg-a-1,pg-b-1"', "job restore takes one member at a time", "",
    ),
    "a side cluster without a name": (
        "restore_side", ("service=postgresql", "member=pg-a-1"),
        "side", "job restore_side needs it", "choose a name like",
    ),
    "a side cluster on nobody's disk": (
        "restore_side", ("service=postgresql", "side=x"), "member", "job restore_side needs it", "add -e member=NAME",
    ),
    "a side cluster that leaves its directory": (
        "restore_side", ("service=postgresql", "member=pg-a-1", "side=../rsp"),
        'side = "../rsp"', "", "choose a name like",
    ),
    "a side cluster of Consul": (
        "restore_side", ("service=consul", "member=consul-a-1", "side=x"),
        'service = "consul"', "consul has no job restore_side", "use it for postgresql",
    ),
    "a database twice": (
        "restore_side", ("service=postgresql", "member=pg-a-1", "side=x", "databases=shop,shop"),
        'databases = "shop,shop"', "shop is named 2 times", "name each once",
    ),
    "a surplus comma": (
        "restore_side", ("service=postgresql", "member=pg-a-1", "side=x", "databases=shop,"),
        'databases = "shop,"', "has an empty name in it", "name each once",
    ),
}  # fmt: skip


def test_there_are_enough_rows():
    """Issue 6, no. 7: at least 20 rows."""
    assert len(BAD) >= 30
    assert {row[0] for row in BAD.values()} == {"backup", "restore", "restore_side", "disaster_recovery"}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_refused_with_the_way_out(name, monkeypatch):
    job, typed, place, rule, fix = BAD[name]
    result = run_job(monkeypatch, GOOD, job, *typed)
    assert result.get("failed"), name
    lines = [line for line in result["msg"].splitlines() if place in line]
    assert lines, result["msg"]
    assert any(rule in line and fix in line for line in lines), result["msg"]
    assert "nothing was touched" in result["msg"]


TWINS = {
    "backup of PostgreSQL": ("backup", ("service=postgresql",)),
    "a full one": ("backup", ("service=postgresql", "type=full", "reason=before-the-sale")),
    "backup of Consul": ("backup", ("service=consul", "type=full")),
    "to the end": ("restore", ("service=postgresql", YES)),
    "to a time": ("restore", ("service=postgresql", "time=2026-01-25T09:30:00+03:00", YES)),
    "to a minute": ("restore", ("service=postgresql", "time=2026-01-25T09:30Z", YES)),
    "to a fraction": ("restore", ("service=postgresql", "time=2026-01-25T09:30:00.123456Z", YES)),
    "to a position": ("restore", ("service=postgresql", "lsn=0/B022480", YES)),
    "to a transaction": ("restore", ("service=postgresql", "xid=746", "exclusive=true", YES)),
    "to a name": ("restore", ("service=postgresql", "point=before_the_sale", YES)),
    "from a label": ("restore", ("service=postgresql", f"label={PG_LABEL}", "repository=2", YES)),
    "on a member": ("restore", ("service=postgresql", "member=pg-b-1", "timeline=3", YES)),
    "Consul's newest": ("restore", ("service=consul", f"confirm={CONSUL}")),
    "Consul's by name": ("restore", ("service=consul", f"label={SNAPSHOT}", "repository=2", f"confirm={CONSUL}")),
    "beside": ("restore_side", ("service=postgresql", "member=pg-c-1", "side=before_sale")),
    "one database": ("restore_side", ("service=postgresql", "member=pg-c-1", "side=x", "databases=shop")),
    "everything": ("disaster_recovery", ("repository=2", f"confirm={PLATFORM}")),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_clean_twin_passes(name, monkeypatch):
    job, typed = TWINS[name]
    result = run_job(monkeypatch, GOOD, job, *typed)
    assert not result.get("failed"), result["msg"]
    assert result["job"] == job


@pytest.mark.parametrize("job", ["restore", "disaster_recovery"])
def test_a_preview_needs_no_yes(job, monkeypatch):
    typed = ("repository=2",) if job == "disaster_recovery" else ("service=postgresql",)
    assert not run_job(monkeypatch, GOOD, job, *typed, check=True).get("failed")


def test_what_the_plays_read(monkeypatch):
    typed = ("service=postgresql", "time=2026-01-25T09:30:00+03:00", "repository=2", YES)
    result = run_job(monkeypatch, GOOD, "restore", *typed)
    assert (result["time"], result["repository"], result["lsn"]) == ("2026-01-25T09:30:00+03:00", 2, None)
    assert result["exclusive"] is False
    assert result["cluster"] == PG
    assert result["lock_arguments"]["arguments"]["time"] == "2026-01-25T09:30:00+03:00"


def test_the_member_of_a_side_cluster_is_listed(monkeypatch):
    result = run_job(monkeypatch, GOOD, "restore_side", "service=postgresql", "member=pg-c-1", "side=x")
    assert result["members"] == ["pg-c-1"]


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, 0),
        ({"time": "x"}, 0),
        ({"time": "x", "xid": "1"}, 1),
        ({"time": "x", "xid": "1", "lsn": "0/1", "point": "p"}, 1),
        ({"exclusive": True}, 1),
        ({"exclusive": True, "xid": "1"}, 0),
        ({"exclusive": False}, 0),
    ],
)
def test_one_point_or_none(given, count):
    assert len(list(points.one_point(call("restore", service="postgresql", **given)))) == count


@pytest.mark.parametrize("job", sorted(TABLE.jobs))
def test_rules_of_points_say_nothing_of_other_jobs(job):
    if job in {"backup", "restore", "restore_side", "disaster_recovery"}:
        return
    subject = call(job, service="consul")
    rules = (points.one_point, points.moment_is_past, points.kind_fits, points.label_fits, points.databases_are_named)
    assert [problem for rule in rules for problem in rule(subject)] == []


def test_every_job_has_its_playbook_and_the_playbook_its_check():
    for name in ("backup", "restore", "restore_side", "disaster_recovery"):
        plays = yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8"))
        assert plays[0]["ansible.builtin.import_playbook"] == "check_job.yml"
        assert plays[0]["vars"] == {"job_name": name}


def test_every_parameter_of_a_restore_reaches_the_module():
    text = (ROOT / "playbooks/vars/restoring.yml").read_text(encoding="utf-8")
    for parameter in ("repository", "label", "time", "lsn", "xid", "point", "exclusive", "timeline"):
        assert f"job.{parameter}" in text
