"""Steps there and back on files, on a child of ours, on a simulated iptables; then the undo script alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import effects, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.script import lay_down
from chaos_data import stat, tree


class Tables:
    """iptables as far as a chain of our own needs it."""

    def __init__(self):
        self.chains = {"INPUT": [], "OUTPUT": [], "FOREIGN": ["-j ACCEPT"]}
        self.calls = 0

    def __call__(self, argv, ok=(0,), timeout_s=60):
        self.calls += 1
        assert argv[:3] == ["iptables", "-w", "5"], argv
        verb, *rest = argv[3:]
        return getattr(self, f"do_{verb.strip('-').lower()}_")(*rest) or ""

    def do_n_(self, chain):
        if chain in self.chains:
            raise steps.StepError("Chain already exists")
        self.chains[chain] = []

    def do_a_(self, chain, *rule):
        self.chains[chain].append(" ".join(rule))

    def do_i_(self, chain, number, *rule):
        self.chains[chain].insert(int(number) - 1, " ".join(rule))

    def do_d_(self, chain, *rule):
        self.chains[chain].remove(" ".join(rule))

    def do_f_(self, chain):
        self.chains[chain].clear()

    def do_x_(self, chain):
        if any(chain in rule.split() for rules in self.chains.values() for rule in rules):
            raise steps.StepError("Too many links")
        del self.chains[chain]

    def do_s_(self):
        lines = [f"-P {name} ACCEPT" if name in ("INPUT", "OUTPUT") else f"-N {name}" for name in self.chains]
        return "\n".join(lines + [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules])


@pytest.fixture
def tables(monkeypatch):
    made = Tables()
    monkeypatch.setattr(steps, "run", made)
    return made


def chain(name="CHAOS-x", parents=("INPUT", "OUTPUT")):
    rules = {"iptables": [["-s", "10.0.0.1", "-j", "RETURN"], ["-s", "10.0.1.1", "-j", "DROP"]]}
    own = {"chain": name, "tables": ["iptables"]}
    return (
        {"do": "chain", **own, "parents": list(parents), "rules": rules},
        {"do": "no_chain", **own},
        {"see": "rules", **own},
    )


def test_a_chain_of_our_own_comes_first_and_goes_without_a_trace(tables):
    there, back, seen = chain()
    before = steps.see(seen)
    steps.DO["chain"](there)
    assert tables.chains["INPUT"] == tables.chains["OUTPUT"] == ["-j CHAOS-x"]
    assert steps.differences([seen], [before], [steps.see(seen)])
    steps.DO["no_chain"](back)
    assert steps.see(seen) == before
    steps.DO["no_chain"](back)  # twice is once
    assert steps.see(seen) == before


def test_foreign_rules_that_came_meanwhile_stay_and_are_no_difference(tables):
    there, back, seen = chain()
    before = steps.see(seen)
    steps.DO["chain"](there)
    tables.do_a_("INPUT", "-s", "192.0.2.1", "-j", "DROP")
    steps.DO["no_chain"](back)
    assert tables.chains["INPUT"] == ["-s 192.0.2.1 -j DROP"]
    assert steps.differences([seen], [before], [steps.see(seen)]) == []


def test_a_foreign_rule_that_is_missing_is_a_difference(tables):
    _there, _back, seen = chain()
    before = steps.see(seen)
    tables.chains["FOREIGN"].clear()
    assert steps.differences([seen], [before], [steps.see(seen)]) == ["iptables: -A FOREIGN -j ACCEPT is missing"]


def test_a_foreign_rule_is_foreign_also_when_its_comment_names_a_chain_of_chaos(tables):
    _there, _back, seen = chain()
    tables.do_a_("FOREIGN", "-m", "comment", "--comment", "CHAOS-day", "-j", "DROP")
    before = steps.see(seen)
    tables.chains["FOREIGN"].pop()
    assert steps.differences([seen], [before], [steps.see(seen)]) == [
        "iptables: -A FOREIGN -m comment --comment CHAOS-day -j DROP is missing"
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_faults_on_one_host_are_undone_in_any_order(tables, order):
    pairs = [chain("CHAOS-one"), chain("CHAOS-two", ("INPUT",))]
    before = tables.do_s_()
    looks = []
    for there, _back, seen in pairs:
        looks.append(steps.see(seen))
        steps.DO["chain"](there)
    for one in order:
        steps.DO["no_chain"](pairs[one][1])
        assert steps.differences([pairs[one][2]], [looks[one]], [steps.see(pairs[one][2])]) == []
        assert (f"CHAOS-{('one', 'two')[1 - one]}" in tables.do_s_()) is (one == order[0])
    assert tables.do_s_() == before


def test_a_chain_that_was_cut_off_in_the_middle_goes_too(tables):
    _there, back, _seen = chain()
    tables.do_n_("CHAOS-x")
    steps.DO["no_chain"](back)
    assert "CHAOS-x" not in tables.chains


@pytest.fixture
def child():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def who(process):
    text = (steps.Path("/proc") / str(process.pid) / "stat").read_text()
    return {"pid": process.pid, "start": int(text.rpartition(")")[2].split()[19])}


def until(question):
    end = time.monotonic() + 5
    while not question():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_child_of_ours_is_stopped_and_goes_on(child):
    name = who(child)
    steps.DO["signal"]({**name, "signal": "SIGSTOP"})
    until(lambda: steps.process_state(**name) == "T")
    assert effects.prove([{"see": "stopped", **name}]) == (True, [f"process {child.pid} is T"])
    steps.DO["signal"]({**name, "signal": "SIGCONT"})
    until(lambda: steps.process_state(**name) == "S")
    assert effects.prove([{"see": "stopped", **name}])[0] is False


def test_a_recycled_pid_is_left_alone(child):
    name = {**who(child), "start": 1}
    steps.DO["signal"]({**name, "signal": "SIGKILL"})
    time.sleep(0.05)
    assert child.poll() is None
    assert steps.process_state(**name) == ""
    assert effects.prove([{"see": "gone", **name}])[0] is True


def test_a_process_that_is_gone_is_no_error(child):
    name = who(child)
    child.kill()
    child.wait()
    steps.DO["signal"]({**name, "signal": "SIGCONT"})
    steps.DO["rlimit"]({**name, "soft": 1, "hard": 1})


def test_file_descriptors_of_a_child_are_lowered_and_given_back(child):
    name = {**who(child), "hard": 100}
    steps.DO["rlimit"]({**name, "soft": 7})
    text = steps.Path(f"/proc/{child.pid}/limits").read_text()
    assert "7                    100" in text
    steps.DO["rlimit"]({**name, "soft": 9})


def test_a_limit_that_is_as_it_should_be_is_left_alone_also_where_nobody_may_change_it(child, monkeypatch):
    name = {**who(child), "hard": 100, "soft": 7}
    steps.DO["rlimit"](name)

    def forbidden(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(steps.resource, "prlimit", forbidden)
    steps.DO["rlimit"](name)
    with pytest.raises(PermissionError):
        steps.DO["rlimit"]({**name, "soft": 9})


def test_a_name_with_brackets_is_read(tmp_path):
    tree(tmp_path, {"7/stat": stat(7, 99, "a) S 1 (b", letter="D")})
    assert steps.process_state(7, 99, tmp_path) == "D"
    assert steps.process_state(7, 98, tmp_path) == ""
    assert steps.process_state(8, 99, tmp_path) == ""


def test_files_are_filled_with_a_floor_and_taken_away(tmp_path):
    path = str(tmp_path / "f")
    size = {"path": path, "bytes": 3 << 20, "floor": 0}
    steps.DO["fill"](size)
    assert (tmp_path / "f").stat().st_size == 3 << 20
    assert effects.prove([{"see": "full", **size}])[0] is True
    steps.DO["fill"]({**size, "floor": 1 << 60})  # less than that is free: nothing may be taken
    assert (tmp_path / "f").stat().st_size == 0
    assert effects.prove([{"see": "full", **size, "floor": 1 << 60}])[0] is False
    steps.DO["no_file"](size)
    steps.DO["no_file"](size)
    assert not (tmp_path / "f").exists()


def test_a_group_takes_processes_and_gives_them_back(tmp_path):
    group = tmp_path / "g"
    steps.DO["group"]({"path": str(group), "files": {"quota": "5"}, "pids": [1, 2]})
    assert (group / "quota").read_text() == "5"
    assert (group / "cgroup.procs").read_text() == "2"  # the kernel takes one pid a write


def test_values_are_written_where_there_is_something_to_write_to(tmp_path):
    steps.DO["write"]({"path": str(tmp_path / "v"), "text": "max"})
    assert (tmp_path / "v").read_text() == "max"
    steps.DO["write"]({"path": str(tmp_path / "gone" / "v"), "text": "max"})


@pytest.mark.parametrize(
    ("status", "want", "verb"),
    [("running", "paused", "pause"), ("paused", "running", "unpause"), ("exited", "running", "start"),
     ("running", "exited", "kill"), ("running", "running", None), ("exited", "exited", None)],
)  # fmt: skip
def test_containers(monkeypatch, status, want, verb):
    calls = []
    monkeypatch.setattr(steps, "run", lambda argv, **_options: calls.append(argv[1]) or status)
    steps.DO["container"]({"name": "c", "want": want})
    assert calls == ["inspect", *([verb] if verb else [])]


def test_a_container_that_cannot_become_it_is_an_error(monkeypatch):
    monkeypatch.setattr(steps, "run", lambda _argv, **_options: "removing")
    with pytest.raises(steps.StepError, match="is removing, it cannot become running"):
        steps.DO["container"]({"name": "c", "want": "running"})


def test_units_and_settings_are_commands(monkeypatch):
    calls = []
    monkeypatch.setattr(
        steps, "run", lambda argv, **_options: calls.append(argv) or "synchronous_mode: true\nttl: 20\n"
    )
    steps.DO["unit"]({"unit": "x.service", "verb": "stop"})
    steps.DO["patroni"]({"config": "/c", "setting": "synchronous_mode", "value": "false"})
    assert calls[0] == ["systemctl", "stop", "x.service"]
    assert calls[1][-2:] == ["-s", "synchronous_mode=false"]
    assert steps.patroni_value("/c", "synchronous_mode") == "true"
    assert steps.patroni_value("/c", "failsafe_mode") == "null"


def test_commands_that_fail_are_errors():
    with pytest.raises(steps.StepError, match="false"):
        steps.run(["false"])
    with pytest.raises(steps.StepError, match="no-such-program"):
        steps.run(["no-such-program"])
    with pytest.raises(steps.StepError, match="timed out"):
        steps.run(["sleep", "5"], timeout_s=0.05)
    assert steps.run(["sh", "-c", "echo x; exit 3"], ok=(3,)) == "x\n"


def test_the_fingerprint_sees_files(tmp_path):
    items = [{"see": kind, "path": str(tmp_path / "f")} for kind in ("exists", "file", "text")]
    before = steps.fingerprint(items)
    assert before == [False, None, None]
    (tmp_path / "f").write_text("x")
    found = steps.differences(items, before, steps.fingerprint(items))
    assert len(found) == 3
    with pytest.raises(steps.StepError, match="unknown part"):
        steps.see({"see": "nothing", "path": "/"})


def test_a_control_group_that_went_with_its_process_is_no_difference(tmp_path):
    assert steps.differences([{"see": "text", "path": str(tmp_path / "g")}], ["max"], [None]) == []


def plan(tmp_path, **changes):
    """A fault that has left a file, with the record that lies beside it."""
    left = tmp_path / "left"
    left.write_text("x")
    record = {
        "undo": [{"do": "no_file", "path": str(left)}], "fingerprint": [{"see": "exists", "path": str(left)}],
        "before": [False], **changes,
    }  # fmt: skip
    folder = tmp_path / "fault"
    folder.mkdir()
    (folder / steps.PLAN).write_text(json.dumps(record))
    lay_down(folder)
    return folder, left


def script(folder, verb, **options):
    return subprocess.run(
        [sys.executable, "-I", folder / "undo.py", verb, folder], capture_output=True, text=True, check=False, **options
    )


def test_the_script_undoes_alone_and_twice(tmp_path):
    folder, left = plan(tmp_path)
    assert script(folder, "undo").returncode == 0
    assert not left.exists()
    assert json.loads((folder / steps.UNDONE).read_text())["wrong"] == []
    assert script(folder, "undo").returncode == 0


def test_the_script_goes_on_after_a_step_that_failed_and_says_so(tmp_path):
    bad = {"do": "unit", "unit": "no-such-unit-of-a-test.service", "verb": "no-such-verb"}
    folder, left = plan(tmp_path)
    record = json.loads((folder / steps.PLAN).read_text())
    (folder / steps.PLAN).write_text(json.dumps({**record, "undo": [bad, *record["undo"]]}))
    done = script(folder, "undo")
    assert done.returncode == 1
    assert "unit: " in done.stderr
    assert not left.exists()


def test_what_is_not_as_it_was_is_a_failure(tmp_path):
    folder, _left = plan(tmp_path, undo=[])
    record = json.loads((folder / steps.PLAN).read_text())
    assert steps.undo(record, settle_s=0) == [f"{tmp_path}/left: False → True"]


def test_a_watchdog_without_systemd_undoes_when_nobody_renews(tmp_path):
    """A real process, a real deadline: the controller is dead from the beginning."""
    folder, left = plan(tmp_path)
    (folder / steps.DEADLINE).write_text(str(time.monotonic() + 0.8))
    began = time.monotonic()
    assert script(folder, "watch", timeout=20).returncode == 0
    assert 0.7 < time.monotonic() - began < 10
    assert not left.exists()
    assert not (folder / steps.DEADLINE).exists()


def test_renewing_moves_the_deadline_and_disarming_ends_the_watchdog(tmp_path):
    folder, left = plan(tmp_path)
    deadline, now, slept = folder / steps.DEADLINE, [0.0], []
    deadline.write_text("2")

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds
        if len(slept) == 1:
            deadline.write_text("9")
        if len(slept) == 4:
            deadline.unlink()

    steps.watch(folder, lambda: now[0], sleep)
    assert now[0] > 2
    assert left.exists()


def test_a_watchdog_tries_again_until_it_succeeds(tmp_path, monkeypatch):
    folder, _left = plan(tmp_path)
    (folder / steps.DEADLINE).write_text("0")
    answers, slept = [False, False, True], []
    monkeypatch.setattr(steps, "undo_directory", lambda _folder: answers.pop(0))
    steps.watch(folder, lambda: 1.0, slept.append)
    assert answers == []
    assert len(slept) == 2


LISTING = """-N CHAOS-x -c 0 0
-A CHAOS-x -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -c 900 90000 -j RETURN
-A CHAOS-x -s 10.0.1.11/32 -c 7 420 -j DROP
-A CHAOS-x -d 10.0.1.11/32 -c 3 180 -j REJECT --reject-with icmp-port-unreachable
"""


def test_packets_that_were_spared_prove_nothing():
    assert effects.packets(LISTING, "CHAOS-x") == 10
    assert effects.packets(LISTING, "CHAOS-y") == 0


@pytest.mark.parametrize(
    ("answer", "good"), [(LISTING, True), (LISTING.replace("-c 7", "-c 0").replace("-c 3", "-c 0"), False)]
)
def test_a_cut_is_proved_by_its_packets(monkeypatch, answer, good):
    monkeypatch.setattr(effects, "run", lambda _argv, **_options: answer)
    assert effects.prove([{"see": "packets", "chain": "CHAOS-x", "tables": ["iptables"]}])[0] is good


@pytest.mark.parametrize(
    ("proof", "answer", "good"),
    [
        ({"see": "unit_is", "unit": "x", "state": ["inactive"]}, "inactive\n", True),
        ({"see": "unit_is", "unit": "x", "state": ["inactive"]}, "active\n", False),
    ],
)
def test_a_unit_is_proved_by_systemd(monkeypatch, proof, answer, good):
    monkeypatch.setattr(effects, "run", lambda _argv, **_options: answer)
    assert effects.prove([proof])[0] is good


def test_containers_settings_and_clocks_are_proved(monkeypatch):
    monkeypatch.setattr(effects, "container_status", lambda _name: "paused")
    monkeypatch.setattr(effects, "patroni_value", lambda _config, _setting: "false")
    assert effects.prove([{"see": "container_is", "name": "c", "status": "paused"}])[0]
    assert not effects.prove([{"see": "container_is", "name": "c", "status": "exited"}])[0]
    assert effects.prove([{"see": "patroni_is", "config": "/c", "setting": "s", "value": "false"}])[0]
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert not effects.prove([{"see": "clock_off", "offset_s": offset, "least_s": 2}])[0]
    assert effects.prove([{"see": "clock_off", "offset_s": offset - 30, "least_s": 2}])[0]


def test_counters_of_the_kernel_are_proved(tmp_path):
    path = str(tmp_path / "cpu.stat")
    proof = {"see": "throttled", "path": path, "before": 4}
    assert effects.prove([proof]) == (
        False,
        [f"throttled cannot be seen: [Errno 2] No such file or directory: '{path}'"],
    )
    (tmp_path / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\n")
    assert effects.prove([proof])[0] is False
    (tmp_path / "cpu.stat").write_text("nr_periods 9\nnr_throttled 5\n")
    assert effects.prove([proof]) == (True, ["nr_throttled went from 4 to 5"])
    changed = {"see": "changed", "path": path}
    assert effects.prove([changed], [{"path": path, "value": "old"}])[0] is True
    assert effects.prove([changed], [{"path": path, "value": "nr_periods 9\nnr_throttled 5\n"}])[0] is False


def test_no_proof_is_no_effect():
    assert effects.prove([]) == (False, [])
