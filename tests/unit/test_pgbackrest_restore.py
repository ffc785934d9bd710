"""A restore on one host with a pretended PostgreSQL: what goes aside, what is told, what counts as reached."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest import restore
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Backup
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.restore import Clock, Places, Restore, reached
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.target import Plan, Target
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import store
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import patroni_reset, pgbackrest_restore
from module_call import call

RECORDED = (Path(__file__).parent / "fixtures/pgbackrest/two_repositories.json").read_text(encoding="utf-8")
BIN = Path("/usr/lib/postgresql/17/bin")
PLAN = Plan(2, Backup("20261125-092946F", "full", 2, 1, 2, 1000, 10, (), "0/1", "0/2", 1), 1000, 1)

# Recorded from PostgreSQL 17.12
TIME_LOG = """
2026-11-25 09:44:00.1 UTC [1] LOG:  starting point-in-time recovery to 2026-11-25 09:37:38.039251+00
2026-11-25 09:44:01.1 UTC [1] LOG:  redo starts at 0/9000028
2026-11-25 09:44:02.1 UTC [1] LOG:  recovery stopping before commit of transaction 746, time 2026-11-25 09:37:39+00
2026-11-25 09:44:02.1 UTC [1] LOG:  redo done at 0/B022530 system usage: CPU: user: 0.00 s
2026-11-25 09:44:02.1 UTC [1] LOG:  last completed transaction was at log time 2026-11-25 09:37:36.790588+00
2026-11-25 09:44:03.1 UTC [1] LOG:  selected new timeline ID: 2
2026-11-25 09:44:03.1 UTC [1] LOG:  archive recovery complete
"""
MISSED_LOG = """
2026-11-25 09:46:35.348 UTC [1] LOG:  consistent recovery state reached at 0/90000F8
2026-11-25 09:46:36.348 UTC [1] FATAL:  recovery ended before configured recovery target was reached
2026-11-25 09:46:36.400 UTC [1] LOG:  startup process (PID 2) exited with exit code 1
2026-11-25 09:46:36.551 UTC [1] LOG:  database system is shut down
"""
BROKEN_LOG = """
2026-11-25 09:40:48.577 UTC [1] FATAL:  could not load server certificate file "/etc/patroni/tls/member.crt"
2026-11-25 09:40:48.577 UTC [1] LOG:  database system is shut down
"""


class Server:
    """pgbackrest, pg_ctl, psql and pg_controldata of one host.

    Args:
        log: what the server says when it starts.
        looks: how many questions it answers with "still in recovery".
        dies: whether it ends by itself.
    """

    def __init__(self, places, log=TIME_LOG, *, looks=1, dies=False, code=0, stops=True):
        self.places, self.log, self.looks, self.dies, self.code, self.stops = places, log, looks, dies, code, stops
        self.calls, self.running = [], False

    def __call__(self, argv):
        self.calls.append(list(argv))
        name = Path(argv[0]).name
        return getattr(self, f"do_{name}")(argv)

    def do_pgbackrest(self, argv):
        if argv[-1] == "info":
            return 0, RECORDED, ""
        if self.code == 0:
            (self.places.data / "PG_VERSION").write_text("17", encoding="utf-8")
        return self.code, "", "ERROR: [028]: unable to load info file: is the cipher pass right?" if self.code else ""

    def do_pg_ctl(self, argv):
        command = argv[-1]
        if command == "start":
            self.places.log.write_text(self.log, encoding="utf-8")
            self.running = not self.dies
            return 0, "", ""
        if command == "status":
            return (0 if self.running else 3), "", ""
        if self.stops:
            self.running = False
        return (0 if self.stops else 1), "", "" if self.stops else "server does not shut down"

    def do_psql(self, _argv):
        if not self.running:
            return 2, "", "no such socket"
        self.looks -= 1
        return 0, "f\n" if self.looks < 0 else "t\n", ""

    def do_pg_controldata(self, _argv):
        return 0, "Database system identifier:           7712038237046306201\n", ""

    def do_rm(self, argv):
        shutil.rmtree(argv[-1], ignore_errors=True)
        return 0, "", ""

    def commands(self):
        return [f"{Path(argv[0]).name} {argv[-1]}" for argv in self.calls]


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self):
        self.at = 0.0

    def sleep(self, seconds):
        self.at += seconds

    def clock(self):
        return Clock(lambda: self.at, self.sleep)


@pytest.fixture
def places(tmp_path):
    found = Places(tmp_path / "rsp", BIN, tmp_path / "sock", 5432)
    found.data.mkdir()
    (found.data / "PG_VERSION").write_text("17 of before", encoding="utf-8")
    return found


def one(places, server=None, **more):
    return Restore(server or Server(places), "rsp", places, clock=Time().clock(), **more)


# What is there


def test_what_was_there_goes_aside_and_comes_back(places):
    work = one(places)
    assert work.take_aside() is True
    assert not places.data.exists()
    work.fetch(PLAN, Target())
    assert (places.data / "PG_VERSION").read_text(encoding="utf-8") == "17"
    assert work.put_back() is True
    assert (places.data / "PG_VERSION").read_text(encoding="utf-8") == "17 of before"
    assert work.put_back() is False


def test_an_empty_host_has_nothing_to_put_aside(tmp_path):
    work = one(Places(tmp_path / "rsp", BIN, tmp_path))
    assert work.take_aside() is False
    assert work.put_back() is False


def test_leftovers_are_never_overwritten(places):
    places.aside.mkdir()
    with pytest.raises(DriverError, match="is there from an earlier restore"):
        one(places).refuse_leftovers()


def test_a_server_that_runs_is_never_moved(places):
    (places.data / "postmaster.pid").write_text("1", encoding="utf-8")
    with pytest.raises(DriverError, match="a server runs in"):
        one(places).refuse_leftovers()


def test_the_name_of_a_side_cluster_must_be_free(places):
    with pytest.raises(DriverError, match="is there already"):
        one(places).refuse_data()
    places.data.rename(places.aside)
    one(places).refuse_data()


# Files


@pytest.mark.parametrize(
    ("more", "target", "wanted", "unwanted"),
    [
        ({}, Target(), [], ["--archive-mode=off", "--type=time"]),
        ({"archive": False}, Target(), ["--archive-mode=off"], []),
        ({"databases": ["shop", "pay"]}, Target(), ["--db-include=shop", "--db-include=pay"], []),
        ({}, Target("lsn", "0/B022480"), ["--type=lsn", "--target=0/B022480", "--target-action=promote"], []),
    ],
)
def test_what_pgbackrest_is_told(places, more, target, wanted, unwanted):
    server = Server(places)
    work = one(places, server, **more)
    work.take_aside()
    work.fetch(PLAN, target)
    argv = server.calls[0]
    assert {"--stanza=rsp", "--repo=2", "--set=20261125-092946F", f"--pg1-path={places.data}", *wanted} <= set(argv)
    assert not set(unwanted) & set(argv)
    assert argv[-1] == "restore"
    assert places.data.stat().st_mode & 0o777 == 0o700


def test_a_wrong_key_is_said(places):
    work = one(places, Server(places, code=28))
    work.take_aside()
    with pytest.raises(DriverError, match=r"restore ended with 28: ERROR: .028.: unable to load info file"):
        work.fetch(PLAN, Target())


# Recovery


def recovered(places, server, wait_s=60.0):
    work = one(places, server)
    work.take_aside()
    work.fetch(PLAN, Target())
    return work.recover(wait_s)


@pytest.mark.parametrize("looks", [0, 1, 20])
def test_recovery_is_waited_for(places, looks):
    found = recovered(places, Server(places, looks=looks))
    assert found["reached"] is True
    assert found["stopped"].startswith("recovery stopping before commit of transaction 746")
    assert found["last_transaction"] == "2026-11-25 09:37:36.790588+00"
    assert (found["timeline"], found["redo_done"]) == ("2", "0/B022530")
    assert found["seconds"] == looks * restore.POLL_S


def test_nobody_reaches_the_server_while_it_recovers(places):
    server = Server(places)
    recovered(places, server)
    start = next(argv for argv in server.calls if argv[-1] == "start")
    options = start[start.index("-o") + 1]
    assert "listen_addresses=''" in options
    assert "synchronous_standby_names=''" in options
    assert f"unix_socket_directories='{places.socket_dir}'" in options
    assert "-W" in start


def test_a_target_that_was_not_reached_is_a_failure(places):
    with pytest.raises(DriverError, match=r"^the target was not reached: ") as caught:
        recovered(places, Server(places, MISSED_LOG, dies=True))
    assert caught.value.result == {"reached": False}


def test_a_server_that_does_not_start_says_why(places):
    with pytest.raises(DriverError, match=r"^recovery failed: .*could not load server certificate"):
        recovered(places, Server(places, BROKEN_LOG, dies=True))


@pytest.mark.parametrize("log", ["", "LOG:  starting"])
def test_a_server_that_dies_without_a_word(places, log):
    with pytest.raises(DriverError, match=r"^recovery failed"):
        recovered(places, Server(places, log, dies=True))


def test_a_recovery_that_never_ends(places):
    with pytest.raises(DriverError, match=r"^recovery failed"):
        recovered(places, Server(places, looks=10_000), wait_s=30)


def test_it_stops_cleanly_or_says_so(places):
    server = Server(places, stops=False)
    with pytest.raises(DriverError, match="does not stop: server does not shut down"):
        one(places, server).stop()


def test_who_was_restored(places):
    assert one(places).system_id() == "7712038237046306201"
    silent = Server(places)
    silent.do_pg_controldata = lambda _argv: (1, "", "no such directory")
    with pytest.raises(DriverError, match="says nothing"):
        one(places, silent).system_id()


def test_a_log_without_a_target():
    found = reached("LOG:  redo done at 0/C004388 system usage\nLOG:  selected new timeline ID: 3\n")
    assert (found["stopped"], found["timeline"], found["redo_done"]) == ("", "3", "0/C004388")


# The module


@pytest.fixture
def host(places, monkeypatch):
    """The module's commands run on the pretended host, whose disk has room."""
    server = Server(places)
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", lambda _s, argv, **_m: server(argv))
    monkeypatch.setattr(pgbackrest_restore, "free_mb", lambda _path: 1000)
    return server


