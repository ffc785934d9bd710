"""Leases: what is written for systemd, then arming, renewing, disarming and firing against a simulated systemd."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.lease import (
    Lease,
    LeaseError,
    exec_start,
    judge,
    parse,
    paths,
)
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases, can_run
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError, UnitState
from ansible_collections.rsp.platform.plugins.module_utils.units_apply import Clock
from ansible_collections.rsp.platform.plugins.modules import lease as module
from module_call import call

UNITS = Path("etc/systemd/system")
# Armed like this on Debian 13 (systemd 257), `printf '%s|' "$@"` wrote every word back unchanged.
HARD = ["a b", "50%", "$HOME", "${X}", '"q"', "back\\slash", "", "две", "tab\there", "nl\nx", ";", "%%h", "$$"]
PROVED = (
    r'ExecStart=":/usr/bin/sh" "a b" "50%%" "$HOME" "${X}" "\"q\"" "back\\slash" "" "две" "tab\there" "nl\nx" ";" '
    r'"%%%%h" "$$"'
)


def lease(*undo, **options):
    undo = tuple(tuple(argv) for argv in undo) or (("/usr/bin/rm", "-f", "/run/drained"),)
    return Lease(**{"name": "drain", "undo": undo, "ttl_s": 60, **options})


def read_back(line):
    """The words of an ExecStart= line as systemd.service(5) and systemd.syntax(7) describe them, with `:` first."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line.removeprefix("ExecStart="))
    assert '"' + '" "'.join(words) + '"' == line.removeprefix("ExecStart="), "every word is in quotes"
    named = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}

    def plain(match):
        return chr(int(match[2], 16)) if match[2] else named[match[1]]

    unescaped = [re.sub(r"\\(?:x([0-9a-f]{2})|(.))", lambda m: plain((None, m[2], m[1])), w) for w in words]
    assert all("%" not in word.replace("%%", "") for word in unescaped), "a single % begins a specifier"
    unescaped = [word.replace("%%", "%") for word in unescaped]
    assert unescaped[0].startswith(":"), "without it $ is expanded"
    return [unescaped[0][1:], *unescaped[1:]]


# --- what is written ---------------------------------------------------------------------------------------------


def test_quoting_that_was_proved_on_systemd():
    assert exec_start(["/usr/bin/sh", *HARD]) == PROVED


@pytest.mark.parametrize(
    "words",
    [
        HARD,
        [],
        ["\\"],
        ["\\\\"],
        ["\\x41"],
        ['"'],
        ["'single' quotes"],
        ["%"],
        ["%%"],
        ["%i %n"],
        ["\x01\x1b\x7f"],
        ["\r\n\t"],
        ["line\\\nend\\"],
        ["-@+!:"],
        ["# no comment"],
        ["ExecStart=/bin/false"],
        ["a\n[Service]\nExecStart=/bin/false"],
        ["日本", "\u00e9"],
        [" "],
    ],
)
def test_words_come_back_as_they_were(words):
    line = exec_start(["/usr/bin/x", *words])
    assert "\n" not in line
    assert read_back(line) == ["/usr/bin/x", *words]


def test_units_say_what_matters():
    written = lease(["/usr/bin/a", "1"], ["/usr/bin/b"], ttl_s=90, reason="100% of it\\").files()
    service, timer = written["rsp-lease-drain.service"], written["rsp-lease-drain.timer"]
    for setting in (
        "StartLimitIntervalSec=0",  # it never gives up
        "Type=oneshot",
        "Restart=on-failure",
        "RestartSec=5",
        "TimeoutStartSec=60",  # a command that hangs is a failure
        "WantedBy=multi-user.target",
        "Description=Undo of the lease drain: 100%% of it",
    ):
        assert setting in service.splitlines()
    assert "OnActiveSec=90" in timer.splitlines()
    assert "AccuracySec=100ms" in timer.splitlines(), "the default is a minute"
    assert "OnBootSec" not in timer, "it would be in the past and fire at once"
    assert "Unit=rsp-lease-drain.service" in timer.splitlines()


