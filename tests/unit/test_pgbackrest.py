"""What pgBackRest says and is told, with answers recorded from pgBackRest 2.55.1 and PostgreSQL 17."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest import commands, dump, info, stanza, target
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Backup
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import pgbackrest_dump, pgbackrest_stanza
from module_call import call

RECORDED = (Path(__file__).parent / "fixtures/pgbackrest/two_repositories.json").read_text(encoding="utf-8")
# Of a stanza that is in no repository yet, recorded too
EMPTY = json.dumps([{
    "archive": [], "backup": [], "cipher": "aes-256-cbc", "db": [], "name": "rsp",
    "repo": [{"cipher": "aes-256-cbc", "key": 1, "status": {"code": 1, "message": "missing stanza path"}}],
    "status": {"code": 1, "lock": {"backup": {"held": False}}, "message": "missing stanza path"},
}])  # fmt: skip
DAY = info.DAY_S
NOW = 1_800_000_000.0


def backup(label="20270101-000000F", kind="full", repo=1, age=0.0, size=100, **more):
    """A backup that ended `age` days ago."""
    stop = int(NOW - age * DAY)
    fields = {"stored": 10, "needs": (), "lsn_start": "0/1000000", "lsn_stop": "0/2000000", "database": 1, **more}
    return Backup(label, kind, repo, stop - 60, stop, size, **fields)


def whole(*backups, repos=(1, 2)):
    """A stanza with these backups."""
    found = info.parse(RECORDED, "rsp")
    return replace(found, backups=tuple(sorted(backups, key=lambda b: b.stop)), repos=dict.fromkeys(repos, (0, "ok")))


class Tool:
    """A recorded pgbackrest: each call is kept; answers by command, the last one again and again."""

    def __init__(self, **answers):
        self.calls, self.answers = [], {name.replace("_", "-"): list(value) for name, value in answers.items()}

    def __call__(self, argv):
        command = argv[-1]
        self.calls.append(list(argv))
        answers = self.answers.get(command, [(0, "", "")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def commands(self):
        return [argv[-1] for argv in self.calls]


# info


def test_what_was_recorded_is_understood():
    found = info.parse(RECORDED, "rsp")
    assert (found.code, found.message, found.running) == (0, "ok", False)
    assert found.repos == {1: (0, "ok"), 2: (0, "ok")}
    assert [(b.repo, b.kind) for b in found.backups] == [(1, "full"), (2, "full")]
    assert set(found.systems.values()) == {"7712038237046306201"}
    first = found.backups[0]
    assert (first.label, first.full, first.needs, first.error) == ("20261125-092728F", "20261125-092728F", (), False)
    assert (first.stop - first.start, first.size, first.stored) == (7, 23422058, 2825320)
    assert (first.lsn_start, first.lsn_stop) == ("0/2000028", "0/3000088")
    assert {(a.repo, a.first is not None) for a in found.archives} == {(1, True), (2, True)}


def test_a_stanza_that_is_nowhere():
    found = info.parse(EMPTY, "rsp")
    assert (found.code, found.repos, found.backups) == (1, {1: (1, "missing stanza path")}, ())


@pytest.mark.parametrize(
    ("text", "name"),
    [("", "rsp"), ("[]", "rsp"), ("{}", "rsp"), (RECORDED, "other"), ("[1]", "rsp"), ('[{"name": "rsp"}]', "rsp")],
)
def test_what_can_not_be_read_is_no_good_news(text, name):
    with pytest.raises(DriverError, match="says nothing of stanza"):
        info.parse(text, name)


def test_an_increment_hangs_on_its_full_backup():
    assert backup("20270101-000000F_20270102-000000I", "incr").full == "20270101-000000F"


@pytest.mark.parametrize(
    ("backups", "kind"),
    [
        ((), "full"),
        ((backup(age=6.9),), "diff"),
        ((backup(age=7.1),), "full"),
        ((backup(age=0.5),), "incr"),
        ((backup(age=2), backup("d", "diff", age=0.5)), "incr"),
        ((backup(age=2), backup("d", "diff", age=1.5)), "diff"),
        ((backup(age=2), backup("i", "incr", age=0.1)), "diff"),
        ((backup("d", "diff", age=0.1),), "full"),
    ],
)
def test_what_is_due(backups, kind):
    assert info.next_kind(backups, NOW, full_every_d=7, diff_every_d=1) == kind


@pytest.mark.parametrize(
    ("ages", "max_days", "keep", "going", "stuck"),
    [
        ((), 30, 2, 0, 0),
        ((1, 8), 30, 2, 0, 0),
        ((1, 8, 31), 30, 2, 1, 0),
        ((1, 31), 30, 2, 0, 1),
        ((1, 31, 32), 30, 2, 1, 1),
        ((31, 32, 33), 30, 2, 1, 2),
        ((31,), 30, 0, 0, 1),
        ((31, 32), 30, 0, 1, 1),
        ((400, 500, 600), 0, 1, 0, 0),
    ],
)
def test_terms_of_personal_data_and_points_that_must_stay(ages, max_days, keep, going, stuck):
    backups = [backup(f"F{age}", age=age) for age in ages]
    gone, kept = info.too_old(backups, NOW, max_days, keep)
    assert (len(gone), len(kept)) == (going, stuck)
    ordered = [f"F{age}" for age in sorted(ages, reverse=True)]
    assert gone + kept == ordered[: going + stuck]


def test_only_full_backups_have_a_term_of_their_own():
    hanging = [backup("20270101-000000F", age=5), backup("20270101-000000F_x", "incr", age=400)]
    assert info.too_old(hanging, NOW, 30, 1) == ([], [])


@pytest.mark.parametrize(("at", "label"), [(0, "new"), (1, "new"), (1.5, "old"), (10, "old"), (10.5, None)])
def test_which_backup_leads_to_a_moment(at, label):
    found = info.covering(whole(backup("old", age=10), backup("new", age=1)), 1, NOW - at * DAY)
    assert (found.label if found else None) == label


# commands


def test_argv_holds_no_secret_and_names_the_stanza():
    tool = Tool(info=[(0, RECORDED, "")])
    one = commands.Pgbackrest(tool, "rsp")
    one.info()
    one.create()
    one.check()
    one.backup(2, "full", "prefer", {"by": "timer"})
    one.expire(2, "20261125-092946F")
    assert tool.commands() == ["info", "stanza-create", "check", "backup", "expire"]
    for argv in tool.calls:
        assert argv[:2] == ["/usr/bin/pgbackrest", "--stanza=rsp"]
        assert not any(word in " ".join(argv) for word in ("cipher", "key", "secret", "pass"))
    assert {"--repo=2", "--type=full", "--backup-standby=prefer", "--annotation=by=timer"} <= set(tool.calls[3])
    assert {"--repo=2", "--set=20261125-092946F"} <= set(tool.calls[4])


@pytest.mark.parametrize(("standby", "option"), [("require", "y"), ("prefer", "prefer"), ("never", "n")])
def test_who_is_read_from(standby, option):
    tool = Tool()
    commands.Pgbackrest(tool, "rsp").backup(1, "incr", standby, {})
    assert f"--backup-standby={option}" in tool.calls[0]


def test_a_failure_says_its_last_lines():
    tool = Tool(check=[(82, "one\ntwo\n", "P00  ERROR: [082]: WAL segment was not archived\n")])
    with pytest.raises(DriverError, match=r"check ended with 82: one . two . P00  ERROR") as caught:
        commands.Pgbackrest(tool, "rsp").check()
    assert caught.value.result == {"rc": 82}


# stanza


@pytest.mark.parametrize(
    ("repos", "wanted", "found"),
    [
        ({1: (0, "ok"), 2: (0, "ok")}, (1, 2), []),
        ({1: (0, "ok"), 2: (2, "no valid backups")}, (1, 2), []),
        ({1: (1, "missing stanza path"), 2: (0, "ok")}, (1, 2), [1]),
        ({1: (1, "missing stanza path"), 2: (3, "missing stanza data")}, (1, 2), [1, 2]),
        ({1: (0, "ok"), 2: (1, "missing stanza path")}, (1,), []),
    ],
)
def test_which_repositories_lack_it(repos, wanted, found):
    assert stanza.lacking(replace(whole(), repos=repos), wanted) == found


@pytest.mark.parametrize(
    ("repos", "text"),
    [
        ({1: (5, "database mismatch across repos")}, "database mismatch"),
        ({1: (99, "other")}, "code 99"),
        ({2: (0, "ok")}, "it is not configured"),
    ],
)
def test_a_repository_of_another_cluster_is_never_overwritten(repos, text):
    with pytest.raises(DriverError, match=text):
        stanza.lacking(replace(whole(), repos=repos), (1,))


def test_a_stanza_is_made_once_and_proved_each_time():
    tool = Tool(info=[(0, EMPTY, ""), (0, RECORDED, "")])
    assert stanza.bring_in_line(commands.Pgbackrest(tool, "rsp"), (1,), prove=True, check=False) == [1]
    assert tool.commands() == ["info", "stanza-create", "info", "check"]
    again = Tool(info=[(0, RECORDED, "")])
    assert stanza.bring_in_line(commands.Pgbackrest(again, "rsp"), (1, 2), prove=True, check=False) == []
    assert again.commands() == ["info", "check"]


def test_a_stanza_waits_for_the_lock_of_an_archiver_and_not_for_ever():
    slept, answers = [], [(56, "", "LockAcquireError: Resource temporarily unavailable")] * 2 + [(0, "", "")]
    commands.Pgbackrest(lambda _argv: answers.pop(0), "rsp", slept.append).create()
    assert slept == [1, 1]
    with pytest.raises(DriverError, match="LockAcquireError"):
        commands.Pgbackrest(lambda _argv: (56, "", "LockAcquireError"), "rsp", slept.append).create()
    assert len(slept) == 2 + commands.LOCKED_TRIES - 1


def test_a_stanza_goes_on_with_a_cluster_that_pg_upgrade_made():
    other = RECORDED.replace(next(iter(whole().systems.values())), "7000000000000000001")
    tool = Tool(info=[(0, RECORDED, ""), (0, other, "")])
    assert stanza.go_on(commands.Pgbackrest(tool, "rsp"))
    assert tool.commands() == ["info", "stanza-upgrade", "info"]
    assert not stanza.go_on(commands.Pgbackrest(Tool(info=[(0, RECORDED, "")]), "rsp"))


def test_check_mode_only_reads():
    tool = Tool(info=[(0, EMPTY, "")])
    assert stanza.bring_in_line(commands.Pgbackrest(tool, "rsp"), (1,), prove=True, check=True) == [1]
    assert tool.commands() == ["info"]


def test_a_stanza_that_was_made_and_is_not_there():
    tool = Tool(info=[(0, EMPTY, "")])
    with pytest.raises(DriverError, match="still lack it"):
        stanza.bring_in_line(commands.Pgbackrest(tool, "rsp"), (1,), prove=True, check=False)


def test_the_module_of_the_stanza(monkeypatch, capsys):
    calls = []

    def run(_self, argv, **_more):
        calls.append(argv)
        return 0, RECORDED if argv[-1] == "info" else "", ""

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", run)
    result = call(pgbackrest_stanza.main, capsys, stanza="rsp", repositories=[1, 2])
    assert (result["changed"], result["made"], result["proved"], result["rc"]) == (False, [], True, 0)
    fresh = call(pgbackrest_stanza.main, capsys, check=True, stanza="rsp", repositories=[1, 2], fresh=True)
    assert (fresh["changed"], fresh["made"], fresh["proved"]) == (True, [1, 2], False)
    assert [argv[-1] for argv in calls] == ["info", "check"]
    calls.clear()
    went_on = call(pgbackrest_stanza.main, capsys, stanza="rsp", repositories=[1, 2], upgrade=True, prove=False)
    assert (went_on["changed"], went_on["upgraded"]) == (False, False)
    assert [argv[-1] for argv in calls] == ["info", "stanza-upgrade", "info", "info"]
    asked = call(pgbackrest_stanza.main, capsys, check=True, stanza="rsp", repositories=[1, 2], upgrade=True)
    assert asked["upgraded"] is False
    assert [argv[-1] for argv in calls[4:]] == ["info"]


def test_the_module_fails_with_what_was_said(monkeypatch, capsys):
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.run_command", lambda _self, _argv, **_more: (37, "", "no config")
    )
    result = call(pgbackrest_stanza.main, capsys, stanza="rsp", repositories=[1])
    assert result["failed"]
    assert "info ended with 37: no config" in result["msg"]


# target


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, []),
        ({"timeline": "3"}, ["--target-timeline=3"]),
        ({"immediate": True}, ["--type=immediate", "--target-action=promote"]),
        ({"lsn": "0/B022480"}, ["--type=lsn", "--target=0/B022480", "--target-action=promote"]),
        (
            {"xid": "746", "exclusive": True},
            ["--type=xid", "--target=746", "--target-exclusive", "--target-action=promote"],
        ),
        ({"name": "before"}, ["--type=name", "--target=before", "--target-action=promote"]),
        (
            {"time": "2026-11-25T12:30:00+03:00"},
            ["--type=time", "--target=2026-11-25 09:30:00.000000+00", "--target-action=promote"],
        ),
        (
            {"time": "2026-11-25T09:30:00.25Z", "timeline": "2"},
            ["--type=time", "--target=2026-11-25 09:30:00.250000+00", "--target-timeline=2", "--target-action=promote"],
        ),
    ],
)  # fmt: skip
def test_how_a_target_is_told(params, options):
    assert target.target_from(params).options() == options


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"time": "2026-11-25T09:30:00"}, "names no zone"),
        ({"time": "soon"}, "is no time"),
        ({"lsn": "1"}, "is no lsn"),
        ({"lsn": "0/XYZ"}, "is no lsn"),
        ({"xid": "-1"}, "is no xid"),
        ({"xid": "007"}, "is no xid"),
        ({"name": "a\nb"}, "is no name"),
        ({"name": "x" * 64}, "is no name"),
        ({"xid": "1", "lsn": "0/1"}, "lsn and xid can't be given together"),
    ],
)
def test_a_malformed_target_is_refused(params, text):
    with pytest.raises(DriverError, match=text):
        target.target_from(params)


def at(age):
    """A time so many days ago, as it is typed."""
    return datetime.fromtimestamp(NOW - age * DAY, UTC).isoformat()


@pytest.mark.parametrize(
    ("params", "repository", "label"),
    [
        ({}, None, "new"),
        ({"time": at(0.5)}, None, "new"),
        ({"time": at(2)}, None, "old"),
        ({"time": at(2)}, 2, "other"),
        ({"lsn": "0/2000001"}, None, "new"),
        ({"label": "old"}, None, "old"),
        ({"label": "other"}, None, "other"),
        ({"xid": "1", "label": "old"}, 1, "old"),
        ({"time": at(25)}, None, "other"),
    ],
)
def test_from_where_a_restore_begins(params, repository, label):
    found = whole(backup("old", age=20), backup("new", age=1), backup("other", repo=2, age=30))
    plan = target.plan(found, target.target_from(params), repository, NOW, free_mb=100)
    assert plan.backup.label == label
    assert plan.repository == plan.backup.repo


@pytest.mark.parametrize(
    ("params", "repository", "text"),
    [
        ({"time": at(-1)}, None, "is in the future"),
        ({"time": at(40)}, None, "is before the end of the first backup of repository 1"),
        ({"time": at(25)}, 1, "is before the end of the first backup of repository 1, old"),
        ({"lsn": "0/1000000"}, None, "is before the end of the first backup"),
        ({"label": "gone"}, None, "has no backup gone; the newest is new"),
        ({}, 3, "repository 3 is not configured; there are 1, 2"),
    ],
)
def test_what_can_not_be_reached_is_refused_before_anything_stops(params, repository, text):
    found = whole(backup("old", age=20), backup("new", age=1), backup("other", repo=2, age=30))
    with pytest.raises(DriverError, match=text):
        target.plan(found, target.target_from(params), repository, NOW, free_mb=100)


def test_every_repository_says_why_it_does_not_do():
    with pytest.raises(DriverError) as caught:
        target.plan(whole(), target.Target(), None, NOW, 100)
    assert "repository 1 has no backup: ok; repository 2 has no backup: ok" in str(caught.value)


@pytest.mark.parametrize(("free", "fits"), [(110, True), (109, False), (0, False)])
def test_space_must_do(free, fits):
    found = whole(backup("full", size=100 * target.MB))
    if fits:
        plan = target.plan(found, target.Target(), 1, NOW, free)
        assert plan.as_dict() == {
            "repository": 1, "backup": "full", "made": "2027-01-15T08:00:00+00:00", "mb": 100, "about_seconds": 2,
        }  # fmt: skip
        return
    with pytest.raises(DriverError, match=f"full needs 110 MB, {free} MB are free"):
        target.plan(found, target.Target(), 1, NOW, free)


@pytest.mark.parametrize(("text", "number"), [("0/0", 0), ("0/FF", 255), ("1/0", 1 << 32), ("A/B", (10 << 32) + 11)])
def test_positions_are_numbers(text, number):
    assert target.lsn(text) == number


# dump


class Dumper:
    """pg_dump that writes a file, or fails for one database."""

    def __init__(self, bad=""):
        self.bad, self.calls = bad, []

    def __call__(self, argv):
        self.calls.append(list(argv))
        name = next(a.removeprefix("--dbname=") for a in argv if a.startswith("--dbname="))
        path = Path(next(a.removeprefix("--file=") for a in argv if a.startswith("--file=")))
        if name == self.bad:
            return 1, "", f'database "{name}" does not exist'
        path.write_text(name, encoding="utf-8")
        return 0, "", ""


def source(run, tmp_path):
    return dump.Source(run, Path("/usr/lib/postgresql/17/bin"), tmp_path, 15432)


def test_one_file_a_database(tmp_path):
    run = Dumper()
    files = dump.dump(source(run, tmp_path), ["shop", "pay"], tmp_path / "out", check=False)
    assert files == [str(tmp_path / "out/shop.dump"), str(tmp_path / "out/pay.dump")]
    assert [Path(f).read_text(encoding="utf-8") for f in files] == ["shop", "pay"]
    assert run.calls[0][0] == "/usr/lib/postgresql/17/bin/pg_dump"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_nothing_is_overwritten_and_nothing_half_is_left(tmp_path):
    run = Dumper(bad="gone")
    with pytest.raises(DriverError, match='pg_dump of gone ended with 1: database "gone" does not exist'):
        dump.dump(source(run, tmp_path), ["gone"], tmp_path / "out", check=False)
    assert list((tmp_path / "out").glob("*.dump")) == []
    dump.dump(source(run, tmp_path), ["shop"], tmp_path / "out", check=False)
    with pytest.raises(DriverError, match="is there already"):
        dump.dump(source(run, tmp_path), ["shop"], tmp_path / "out", check=False)


@pytest.mark.parametrize("name", ["../etc", "-f", "a/b"])
def test_a_name_that_is_no_file(name, tmp_path):
    with pytest.raises(DriverError, match="can't be the name of a file"):
        dump.dump(source(Dumper(), tmp_path), [name], tmp_path, check=False)


def test_check_mode_dumps_nothing(tmp_path):
    run = Dumper()
    assert dump.dump(source(run, tmp_path), ["shop"], tmp_path / "out", check=True) == [str(tmp_path / "out/shop.dump")]
    assert not run.calls
    assert not (tmp_path / "out").exists()


def test_the_module_of_dumps(monkeypatch, capsys, tmp_path):
    run = Dumper()
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", lambda _self, argv, **_more: run(argv))
    given = {"bin_dir": "/b", "socket_dir": "/s", "port": 1, "directory": str(tmp_path / "d")}
    result = call(pgbackrest_dump.main, capsys, databases=["shop"], **given)
    assert (result["changed"], result["files"]) == (True, [str(tmp_path / "d/shop.dump")])
    assert call(pgbackrest_dump.main, capsys, databases=["shop"], **given)["failed"]
