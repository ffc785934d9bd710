"""Carrying out a major upgrade: a machine of ours answers, directories are real."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import upgrade_run
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade import Locale, Places, UpgradeError
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade_run import Clock, Upgrade
from ansible_collections.rsp.platform.plugins.modules import pg_upgrade
from module_call import call
from postgresql_data import CONTROLDATA

STOPPED = CONTROLDATA.replace("in archive recovery", "shut down")
FRESH = STOPPED.replace("7711924345757294104", "7799999999999999999")
BASE = {"encoding_name": "UTF8", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "size": 3 << 20}
DATABASES = [
    {"datname": "template0", "datallowconn": False, "datlocprovider": "c", **BASE},
    {"datname": "shop", "datallowconn": True, "datlocprovider": "c", **BASE},
]
LOCALE = Locale("UTF8", "C.UTF-8", "C.UTF-8")


class Machine:
    """Answers as a member does; `says` maps a pattern of the command line to (code, out, err) or to a list of them."""

    def __init__(self, root, says=None):
        self.root, self.says, self.lines, self.calls = root, says or {}, [], []

    def __call__(self, argv, *, cwd=None, env=None):
        line = " ".join(argv).removeprefix("runuser -u postgres -- ")
        self.lines.append(line)
        self.calls.append((list(argv), cwd, env))
        for pattern, said in self.says.items():
            if re.search(pattern, line):
                answer = said.pop(0) if isinstance(said, list) and len(said) > 1 else said
                answer = answer[0] if isinstance(answer, list) else answer
                return answer(line) if callable(answer) else answer
        self.touch(line)
        return 0, self.answer(line), ""

    def touch(self, line):
        """What a command does to the disk."""
        words = line.split()
        if line.startswith("mktemp"):
            (self.root / "place").mkdir()
        elif line.startswith("rm -rf"):
            shutil.rmtree(words[2], ignore_errors=True)
        elif line.startswith("rm -f"):
            Path(words[2]).unlink(missing_ok=True)
        elif line.startswith("touch"):
            Path(words[1]).touch()
        elif line.startswith("mv"):
            Path(words[2]).rename(words[3])
        elif "/initdb " in line:
            Path(words[2]).mkdir(parents=True)
            Path(words[2], "PG_VERSION").write_text("17")

    def answer(self, line):
        """What a command prints."""
        described = "work_mem\tuser\n" + ("" if "/17/" in line else "gone_setting\tuser\n")
        answers = {
            "^mktemp": f"{self.root / 'place'}\n",
            "pg_controldata": FRESH if "/17/" in line else STOPPED,
            "--describe-config": described,
            "--version": "postgres (PostgreSQL) 17.12\n",
            "psql .*-qAt": json.dumps(self.rows(line)),
        }
        return next((text for pattern, text in answers.items() if re.search(pattern, line)), "")

    @staticmethod
    def rows(line):
        if "pg_encoding_to_char" in line:
            return DATABASES
        if "TABLE pg_extension" in line:
            return [{"extname": "pgaudit", "extversion": "1.7"}]
        if "server_version" in line:
            return [{"v": "15.18"}]
        if "SELECT datname" in line:
            return [{"datname": "shop"}]
        return []

    def ran(self, pattern):
        return [line for line in self.lines if re.search(pattern, line)]


@pytest.fixture
def member(tmp_path):
    """A member with both releases; returns (upgrade, machine)."""
    root = tmp_path / "pg"
    for release in ("15", "17"):
        (root / release).mkdir(parents=True)
        share = tmp_path / "usr" / "share" / "postgresql" / release / "extension"
        share.mkdir(parents=True)
        (share / "pgaudit.control").write_text("default_version = '17.1'\n")
    (root / "15" / "rsp").mkdir()

    def make(says=None, **more):
        machine = Machine(tmp_path, says)
        lib = tmp_path / "usr" / "lib" / "postgresql"
        places = Places(
            f"{lib}/15/bin", f"{lib}/17/bin", f"{root}/15/rsp", f"{root}/17/rsp", "/run/pg", 5432
        )  # fmt: skip
        return Upgrade(machine, places, **more), machine

    return make


def claim(system_id):
    return ["claim", system_id]


def test_the_report_tries_and_leaves_nothing(member, tmp_path):
    upgrade, machine = member(preload="pgaudit")
    facts = upgrade.facts(["work_mem", "gone_setting"], [], 17)
    assert facts.old_version == "15.18"
    assert facts.size_mb == 6
    assert facts.gone == ["gone_setting"]
    assert facts.extensions == {"shop": {"pgaudit": "1.7"}}
    assert facts.offered == {"pgaudit": "17.1"}
    assert facts.trial == []
    assert machine.ran("pg_upgrade .*--check")
    assert not machine.ran("pg_upgrade (?!.*--check)")
    assert not machine.ran("claim")
    assert not (tmp_path / "place").exists()
    assert list((tmp_path / "pg" / "17").iterdir()) == []


def test_the_trial_server_is_stopped_and_reads_no_tablespace(member):
    upgrade, machine = member()
    upgrade.facts([], [], 17)
    assert machine.ran("pg_dumpall .*--no-tablespaces")
    assert machine.lines.index(machine.ran("pg_ctl .* start")[0]) < machine.lines.index(
        machine.ran("pg_ctl .* stop")[0]
    )
    assert "listen_addresses= " in machine.ran("pg_ctl .* start")[0]


def test_complaints_of_the_trial_are_in_the_report(member):
    check = (1, "Checking for reg* data types in user tables  fatal\n", "Your installation contains one of the reg*\n")
    load = (0, "", 'psql:s.sql:9: ERROR:  column "buffers_backend" does not exist\n')
    upgrade, _machine = member({"pg_upgrade .*--check": check, "--file=.*schema.sql$": load})
    facts = upgrade.facts([], [], 17)
    assert facts.trial[0].startswith("pg_upgrade --check: Checking for reg*")
    assert facts.trial[-1].startswith("the schema does not load: ERROR")


def test_a_trial_that_breaks_is_removed_too(member, tmp_path):
    upgrade, _machine = member({"pg_dumpall": (1, "", "pg_dumpall: error: connection failed\n")})
    with pytest.raises(UpgradeError, match="pg_dumpall failed: pg_dumpall: error: connection failed"):
        upgrade.facts([], [], 17)
    assert not (tmp_path / "place").exists()


def test_packages_that_are_not_installed_are_only_unpacked(member, tmp_path):
    def download(_line):
        (tmp_path / "place" / "postgresql-17.deb").touch()
        (tmp_path / "place" / "tree" / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
        return 0, "", ""

    simulated = "Inst libicu76 (76.1-4 Debian)\nInst postgresql-17 (17.12-0 Debian)\n"
    upgrade, machine = member({"apt-get --quiet download": download, "apt-get --simulate": (0, simulated, "")})
    upgrade.facts([], ["postgresql-17"], 17)
    assert machine.ran(r"dpkg-deb -x \S+postgresql-17.deb \S+/place/tree")
    assert f"{tmp_path}/place/tree{tmp_path}/usr/lib/postgresql/17/bin/pg_upgrade" in machine.ran("--check")[0]
    assert machine.ran("apt-get --quiet download libicu76=76.1-4 postgresql-17=17.12-0")
    assert not machine.ran("apt-get (?!--simulate).*install")
    # Only they run with libraries that are not installed
    tried = next(env for argv, _cwd, env in machine.calls if "--check" in argv)
    assert tried["LD_LIBRARY_PATH"] == f"{tmp_path}/place/tree/usr/lib/x86_64-linux-gnu"


def test_the_upgrade_in_its_order(member, tmp_path):
    upgrade, machine = member(jobs=2)
    result = upgrade.upgrade(claim, 17, LOCALE)
    assert result["system_id"] == "7799999999999999999"
    order = [
        machine.lines.index(machine.ran(p)[0]) for p in ("touch", "initdb", "^claim 7799999999999999999", "systemd-run")
    ]
    assert order == sorted(order)
    argv, _cwd, _env = machine.calls[order[-1]]
    assert argv[:2] == ["systemd-run", "--unit=rsp-pg-upgrade"]
    assert "--wait" in argv
    assert (tmp_path / "pg" / "17" / "rsp.unfinished").exists()


def test_nothing_is_made_beside_a_server_that_crashed(member):
    upgrade, machine = member({"pg_controldata": (0, STOPPED.replace("shut down", "in production"), "")})
    with pytest.raises(UpgradeError, match="not stopped cleanly: in production"):
        upgrade.upgrade(claim, 17, LOCALE)
    assert not machine.ran("initdb|claim|systemd-run")


def test_data_that_are_not_ours_are_never_removed(member, tmp_path):
    upgrade, machine = member()
    (tmp_path / "pg" / "17" / "rsp").mkdir()
    (tmp_path / "pg" / "17" / "rsp" / "PG_VERSION").write_text("17")
    with pytest.raises(UpgradeError, match="has a cluster already"):
        upgrade.upgrade(claim, 17, LOCALE)
    assert not machine.ran("rm -rf|initdb|claim")


def test_what_a_run_before_left_is_made_anew(member, tmp_path):
    upgrade, _machine = member()
    (tmp_path / "pg" / "17" / "rsp").mkdir()
    (tmp_path / "pg" / "17" / "rsp" / "PG_VERSION").write_text("17")
    (tmp_path / "pg" / "17" / "rsp.unfinished").touch()
    assert upgrade.upgrade(claim, 17, LOCALE)["system_id"] == "7799999999999999999"


def test_a_failure_says_what_the_logs_say(member, tmp_path):
    def fail(_line):
        logs = tmp_path / "pg" / "17" / "rsp" / "pg_upgrade_output.d" / "20261125T0300" / "log"
        logs.mkdir(parents=True)
        (logs / "pg_upgrade_dump_5.log").write_text('fine\npg_restore: error: column "x" does not exist\n')
        return 1, "Restoring database schemas\n*failure*\n", ""

    upgrade, _machine = member({"systemd-run": fail})
    with pytest.raises(UpgradeError, match=r'pg_upgrade failed: pg_restore: error: column "x"') as failed:
        upgrade.upgrade(claim, 17, LOCALE)
    assert failed.value.result["output"] == ["Restoring database schemas", "*failure*"]


def test_a_failure_without_logs(member):
    upgrade, _machine = member({"systemd-run": (137, "", "")})
    with pytest.raises(UpgradeError, match="pg_upgrade failed: 137"):
        upgrade.upgrade(claim, 17, LOCALE)


def test_afterwards_old_data_have_another_name(member, tmp_path):
    upgrade, _machine = member()
    (tmp_path / "pg" / "17" / "rsp.unfinished").touch()
    assert upgrade.finished() is True
    assert [p.name for p in (tmp_path / "pg" / "15").iterdir()] == ["rsp.before-17"]
    assert not (tmp_path / "pg" / "17" / "rsp.unfinished").exists()
    assert upgrade.finished() is False


@pytest.mark.parametrize("left", [True, False])
def test_a_standby_throws_away_what_an_undone_attempt_left(member, tmp_path, left):
    """Seen on a real cluster: the primary of a first attempt is a standby of the second one."""
    upgrade, machine = member()
    data, marker = tmp_path / "pg" / "17" / "rsp", tmp_path / "pg" / "17" / "rsp.unfinished"
    data.mkdir()
    if left:
        marker.touch()
    assert upgrade.discarded() is left
    assert bool(machine.ran(f"rm -rf {data}")) is left
    assert not marker.exists()


def test_nothing_is_thrown_away_without_the_mark(module):
    result, machine = module("discard")
    assert (result["rc"], result["changed"]) == (0, False)
    assert not machine.ran("rm -rf")


def test_what_a_server_runs_on_is_not_thrown_away(member, tmp_path):
    upgrade, machine = member()
    (tmp_path / "pg" / "17" / "rsp").mkdir()
    (tmp_path / "pg" / "17" / "rsp" / "postmaster.pid").touch()
    (tmp_path / "pg" / "17" / "rsp.unfinished").touch()
    with pytest.raises(UpgradeError, match="a server runs on it"):
        upgrade.discarded()
    assert not machine.ran("rm -rf")


def test_extensions_are_updated_or_made_anew_and_never_with_what_depends_on_them(member):
    rows = [
        {"name": "pg_stat_statements", "version": "1.10", "offered": "1.11", "schema": "public", "path": True},
        {"name": 'pg"audit', "version": "1.7", "offered": "17.1", "schema": "public", "path": False},
    ]
    upgrade, machine = member({"pg_available_extensions": (0, json.dumps(rows), "")})
    assert upgrade.extensions() == {
        "shop.pg_stat_statements": "1.10 → 1.11",
        'shop.pg"audit': "1.7 → 17.1, made anew",
    }
    assert machine.ran('-c ALTER EXTENSION "pg_stat_statements" UPDATE$')
    assert machine.ran(
        '--single-transaction -c DROP EXTENSION "pg""audit" -c CREATE EXTENSION "pg""audit" SCHEMA "public"'
    )
    assert not machine.ran("CASCADE")
    assert all("synchronous_commit=local" in env["PGOPTIONS"] for argv, _cwd, env in machine.calls if "psql" in argv)


@pytest.mark.parametrize(("rough", "words"), [(True, "--analyze-only"), (False, "--analyze-in-stages")])
def test_statistics(member, rough, words):
    upgrade, machine = member(jobs=4)
    upgrade.statistics(rough=rough)
    assert machine.ran(f"vacuumdb --all --jobs=4 .*{words}$")
    env = machine.calls[-1][2]
    assert ("default_statistics_target=1" in env["PGOPTIONS"]) is rough


def clock(times):
    return Clock(lambda: times.pop(0), lambda _s: None)


def test_a_standby_has_replayed_it(member):
    answers = [(0, json.dumps([{"lsn": lsn}]), "") for lsn in (None, "0/55199F8", "0/5519A70")]
    upgrade, machine = member({"replay_lsn": answers})
    upgrade.wait_replayed("0/55199F8", 60, clock([0, 1, 2, 3]))
    assert len(machine.ran("replay_lsn")) == 3


def test_a_standby_that_does_not_come_along(member):
    upgrade, _machine = member({"replay_lsn": (0, json.dumps([{"lsn": "0/1"}]), "")})
    with pytest.raises(UpgradeError, match="this standby has replayed 0/1, the primary stopped at 0/55199F8"):
        upgrade.wait_replayed("0/55199F8", 2, clock([0, 1, 2, 3]))


@pytest.fixture
def module(member, monkeypatch, capsys, tmp_path):
    """Calls the module on that member."""

    def run(step, says=None, check=False, **more):
        _upgrade, machine = member(says)
        monkeypatch.setattr(
            pg_upgrade.AnsibleModule, "run_command",
            lambda self, argv, cwd=None, environ_update=None: machine(argv, cwd=cwd, env=environ_update),
        )  # fmt: skip
        lib = tmp_path / "usr" / "lib" / "postgresql"
        result = call(
            pg_upgrade.main, capsys, check=check, step=step, version=17, patroni_dir="/etc/patroni/rsp",
            old_bin=f"{lib}/15/bin", new_bin=f"{lib}/17/bin",
            old_data=str(tmp_path / "pg" / "15" / "rsp"), new_data=str(tmp_path / "pg" / "17" / "rsp"), **more,
        )  # fmt: skip
        return result, machine

    return run


@pytest.mark.parametrize("check", [False, True])
def test_the_module_reports_without_a_change(module, check):
    result, _machine = module("report", check=check)
    assert result["rc"] == 0
    assert result["changed"] is False
    assert result["report"]["extension_updates"] == {"shop.pgaudit": "1.7 → 17.1"}


def test_the_module_hands_out_the_way_back(module):
    result, _machine = module("control")
    assert result["changed"] is False
    assert result["control"]["checkpoint"] == "0/55199F8"
    assert result["claim"][-3:] == ["/etc/patroni/rsp", "7711924345757294104", ""]


def test_linked_data_need_their_control_file_back(module, tmp_path):
    result, _machine = module("control", mode="link")
    assert result["claim"][-1] == str(tmp_path / "pg" / "15" / "rsp")


@pytest.mark.parametrize(
    ("step", "more"),
    [
        ("checkpoint", {}),
        ("upgrade", {"locale": asdict(LOCALE)}),
        ("finish", {}),
        ("statistics", {}),
        ("rough_statistics", {}),
        ("extensions", {}),
    ],
)
def test_check_mode_touches_nothing(module, step, more):
    result, machine = module(step, check=True, **more)
    assert result["rc"] == 0
    assert result["changed"] is True
    assert machine.lines == []


@pytest.mark.parametrize(
    ("step", "more", "changed", "ran"),
    [
        ("checkpoint", {}, True, "CHECKPOINT"),
        ("upgrade", {"locale": asdict(LOCALE)}, True, "systemd-run"),
        ("finish", {}, True, "mv"),
        ("statistics", {}, True, "vacuumdb"),
        ("rough_statistics", {}, True, "vacuumdb"),
        ("extensions", {}, False, "pg_available_extensions"),
    ],
)
def test_each_step_does_its_work(module, step, more, changed, ran):
    result, machine = module(step, **more)
    assert result["rc"] == 0
    assert result["changed"] is changed
    assert machine.ran(ran)


def test_a_standby_waits_through_the_module(module):
    says = {"replay_lsn": (0, json.dumps([{"lsn": "0/5519A70"}]), "")}
    result, _machine = module("replayed", says, checkpoint="0/55199F8")
    assert result["changed"] is False


@pytest.mark.parametrize(("step", "missing"), [("upgrade", "locale"), ("replayed", "checkpoint")])
def test_what_a_step_needs(module, step, missing):
    result, _machine = module(step)
    assert result["rc"] == 1
    assert missing in result["msg"]


def test_a_failure_carries_what_was_said(module):
    says = {"systemd-run": (1, "Performing Consistency Checks\nfatal\n", "")}
    result, _machine = module("upgrade", says, locale=asdict(LOCALE))
    assert result["rc"] == 1
    assert "pg_upgrade failed" in result["msg"]
    assert result["output"] == ["Performing Consistency Checks", "fatal"]


def test_the_unit_is_the_one_that_the_lease_stops():
    assert upgrade_run.UNIT == "rsp-pg-upgrade"