def asked(places, state, **more):
    paths = {"data_dir": str(places.data), "bin_dir": str(BIN), "socket_dir": str(places.socket_dir)}
    return {"state": state, "stanza": "rsp", **paths, **more}


def test_a_restore_from_end_to_end(places, host, capsys):
    result = call(pgbackrest_restore.main, capsys, **asked(places, "restored", repository=2))
    assert result["changed"] is True
    assert result["aside"] == str(places.aside)
    assert result["system_id"] == "7712038237046306201"
    assert result["plan"]["backup"] == "20261125-092946F"
    assert result["reached"]["fetch_seconds"] >= 0
    assert host.running is False
    assert host.commands()[0] == "pgbackrest info"
    assert (places.aside / "PG_VERSION").read_text(encoding="utf-8") == "17 of before"


def test_a_side_cluster_is_left_running(places, host, capsys):
    places.data.rename(places.aside.with_name("other"))
    more = {"fresh": True, "keep_running": True, "archive": False, "databases": ["shop"]}
    result = call(pgbackrest_restore.main, capsys, **asked(places, "restored", **more))
    assert (result["aside"], host.running) == ("", True)


def test_a_side_cluster_takes_nobodys_name(places, host, capsys):
    result = call(pgbackrest_restore.main, capsys, **asked(places, "restored", fresh=True))
    assert "is there already" in result["msg"]
    assert host.commands() == ["pgbackrest info"]


