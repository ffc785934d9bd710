"""Faults of one host: planned from what is there, armed before they are fired, undone whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds, model, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos import faults as faults_room
from ansible_collections.rsp.platform.plugins.module_utils.chaos import watchdog as watchdogs
from ansible_collections.rsp.platform.plugins.module_utils.chaos.faults import Faults, Request
from ansible_collections.rsp.platform.plugins.module_utils.chaos.host import faults_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import host as host_kinds
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import patroni as patroni_room
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.clock import shift
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.disk import fill
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.network import dns, loss, partition
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.patroni import setting
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.pressure import cpu, memory
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.pressure import disk as slow_disk
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.process import descriptors, kill, pause, stop
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look, _address
from ansible_collections.rsp.platform.plugins.module_utils.chaos.script import source
from ansible_collections.rsp.platform.plugins.module_utils.lease import LeaseError
from chaos_data import host, tree

UNIT = {"unit": "consul.service"}
FULL = {"unit": "consul.service", "which": "all", "signal": "SIGKILL"}


# --- what a host is asked ----------------------------------------------------------------------------------------


def test_processes_of_a_unit(tmp_path):
    look = host(tmp_path)
    assert [(p.pid, p.start, p.comm) for p in look.processes("consul.service")] == [
        (10, 500, "consul"),
        (11, 600, "a) (b"),
    ]
    assert [p.pid for p in look.processes("consul.service", "a) (b")] == [11]
    assert look.processes("sul.service") == []


def test_control_groups_of_both_versions(tmp_path):
    look = host(tmp_path)
    assert look.cgroup(10, "cpu") == ("/sys/fs/cgroup/cpu,cpuacct/", 1)
    assert look.cgroup(11, "cpu") == ("/sys/fs/cgroup/system.slice/consul.service", 2)


@pytest.mark.parametrize(
    ("path", "point", "shared"),
    [("/var/lib", "/", True), ("/tmp/x", "/tmp", True), ("/data", "/data", False), ("/data/x/y", "/data", False),
     ("/database", "/", True), ("/bind", "/bind", True), ("/disk", "/disk", False)],
)  # fmt: skip
def test_file_systems_that_others_live_on_are_known(tmp_path, path, point, shared):
    mount = host(tmp_path).mount(path)
    assert (mount.point, mount.shared) == (point, shared)


def test_no_mount_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no mount"):
        Look(lambda _argv: (0, "", ""), tmp_path).mount("/x")


def test_who_is_connected_by_ssh(tmp_path):
    assert host(tmp_path).ssh_clients() == ["10.0.0.1"]
    assert Look(lambda _argv: (0, "", ""), tmp_path / "empty").ssh_clients() == []


@pytest.mark.parametrize(
    ("digits", "text"),
    [("0100007F", "127.0.0.1"), ("0100000A", "10.0.0.1"), ("0000000000000000FFFF00000100000A", "10.0.0.1"),
     ("B80D0120000000000000000001000000", "2001:db8::1")],
)  # fmt: skip
def test_addresses_of_the_kernel(digits, text):
    assert _address(digits) == text


@pytest.mark.parametrize(
    ("files", "inside"),
    [
        ({}, False),
        ({".dockerenv": ""}, True),
        ({"run/.containerenv": ""}, True),
        ({"run/systemd/container": "docker"}, True),
        ({"proc/1/environ": "a=b\0container=docker\0"}, True),
    ],
)
def test_containers_are_known(tmp_path, files, inside):
    assert Look(lambda _argv: (0, "", ""), tree(tmp_path, files)).in_container() is inside


# --- plans -------------------------------------------------------------------------------------------------------


def test_a_kill_names_pid_and_start_and_its_undo_starts_the_unit(tmp_path):
    plan = kill(FULL, host(tmp_path), "x")
    assert [(s["pid"], s["start"], s["signal"]) for s in plan.inject] == [(10, 500, "SIGKILL"), (11, 600, "SIGKILL")]
    assert plan.undo == ({"do": "unit", "unit": "consul.service", "verb": "start"},)
    assert [proof["see"] for proof in plan.effect] == ["gone", "gone"]


def test_the_main_process_is_the_one_whose_parent_is_outside(tmp_path):
    plan = kill({**FULL, "which": "main"}, host(tmp_path), "x")
    assert [step["pid"] for step in plan.inject] == [10]


def test_a_pause_is_paired_with_going_on(tmp_path):
    plan = pause({**UNIT, "which": "all"}, host(tmp_path), "x")
    assert {(s["pid"], s["signal"]) for s in plan.undo} == {(10, "SIGCONT"), (11, "SIGCONT")}
    assert [s["signal"] for s in plan.inject] == ["SIGSTOP", "SIGSTOP"]
    assert plan.fingerprint == plan.effect


@pytest.mark.parametrize("plan", [kill, pause])
def test_nobody_to_be_hit_is_refused(tmp_path, plan):
    with pytest.raises(model.ChaosError, match="has no process"):
        plan({**FULL, "unit": "redis.service"}, host(tmp_path), "x")


def test_a_unit_is_stopped_and_started(tmp_path):
    plan = stop(UNIT, host(tmp_path), "x")
    assert (plan.inject[0]["verb"], plan.undo[0]["verb"]) == ("stop", "start")


def test_descriptors_are_lowered_never_raised(tmp_path):
    plan = descriptors({**UNIT, "soft": 2000, "which": "all"}, host(tmp_path), "x")
    assert [step["soft"] for step in plan.inject] == [1024, 1024]
    assert [step["soft"] for step in plan.undo] == [1024, 1024]
    assert descriptors({**UNIT, "soft": 8}, host(tmp_path), "x").inject[0] | {"soft": 8, "hard": 4096} == {
        "do": "rlimit", "pid": 10, "start": 500, "soft": 8, "hard": 4096}  # fmt: skip


def test_a_host_that_forbids_it_refuses_to_lower_descriptors_before_anything_is_armed(tmp_path):
    def forbidden(_pid):
        raise PermissionError(1, "Operation not permitted")

    with pytest.raises(model.UnavailableError, match="CAP_SYS_RESOURCE"):
        descriptors({**UNIT, "soft": 8}, replace(host(tmp_path), limits=forbidden), "x")


def test_limits_of_a_process_that_is_gone_are_no_question_of_rights(tmp_path):
    def gone(_pid):
        raise ProcessLookupError

    assert replace(host(tmp_path), limits=gone).may_limit(10)


def cut(tmp_path, **params):
    given = {"direction": "both", "action": "DROP", "peers": ["10.0.1.11"], **params}
    return partition(given, host(tmp_path), "ab12-0")


def test_a_cut_spares_ssh_before_anything_else(tmp_path):
    [step] = cut(tmp_path).inject
    rules = step["rules"]["iptables"]
    assert rules[:2] == [
        ["-s", "10.0.0.1", "-p", "tcp", "--dport", "22", "-j", "RETURN"],
        ["-d", "10.0.0.1", "-p", "tcp", "--sport", "22", "-j", "RETURN"],
    ]
    assert rules[2:] == [["-s", "10.0.1.11/32", "-j", "DROP"], ["-d", "10.0.1.11/32", "-j", "DROP"]]
    assert step["chain"] == "CHAOS-ab12-0"
    assert step["tables"] == ["iptables"]


@pytest.mark.parametrize(
    ("direction", "parents", "option"),
    [("in", ["INPUT"], "-s"), ("out", ["OUTPUT"], "-d"), ("both", ["INPUT", "OUTPUT"], None)],
)
def test_directions(tmp_path, direction, parents, option):
    [step] = cut(tmp_path, direction=direction).inject
    assert step["parents"] == parents
    drops = [rule for rule in step["rules"]["iptables"] if rule[-1] == "DROP"]
    assert option is None or {rule[0] for rule in drops} == {option}


def test_a_refusal_resets_tcp_and_rejects_the_rest(tmp_path):
    [step] = cut(tmp_path, action="REJECT", direction="in").inject
    assert [rule[2:] for rule in step["rules"]["iptables"][2:]] == [
        ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"], ["-j", "REJECT"]]  # fmt: skip


def test_both_families_get_a_chain(tmp_path):
    [step] = cut(tmp_path, peers=["10.0.1.11", "2001:db8::7"]).inject
    assert step["tables"] == ["ip6tables", "iptables"]
    assert step["rules"]["ip6tables"] == [
        ["-s", "2001:db8::7/128", "-j", "DROP"],
        ["-d", "2001:db8::7/128", "-j", "DROP"],
    ]


@pytest.mark.parametrize("peers", [[], ["pg-a-1"], ["0.0.0.0/0"], ["127.0.0.1"], ["10.0.1.11/24"], ["::/0"]])
def test_peers_that_are_none_are_refused(tmp_path, peers):
    with pytest.raises(model.ChaosError):
        cut(tmp_path, peers=peers)


def test_without_iptables_it_is_unavailable(tmp_path):
    look = Look(lambda _argv: (0, "", ""), tmp_path)
    with pytest.raises(model.UnavailableError, match="iptables is not installed"):
        partition({"direction": "in", "action": "DROP", "peers": ["10.0.0.9"]}, look, "x")


def test_loss_is_a_share(tmp_path):
    params = {"direction": "out", "percent": 12.5, "peers": ["10.0.1.11"]}
    [step] = loss(params, host(tmp_path), "x").inject
    assert step["rules"]["iptables"][-1][2:] == [
        "-m", "statistic", "--mode", "random", "--probability", "0.1250", "-j", "DROP"]  # fmt: skip


def test_names_do_not_get_out_by_any_family_or_protocol(tmp_path):
    [step] = dns({"ports": [53, 8600], "action": "DROP"}, host(tmp_path), "x").inject
    assert step["parents"] == ["OUTPUT"]
    for table in ("iptables", "ip6tables"):
        ports = {(r[1], r[3]) for r in step["rules"][table] if r[-1] == "DROP"}
        assert ports == {("udp", "53"), ("tcp", "53"), ("udp", "8600"), ("tcp", "8600")}


def test_a_starved_unit_gets_a_group_of_its_own_where_groups_are_old(tmp_path):
    plan = cpu({**UNIT, "percent": 20}, host(tmp_path), "x")
    [step] = plan.inject
    assert step["path"] == "/sys/fs/cgroup/cpu,cpuacct//rsp-chaos-x"
    assert step["files"]["cpu.cfs_quota_us"] == "20000"
    assert step["pids"] == [10, 11]
    assert plan.undo[0]["do"] == "no_group"


NEW = {
    "proc/10/cgroup": "0::/system.slice/consul.service\n",
    "sys/fs/cgroup/system.slice/consul.service/cpu.max": "max 100000\n",
    "sys/fs/cgroup/system.slice/consul.service/cpu.stat": "nr_throttled 3\n",
    "sys/fs/cgroup/system.slice/consul.service/memory.high": "max\n",
    "sys/fs/cgroup/system.slice/consul.service/memory.events": "low 0\nhigh 2\n",
    "sys/fs/cgroup/system.slice/consul.service/io.max": "",
}


def test_a_starved_unit_keeps_its_group_where_groups_are_new(tmp_path):
    plan = cpu({**UNIT, "percent": 20}, host(tmp_path, **NEW), "x")
    assert plan.inject[0]["text"] == "20000 100000"
    assert plan.undo[0]["text"] == "max 100000"
    assert plan.effect[0]["before"] == 3
    plan = memory({**UNIT, "mb": 64}, host(tmp_path, **NEW), "x")
    assert (plan.inject[0]["text"], plan.undo[0]["text"], plan.effect[0]["before"]) == (str(64 << 20), "max", 2)
    plan = slow_disk({**UNIT, "device": "8:0", "kb_per_s": 100}, host(tmp_path, **NEW), "x")
    assert plan.inject[0]["text"] == "8:0 rbps=102400 wbps=102400"
    assert plan.undo[0]["text"] == "8:0 rbps=max wbps=max"


def test_a_disk_is_not_slowed_down_where_the_kernel_has_no_limit_for_it(tmp_path):
    """Processes of version 1 are in the empty tree of version 2 too, which is no place for a limit."""
    with pytest.raises(model.UnavailableError, match=r"io\.max is not there: version 1 of control groups"):
        slow_disk({**UNIT, "device": "8:0", "kb_per_s": 100}, host(tmp_path), "x")


@pytest.mark.parametrize(("plan", "params"), [(memory, {"mb": 64}), (slow_disk, {"device": "8:0", "kb_per_s": 1})])
def test_what_old_groups_cannot_prove_is_unavailable(tmp_path, plan, params):
    look = host(tmp_path, **{"proc/10/cgroup": "5:memory,io:/system.slice/consul.service\n"})
    with pytest.raises(model.UnavailableError, match="version 1"):
        plan({**UNIT, **params}, look, "x")


def test_a_controller_that_is_off_is_unavailable(tmp_path):
    look = host(tmp_path, **{"proc/10/cgroup": "0::/system.slice/consul.service\n"})
    with pytest.raises(model.UnavailableError, match="not enabled"):
        cpu({**UNIT, "percent": 20}, look, "x")
    with pytest.raises(model.ChaosError, match="no process"):
        cpu({"unit": "x.service", "percent": 20}, look, "x")


FILL = {"floor_mb": 64, "max_mb": 100, "allow_root": False}


@pytest.mark.parametrize("path", ["/tmp", "/bind", "/", "/no-such"])
def test_a_disk_that_others_live_on_is_not_filled(tmp_path, path):
    with pytest.raises(model.ChaosError):
        fill({**FILL, "path": path}, host(tmp_path), "x")


def test_a_disk_is_filled_to_a_floor(tmp_path):
    plan = fill({**FILL, "path": "/data/"}, host(tmp_path), "x")
    assert plan.inject[0] == {"do": "fill", "path": "/data/.rsp-chaos-x", "bytes": 100 << 20, "floor": 64 << 20}
    assert plan.undo[0]["path"] == plan.inject[0]["path"]


def test_the_clock_of_a_container_is_left_alone(tmp_path):
    with pytest.raises(model.UnavailableError, match="no clock of its own"):
        shift({"seconds": 60}, Look(lambda _argv: (0, "", ""), tree(tmp_path, {".dockerenv": ""})), "x")
    plan = shift({"seconds": 60}, Look(lambda _argv: (0, "", ""), tmp_path / "bare"), "x")
    assert plan.inject[0]["offset_s"] - plan.undo[0]["offset_s"] == pytest.approx(60)


@pytest.mark.parametrize(("kind", "want"), [("host_kill", "exited"), ("host_pause", "paused")])
def test_a_host_is_broken_from_outside(tmp_path, kind, want):
    look = host(tmp_path, lambda _argv: (0, "running\n", ""), **{"usr/bin/docker": ""})
    plan = KINDS[kind].plan({"container": "rsp-x-a1"}, look, "x")
    assert plan.inject == ({"do": "container", "name": "rsp-x-a1", "want": want},)
    assert plan.undo[0]["want"] == "running"
    assert KINDS[kind] in host_kinds.KINDS


@pytest.mark.parametrize(
    ("run", "files", "error"),
    [
        (lambda _argv: (0, "running", ""), {}, model.UnavailableError),
        (lambda _argv: (1, "", "No such object"), {"usr/bin/docker": ""}, model.ChaosError),
        (lambda _argv: (0, "paused", ""), {"usr/bin/docker": ""}, model.ChaosError),
    ],
)
def test_a_container_that_does_not_run_is_refused(tmp_path, run, files, error):
    with pytest.raises(error):
        KINDS["host_kill"].plan({"container": "c"}, host(tmp_path, run, **files), "x")


def test_a_setting_of_patroni_goes_back_to_what_it_was(tmp_path, monkeypatch):
    params = {"setting": "synchronous_mode", "value": "false", "config": "/etc/patroni/rsp"}
    with pytest.raises(model.UnavailableError):
        setting(params, host(tmp_path), "x")
    monkeypatch.setattr(patroni_room, "patroni_value", lambda _config, _setting: "true")
    plan = setting(params, host(tmp_path, **{"usr/bin/patronictl": ""}), "x")
    assert (plan.inject[0]["value"], plan.undo[0]["value"]) == ("false", "true")


def test_every_kind_says_how_it_is_proved_and_undone():
    for kind in KINDS.values():
        assert kind.about.endswith(".")
        assert kind.options
        assert kind.where in ("member", "engine")


# --- arm, fire, undo ---------------------------------------------------------------------------------------------


class Dog:
    """A watchdog that writes down what it was told, and undoes as the real script does."""

    def __init__(self, log, arms=True, fires=True):
        self.log, self.arms, self.fires, self.ticking = log, arms, fires, set()

    def arm(self, fault, folder, ttl_s, reason):
        assert (folder / steps.PLAN).exists()
        assert (folder / "undo.py").exists()
        self.log.append(f"arm {ttl_s} {reason}")
        if not self.arms:
            raise model.ChaosError("systemd says no")
        self.ticking.add(fault)

    def renew(self, fault, folder, ttl_s):
        self.log.append(f"renew {ttl_s}")
        if fault not in self.ticking:
            raise model.ChaosError("it has fired")

    def fire(self, fault, folder, wait_s):
        self.log.append("fire")
        if not self.fires:
            raise model.ChaosError("it goes on trying")
        self.ticking.discard(fault)
        (folder / steps.UNDONE).write_text(json.dumps({"at": 1, "wrong": []}))

    def armed(self, fault, folder):
        return fault in self.ticking


class Place:
    """A host with a disk that is filled: nothing is really done."""

    def __init__(self, root, broken=False, run=None, **dog):
        self.log = []
        look = host(root, run)
        self.dog = Dog(self.log, **dog)

        def fill(step):
            self.log.append("inject")
            if broken:
                raise steps.StepError("no space left")

        self.faults = Faults(look, self.dog, {"fill": fill, "no_chain": lambda step: self.log.append(step["chain"])})


def request(fault="ab12-0", **changes):
    defaults = {"kind": "disk_fill", "params": {"path": "/data", "max_mb": 1}, "ttl_s": 30, "reason": "a test"}
    return Request(fault, **{**defaults, **changes})


def test_it_is_armed_before_it_is_fired(tmp_path):
    place = Place(tmp_path)
    changed, record = place.faults.inject(request())
    assert changed
    assert place.log == ["arm 30 a test", "inject"]
    assert record["before"] == [False]
    folder = place.faults.home / "ab12-0"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "undo.py").read_text() == source(steps)
    assert (folder / "deeds.py").read_text() == source(deeds)
    assert json.loads((folder / steps.PLAN).read_text())["undo"][0]["do"] == "no_file"


def test_asking_twice_changes_nothing_and_renews(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    assert place.faults.inject(request())[0] is False
    assert place.log[-1] == "renew 30"
    with pytest.raises(model.ChaosError, match="is a disk_fill here"):
        place.faults.inject(request(params={"path": "/disk"}))


def test_a_plan_writes_nothing(tmp_path):
    place = Place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    changed, record = place.faults.inject(request(), check=True)
    assert changed
    assert record["inject"][0]["do"] == "fill"
    assert sorted(tmp_path.rglob("*")) == before
    assert place.log == []


def test_nothing_is_fired_when_it_is_not_armed(tmp_path):
    place = Place(tmp_path, arms=False)
    with pytest.raises(model.ChaosError, match="systemd says no"):
        place.faults.inject(request())
    assert place.log == ["arm 30 a test"]
    assert place.faults.all() == []


def test_a_step_that_fails_is_undone_at_once(tmp_path):
    place = Place(tmp_path, broken=True)
    with pytest.raises(model.ChaosError, match="was undone: no space left") as failed:
        place.faults.inject(request())
    assert failed.value.result["undone"] is True
    assert place.log == ["arm 30 a test", "inject", "fire"]
    assert place.faults.all() == []


BAD_REQUESTS = [
    (request(fault="A B"), "is no id"),
    (request(fault="x" * 21), "is no id"),
    (request(kind="packet_delay"), "is not available"),
    (request(kind="nothing"), "there is no fault nothing"),
    (request(params={}), "set path"),
    (request(params={"path": "/data", "floor_mb": 1}), "floor_mb"),
    (request(params={"path": "/tmp"}), "shares with others"),
]


@pytest.mark.parametrize(("asked", "text"), BAD_REQUESTS)
def test_bad_requests_are_refused_before_anything_is_armed(tmp_path, asked, text):
    place = Place(tmp_path)
    with pytest.raises(model.ChaosError, match=text):
        place.faults.inject(asked)
    assert place.log == []


def test_the_stop_file_forbids_injecting_and_renewing_but_not_undoing(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    tree(tmp_path, {"etc/rsp/chaos.stop": ""})
    for call in (lambda: place.faults.inject(request(fault="other")), lambda: place.faults.renew("ab12-0")):
        with pytest.raises(model.ChaosError, match="forbids every fault"):
            call()
    assert place.faults.undo("ab12-0")["undone"]


def test_undoing_is_proved_and_forgets(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    assert place.faults.undo("ab12-0", check=True)["changed"] is True
    assert place.faults.read("ab12-0")
    assert place.faults.undo("ab12-0") == {"changed": True, "undone": True, "wrong": [], "by": "controller"}
    assert place.faults.undo("ab12-0") == {"changed": False, "undone": True, "wrong": [], "by": "nobody"}


def test_an_undo_that_fails_is_kept_and_said(tmp_path):
    place = Place(tmp_path, fires=False)
    place.faults.inject(request())
    found = place.faults.undo("ab12-0")
    assert found["undone"] is False
    assert found["wrong"] == ["it goes on trying", "the undo left no record"]
    assert place.faults.read("ab12-0")


def test_what_the_lease_undid_is_over(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    place.dog.fire("ab12-0", place.faults.home / "ab12-0", 1)
    with pytest.raises(model.ChaosError, match="undone without us"):
        place.faults.renew("ab12-0")
    with pytest.raises(model.ChaosError, match="was undone already"):
        place.faults.inject(request())
    assert place.faults.undo("ab12-0")["by"] == "lease"


def test_the_effect_is_asked_of_the_host(tmp_path):
    place = Place(tmp_path)
    assert place.faults.prove("ab12-0") == (False, ["fault ab12-0 is not here"])
    place.faults.inject(request())
    effective, [text] = place.faults.prove("ab12-0")
    assert effective is False  # nothing was really filled
    assert "cannot be seen" in text


def test_a_record_that_cannot_be_read_is_an_error(tmp_path):
    place = Place(tmp_path)
    place.faults.inject(request())
    (place.faults.home / "ab12-0" / steps.PLAN).write_text("{")
    with pytest.raises(model.ChaosError, match="cannot be read"):
        place.faults.all()


RULES = "-P INPUT ACCEPT\n-N CHAOS-dead-1\n-N CHAOS-ab12-0\n-N FOREIGN\n-A INPUT -j CHAOS-dead-1\n"


def test_recovery_needs_no_memory(tmp_path):
    place = Place(tmp_path, run=lambda argv: (0, RULES if argv[0] == "iptables" and "nat" not in argv else "", ""))
    place.faults.inject(request())
    checked = place.faults.recover(check=True)
    assert [each["fault"] for each in checked] == ["ab12-0", "CHAOS-dead-1"]
    found = place.faults.recover()
    assert [each["fault"] for each in found][:1] == ["ab12-0"]
    assert "CHAOS-dead-1" in place.log
    assert all(each["undone"] for each in found)
    assert place.faults.all() == []


def test_a_redirection_without_a_record_is_found_too(tmp_path):
    place, log = Place(tmp_path, run=lambda argv: (0, "-N CHAOS-dead-2\n" if "nat" in argv else "", "")), []
    do = {name: (lambda step, name=name: log.append((name, step["chain"]))) for name in ("no_chain", "no_redirect")}
    [found] = Faults(place.faults.look, place.dog, do).recover()
    assert (found["fault"], found["undone"]) == ("CHAOS-dead-2", True)
    assert ("no_redirect", "CHAOS-dead-2") in log


def test_recovery_that_fails_says_so(tmp_path):
    place = Place(tmp_path, run=lambda argv: (0, RULES if argv[0] == "iptables" and "nat" not in argv else "", ""))

    def no_chain(_step):
        raise steps.StepError("Permission denied")

    stuck = Faults(place.faults.look, place.dog, {"no_chain": no_chain})
    assert next(each["wrong"] for each in stuck.recover()) == ["Permission denied"]
    assert faults_room.FAULT.fullmatch("ab12cd34-10")


# --- watchdogs ---------------------------------------------------------------------------------------------------


class FakeLeases:
    """Leases that say yes, or raise."""

    def __init__(self, error=None, there=True):
        self.error, self.there, self.armed = error, there, []

    def arm(self, lease):
        if self.error:
            raise self.error
        self.armed.append(lease)

    def renew(self, name):
        if self.error:
            raise self.error

    def fire(self, name, wait_s):
        if self.error:
            raise self.error
        return self.there

    def find(self, name):
        return None


def test_systemds_watchdog_runs_the_script_that_lies_beside_the_plan(tmp_path):
    leases = FakeLeases()
    dog = watchdogs.SystemdWatchdog(leases)
    dog.arm("ab12-0", tmp_path, 60, "why")
    [lease] = leases.armed
    assert lease.name == "chaos-ab12-0"
    assert lease.undo == (("/usr/bin/python3", f"{tmp_path}/undo.py", "undo", str(tmp_path)),)
    assert lease.ttl_s == 60
    assert dog.armed("ab12-0", tmp_path) is False


@pytest.mark.parametrize("verb", ["arm", "renew", "fire"])
def test_a_lease_that_refuses_is_our_refusal(tmp_path, verb):
    dog = watchdogs.SystemdWatchdog(FakeLeases(LeaseError("no systemd", journal=["x"])))
    arguments = {"arm": (60, "why"), "renew": (60,), "fire": (1,)}[verb]
    with pytest.raises(model.ChaosError, match="no systemd") as refused:
        getattr(dog, verb)("x", tmp_path, *arguments)
    assert refused.value.result == {"journal": ["x"]}


@pytest.mark.parametrize(("undoes", "raises"), [(True, False), (False, True)])
def test_a_fault_whose_lease_is_gone_without_a_word_is_undone_here(tmp_path, monkeypatch, undoes, raises):
    monkeypatch.setattr(steps, "undo_directory", lambda _folder: undoes)
    dog = watchdogs.SystemdWatchdog(FakeLeases(there=False))
    if raises:
        with pytest.raises(model.ChaosError, match="could not be undone"):
            dog.fire("x", tmp_path, 1)
    else:
        dog.fire("x", tmp_path, 1)


def test_a_process_watches_where_there_is_no_systemd(tmp_path, monkeypatch):
    started, now = [], [100.0]
    dog = watchdogs.ProcessWatchdog(lambda argv: started.append(argv) or True, lambda: now[0])
    dog.arm("x", tmp_path, 30, "why")
    assert started[0][-2:] == ["watch", str(tmp_path)]
    assert (tmp_path / steps.DEADLINE).read_text() == "130.0"
    now[0] = 120.0
    dog.renew("x", tmp_path, 30)
    assert (tmp_path / steps.DEADLINE).read_text() == "150.0"
    monkeypatch.setattr(steps, "undo_directory", lambda _folder: False)
    with pytest.raises(model.ChaosError, match="goes on trying"):
        dog.fire("x", tmp_path, 1)
    assert dog.armed("x", tmp_path)
    monkeypatch.setattr(steps, "undo_directory", lambda _folder: True)
    dog.fire("x", tmp_path, 1)
    with pytest.raises(model.ChaosError, match="not armed any more"):
        dog.renew("x", tmp_path, 30)


def test_a_watchdog_that_ends_at_once_means_nothing_is_injected(tmp_path):
    dog = watchdogs.ProcessWatchdog()
    with pytest.raises(model.ChaosError, match="ended at once"):
        dog.arm("x", tmp_path, 30, "why")  # there is no script
    assert not dog.armed("x", tmp_path)


def test_the_host_decides_which_watchdog_it_gets(tmp_path):
    assert isinstance(faults_of(host(tmp_path).run, tmp_path).watchdog, watchdogs.ProcessWatchdog)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert isinstance(faults_of(host(tmp_path).run, tmp_path).watchdog, watchdogs.SystemdWatchdog)
