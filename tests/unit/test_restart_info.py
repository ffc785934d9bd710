"""Why a unit waits for a restart."""

from __future__ import annotations

import os

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import pending as pending_module
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.pending import Pending
from ansible_collections.rsp.platform.plugins.module_utils.restart_info import (
    Moment,
    installed_at,
    leader_first,
    reasons,
)
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState
from ansible_collections.rsp.platform.plugins.modules import restart_info
from module_call import call

# 1000 s since the epoch are 50 s of the monotonic clock
NOW = Moment(1000.0, 50_000_000)
GROWS = {"old_value": "10", "new_value": "12"}
CHANGED = Pending("restart", "BOOT", 30_000_000, "2026-11-25T02:00:00Z")


def unit(active="active", started_s=20, main_pid=7):
    return UnitState("demo.service", active=active, started_us=started_s * 1_000_000, main_pid=main_pid)


@pytest.fixture(autouse=True)
def _one_boot(monkeypatch):
    monkeypatch.setattr(pending_module, "boot_id", lambda: "BOOT")


@pytest.mark.parametrize(
    ("state", "pending", "settings", "asked_at", "found"),
    [
        (unit(), None, {}, None, []),
        (unit(), CHANGED, {}, None, ["files changed at 2026-11-25T02:00:00Z"]),
        (unit(started_s=31), CHANGED, {}, None, []),
        (unit(), Pending("reload", "BOOT", 30_000_000, ""), {}, None, []),
        (unit(), None, {"work_mem": {"old_value": "1GB", "new_value": "2GB"}}, None, ["work_mem: 1GB → 2GB"]),
        (unit(started_s=20), None, {}, 980.0, ["a restart was asked for"]),
        (unit(started_s=31), None, {}, 980.0, []),
        (unit("failed", main_pid=0), None, {}, None, ["demo.service is failed"]),
        (unit("inactive", main_pid=0), CHANGED, {}, 980.0, ["demo.service is inactive"]),
        (
            unit(),
            CHANGED,
            {"b": {"old_value": 1, "new_value": 2}, "a": {}},
            980.0,
            ["files changed at 2026-11-25T02:00:00Z", "a: None → None", "b: 1 → 2", "a restart was asked for"],
        ),
    ],
)  # fmt: skip
def test_reasons(state, pending, settings, asked_at, found):
    assert reasons(state, pending, settings, asked_at, NOW) == found


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({}, False),
        ({"max_connections": {"old_value": "200", "new_value": "300"}}, False),
        ({"max_connections": {"old_value": "200", "new_value": "200"}}, False),
        ({"max_connections": {"old_value": "300", "new_value": "200"}}, True),
        ({"max_worker_processes": {"old_value": 16, "new_value": 8}}, True),
        ({"shared_buffers": {"old_value": "2", "new_value": "1"}}, False),
        ({"max_connections": {"old_value": "300"}}, False),
        ({"max_connections": {"old_value": "many", "new_value": "few"}}, False),
        ({"max_wal_senders": GROWS, "max_connections": {"old_value": "9", "new_value": "8"}}, True),
    ],
)  # fmt: skip
def test_a_smaller_value_is_taken_by_the_primary_first(settings, first):
    assert leader_first(settings) is first


def test_the_clocks_are_compared():
    assert NOW.epoch_of(50_000_000) == 1000.0
    assert NOW.epoch_of(20_000_000) == 970.0


SHOW = (
    "Id=demo.service\nLoadState=loaded\nActiveState={active}\nSubState=running\nMainPID=7\n"
    "ExecMainStartTimestampMonotonic=1\n"
)


@pytest.mark.parametrize(
    ("active", "pending", "found"),
    [
        ("active", None, []),
        ("active", CHANGED, ["files changed at 2026-11-25T02:00:00Z"]),
        ("failed", None, ["demo.service is failed"]),
    ],
)
def test_the_module_asks_systemd_and_the_files_state(monkeypatch, tmp_path, capsys, *, active, pending, found):
    store = Generations("demo", tmp_path)
    with store.locked():
        store.keep_pending(pending)
    monkeypatch.setattr(restart_info, "Generations", lambda service: Generations(service, tmp_path))
    monkeypatch.setattr(
        restart_info.AnsibleModule, "run_command", lambda *_args, **_named: (0, SHOW.format(active=active), "")
    )
    result = call(restart_info.main, capsys, service="demo", unit="demo.service")
    assert (result["rc"], result["changed"], result["reasons"]) == (0, False, found)
    assert result["running"] is (active == "active")


def test_a_silent_systemd_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(restart_info.AnsibleModule, "run_command", lambda *_args, **_named: (1, "", "no bus"))
    result = call(restart_info.main, capsys, service="demo", unit="demo.service")
    assert result["rc"] == 1
    assert "no bus" in result["msg"]


def test_packages_that_are_newer_than_the_process():
    # The unit started 20 s after the boot, which was 970 s after the epoch
    installed = {"pgbouncer": 971.0, "patroni": 969.0}
    assert reasons(unit(), None, {}, None, NOW, installed=installed) == [
        "pgbouncer was installed after demo.service started"
    ]
    assert reasons(unit("failed", main_pid=0), None, {}, None, NOW, installed=installed) == ["demo.service is failed"]


def test_when_dpkg_put_a_package_in_place(tmp_path):
    for name, at in (("patroni.list", 100), ("libpq5:amd64.list", 200), ("other.list", 300)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at, at))
    assert installed_at(["patroni", "libpq5", "absent"], tmp_path) == {"patroni": 100.0, "libpq5": 200.0}