@pytest.mark.parametrize(("state", "check"), [("planned", False), ("planned", True), ("restored", True)])
def test_a_plan_touches_nothing(places, host, capsys, state, check):
    result = call(pgbackrest_restore.main, capsys, check=check, **asked(places, state))
    assert result["plan"]["repository"] == 1
    assert result["changed"] is (state == "restored")
    assert host.commands() == ["pgbackrest info"]
    assert not places.aside.exists()


def test_a_plan_is_refused_when_space_is_short(places, host, capsys, monkeypatch):
    monkeypatch.setattr(pgbackrest_restore, "free_mb", lambda _path: 1)
    result = call(pgbackrest_restore.main, capsys, check=True, **asked(places, "restored"))
    assert "needs 25 MB, 1 MB are free" in result["msg"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"time": "2026-11-25T09:00:00Z"}, "is before the end of the first backup"),
        ({"time": "2999-01-01T00:00:00Z"}, "is in the future"),
        ({"time": "soon"}, "is no time"),
        ({"repository": 7}, "repository 7 is not configured"),
        ({"label": "20200101-000000F"}, "has no backup 20200101-000000F"),
    ],
)
def test_what_can_not_be_reached_touches_nothing(places, host, capsys, more, text):
    result = call(pgbackrest_restore.main, capsys, **asked(places, "restored", **more))
    assert text in result["msg"]
    assert not places.aside.exists()
    assert "pg_ctl start" not in host.commands()


