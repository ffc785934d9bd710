"""What files need of a unit, and what of it the unit has not taken yet."""

from __future__ import annotations

import time

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import pending as pending_module
from ansible_collections.rsp.platform.plugins.module_utils.pending import (
    Pending,
    boot_id,
    outstanding,
    pending_now,
    read_since,
    strongest,
)
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState


def unit(active="active", started_us=100, main_pid=7):
    return UnitState("demo.service", active=active, started_us=started_us, main_pid=main_pid)


@pytest.mark.parametrize(
    ("pending", "state", "left"),
    [
        (None, unit(), "none"),
        (Pending("reload", "BOOT", 200, ""), unit(), "reload"),
        (Pending("restart", "BOOT", 200, ""), unit(), "restart"),
        (Pending("restart", "BOOT", 200, ""), unit(started_us=201), "none"),
        (Pending("restart", "BOOT", 200, ""), unit("inactive"), "none"),
        (Pending("restart", "BOOT", 200, ""), unit("failed"), "none"),
        (Pending("restart", "BOOT", 200, ""), unit("reloading"), "restart"),
        (Pending("restart", "BOOT", 200, ""), unit("activating"), "restart"),
        (Pending("restart", "BOOT", 200, ""), unit("activating", main_pid=0), "none"),
        (Pending("restart", "ANOTHER BOOT", 200, ""), unit(), "none"),
    ],
)
def test_what_is_left_of_a_need(monkeypatch, pending, state, left):
    monkeypatch.setattr(pending_module, "boot_id", lambda: "BOOT")
    assert outstanding(pending, state) == left


def test_now_is_of_this_boot_and_of_the_clock_that_systemd_uses():
    earlier = time.monotonic_ns() // 1000
    now = pending_now("reload")
    assert earlier <= now.at_us <= time.monotonic_ns() // 1000
    assert now.boot_id == boot_id()


@pytest.mark.parametrize(
    ("armed", "state", "need"),
    [
        (None, unit(), "none"),
        (Pending("restart", "BOOT", 200, ""), unit(), "none"),
        (Pending("restart", "BOOT", 200, ""), unit(started_us=201), "restart"),
        (Pending("restart", "ANOTHER BOOT", 200, ""), unit(), "restart"),
        (Pending("restart", "BOOT", 200, ""), unit("failed", started_us=201), "none"),
    ],
)
def test_a_process_that_may_have_read_undone_files_needs_what_they_needed(monkeypatch, armed, state, need):
    monkeypatch.setattr(pending_module, "boot_id", lambda: "BOOT")
    assert read_since(armed, state) == need


def test_a_host_without_a_boot_id(monkeypatch, tmp_path):
    monkeypatch.setattr(pending_module, "BOOT_ID", tmp_path / "none")
    assert boot_id() == ""


@pytest.mark.parametrize(
    ("needs", "answer"),
    [
        ([], "none"),
        (["none", "none"], "none"),
        (["reload", "none"], "reload"),
        (["reload", "restart", "none"], "restart"),
    ],
)
def test_strongest(needs, answer):
    assert strongest(needs) == answer
