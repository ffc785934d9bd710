"""What systemd says about units, and the least that is to be done."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.units import (
    UnitError,
    UnitState,
    Wanted,
    parse_show,
    plan,
    show,
)

# Recorded on Debian 13: a running unit, one that nobody knows, one that died and waits for systemd's next try.
RECORDED = """\
Type=simple
Result=success
NRestarts=0
ExecMainStartTimestampMonotonic=2571236448
MainPID=431
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
ActiveEnterTimestamp=Mon 2026-11-23 08:37:48 UTC
ActiveEnterTimestampMonotonic=2571237000
CanReload=yes
Job=
NeedDaemonReload=no

Type=
Result=success
ExecMainStartTimestampMonotonic=0
MainPID=0
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
ActiveEnterTimestamp=
ActiveEnterTimestampMonotonic=0
CanReload=no
Job=
NeedDaemonReload=no

Type=simple
Result=exit-code
ExecMainStartTimestampMonotonic=99
MainPID=0
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=disabled
ActiveEnterTimestamp=
ActiveEnterTimestampMonotonic=98
CanReload=no
Job=1741
NeedDaemonReload=yes
"""
NAMES = ["demo.service", "none.service", "dying.service"]


def test_parse_show():
    running, unknown, dying = parse_show(RECORDED, NAMES).values()
    assert running == UnitState(
        "demo.service",
        load="loaded",
        active="active",
        sub="running",
        enabled="enabled",
        main_pid=431,
        started_us=2571236448,
        since="Mon 2026-11-23 08:37:48 UTC",
        kind="simple",
        can_reload=True,
        result="success",
    )
    assert (unknown.exists, unknown.running, unknown.starts_at_boot) == (False, False, False)
    assert (dying.retrying, dying.running, dying.queued, dying.stale, dying.since) == (True, False, True, True, "")


def test_a_unit_without_a_process_started_when_it_became_active():
    text = "LoadState=loaded\nActiveState=active\nMainPID=0\nActiveEnterTimestampMonotonic=55\n"
    assert parse_show(text, ["demo.timer"])["demo.timer"].started_us == 55


def test_an_answer_about_other_units_is_refused():
    with pytest.raises(UnitError, match="answered 3 units, 2 were asked"):
        parse_show(RECORDED, NAMES[:2])


def test_show_asks_once_for_all():
    asked = []

    def run(argv):
        asked.append(argv)
        return 0, RECORDED, ""

    assert list(show(run, NAMES)) == NAMES
    assert len(asked) == 1
    assert asked[0][-4:] == ["--", *NAMES]
    assert show(run, []) == {}


def test_a_systemd_that_does_not_answer_is_an_error():
    with pytest.raises(UnitError, match="Failed to connect to bus"):
        show(lambda argv: (1, "", "Failed to connect to bus\n"), NAMES)


def unit(name="demo.service", active="active", enabled="enabled", **fields):
    return UnitState(name, **{"load": "loaded", "active": active, "enabled": enabled, "can_reload": True, **fields})


@pytest.mark.parametrize(
    ("state", "running"),
    [
        (unit(active="active"), True),
        (unit(active="reloading"), True),
        (unit(active="activating", main_pid=5), True),
        (unit(active="activating"), False),
        (unit(active="deactivating", main_pid=5), False),
        (unit(active="failed"), False),
        (unit(active="inactive"), False),
    ],
)
def test_running(state, running):
    assert state.running is running


@pytest.mark.parametrize(
    ("enabled", "starts"),
    [("enabled", True), ("static", True), ("disabled", False), ("masked", False), ("linked", False), ("", False)],
)
def test_starts_at_boot(enabled, starts):
    assert unit(enabled=enabled).starts_at_boot is starts


STOPPED = {"active": "inactive", "sub": "dead"}
DYING = {"active": "activating", "sub": "auto-restart"}
UP = {"state": "started", "enabled": True}


@pytest.mark.parametrize(
    ("wanted", "state", "needs", "actions", "pending"),
    [
        # nothing to do
        (UP, {}, "none", [], False),
        ({}, STOPPED, "none", [], False),
        ({}, STOPPED, "restart", [], False),
        ({"state": "stopped", "enabled": False}, {**STOPPED, "enabled": "disabled"}, "none", [], False),
        ({"state": "stopped"}, {"active": "failed"}, "none", [], False),
        # a fresh host
        (UP, {**STOPPED, "enabled": "disabled"}, "none", ["enable demo.service", "start demo.service"], False),
        (
            UP,
            {**STOPPED, "enabled": "", "load": "not-found"},
            "none",
            ["enable demo.service", "start demo.service"],
            False,
        ),
        (UP, {"active": "failed"}, "restart", ["start demo.service"], False),
        # files changed
        (UP, {}, "reload", ["reload demo.service"], False),
        (UP, {"can_reload": False}, "reload", [], True),
        (UP, {}, "restart", [], True),
        (UP, STOPPED, "restart", ["start demo.service"], False),
        ({"state": "stopped"}, {}, "restart", ["stop demo.service"], False),
        # the rolling engine
        ({"restart": True}, {}, "none", ["restart demo.service"], False),
        ({"restart": True}, {}, "restart", ["restart demo.service"], False),
        ({"restart": True}, STOPPED, "none", ["start demo.service"], False),
        # it died and systemd is about to try again
        (UP, DYING, "none", ["restart demo.service"], False),
        ({"state": "stopped"}, DYING, "none", ["stop demo.service"], False),
        ({}, DYING, "none", [], False),
        # still starting: waited for, not touched
        (UP, {"active": "activating", "sub": "start", "main_pid": 5}, "none", [], False),
        (UP, {"active": "activating", "sub": "start-pre"}, "none", [], False),
        ({"enabled": False}, {}, "none", ["disable demo.service"], False),
    ],
)
def test_plan_of_one_unit(wanted, state, needs, actions, pending):
    found = plan([Wanted("demo.service", **wanted)], {"demo.service": unit(**state)}, needs)
    assert (found.actions, found.pending_restart) == (actions, pending)


def plan_of_two(needs, first=None, second=None, **states):
    wanted = [
        Wanted("demo.service", state="started", **(first or {})),
        Wanted("b.timer", state="started", **(second or {})),
    ]
    known = {"demo.service": unit(), "b.timer": unit("b.timer")}
    return plan(wanted, {**known, **states}, needs)


def test_a_need_is_of_the_first_unit():
    assert plan_of_two("reload").actions == ["reload demo.service"]
    assert plan_of_two("restart").pending_restart


def test_units_that_say_so_take_the_reload():
    assert plan_of_two("reload", second={"reload": True}).actions == ["reload b.timer"]
    both = plan_of_two("reload", first={"reload": True}, second={"reload": True})
    assert both.actions == ["reload demo.service b.timer"]


def test_a_restart_is_pending_only_for_the_first_unit_that_runs():
    stopped = plan_of_two("restart", **{"demo.service": unit(active="inactive")})
    assert (stopped.actions, stopped.pending_restart) == (["start demo.service"], False)


def test_what_is_done_to_units_is_grouped_and_ordered():
    fresh = {name: unit(name, active="inactive", enabled="disabled") for name in ("demo.service", "b.timer")}
    found = plan_of_two("none", first={"enabled": True}, second={"enabled": True}, **fresh)
    assert found.actions == ["enable demo.service b.timer", "start demo.service b.timer"]
    assert found.begun == ("demo.service", "b.timer")


def test_what_must_be_up_afterwards():
    starting = {"b.timer": unit("b.timer", active="activating")}
    assert plan_of_two("reload", **starting).expected == ("demo.service", "b.timer")
    assert plan_of_two("none").expected == ()


def test_results_are_for_playbooks():
    assert unit(main_pid=7, since="today").as_result() == {
        "active": True,
        "enabled": True,
        "since": "today",
        "main_pid": 7,
    }