def test_the_way_back(places, host, capsys):
    host.log, host.dies = MISSED_LOG, True
    failed = call(pgbackrest_restore.main, capsys, **asked(places, "restored"))
    assert (failed["failed"], failed["reached"]) == (True, False)
    back = call(pgbackrest_restore.main, capsys, **asked(places, "returned"))
    assert back["changed"] is True
    assert (places.data / "PG_VERSION").read_text(encoding="utf-8") == "17 of before"
    assert call(pgbackrest_restore.main, capsys, **asked(places, "returned"))["changed"] is False


# Patroni's store


def test_the_store_is_asked_with_patronis_own_library():
    argv = store.reset_argv("/etc/patroni/rsp", "77")
    assert argv[:2] == ["/usr/bin/python3", "-c"]
    assert argv[3:] == ["/etc/patroni/rsp", "77", "reset"]
    assert store.reset_argv("/etc/patroni/rsp", "77", check=True)[-1] == "check"
    compile(argv[2], "reset", "exec")


class Dcs:
    """Patroni's store."""

    def __init__(self, leader="", config=None):
        self.leader, self.kept, self.done = leader, config, []

    def get_cluster(self):
        config = SimpleNamespace(data=self.kept) if self.kept else None
        return SimpleNamespace(
            is_unlocked=lambda: not self.leader, leader=SimpleNamespace(name=self.leader), config=config
        )

    def delete_cluster(self):
        self.done.append("deleted")
        return True

    def set_config_value(self, text):
        self.done.append(json.loads(text))
        return True

    def initialize(self, create_new, sysid):
        self.done.append((create_new, sysid))
        return True


def reset(dcs, monkeypatch, *arguments):
    """Runs the script against a store; what it says when it ends."""
    config = ModuleType("patroni.config")
    config.Config = lambda _directory, _none: SimpleNamespace(copy=dict)
    found = ModuleType("patroni.dcs")
    found.get_dcs = lambda _config: dcs
    for name, module in {"patroni": ModuleType("patroni"), "patroni.config": config, "patroni.dcs": found}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    with pytest.raises(SystemExit) as ended:
        exec(compile(store.RESET, "reset", "exec"), {})
    return ended.value.code


def test_configuration_stays_and_positions_go(monkeypatch):
    dcs = Dcs(config={"ttl": 20})
    assert reset(dcs, monkeypatch, "/etc", "77", "reset") == 0
    assert dcs.done == ["deleted", {"ttl": 20}, (False, "77")]


def test_an_empty_store_gets_the_identifier_only(monkeypatch):
    dcs = Dcs()
    assert reset(dcs, monkeypatch, "/etc", "77", "reset") == 0
    assert dcs.done == ["deleted", (False, "77")]


@pytest.mark.parametrize("mode", ["reset", "check"])
def test_a_cluster_that_is_led_is_left_alone(monkeypatch, mode):
    dcs = Dcs(leader="b1", config={"ttl": 20})
    assert "b1 leads" in reset(dcs, monkeypatch, "/etc", "77", mode)
    assert dcs.done == []


def test_check_mode_changes_no_store(monkeypatch):
    dcs = Dcs(config={"ttl": 20})
    assert reset(dcs, monkeypatch, "/etc", "77", "check") == 0
    assert dcs.done == []


@pytest.mark.parametrize(("code", "err", "text"), [(1, "x\nb1 leads: stop it", "b1 leads"), (7, "", "it ended with 7")])
def test_the_module_says_what_the_store_said(monkeypatch, capsys, code, err, text):
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", lambda _s, _a, **_m: (code, "", err))
    assert text in call(patroni_reset.main, capsys, patroni_dir="/etc/patroni/rsp", system_id="77")["msg"]


def test_the_module_of_the_store(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.run_command", lambda _s, argv, **_m: seen.append(argv) or (0, "", "")
    )
    result = call(patroni_reset.main, capsys, check=True, patroni_dir="/etc/patroni/rsp", system_id="77")
    assert (result["changed"], seen[0][-1]) == (True, "check")
    assert "is no system identifier" in call(patroni_reset.main, capsys, patroni_dir="/x", system_id="a; b")["msg"]
