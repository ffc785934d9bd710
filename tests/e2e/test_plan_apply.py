"""Plan, approve, apply: the hash stands for exactly what will be done; whatever moves after the approval stops it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.plan.postmaster import POSTMASTER
from lab import run, wait_until
from rolling import acted

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".lab"
PLANS = STATE / "plans"
WORDS = "consul_log_level=warn"


@pytest.fixture
def plan(job):
    """Plans; returns the file's content."""

    def run_it(*arguments):
        before = {path: path.stat().st_mtime_ns for path in PLANS.glob("*.json")} if PLANS.is_dir() else {}
        code, said = job("plan", *arguments)
        assert code == 0, said[-4000:]
        written = [path for path in PLANS.glob("*.json") if before.get(path) != path.stat().st_mtime_ns]
        assert len(written) == 1, said[-2000:]
        assert stat.S_IMODE(written[0].stat().st_mode) == 0o600
        return json.loads(written[0].read_text())

    return run_it


def arguments(made, *more):
    return "-e", f"service={made['plan']['service']}", "-e", f"plan={made['hash']}", *more


def consul_leader(made):
    return made["plan"]["live"]["consul"]["leader"]


def test_a_converged_lab_has_an_empty_plan_and_twice_the_same_hash(plan, unit_times):
    before = unit_times()
    first, second = plan(), plan()
    assert first["hash"] == second["hash"]
    assert first["plan"] == second["plan"]
    assert (first["plan"]["changes"], first["plan"]["restarts"]) == ([], {})
    assert first["plan"]["services"] == ["consul", "etcd", "postgresql"]
    for service in first["plan"]["services"]:
        live = first["plan"]["live"][service]
        assert live["order"][-1] == live["leader"], service
        assert set(live["gates"].values()) == {"open"}, service
        assert live["unknown"] == [], service
    assert unit_times() == before


def test_a_plan_holds_no_secret(plan):
    text = run(".venv/bin/ansible-vault", "view", f"--vault-id=rsp@{STATE / 'secrets.key'}", str(STATE / "secrets.yml"))
    found = json.dumps(plan("-e", "service=consul", "-e", WORDS))
    secrets = {name: value for name, value in yaml.safe_load(text).items() if not name.endswith("cert")}
    assert len(secrets) > 10
    assert [name for name, value in secrets.items() if value in found or json.dumps(value)[1:-1] in found] == []


def test_what_moved_after_the_approval_is_named_and_nothing_changes(plan, job, unit_times, lab):
    made = plan("-e", "service=consul", "-e", WORDS)
    files = [entry["dest"] for change in made["plan"]["changes"] for entry in change["files"]]
    assert set(files) == {"/etc/consul.d/consul.hcl"}
    assert sorted(made["plan"]["restarts"]["consul"]) == ["a1", "b1", "c1", "mirror", "ops", "store"]
    before = unit_times()

    code, said = job("apply", *arguments(made, "-e", "consul_log_level=error"))
    assert code != 0
    assert "variable consul_log_level of a1, b1, c1, mirror, ops has another value" in said
    assert "nothing was changed" in said

    lab.on("b1", "sh", "-c", "echo '# by hand' >> /etc/consul.d/consul.hcl")
    code, said = job("apply", *arguments(made, "-e", WORDS))
    assert code != 0
    assert "b1: /etc/consul.d/consul.hcl: planned was updated" in said
    lab.on("b1", "sed", "-i", "$d", "/etc/consul.d/consul.hcl")
    assert unit_times() == before


def test_a_moved_leader_stops_it(plan, job):
    made = plan("-e", "service=consul", "-e", WORDS)
    leader = consul_leader(made)
    assert job("switchover", "-e", "service=consul")[0] == 0
    code, said = job("apply", *arguments(made, "-e", WORDS))
    assert code != 0
    assert f"consul: {leader} led, now " in said
    assert "rsp-local-dc1 is locked" not in said
    code, said = job("apply", "-e", "service=consul", "-e", "plan=" + "0" * 64)
    assert code != 0
    assert "has no such plan to compare with" in said


def test_it_does_exactly_what_was_planned(plan, job, lab, playbook):
    made = plan("-e", "service=consul", "-e", WORDS)
    order = [name for name in made["plan"]["live"]["consul"]["order"] if name in made["plan"]["restarts"]["consul"]]
    code, said = job("apply", *arguments(made, "-e", WORDS))
    assert code == 0, said[-4000:]
    assert acted(said) == order
    assert order[-1] == consul_leader(made)
    assert 'log_level = "warn"' in lab.on("a1", "cat", "/etc/consul.d/consul.hcl").replace("  ", " ")
    after = plan("-e", "service=consul", "-e", WORDS)
    assert (after["plan"]["changes"], after["plan"]["restarts"]) == ([], {})
    code, said = job("apply", *arguments(made, "-e", WORDS))
    assert code != 0
    assert "planned was updated" in said


def test_back_again(plan, job, playbook, lab):
    made = plan()
    assert sorted(made["plan"]["restarts"]) == ["consul"]
    code, said = job("apply", *arguments(made))
    assert code == 0, said[-4000:]
    wait_until("the cluster is whole", lab.whole)
    _, changes = playbook("site", "--tags", "consul", check=True)
    assert changes == []


def test_the_list_of_settings_that_need_a_start_is_that_of_the_server(lab):
    question = "SELECT name FROM pg_settings WHERE context = 'postmaster'"
    told = lab.on("a1", "runuser", "-u", "postgres", "--", "psql", "--no-psqlrc", "-Atc", question).split()
    assert len(told) > 40
    assert set(told) - POSTMASTER == set()
