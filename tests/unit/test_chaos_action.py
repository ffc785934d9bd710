"""The action in a real run of Ansible: hosts that are this machine without being touched, in check mode and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import HostError
from ansible_collections.rsp.platform.plugins.plugin_utils import fleet
from chaos_data import GOOD

ROOT = Path(__file__).resolve().parent.parent.parent
PLAY = """
- name: Chaos | Run
  hosts: a1
  gather_facts: false
  tasks:
    - name: Chaos | Run the experiment
      rsp.platform.chaos_experiment:
        experiment: "{{ wanted }}"
        service: consul
        file: "{{ playbook_dir }}/chaos.yml"
        own_file: "{{ own | default('') }}"
        info:
          service: consul
          connection: {url: "https://127.0.0.1:1", timeout_s: 1}
          members: []
        members: [a1, b1]
        places: [{name: a1, address: 127.0.0.1, zone: a}, {name: b1, address: 127.0.0.1, zone: b}]
        client: b1
        ledger: {driver: consul}
        environment: local
        reports: "{{ playbook_dir }}/reports"
"""
REPORT = """
- name: Chaos | Report
  hosts: a1
  gather_facts: false
  tasks:
    - name: Chaos | Write one report
      rsp.platform.chaos_report:
        title: Game day
        reports: "{{ runs }}"
        refused: "{{ refused | default([]) }}"
        directory: "{{ playbook_dir }}/reports"
"""
HOSTS = f"[all:vars]\nansible_connection=local\nansible_python_interpreter={sys.executable}\n[all]\na1\nb1\n"


@pytest.fixture
def ran(tmp_path):
    """Runs a playbook; exit code and what it said."""

    def run(text, *arguments, experiments=None):
        (tmp_path / "play.yml").write_text(text, encoding="utf-8")
        (tmp_path / "hosts").write_text(HOSTS, encoding="utf-8")
        (tmp_path / "chaos.yml").write_text(yaml.safe_dump(experiments or {"leader_killed": GOOD}), encoding="utf-8")
        done = subprocess.run(
            ["ansible-playbook", "-i", tmp_path / "hosts", tmp_path / "play.yml", *arguments], cwd=ROOT, check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_fleet_reaches_other_hosts_and_nobody_who_answers_means_nothing_is_armed(ran, tmp_path):
    code, said = ran(PLAY, "-e", "wanted=leader_killed")
    assert code == 2, said
    assert "no member of consul could be asked" in said, said
    for host in ("a1", "b1"):
        assert f"{host}: GET https://127.0.0.1:1/v1" in said, said
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("name", "experiments", "text"),
    [
        ("leader_kiled", None, "consul has no experiment leader_kiled → did you mean leader_killed?"),
        (
            "leader_killed",
            {"leader_killed": {**GOOD, "hold_s": 0}},
            "experiment leader_killed: 1 problem, nothing was touched",
        ),
        ("leader_killed", {"leader_killed": {**GOOD, "hold_s": 0}}, "leader_killed.hold_s = 0  is outside 1 to 600"),
    ],
)
def test_a_bad_experiment_is_refused_on_the_controller(ran, name, experiments, text):
    code, said = ran(PLAY, "-e", f"wanted={name}", experiments=experiments)
    assert code == 2
    assert text in said, said


@pytest.mark.parametrize(
    ("wanted", "own", "text"),
    [
        ("mine", {"mine": GOOD}, "no member of consul could be asked"),
        ("leader_killed", {"mine": GOOD}, "no member of consul could be asked"),
        ("theirs", {"mine": GOOD}, "consul has no experiment theirs → there are leader_killed, mine"),
        ("mine", {"mine": {**GOOD, "hold_s": 0}}, "mine.hold_s = 0  is outside 1 to 600"),
        ("mine", {"mine": GOOD, "leader_killed": GOOD}, "leader_killed of {own} is the name of an experiment of the"),
        ("mine", {}, "chaos_policy.experiments: {own} holds no experiments"),
        ("mine", ["mine"], "chaos_policy.experiments: {own} holds no experiments"),
        ("mine", None, "name a YAML file, from the inventory"),
    ],
)
def test_experiments_of_the_platform_itself_come_beside_those_of_the_collection(ran, tmp_path, wanted, own, text):
    path = tmp_path / "own.yml"
    if own is not None:
        path.write_text(yaml.safe_dump(own), encoding="utf-8")
    code, said = ran(PLAY, "-e", f"wanted={wanted}", "-e", f"own={path}")
    assert code == 2
    assert text.format(own=path) in said, said


def report(verdict, **changes):
    return {
        "schema": "rsp.platform/chaos-report/1",
        "experiment": "x",
        "service": "consul",
        "title": "t",
        "hypothesis": "h",
        "run": "r",
        "at": "now",
        "control": False,
        "verdict": verdict,
        "green": verdict == "held",
        "reasons": [],
        **changes,
    }


@pytest.mark.parametrize(
    ("variables", "code", "text"),
    [
        ({"runs": [report("held")]}, 0, "1 runs, 0 failed: none"),
        ({"runs": [report("held"), report("violated")]}, 2, "2 runs, 1 failed: x: violated"),
        ({"runs": [report("held")], "refused": ["y: not steady"]}, 2, "y: not steady"),
        ({"runs": [report("held"), report("held", worse="slow")]}, 2, "2 runs, 1 failed: x: slow"),
        ({"runs": []}, 2, "no experiment ran"),
    ],
)
def test_a_game_day_is_green_only_when_all_were(ran, tmp_path, variables, code, text):
    found, said = ran(REPORT, "-e", json.dumps(variables), "-v")
    assert found == code, said
    assert text in said
    assert bool(list(tmp_path.glob("reports/game-day-*/report.html"))) is bool(variables["runs"])


class Handler:
    """A handler of Ansible with one answer."""

    def __init__(self, answer):
        self.answer, self._connection = answer, self

    def _execute_module(self, **_arguments):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self):
        self.answer = None


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"failed": True, "msg": "refused", "undone": True}, "refused"),
        ({"unreachable": True, "msg": "timed out"}, "timed out"),
        ({"module_stderr": "Traceback"}, "Traceback"),
        (fleet.AnsibleError("no route"), "a1 is not reached: no route"),
    ],
)
def test_whatever_fails_on_a_host_is_one_kind_of_error(answer, text):
    made = fleet.Fleet(None, {})
    made._handlers["a1"] = (Handler(answer), {})
    with pytest.raises(HostError, match=text):
        made.call("a1", "chaos_info", {})
    assert ("a1" in made._handlers) is not isinstance(answer, Exception), "a broken connection is not used again"
    made.close()
    assert made._handlers == {}


def test_an_answer_is_handed_on():
    made = fleet.Fleet(None, {})
    made._handlers["a1"] = (Handler({"changed": True, "now": 1.0}), {})
    assert made.call("a1", "chaos_workload", {}) == {"changed": True, "now": 1.0}
