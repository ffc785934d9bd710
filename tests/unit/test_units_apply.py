"""Units are started, watched, reloaded; a restart is only reported. systemd is simulated, time too."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.pending import pending_now
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError, Wanted
from ansible_collections.rsp.platform.plugins.module_utils.units_apply import (
    JOURNAL_LINES,
    POLL_S,
    STEADY_S,
    Clock,
    Task,
    apply,
    can_go_back,
)

DEMO = "demo.service"


@dataclass
class Unit:
    """A simulated unit; `script` holds what happens at each look after it was begun."""

    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    enabled: str = "disabled"
    started: int = 0
    restarts: int = 0
    job: int = 0
    kind: str = "simple"
    result: str = "success"
    can_reload: bool = True
    stale: bool = False
    script: list[dict] = field(default_factory=list)

    def shown(self):
        if self.script:
            for key, value in self.script.pop(0).items():
                setattr(self, key, value)
        yes = {True: "yes", False: "no"}
        pid = 100 + self.started if self.active in ("active", "activating") else 0
        return (
            f"LoadState={self.load}\nActiveState={self.active}\nSubState={self.sub}\nUnitFileState={self.enabled}\n"
            f"MainPID={pid}\nNRestarts={self.restarts}\nJob={self.job or ''}\nType={self.kind}\nResult={self.result}\n"
            f"ExecMainStartTimestampMonotonic={self.started}\nCanReload={yes[self.can_reload]}\n"
            f"NeedDaemonReload={yes[self.stale]}\nActiveEnterTimestamp=today\n"
        )


UP = {"active": "active", "sub": "running"}


@dataclass
class Systemd:
    """A simulated systemd that remembers what it was asked."""

    units: dict[str, Unit]
    commands: list[str] = field(default_factory=list)
    refuse: str = ""
    now: float = 0.0
    known_after_reload: tuple[str, ...] = ()
    on_start: list[dict] = field(default_factory=lambda: [{**UP, "started": 7}])

    def run(self, argv):
        if argv[0] == "journalctl":
            return 0, "".join(f"line {number}\n" for number in range(30)), ""
        words = [word for word in argv[1:] if not word.startswith("--")]
        verb, names = words[0], words[1:]
        if verb == "show":
            return 0, "\n".join(self.units[name].shown() for name in argv[argv.index("--") + 1 :]), ""
        self.commands.append(" ".join(argv[1:]))
        if self.refuse and verb == self.refuse:
            return 1, "", f"Unit {names[0]} is masked.\n"
        getattr(self, verb.replace("-", "_"))(names)
        return 0, "", ""

    def daemon_reload(self, _names):
        for name, unit in self.units.items():
            unit.stale = False
            if name in self.known_after_reload:
                unit.load = "loaded"

    def enable(self, names):
        for name in names:
            self.units[name].enabled = "enabled"

    def disable(self, names):
        for name in names:
            self.units[name].enabled = "disabled"

    def start(self, names):
        for name in names:
            self.units[name].script = list(self.on_start)

    restart = start

    def stop(self, names):
        for name in names:
            self.units[name].active = "inactive"

    def reload(self, names):
        pass

    def reset_failed(self, names):
        for name in names:
            self.units[name].active = "inactive"

    def sleep(self, seconds):
        assert seconds <= 1, "nothing sleeps long"
        self.now += seconds

    @property
    def clock(self):
        return Clock(lambda: self.now, self.sleep)


def systemd(**fields):
    return Systemd({DEMO: Unit(**fields)})


def running(**fields):
    return systemd(**{**UP, "enabled": "enabled", "started": 3, **fields})


def bring(host, needs="none", store=None, check=False, wait_s=10.0, **wanted):
    wanted = wanted or {"state": "started", "enabled": True}
    units = tuple(Wanted(name, **wanted) for name in host.units)
    return apply(Task(units, needs, wait_s, check), host.run, store, host.clock)


def test_a_fresh_unit_is_enabled_started_and_watched():
    host = systemd()
    result = bring(host)
    assert result["changed"]
    assert result["actions"] == ["enable demo.service", "start demo.service"]
    assert result["units"] == {DEMO: {"active": True, "enabled": True, "since": "today", "main_pid": 107}}
    assert host.commands == ["enable demo.service", "--no-block start demo.service"]
    assert STEADY_S <= host.now <= STEADY_S + 2 * POLL_S


def test_a_running_unit_costs_one_question():
    host = running()
    result = bring(host)
    assert (result["changed"], result["actions"], host.commands, host.now) == (False, [], [], 0.0)


def test_a_notify_unit_is_waited_for():
    host = systemd()
    host.on_start = [
        {"job": 5},
        {"active": "activating", "sub": "start", "started": 7},
        *[{}] * 20,
        {**UP, "job": 0},
    ]
    assert bring(host)["units"][DEMO]["active"]
    assert host.now >= 20 * POLL_S + STEADY_S


def test_a_oneshot_that_ended_well_is_up():
    host = systemd(kind="oneshot")
    host.on_start = [{"started": 7}]
    assert bring(host)["changed"]


@pytest.mark.parametrize(
    ("script", "what"),
    [
        # refused before the first look
        ([{"active": "failed", "sub": "failed", "started": 7, "result": "exit-code"}], "did not stay up"),
        # a simple unit is called active, then it reads its configuration
        ([{**UP, "started": 7}, {"active": "failed", "sub": "failed"}], "did not stay up"),
        ([{**UP, "started": 7}, {}, {"active": "activating", "sub": "auto-restart"}], "did not stay up"),
        # died and came back between two looks
        ([{**UP, "started": 7}, {"started": 8, "restarts": 1}], "did not stay up"),
        # a simple unit that ends at once is not a service
        ([{"started": 7}], "did not stay up"),
        # a condition was not met, a dependency failed: no job, no process
        ([{}], "did not stay up"),
        # never ready
        ([{"active": "activating", "sub": "start", "started": 7}], "is not active after 10 s"),
        ([{"job": 5}], "is not active after 10 s"),
    ],
)
def test_a_unit_that_does_not_come_up_fails_with_its_last_words(script, what):
    host = systemd()
    host.on_start = script
    with pytest.raises(UnitError, match=what) as caught:
        bring(host)
    assert caught.value.result["unit"] == DEMO
    assert caught.value.result["journal"] == [f"line {number}" for number in range(30)][-JOURNAL_LINES:]
    assert "line 29" in str(caught.value)


def test_old_deaths_do_not_count():
    host = systemd(restarts=4)
    host.on_start = [{**UP, "started": 7}]
    assert bring(host)["units"][DEMO]["active"]


def test_a_unit_that_systemd_gave_up_on_is_started_again():
    host = systemd(active="failed", sub="failed", enabled="enabled", started=3)
    assert bring(host)["actions"] == ["start demo.service"]
    assert host.commands == ["reset-failed demo.service", "--no-block start demo.service"]


def test_a_unit_that_died_is_not_waited_for_but_kicked():
    host = running(active="activating", sub="auto-restart", restarts=9)
    host.on_start = [{}, {**UP, "started": 7}]
    assert bring(host)["actions"] == ["restart demo.service"]


def test_a_unit_that_is_still_starting_is_waited_for_without_a_change():
    host = running(active="activating", sub="start")
    host.units[DEMO].script = [{}] * 5 + [UP]
    result = bring(host)
    assert (result["changed"], result["units"][DEMO]["active"]) == (False, True)


def test_a_restart_is_reported_never_done():
    host = running()
    result = bring(host, needs="restart")
    assert (result["changed"], result["pending_restart"], host.commands) == (False, True, [])


def test_the_rolling_engine_restarts():
    host = running()
    result = bring(host, needs="restart", restart=True)
    assert (result["actions"], result["pending_restart"]) == (["restart demo.service"], False)
    assert result["units"][DEMO]["main_pid"] == 107


def test_a_restart_that_leaves_the_old_process_is_not_up():
    host = running()
    host.on_start = [{}]
    with pytest.raises(UnitError, match="is not active after 10 s"):
        bring(host, restart=True)


def test_a_reload_that_kills_the_daemon_fails():
    host = running()
    host.units[DEMO].script = [{}, {}, {"restarts": 1, "started": 9}]
    with pytest.raises(UnitError, match="did not stay up"):
        bring(host, needs="reload")


def test_a_reload_that_hands_over_to_a_new_process_is_fine():
    host = running()
    host.units[DEMO].script = [{}, {"started": 9}]
    assert bring(host, needs="reload")["actions"] == ["reload demo.service"]


def test_a_stale_unit_file_is_read_anew_which_is_no_change():
    host = running(stale=True)
    assert not bring(host)["changed"]
    assert host.commands == ["daemon-reload"]


def test_a_unit_that_systemd_has_not_read_yet_is_found():
    host = systemd(load="not-found")
    host.known_after_reload = (DEMO,)
    assert bring(host)["changed"]
    assert host.commands[0] == "daemon-reload"


def test_an_unknown_unit_is_named_with_the_fix():
    with pytest.raises(UnitError, match=r"systemd knows no demo.service → install the package"):
        bring(systemd(load="not-found"))


def test_a_refusal_of_systemd_is_told():
    host = systemd()
    host.refuse = "enable"
    with pytest.raises(UnitError, match=r"systemctl enable demo.service: Unit demo.service is masked") as caught:
        bring(host)
    assert caught.value.result["journal"]


def test_no_units_is_an_error():
    with pytest.raises(UnitError, match="units is empty"):
        apply(Task(()), lambda argv: (0, "", ""), None, Clock())


@pytest.mark.parametrize(
    ("host", "needs", "wanted"),
    [
        (systemd(), "none", {}),
        (systemd(load="not-found", enabled=""), "none", {}),
        (running(), "reload", {}),
        (running(), "restart", {}),
        (running(), "none", {"state": "stopped", "enabled": False}),
        (running(), "none", {"restart": True}),
        (running(), "none", {}),
    ],
)
def test_check_mode_predicts_and_does_nothing(host, needs, wanted):
    predicted = bring(host, needs=needs, check=True, **wanted)
    assert host.commands == []
    host.known_after_reload = (DEMO,)
    real = bring(host, needs=needs, **wanted)
    for key in ("changed", "actions", "pending_restart"):
        assert predicted[key] == real[key]
    for key in ("active", "enabled"):
        assert predicted["units"][DEMO][key] == real["units"][DEMO][key]


@pytest.fixture
def store(tmp_path):
    return Generations("demo", root=tmp_path)


@pytest.mark.parametrize(
    ("pending", "needs", "wanted", "left"),
    [
        ("reload", "reload", {}, None),
        ("restart", "restart", {}, "restart"),
        ("restart", "restart", {"restart": True}, None),
    ],
)
def test_the_files_learn_what_the_unit_has_taken(store, pending, needs, wanted, left):
    with store.locked():
        store.keep_pending(pending_now(pending))
    bring(running(), needs=needs, store=store, **wanted)
    assert (store.pending().need if store.pending() else None) == left


def test_a_failed_reload_is_not_taken(store):
    with store.locked():
        store.keep_pending(pending_now("reload"))
    host = running()
    host.refuse = "reload"
    with pytest.raises(UnitError):
        bring(host, needs="reload", store=store)
    assert store.pending().need == "reload"


def test_check_mode_takes_nothing(store):
    with store.locked():
        store.keep_pending(pending_now("reload"))
    bring(running(), needs="reload", store=store, check=True)
    assert store.pending().need == "reload"


def commit(store, manifest):
    with store.locked():
        store.begin({}, pending_now("none"))
        store.commit(manifest, None)


@pytest.mark.parametrize("was_active", [True, False])
def test_going_back_helps_only_when_the_unit_ran_with_the_files_before(store, was_active):
    assert not can_go_back(store)
    commit(store, {"generation": 1, "files": {}, "unit_was_active": was_active})
    assert can_go_back(store) is was_active
    assert not can_go_back(None)