def test_units_go_only_after_every_command_and_the_reload_is_last():
    text = lease(["/usr/bin/a"], ["/usr/bin/b"]).files()["rsp-lease-drain.service"]
    commands = [read_back(line) for line in text.splitlines() if line.startswith("ExecStart=")]
    assert [argv[0].rpartition("/")[2] for argv in commands] == ["a", "b", "systemctl", "rm", "systemctl"]
    assert commands[2][1:] == ["--no-block", "stop", "rsp-lease-drain.timer"]
    assert commands[3][3:] == [f"/{UNITS}/{path}" for path in paths("drain")]
    assert commands[4][1:] == ["daemon-reload"]


@pytest.mark.parametrize(
    "kept", [lease(), lease(["/usr/bin/x", *HARD], reason="Слив", ttl_s=5, command_timeout_s=1), lease(name="a.b_c-1")]
)
def test_a_lease_is_read_from_its_unit(kept):
    assert parse(kept.files()[kept.service]) == kept


@pytest.mark.parametrize(
    "text",
    ["", "[Unit]\nDescription=x\n", "# rsp-lease: \n", "# rsp-lease: {}\n", "# rsp-lease: []\n", "# rsp-lease: {\n",
     '# rsp-lease: {"name": "x", "undo": [["rm"]], "ttl_s": 60}\n', '# rsp-lease: {"name": "x", "undo": 5}\n'],
)  # fmt: skip
def test_foreign_units_are_errors(text):
    with pytest.raises(LeaseError):
        parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name '' is none"),
        ({"name": "../x"}, "is none"),
        ({"name": "a b"}, "is none"),
        ({"name": "a@b"}, "is none"),
        ({"name": "-a"}, "is none"),
        ({"name": "x" * 65}, "is none"),
        ({"ttl_s": 4}, "ttl_s is 4, it must be within 5 and 86400"),
        ({"ttl_s": 86401}, "ttl_s is 86401"),
        ({"command_timeout_s": 0}, "above 0"),
        ({"undo": ()}, "at least one command"),
        ({"undo": (("/usr/bin/a",), ())}, "none may be empty"),
        ({"undo": (("rm", "-f"),)}, "'rm' is no absolute path"),
        ({"undo": (("-/usr/bin/rm",),)}, "no absolute path"),
        ({"undo": (("/usr/bin/r m",),)}, "no absolute path"),
        ({"undo": (("/usr/bin/$X",),)}, "no absolute path"),
        ({"undo": (("/usr/bin/%i",),)}, "no absolute path"),
        ({"undo": (("",),)}, "no absolute path"),
        ({"undo": (("/usr/bin/x", "a\0b"),)}, "no command can be given"),
        ({"undo": (("/usr/bin/x", "\udc80"),)}, "no command can be given"),
        ({"reason": "two\nlines"}, "reason must be one line"),
    ],
)
def test_bad_leases_are_refused(options, message):
    with pytest.raises(LeaseError, match=re.escape(message)):
        lease(**options)


# --- what systemd's state means ----------------------------------------------------------------------------------

WAITING = UnitState("t", load="loaded", active="active", sub="waiting", started_us=100_000_000)
DEAD = UnitState("s", load="loaded")


