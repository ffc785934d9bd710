"""The way from a job's arguments to the action: each name that one side gives is one that the next side takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.action import chaos_experiment as action
from ansible_collections.rsp.platform.plugins.action import chaos_report as report_action
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import table_from
from ansible_collections.rsp.platform.plugins.modules import chaos_fault, chaos_workload
from chaos_data import experiment
from test_chaos_run import Ran

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = ("consul", "postgresql")


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def task_of(service):
    """Arguments that a role gives to the action."""
    [task] = load(f"roles/{service}/tasks/chaos.yml")
    return task["rsp.platform.chaos_experiment"]


def strangers(given, taken):
    """Names that nobody takes, and those that are missing."""
    required = {name for name, option in taken.items() if option.get("required")}
    return sorted(set(given) - set(taken)), sorted(required - set(given))


@pytest.mark.parametrize("service", SERVICES)
def test_the_playbook_gives_what_the_role_asks_for(service):
    specs = load(f"roles/{service}/meta/argument_specs.yml")["argument_specs"]["chaos"]["options"]
    assert set(specs) == {f"{service}_chaos"}
    given = load("playbooks/vars/chaos.yml")["chaos_arguments"]
    assert strangers(given, specs[f"{service}_chaos"]["options"]) == ([], [])


@pytest.mark.parametrize("service", SERVICES)
def test_the_role_gives_what_the_action_takes(service):
    assert strangers(task_of(service), action.SPEC) == ([], [])


@pytest.mark.parametrize("service", SERVICES)
def test_the_ledger_gets_what_its_module_takes(service):
    ledger = task_of(service)["ledger"]
    taken = {name: {} for name in chaos_workload.workload_options()}
    assert strangers(ledger, taken) == ([], [])
    assert ledger["driver"] == service


def test_the_planted_violation_a_name_that_nobody_takes_is_found():
    assert strangers({"cleint": 1}, {"client": {"required": True}}) == (["cleint"], ["client"])


def test_the_report_of_a_game_day_gets_what_its_action_takes():
    [play] = [each for each in load("playbooks/game_day.yml") if each.get("hosts")]
    [block] = [task["block"] for task in play["tasks"] if "block" in task]
    [task] = [each["rsp.platform.chaos_report"] for each in block if "rsp.platform.chaos_report" in each]
    assert strangers(task, report_action.SPEC) == ([], [])


@pytest.mark.parametrize("name", ["chaos", "game_day"])
def test_a_job_checks_its_arguments_then_finds_its_hosts_and_frees_its_lock_whatever_happens(name):
    check, hosts, play = load(f"playbooks/{name}.yml")
    assert check["vars"] == {"job_name": name}
    assert hosts["ansible.builtin.import_playbook"] == "job_hosts.yml"
    assert play["hosts"] == "job_cluster[0]", "one host stands for the cluster: the action reaches the others by itself"
    held, guarded = play["tasks"]
    assert held["vars"]["roll_lock_state"] == "held"
    assert guarded["always"][0]["vars"] == {"roll_lock_state": "released", "roll_finished": True}


@pytest.mark.parametrize("name", ["chaos", "game_day"])
def test_the_jobs_are_for_services_that_have_experiments(name):
    job = table_from(load("playbooks/vars/jobs.yml")).jobs[name]
    assert set(job.services) == set(SERVICES) == {path.parts[-3] for path in ROOT.glob("roles/*/meta/chaos.yml")}
    assert job.at_least == 3
    assert job.locks


def test_every_call_of_a_run_is_one_that_its_module_takes():
    """Each state, each argument: what the run sends is compared with the module's own specification."""
    faults = [
        {"kind": "partition", "from": "members", "lease_s": 30},
        {"kind": "unit_stop", "lease_s": 60, "at_s": 3, "targets": {"role": "replica"}},
    ]
    ran = Ran(experiment(faults=faults, hold_s=30, allow_quorum_loss=True))
    specs = {"chaos_fault": chaos_fault.fault_options(), "chaos_workload": chaos_workload.workload_options()}
    seen = set()
    for _moment, _host, module, arguments in ran.machines.calls:
        if module in specs:
            assert strangers(arguments, specs[module]) == ([], []), (module, arguments)
            assert arguments["state"] in specs[module]["state"]["choices"]
            seen.add((module, arguments["state"]))
    states = [(module, state) for module, spec in specs.items() for state in spec["state"]["choices"]]
    assert sorted(seen) == sorted(states), "every state is used, and none is made up"


@pytest.mark.parametrize(("silent", "aborts"), [((106, 112), False), ((106, 10**6), True)])
def test_an_outage_that_ends_in_time_is_no_reason_to_abort(silent, aborts):
    condition = [{"kind": "no_writes_s", "above": 12, "times": 2}]
    ran = Ran(experiment(hold_s=40, abort=condition), silent=silent)
    assert (ran.seen.aborted is not None) is aborts, ran.seen.aborted
    assert (ran.verdict == "aborted") is aborts
