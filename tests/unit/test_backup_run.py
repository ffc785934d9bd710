"""One run of a backup on its host: gates, copies, the verdict, what is kept of it."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup_job import consul, forecast, gate, postgresql, record
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.consul_back import found as snapshot
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import (
    Asked,
    Ports,
    command,
    copies_of,
    held,
    seen,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import main as rsp_backup
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import run as run_job
from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import Lock
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, Member, ServiceState
from ansible_collections.rsp.platform.plugins.modules import backup_now, consul_restore
from module_call import call
from rendering import value

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_800_000_000.0
DAY = 86400
OTHER = Lock("awx-4711", "New certificates", "restart", NOW - 60, NOW - 5, 300)
MAX_LAG = 1000
POSTGRESQL = {
    "service": "postgresql", "cluster": "pg", "stanza": "rsp", "standby": "prefer", "max_lag": MAX_LAG,
    "repositories": [{"number": 1, "full": 2, "max_days": 30}, {"number": 2, "full": 2, "max_days": 30}],
    "full_every_d": 7, "diff_every_d": 1, "gate": {}, "lock": {"urls": ["x"]}, "repository_dir": "/",
}  # fmt: skip
CONSUL = {"service": "consul", "cluster": "dc1", "lock": {"urls": ["x"]}, "directory": "/"}


def member(name, **more):
    fields = {"role": "replica", "zone": "a", "healthy": True, "lag": 0, "in_sync": True}
    return Member(name, "10.0.0.1", **{**fields, **more})


def cluster(*members, leader="a1"):
    """Three healthy members, or those that are given."""
    found = members or (member("a1", role="leader"), member("b1"), member("c1"))
    return ServiceState("postgresql", "pg", tuple(found), leader, elects=False, synchronous=True)


LEADER = member("a1", role="leader")


# Gates


@pytest.mark.parametrize(
    ("lock", "owner", "open_"),
    [
        (None, "", True),
        (None, "awx-1", True),
        (OTHER, "", False),
        (OTHER, "awx-1", False),
        (OTHER, "awx-4711", True),
    ],
)
def test_a_job_that_holds_the_cluster_comes_first(lock, owner, open_):
    answer = gate.nobody_works(lock, owner)
    assert answer.open is open_
    if not open_:
        assert answer.reason == "restart holds the cluster (awx-4711): New certificates"


@pytest.mark.parametrize(
    ("state", "standby", "source", "reason"),
    [
        (cluster(), "prefer", ["b1", "c1"], None),
        (cluster(), "require", ["b1", "c1"], None),
        (cluster(), "never", ["a1"], None),
        (cluster(leader=None), "prefer", None, "pg has no leader that is known to be healthy"),
        (cluster(leader="z9"), "prefer", None, "pg has no leader that is known to be healthy"),
        (cluster(replace(LEADER, healthy=False), member("b1")), "never", None, "no leader that is known"),
        (cluster(replace(LEADER, healthy=None), member("b1")), "prefer", None, "no leader that is known"),
        (cluster(LEADER, member("b1", lag=MAX_LAG)), "require", ["b1"], None),
        (cluster(LEADER, member("b1", lag=MAX_LAG + 1)), "require", None, "no standby of pg is healthy"),
        (cluster(LEADER, member("b1", lag=None)), "require", None, "no standby of pg is healthy and within 1000"),
        (cluster(LEADER, member("b1", healthy=False)), "prefer", None, "no standby of pg is fit, and a1 alone"),
        (cluster(LEADER, member("b1", healthy=None)), "prefer", None, "no standby of pg is fit, and a1 alone"),
        (cluster(LEADER), "prefer", ["a1"], None),
        (cluster(LEADER), "require", None, "no standby of pg is healthy"),
        (cluster(LEADER, member("b1"), member("c1", healthy=False)), "prefer", ["b1"], None),
        (
            cluster(LEADER, member("b1", tags=("nofailover", "noloadbalance", "nosync"))),
            "prefer", None, "no standby of pg is fit",
        ),
        (cluster(LEADER, member("b1", healthy=False)), "never", ["a1"], None),
    ],
)  # fmt: skip
def test_who_may_be_read_from(state, standby, source, reason):
    answer = gate.may_back_up(state, standby, MAX_LAG)
    assert answer.open is (reason is None)
    if reason is None:
        assert answer.evidence["source"] == source
    else:
        assert reason in answer.reason


@pytest.mark.parametrize("what", ["healthy", "lag"])
@pytest.mark.parametrize("standby", ["prefer", "require", "never"])
@pytest.mark.parametrize("who", [0, 1, 2])
def test_knowing_less_never_opens_a_gate(who, standby, what):
    members = [LEADER, member("b1", healthy=False), member("c1", lag=MAX_LAG * 2)]
    before = gate.may_back_up(cluster(*members), standby, MAX_LAG)
    members[who] = replace(members[who], **{what: None})
    assert not gate.may_back_up(cluster(*members), standby, MAX_LAG).open or before.open


# The run


class World:
    """Ports that remember what was asked."""

    def __init__(self, lock=None, state=None, copies=(), run=None):
        self.lock, self.state, self.copies, self.asked = lock, state or cluster(), copies, []
        self.run, self.time = run or (lambda _argv: (0, "", "")), NOW

    def clock(self):
        self.time += 1
        return self.time

    def ports(self):
        def lock(_config):
            return self.answer(self.lock)

        def state(_config):
            return self.answer(self.state)

        def copies(_config, kind, by, _ports):
            self.asked.append((kind, by))
            return self.answer(self.copies)

        return Ports(self.run, self.clock, lock, state, copies)

    @staticmethod
    def answer(what):
        if isinstance(what, Exception):
            raise what
        return what


GOOD = (record.Copy("1", "done", "20270101-000000F", size=100), record.Copy("2", "done", "20270101-000001F", size=100))
BAD = record.Copy("2", "failed", reason="it is away")
STUCK = replace(GOOD[1], kept_too_long=("20260101-000000F",))


@pytest.mark.parametrize(
    ("world", "config", "asked", "state", "reason"),
    [
        (World(copies=GOOD), POSTGRESQL, Asked(), "done", ""),
        (World(copies=GOOD), CONSUL, Asked(), "done", ""),
        (World(lock=OTHER, copies=GOOD), POSTGRESQL, Asked(), "postponed", "restart holds the cluster"),
        (World(lock=OTHER, copies=GOOD), CONSUL, Asked(), "postponed", "restart holds the cluster"),
        (World(lock=OTHER, copies=GOOD), POSTGRESQL, Asked(owner="awx-4711"), "done", ""),
        (
            World(lock=DriverError("no server answers")),
            CONSUL,
            Asked(),
            "postponed",
            "can't be asked: no server answers",
        ),
        (World(state=DriverError("nobody")), POSTGRESQL, Asked(), "postponed", "can't be asked: nobody"),
        (World(state=DriverError("nobody"), copies=GOOD), CONSUL, Asked(), "done", ""),
        (World(state=cluster(leader=None)), POSTGRESQL, Asked(), "postponed", "no leader"),
        (World(copies=(GOOD[0], BAD)), POSTGRESQL, Asked(), "failed", "repository 2: it is away"),
        (World(copies=()), POSTGRESQL, Asked(), "failed", "no repository was asked"),
        (
            World(copies=(GOOD[0], STUCK)),
            POSTGRESQL,
            Asked(),
            "failed",
            "20260101-000000F is past its term and must stay",
        ),
        (World(copies=DriverError("boom")), POSTGRESQL, Asked(), "failed", "boom"),
        (World(copies=OSError("disk")), CONSUL, Asked(), "failed", "disk"),
        (World(copies=KeyError("stanza")), CONSUL, Asked(), "failed", "stanza"),
    ],
)
def test_what_becomes_of_a_run(world, config, asked, state, reason):
    found = run_job(config, asked, world.ports())
    assert (found.state, reason in found.reason) == (state, True), found.reason
    assert (found.service, found.cluster, found.by) == (config["service"], config["cluster"], "timer")
    assert found.ended > found.started
    assert bool(world.asked) == (state != "postponed")


def test_without_a_store_of_locks_the_service_alone_is_asked():
    world = World(lock=DriverError("never asked"), copies=GOOD)
    assert run_job({**POSTGRESQL, "lock": None}, Asked(), world.ports()).state == "done"


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("postponed", 75), ("failed", 1)])
def test_systemd_is_told_the_three_apart(state, code, tmp_path, capsys):
    worlds = {"done": World(copies=GOOD), "postponed": World(lock=OTHER), "failed": World(copies=(BAD,))}
    config = {**CONSUL, "state_dir": str(tmp_path / "state"), "metrics_dir": str(tmp_path)}
    (tmp_path / "consul.json").write_text(json.dumps(config), encoding="utf-8")
    assert rsp_backup(["consul", "--by", "me"], tmp_path, worlds[state].ports()) == code
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "state/consul/last.json").read_text(encoding="utf-8"))
    assert said == kept
    assert (kept["state"], kept["by"], kept["schema"]) == (state, "me", 1)
    assert (tmp_path / "state/consul/done.json").exists() is (state == "done")
    assert f'rsp_backup_last_run_state{{service="consul",cluster="dc1",state="{state}"}} 1' in (
        tmp_path / "rsp_backup_consul.prom"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_host_without_its_configuration(text, tmp_path, capsys):
    if text is not None:
        (tmp_path / "consul.json").write_text(text, encoding="utf-8")
    assert rsp_backup(["consul"], tmp_path, World().ports()) == 1
    assert "rsp-backup consul:" in capsys.readouterr().err


def test_kinds_that_a_service_lacks():
    with pytest.raises(DriverError, match="consul has no backup of kind diff"):
        copies_of(CONSUL, "diff", "timer", World().ports())


def test_a_command_that_is_not_there():
    code, _out, err = command(["/nowhere/at/all"])
    assert code == 127
    assert "/nowhere/at/all" in err
    assert command(["/bin/sh", "-c", "echo $HOME; exit 3"])[0] == 3


@pytest.mark.parametrize("ask", [held, seen])
def test_nobody_to_ask(ask):
    with pytest.raises(DriverError, match="is known"):
        ask({"lock": {"urls": []}, "urls": [], "cluster": "x"})


# Records


def test_the_history_is_bounded_and_remembers_each_repository(tmp_path):
    one = run_job(POSTGRESQL, Asked(), World(copies=GOOD).ports())
    for number in range(record.HISTORY_LINES + 5):
        record.publish(replace(one, ended=NOW + number), tmp_path, None)
        if number > 3:  # the rest at once: what counts is the bound
            lines = (tmp_path / "postgresql/history.jsonl").read_text(encoding="utf-8")
            record.write(tmp_path / "postgresql/history.jsonl", lines * 300)
            record.publish(replace(one, ended=NOW + 9999), tmp_path, None)
            break
    lines = (tmp_path / "postgresql/history.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == record.HISTORY_LINES
    assert record.last_done(tmp_path / "postgresql") == {"1": NOW + 9999, "2": NOW + 9999}


def test_a_failure_does_not_make_the_last_good_one_younger(tmp_path):
    good = run_job(POSTGRESQL, Asked(), World(copies=GOOD).ports())
    half = run_job(POSTGRESQL, Asked(), World(copies=(GOOD[0], BAD)).ports())
    record.publish(replace(good, ended=NOW), tmp_path, tmp_path)
    record.publish(replace(half, ended=NOW + DAY), tmp_path, tmp_path)
    text = (tmp_path / "rsp_backup_postgresql.prom").read_text(encoding="utf-8")
    labels = 'service="postgresql",cluster="pg"'
    assert f'rsp_backup_last_done_timestamp_seconds{{{labels},repository="1"}} {NOW + DAY:.3f}' in text
    assert f'rsp_backup_last_done_timestamp_seconds{{{labels},repository="2"}} {NOW:.3f}' in text
    assert f'rsp_backup_last_run_state{{{labels},state="failed"}} 1' in text
    assert json.loads((tmp_path / "postgresql/done.json").read_text(encoding="utf-8"))["ended"] == NOW


def test_metrics_are_well_formed():
    one = run_job(POSTGRESQL, Asked(), World(copies=(GOOD[0], STUCK)).ports())
    text = record.metrics(one, {"1": 1.0})
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(line.startswith("rsp_backup_") and line.count(" ") == 1 for line in samples)
    assert 'rsp_backup_past_term{service="postgresql",cluster="pg",repository="2"} 1' in samples
    assert text.endswith("\n")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    record.write(tmp_path / "a/b.json", "old")
    with pytest.raises(TypeError):
        record.write(tmp_path / "a/b.json", object())
    assert (tmp_path / "a/b.json").read_text(encoding="utf-8") == "old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]
    assert (tmp_path / "a/b.json").stat().st_mode & 0o777 == 0o644


def test_metrics_need_their_directory(tmp_path):
    one = run_job(POSTGRESQL, Asked(), World(copies=GOOD).ports())
    record.publish(one, tmp_path, tmp_path / "gone")
    assert (tmp_path / "postgresql/last.json").exists()


# PostgreSQL


def entry(label, repo, kind="full", age=0.0, error=False):
    """A backup as pgbackrest lists it."""
    stop = int(NOW - age * DAY)
    return {
        "label": label, "type": kind, "database": {"id": 1, "repo-key": repo}, "error": error, "reference": None,
        "info": {"size": 1000, "delta": 100, "repository": {"delta": 50}}, "lsn": {"start": "0/1", "stop": "0/2"},
        "timestamp": {"start": stop - 10, "stop": stop},
    }  # fmt: skip


class Repositories:
    """A recorded pgbackrest whose backup and expire change what info lists."""

    def __init__(self, backups=(), away=(), silent=(), error=False):
        self.backups, self.away, self.silent, self.error, self.calls = list(backups), away, silent, error, []

    def __call__(self, argv):
        command = argv[-1]
        repo = next((int(a.removeprefix("--repo=")) for a in argv if a.startswith("--repo=")), 0)
        kind = next((a.removeprefix("--type=") for a in argv if a.startswith("--type=")), "")
        self.calls.append((command, repo, kind))
        if command == "info":
            return 0, self.listed(), ""
        if repo in self.away:
            return 103, "", "unable to find a valid repository"
        if command == "backup" and repo not in self.silent:
            self.backups.append(entry(f"new{repo}F", repo, kind, error=self.error))
        if command == "expire":
            label = next(a.removeprefix("--set=") for a in argv if a.startswith("--set="))
            self.backups = [b for b in self.backups if b["label"] != label]
        return 0, "", ""

    def listed(self):
        repos = [{"key": n, "status": {"code": 0, "message": "ok"}} for n in (1, 2)]
        status = {"code": 0, "message": "ok", "lock": {"backup": {"held": False}}}
        return json.dumps(
            [{"name": "rsp", "status": status, "repo": repos, "backup": self.backups, "archive": [], "db": []}]
        )


def backed_up(tool, kind="auto", **config):
    return postgresql.back_up(Pgbackrest(tool, "rsp"), {**POSTGRESQL, **config}, kind, "timer", lambda: NOW)


def test_every_repository_gets_what_is_due_there():
    tool = Repositories([entry("old1F", 1, age=2)])
    copies = backed_up(tool)
    assert [(c.repository, c.state, c.label, c.detail["kind"]) for c in copies] == [
        ("1", "done", "new1F", "diff"),
        ("2", "done", "new2F", "full"),
    ]
    assert [call_ for call_ in tool.calls if call_[0] == "backup"] == [("backup", 1, "diff"), ("backup", 2, "full")]


def test_a_kind_that_is_asked_for_is_made():
    tool = Repositories()
    backed_up(tool, "incr")
    assert ("backup", 1, "incr") in tool.calls


def test_one_repository_that_is_away_keeps_no_other_from_its_backup():
    one, two = backed_up(Repositories(away=(1,)))
    assert (one.state, two.state) == ("failed", "done")
    assert "backup ended with 103: unable to find a valid repository" in one.reason


def test_an_exit_code_of_zero_proves_nothing():
    one, two = backed_up(Repositories(silent=(2,)))
    assert (one.state, two.state) == ("done", "failed")
    assert two.reason == "pgbackrest ended well, and its repository has no new backup"


def test_a_damaged_source_is_no_good_backup():
    one, _two = backed_up(Repositories(error=True))
    assert (one.state, "the database itself is damaged" in one.reason) == ("failed", True)


@pytest.mark.parametrize(
    ("ages", "removed", "stuck"),
    [((1,), (), ()), ((1, 31), ("F31",), ()), ((1, 31, 40), ("F40", "F31"), ()), ((31,), (), ("F31",))],
)
def test_terms_are_kept_after_a_backup(ages, removed, stuck):
    tool = Repositories([entry(f"F{age}", 1, age=age) for age in ages])
    one, _two = backed_up(tool, "full")
    assert (one.removed, one.kept_too_long) == (removed, stuck)
    assert [c for c in tool.calls if c[0] == "expire"] == [("expire", 1, "")] * len(removed)


# The forecast


def kept_config(tmp_path, **more):
    config = {**POSTGRESQL, "repository_dir": str(tmp_path), **more}
    (tmp_path / "postgresql.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def test_what_a_backup_would_take(tmp_path):
    world = World(run=Repositories([entry("old1F", 1, age=8), entry("i", 1, "incr", 1)]))
    plan = forecast.forecast("postgresql", Asked(), kept_config(tmp_path), world.ports())
    assert plan["1"] == {"kind": "full", "mb": 0, "seconds": 10, "by": "old1F"}
    assert plan["2"]["seconds"] is None
    assert plan["gate"]["source"] == ["b1", "c1"]


def test_a_forecast_refuses_when_space_is_short(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "free_mb", lambda _path: 1)
    large = entry("old1F", 1, age=8)
    large["info"]["repository"]["delta"] = 5_000_000
    with pytest.raises(DriverError, match=r"needs about 5 MB more and .* has 1 MB free"):
        forecast.forecast("postgresql", Asked(), kept_config(tmp_path), World(run=Repositories([large])).ports())


def test_a_forecast_says_that_it_would_be_postponed(tmp_path):
    with pytest.raises(DriverError, match="would be postponed: restart holds"):
        forecast.forecast("postgresql", Asked(), kept_config(tmp_path), World(lock=OTHER).ports())


def test_nothing_to_go_by_is_said(tmp_path):
    plan = forecast.forecast("postgresql", Asked(), kept_config(tmp_path), World(run=Repositories()).ports())
    assert plan["1"] == {"kind": "full", "mb": None, "seconds": None, "by": "nothing to go by"}


def test_a_forecast_of_consul(tmp_path):
    (tmp_path / "consul.json").write_text(json.dumps({**CONSUL, "directory": str(tmp_path)}), encoding="utf-8")
    assert forecast.forecast("consul", Asked(), tmp_path, World().ports())["files"]["free_mb"] > 0


# Consul


class Programs:
    """consul and openssl in one: sealing turns the bytes around, inspecting reads an index out of them."""

    def __init__(self, damage=False, refuse=""):
        self.damage, self.refuse, self.calls = damage, refuse, []

    def __call__(self, argv):
        self.calls.append(argv)
        if argv[0].endswith("openssl"):
            if self.refuse == "openssl":
                return 1, "", "bad decrypt"
            source, target_ = Path(argv[argv.index("-in") + 1]), Path(argv[argv.index("-out") + 1])
            data = source.read_bytes()[::-1]
            target_.write_bytes(b"9" + data[1:] if self.damage and "-d" in argv else data)
            return 0, "", ""
        text = Path(argv[-1]).read_text(encoding="utf-8")
        if self.refuse == "consul" or not text.isdecimal():
            return 1, "", "Error verifying snapshot: gzip: invalid header"
        return 0, json.dumps({"Meta": {"Index": int(text), "Term": 2}}), ""


def taken(run=None, raw=b"1234"):
    return consul.take(raw, run or Programs(), "/usr/local/bin/consul", "/etc/pass", NOW)


def test_a_snapshot_is_inspected_before_and_after():
    run = Programs()
    snapshot = taken(run)
    assert (snapshot.index, snapshot.term, snapshot.data) == (1234, 2, b"4321")
    assert snapshot.name == "20270115T080000Z-1234.snap.enc"
    assert [argv[0].rpartition("/")[2] for argv in run.calls] == ["consul", "openssl", "openssl", "consul"]
    sealed = run.calls[1]
    assert {"-aes-256-cbc", "-pbkdf2", "-salt"} <= set(sealed)
    assert sealed[-2:] == ["-pass", "file:/etc/pass"]


@pytest.mark.parametrize(
    ("run", "raw", "text"),
    [
        (Programs(refuse="consul"), b"1", "consul snapshot inspect ended with 1: Error verifying"),
        (Programs(), b"x", "gzip: invalid header"),
        (Programs(), b"0", "the snapshot is empty"),
        (Programs(refuse="openssl"), b"1", "openssl enc ended with 1: bad decrypt"),
        (Programs(damage=True), b"1234", "another one after it was encrypted and decrypted"),
    ],
)
def test_a_snapshot_that_is_no_good_is_not_kept(run, raw, text):
    with pytest.raises(DriverError, match=text):
        taken(run, raw)


def test_nothing_is_left_in_the_clear(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    taken()
    with pytest.raises(DriverError):
        taken(Programs(refuse="openssl"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ages", "keep", "max_days", "going", "stuck"),
    [
        ((), 2, 30, [], []),
        ((1, 2, 3), 2, 30, [], []),
        ((1, 2, 31), 2, 30, ["s31"], []),
        ((1, 31, 32), 2, 30, ["s32"], ["s31"]),
        ((31, 32), 0, 30, ["s32"], ["s31"]),
        ((31, 32), 1, 0, [], []),
    ],
)
def test_which_snapshots_go(ages, keep, max_days, going, stuck):
    names = {f"s{age}": NOW - age * DAY for age in ages}
    assert consul.surplus(names, NOW, keep, max_days) == (going, stuck)


def test_a_snapshot_as_a_file(tmp_path):
    copy = consul.keep_file(taken(), tmp_path / "new", {"keep": 2, "max_days": 30}, lambda: NOW)
    path = tmp_path / "new/20270115T080000Z-1234.snap.enc"
    assert (copy.state, copy.label, copy.size, copy.stored) == ("done", path.name, 4, 4)
    assert path.read_bytes() == b"4321"
    assert path.stat().st_mode & 0o777 == 0o600
    assert copy.detail["sha256"] == taken().sha256


def test_a_disk_that_takes_nothing(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    copy = consul.keep_file(taken(), tmp_path / "file", {"keep": 2, "max_days": 30}, lambda: NOW)
    assert (copy.repository, copy.state) == ("files", "failed")


class Bucket:
    """A bucket as the job needs it."""

    def __init__(self, names=None, error=""):
        self.held, self.hidden, self.error = dict(names or {}), [], error

    def put(self, name, data):
        if self.error:
            raise DriverError(self.error)
        self.held[name] = NOW
        return f"v{len(data)}"

    def names(self):
        return self.held

    def hide(self, name):
        self.hidden.append(name)


def test_a_snapshot_as_an_object():
    store = Bucket({f"old{n}": NOW - (40 + n) * DAY for n in range(3)})
    copy = consul.keep_object(taken(), store, {"keep": 2, "max_days": 30}, lambda: NOW)
    assert (copy.state, copy.detail["version"], store.hidden) == ("done", "v4", ["old1", "old2"])
    assert copy.kept_too_long == ("old0",)
    failed = consul.keep_object(taken(), Bucket(error="403 AccessDenied"), {"keep": 2, "max_days": 30}, lambda: NOW)
    assert (failed.repository, failed.state, failed.reason) == ("s3", "failed", "403 AccessDenied")


def test_no_server_and_no_token_in_the_message():
    with pytest.raises(DriverError, match="no server did it") as caught:
        consul.fetch(["https://127.0.0.1:1"], None, "canary-token", 0.5)
    assert "canary" not in str(caught.value)
    with pytest.raises(DriverError):
        consul.push([], None, "canary-token", b"x")


# Consul, back


@pytest.mark.parametrize(
    ("names", "label", "found"),
    [({"a": 1.0, "b": 2.0}, "", "b"), ({"a": 1.0, "b": 2.0}, "a", "a"), ({"a": 3.0, "b": 2.0}, "", "a")],
)
def test_which_snapshot_comes_back(names, label, found):
    assert consul.chosen(names, label) == found


@pytest.mark.parametrize(
    ("names", "label", "text"),
    [
        ({}, "", "there is no snapshot$"),
        ({"a": 1.0}, "z", "there is no snapshot z; the newest is a"),
        ({}, "z", "is none"),
    ],
)
def test_a_snapshot_that_is_not_there(names, label, text):
    with pytest.raises(DriverError, match=text):
        consul.chosen(names, label)


def restore_config(tmp_path, **more):
    base = {"directory": str(tmp_path), "consul": "/usr/local/bin/consul", "pass_file": "/etc/pass", "s3": None}
    return {**base, "servers": ["https://10.0.0.11:8501"], "ca_path": None, "token": "t", **more}


def test_a_kept_snapshot_comes_back_as_it_was(tmp_path):
    consul.keep_file(taken(), tmp_path, {"keep": 2, "max_days": 30}, lambda: NOW)
    found = snapshot(restore_config(tmp_path), "files", "", Programs())
    assert (found.label, found.index, found.raw) == ("20270115T080000Z-1234.snap.enc", 1234, b"1234")


def test_a_wrong_pass_is_found_before_anything_is_handed_over(tmp_path):
    consul.keep_file(taken(), tmp_path, {"keep": 2, "max_days": 30}, lambda: NOW)
    with pytest.raises(DriverError, match="bad decrypt"):
        snapshot(restore_config(tmp_path), "files", "", Programs(refuse="openssl"))
    with pytest.raises(DriverError, match="keeps no snapshots in an S3 store"):
        snapshot(restore_config(tmp_path), "s3", "", Programs())


@pytest.mark.parametrize("check", [True, False])
def test_the_module_hands_over_unless_it_checks(check, tmp_path, monkeypatch, capsys):
    consul.keep_file(taken(), tmp_path, {"keep": 2, "max_days": 30}, lambda: NOW)
    (tmp_path / "consul.json").write_text(json.dumps(restore_config(tmp_path)), encoding="utf-8")
    pushed = []
    monkeypatch.setattr(consul_restore, "command", Programs())
    monkeypatch.setattr(consul_restore, "push", lambda *given: pushed.append(given))
    result = call(consul_restore.main, capsys, check=check, config=str(tmp_path / "consul.json"))
    assert (result["changed"], result["index"]) == (True, 1234)
    assert [given[3] for given in pushed] == ([] if check else [b"1234"])
    assert call(consul_restore.main, capsys, config=str(tmp_path / "gone.json"))["failed"]


# The module that asks at once


@pytest.mark.parametrize(("state", "failed"), [("done", False), ("postponed", True), ("failed", True)])
def test_at_once_fails_unless_it_is_done(state, failed, monkeypatch, capsys):
    one = replace(run_job(POSTGRESQL, Asked(), World(copies=GOOD).ports()), state=state, reason="why")
    monkeypatch.setattr(backup_now, "perform", lambda _service, _asked: one)
    result = call(backup_now.main, capsys, service="postgresql", kind="full", owner="me")
    assert result.get("failed", False) is failed
    assert result["record"]["state"] == state
    assert not failed or f"backup of pg {state}: why" in result["msg"]


def test_at_once_in_check_mode_only_plans(monkeypatch, capsys):
    monkeypatch.setattr(backup_now, "perform", lambda *_given: pytest.fail("it backed up"))
    monkeypatch.setattr(backup_now, "forecast", lambda _service, asked: {"1": {"kind": asked.kind}})
    result = call(backup_now.main, capsys, check=True, service="postgresql")
    assert (result["changed"], result["plan"]) == (True, {"1": {"kind": "auto"}})


def test_at_once_where_role_backup_never_ran(monkeypatch, capsys):
    def gone(*_given):
        raise FileNotFoundError(2, "No such file", "/etc/rsp-backup/consul.json")

    monkeypatch.setattr(backup_now, "perform", gone)
    assert "/etc/rsp-backup/consul.json" in call(backup_now.main, capsys, service="consul")["msg"]


# What is put on the host


def imports(path):
    """Names below module_utils that a file imports."""
    prefix = "ansible_collections.rsp.platform.plugins.module_utils."
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for checked in [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]:
        tree.body.remove(checked)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(prefix):
            base = f"{node.module}."[len(prefix) :].rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}".strip(".") for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("ansible.")), f"{path}: Ansible"


def test_the_program_is_whole_and_needs_no_ansible():
    """Everything that the program imports is in the role's list, and nothing else."""
    room, waiting, found = ROOT / "plugins/module_utils", ["backup_job/program"], set()
    while waiting:
        name = waiting.pop()
        path = room / f"{name}.py"
        if not path.is_file():
            path, name = room / name / "__init__.py", f"{name}/__init__"
        if not path.is_file() or name in found:
            continue
        found.add(name)
        waiting += [each.replace(".", "/") for each in imports(path) if each]
    assert sorted(found) == sorted(value("backup", "__backup_modules"))