@pytest.mark.parametrize(
    ("timer", "service", "now", "state", "left"),
    [
        (WAITING, DEAD, 100.0, "armed", 60.0),
        (WAITING, DEAD, 130.04, "armed", 30.0),
        (WAITING, DEAD, 999.0, "armed", 0.0),
        (replace(WAITING, sub="running"), DEAD, 160.0, "undoing", None),
        (replace(WAITING, sub="running"), replace(DEAD, active="activating", main_pid=7), 160.0, "undoing", None),
        (WAITING, replace(DEAD, active="activating", main_pid=7), 130.0, "undoing", None),
        (WAITING, replace(DEAD, queued=True), 130.0, "undoing", None),
        (WAITING, replace(DEAD, active="activating", sub="auto-restart"), 170.0, "retrying", None),
        (WAITING, replace(DEAD, active="activating", sub="auto-restart-queued"), 130.0, "retrying", None),
        (replace(WAITING, active="inactive", sub="dead"), DEAD, 130.0, "stopped", None),
        (replace(WAITING, sub="elapsed"), DEAD, 170.0, "stopped", None),
        (replace(WAITING, active="inactive", sub="dead"), replace(DEAD, active="failed"), 170.0, "stopped", None),
        (UnitState("t"), UnitState("s"), 130.0, "stopped", None),
    ],
)  # fmt: skip
def test_judge(timer, service, now, state, left):
    found = judge(lease(), timer, service, now)
    assert (found.state, found.remaining_s) == (state, left)


# --- a simulated host --------------------------------------------------------------------------------------------


@dataclass
class Host:
    """systemd with timers and oneshot services, as far as a lease sees it. Time passes in `tick` only."""

    root: Path
    now: float = 1000.0
    failing: bool = False
    hanging: bool = False
    refuse: str = ""
    mute: bool = False
    done: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    timers: dict[str, float] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        (self.root / UNITS).mkdir(parents=True)

    @property
    def leases(self):
        return Leases(self.run, self.root, Clock(lambda: self.now, self.tick), lambda path: "missing" not in path.name)

    def files(self):
        return sorted(str(f.relative_to(self.root / UNITS)) for f in (self.root / UNITS).rglob("*") if not f.is_dir())

    def reload(self):
        self.known = {f.name for f in (self.root / UNITS).glob("*.*") if f.is_file()}

    def tick(self, seconds):
        self.now += seconds
        for timer, begun in list(self.timers.items()):
            ttl = int(re.search(r"OnActiveSec=(\d+)", (self.root / UNITS / timer).read_text())[1])
            if self.now >= begun + ttl:
                self.start(timer.replace(".timer", ".service"))

    def boot(self):
        self.timers, self.services = {}, {}
        self.reload()
        for link in list((self.root / UNITS / "multi-user.target.wants").glob("*")):
            self.start(link.name)

    def start(self, service):
        if self.hanging or self.failing:
            self.services[service] = "running" if self.hanging else "retrying"
            return
        timer = service.replace(".service", ".timer")
        self.done.append(service)
        self.timers.pop(timer, None)
        self.services.pop(service, None)
        for path in paths(service.removeprefix("rsp-lease-").removesuffix(".service")):
            (self.root / UNITS / path).unlink()
        self.reload()

    def run(self, argv):
        if argv[0] == "journalctl":
            return 0, "cannot reach haproxy\n", ""
        words = [word for word in argv[1:] if not word.startswith("--")]
        if words[0] == "show":
            return (1, "", "Failed to connect to bus") if self.mute else (0, "\n".join(map(self.shown, argv[-2:])), "")
        self.log.append(" ".join(words))
        if self.refuse and words[0] == self.refuse:
            return 1, "", "Access denied\n"
        if words[0] == "daemon-reload":
            self.reload()
        elif words[1] not in self.known:
            return 5, "", f"Unit {words[1]} not found.\n"
        elif words[1].endswith(".timer"):
            if words[0] == "stop":
                self.timers.pop(words[1], None)
            else:
                self.timers[words[1]] = self.now
        elif words[0] == "stop":
            self.services.pop(words[1], None)
        else:
            self.start(words[1])
        return 0, "", ""

    def shown(self, name):
        load = f"LoadState={'loaded' if name in self.known else 'not-found'}\n"
        if name.endswith(".timer"):
            on = name in self.timers
            sub = "running" if name.replace(".timer", ".service") in self.services else "waiting"
            active = f"ActiveState=active\nSubState={sub}\n" if on else "ActiveState=inactive\nSubState=dead\n"
            return f"{load}{active}ActiveEnterTimestampMonotonic={int(self.timers.get(name, 0) * 1e6)}\n"
        state = self.services.get(name)
        subs = {"running": "activating\nSubState=start\nMainPID=7", "retrying": "activating\nSubState=auto-restart"}
        return f"{load}ActiveState={subs.get(state, 'inactive')}\nMainPID={7 if state == 'running' else 0}\n"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


ALL = ["multi-user.target.wants/rsp-lease-drain.service", "rsp-lease-drain.service", "rsp-lease-drain.timer"]


def test_arm_writes_and_ticks(host):
    changed, present = host.leases.arm(lease())
    assert (changed, present.state, present.remaining_s) == (True, "armed", 60.0)
    assert host.files() == ALL
    assert (host.root / UNITS / ALL[0]).readlink() == Path(f"/{UNITS}/rsp-lease-drain.service")
    assert (host.root / UNITS / ALL[1]).stat().st_mode & 0o777 == 0o644
    assert host.log == ["daemon-reload", "restart rsp-lease-drain.timer"]
    host.tick(59)
    assert host.done == []
    host.tick(1)
    assert host.done == ["rsp-lease-drain.service"]
    assert host.files() == []
    assert host.leases.find("drain") is None


def test_arming_again_renews(host):
    host.leases.arm(lease())
    host.tick(50)
    changed, present = host.leases.arm(lease())
    assert (changed, present.remaining_s) == (False, 60.0)
    host.tick(59)
    assert host.done == []


@pytest.mark.parametrize("options", [{"ttl_s": 90}, {"reason": "other"}, {"command_timeout_s": 5}])
def test_arming_with_another_time_changes_it(host, options):
    host.leases.arm(lease())
    host.tick(50)
    changed, present = host.leases.arm(lease(**options))
    assert (changed, present.lease) == (True, lease(**options))
    assert present.remaining_s == options.get("ttl_s", 60)


def test_another_undo_is_not_lost(host):
    host.leases.arm(lease())
    with pytest.raises(LeaseError, match="with another undo, which would be lost → fire or disarm it first"):
        host.leases.arm(lease(["/usr/bin/other"]))
    assert host.leases.find("drain").lease == lease()


def test_a_program_that_is_missing_is_found_before_it_is_needed(host):
    with pytest.raises(LeaseError, match="/usr/bin/missing cannot be run on this host, so nothing was armed"):
        host.leases.arm(lease(["/usr/bin/rm"], ["/usr/bin/missing"]))
    assert (host.files(), host.log) == ([], [])


def test_programs_are_looked_at(tmp_path):
    program = tmp_path / "x"
    assert not can_run(program)
    program.write_text("#!/bin/sh\n")
    assert not can_run(program)
    program.chmod(0o755)
    assert can_run(program)
    assert not can_run(tmp_path)


@pytest.mark.parametrize("verb", ["daemon-reload", "restart"])
def test_what_systemd_refuses_is_not_armed(host, verb):
    host.refuse = verb
    with pytest.raises(LeaseError, match=f"not armed, do nothing temporary: systemctl {verb}.*Access denied"):
        host.leases.arm(lease())
    assert host.files() == []


def test_a_disk_that_refuses(host):
    (host.root / UNITS / "multi-user.target.wants").write_text("no directory")
    with pytest.raises(LeaseError, match="not armed, do nothing temporary"):
        host.leases.arm(lease())


def test_disarming_on_a_disk_that_refuses(host, monkeypatch):
    host.leases.arm(lease())

    def refused(*_args, **_options):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(LeaseError, match=r"its units stay: .*Read-only"):
        host.leases.disarm("drain")


def test_a_lease_that_was_cut_off_while_arming_is_armed_anew(host):
    host.leases._write(lease())
    assert host.leases.find("drain").state == "stopped"
    assert host.leases.arm(lease())[0] is True
    assert host.leases.find("drain").state == "armed"


def test_a_boot_undoes_at_once(host):
    host.leases.arm(lease(ttl_s=86400))
    host.boot()
    assert (host.done, host.files()) == (["rsp-lease-drain.service"], [])


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (lambda _h: None, "not there: it was undone, or never armed"),
        (lambda h: (h.leases.arm(lease()), h.tick(60)), "not there"),
        (lambda h: (h.leases.arm(lease()), setattr(h, "failing", True), h.tick(60)), "has fired and is retrying"),
        (lambda h: (h.leases.arm(lease()), setattr(h, "hanging", True), h.tick(60)), "has fired and is undoing"),
        (lambda h: h.leases._write(lease()), "not ticking → arm it again"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_renewing_what_does_not_tick_fails(host, before, message, check):
    before(host)
    with pytest.raises(LeaseError, match=message):
        host.leases.renew("drain", check)


def test_renewing_keeps_it(host):
    host.leases.arm(lease())
    for _ in range(5):
        host.tick(50)
        assert host.leases.renew("drain").remaining_s == 60.0
    assert host.done == []


def test_it_fires_while_it_is_renewed(host):
    host.leases.arm(lease())
    run = host.run

    def late(argv):
        answer = run(argv)
        if argv[1:2] == ["restart"]:
            host.hanging = True
            host.start("rsp-lease-drain.service")
        return answer

    host.run = late
    with pytest.raises(LeaseError, match="undoing instead of ticking: it has fired just now"):
        host.leases.renew("drain")


@pytest.mark.parametrize("state", ["failing", "hanging"])
def test_arming_what_is_being_undone_is_refused(host, state):
    host.leases.arm(lease())
    setattr(host, state, True)
    host.tick(60)
    with pytest.raises(LeaseError, match="has fired and is"):
        host.leases.arm(lease())


def test_disarm_undoes_nothing(host):
    host.leases.arm(lease())
    assert host.leases.disarm("drain") is True
    host.tick(1000)
    assert (host.done, host.files(), host.known, host.timers) == ([], [], set(), {})
    assert host.leases.disarm("drain") is False


def test_disarm_stops_an_undo_that_fails_for_ever(host):
    host.leases.arm(lease())
    host.failing = True
    host.tick(60)
    assert host.leases.disarm("drain") is True
    assert (host.services, host.files()) == ({}, [])


@pytest.mark.parametrize("check", [False, True])
def test_disarm_does_not_cut_an_undo_in_half(host, check):
    host.leases.arm(lease())
    host.hanging = True
    host.tick(60)
    with pytest.raises(LeaseError, match="is being undone → wait until it is gone"):
        host.leases.disarm("drain", check)
    assert host.files() == ALL


def test_fire_undoes_now_and_proves_it(host):
    host.leases.arm(lease())
    assert host.leases.fire("drain", 10) is True
    assert (host.done, host.files(), host.known) == (["rsp-lease-drain.service"], [], set())
    assert host.leases.fire("drain", 10) is False


@pytest.mark.parametrize(("kind", "state"), [("failing", "retrying"), ("hanging", "undoing")])
def test_fire_that_fails_tells_the_last_words_and_goes_on(host, kind, state):
    host.leases.arm(lease())
    setattr(host, kind, True)
    with pytest.raises(LeaseError, match=f"lease drain is {state} after 3 s; it goes on trying") as late:
        host.leases.fire("drain", 3)
    assert "cannot reach haproxy" in str(late.value)
    assert late.value.result["journal"] == ["cannot reach haproxy"]
    assert late.value.result["lease"]["state"] == state
    assert host.files() == ALL


def test_fire_hurries_an_undo_that_waits_for_its_next_try(host):
    host.leases.arm(lease())
    host.failing = True
    host.tick(60)
    host.failing = False
    assert host.leases.fire("drain", 3) is True
    assert host.log[-1] == "restart rsp-lease-drain.service"


def test_fire_is_not_done_while_systemd_still_knows_the_units(host):
    host.leases.arm(lease())
    host.reload = lambda: None
    with pytest.raises(LeaseError, match="still known to systemd after 2 s"):
        host.leases.fire("drain", 2)


def test_all_leases_are_listed(host):
    assert host.leases.all() == []
    host.leases.arm(lease(name="b"))
    host.leases.arm(lease(name="a", ttl_s=5))
    (host.root / UNITS / "other.service").write_text("[Unit]\n")
    assert [(p.lease.name, p.state, p.remaining_s) for p in host.leases.all()] == [
        ("a", "armed", 5.0),
        ("b", "armed", 60.0),
    ]


def test_what_cannot_be_told_is_an_error(host):
    host.leases.arm(lease())
    host.mute = True
    for ask in (lambda: host.leases.find("drain"), host.leases.all, lambda: host.leases.disarm("drain")):
        with pytest.raises(LeaseError, match="Failed to connect to bus"):
            ask()
    host.mute = False
    (host.root / UNITS / ALL[1]).write_text("[Unit]\n")
    with pytest.raises(LeaseError, match=r"was not written by rsp\.platform\.lease"):
        host.leases.all()
    (host.root / UNITS / ALL[1]).write_bytes(b"\xff")
    with pytest.raises(LeaseError, match="cannot be read"):
        host.leases.find("drain")


# --- the module --------------------------------------------------------------------------------------------------

ARMED = {"name": "drain", "state": "armed", "ttl_s": 60, "undo": [["/usr/bin/rm", "-f", 5]]}


@pytest.fixture
def on_host(host, monkeypatch):
    monkeypatch.setattr(module, "Leases", lambda _run: host.leases)
    return host


def test_module_arms_renews_and_fires(on_host, capsys):
    armed = call(module.main, capsys, **ARMED)
    assert (armed["rc"], armed["changed"], armed["lease"]["undo"]) == (0, True, [["/usr/bin/rm", "-f", "5"]])
    assert armed["diff"]["before"] == {}
    assert "remaining_s" not in armed["diff"]["after"]
    on_host.tick(10)
    assert call(module.main, capsys, state="read")["leases"][0]["remaining_s"] == 50.0
    renewed = call(module.main, capsys, name="drain", state="renewed")
    assert (renewed["changed"], renewed["lease"]["remaining_s"], renewed["diff"]) == (False, 60.0, {})
    fired = call(module.main, capsys, name="drain", state="fired")
    assert (fired["changed"], fired["lease"], fired["diff"]["after"]) == (True, None, {})
    assert call(module.main, capsys, name="drain", state="read")["leases"] == []


def test_module_predicts_and_touches_nothing(on_host, capsys):
    armed = call(module.main, capsys, check=True, **ARMED)
    assert (armed["changed"], armed["lease"]["state"], on_host.files(), on_host.log) == (True, "armed", [], [])
    call(module.main, capsys, **ARMED)
    log = list(on_host.log)
    for state, changed in (("armed", False), ("renewed", False), ("disarmed", True), ("fired", True)):
        assert call(module.main, capsys, check=True, **{**ARMED, "state": state})["changed"] is changed
    assert (on_host.files(), on_host.log) == (ALL, log)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "armed", "name": "x"}, "undo, ttl_s"),
        ({"state": "renewed"}, "name"),
        ({**ARMED, "ttl_s": 1}, "ttl_s is 1"),
        ({**ARMED, "undo": ["/usr/bin/rm -f /x"]}, "no absolute path"),
        ({**ARMED, "undo": []}, "at least one command"),
        ({**ARMED, "undo": [["/usr/bin/missing"]]}, "cannot be run"),
        ({"state": "renewed", "name": "drain"}, "not there"),
        ({"state": "disarmed", "name": "../../x"}, "is none"),
    ],
)
def test_module_refuses(on_host, capsys, options, message):
    refused = call(module.main, capsys, **options)
    assert (refused["rc"], refused["failed"]) == (1, True)
    assert message in refused["msg"]
    assert on_host.files() == []


def test_module_tells_what_systemd_could_not(on_host, capsys, monkeypatch):
    def broken(*_args):
        raise UnitError("systemctl show answered 1 units, 2 were asked")

    monkeypatch.setattr(Leases, "all", broken)
    assert "answered 1 units" in call(module.main, capsys, state="read")["msg"]
