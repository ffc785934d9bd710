"""Jobs as data, and the edges of their rules."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible.vars.reserved import get_reserved_names
from ansible_collections.rsp.platform.plugins.module_utils.jobs import arguments, judge, safety, targets
from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import coerced
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import JobError, table_from
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Run
from fixtures.jobs import DATA, TABLE, call
from fixtures.preflight.builders import EIGHT, inventory, member

ROOT = Path(__file__).resolve().parents[2]


def lines(rule, subject):
    return ["|".join((p.variable, p.value or "-", p.rule, p.fix)) for p in rule(subject)]


# The table


def changed(*path, value):
    data = copy.deepcopy(DATA)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "the file must be a mapping"),
        (changed("extra", value={}), "the file has unknown keys extra"),
        (changed("services", "consul", "name", value="x"), "service consul has unknown keys name"),
        (changed("jobs", "restart", value=None), "job restart must be a mapping"),
        (changed("jobs", "restart", "srevices", value=[]), "job restart has unknown keys srevices"),
        (changed("jobs", "restart", "services", value=["kafka"]), "refers to what is not there: kafka"),
        (changed("jobs", "scale", "one_of", value=["add", "rm"]), "refers to what is not there: rm"),
        (changed("jobs", "scale", "destroys", value={"what": "x", "when": "gone"}), "not there: gone"),
        (changed("jobs", "scale", "destroys", value={"waht": "x"}), "destroys has unknown keys waht"),
        (changed("jobs", "restart", "parameters", "new", value={"type": "int"}), "job restart: new: needs about"),
        (changed("parameters", "member", "names", value="members"), "names must be one of service, member, host"),
        (changed("parameters", "member", "min", value=1), "job switchover: member has unknown keys min"),
    ],
)
def test_a_malformed_table_is_refused(data, text):
    with pytest.raises(JobError) as caught:
        table_from(data)
    assert text in str(caught.value)


def test_no_parameter_has_a_name_that_ansible_keeps_for_itself():
    assert TABLE.parameters.isdisjoint(get_reserved_names())
    assert "job" not in TABLE.parameters


def test_parameters_do_not_overwrite_what_is_computed():
    subject = call("restart", service="consul")
    computed = set(judge.normalised(subject, "me")) - set(subject.job.parameters)
    assert computed.isdisjoint(TABLE.parameters)
    assert computed.isdisjoint({"changed", "failed", "msg", "skipped", "warnings", "diff", "invocation"})


def test_a_clusters_name_is_that_of_the_roles():
    for name, service in TABLE.services.items():
        verify = yaml.safe_load((ROOT / f"roles/{name}/tasks/verify.yml").read_text(encoding="utf-8"))
        gates = [task["rsp.platform.service_gate"] for task in verify if "rsp.platform.service_gate" in task]
        if not gates:
            assert name in ("haproxy", "s3", "pgbackrest"), f"{name} has no gate"  # their hosts don't know each other
            continue
        used = gates[0]["cluster"]
        main = ROOT / f"roles/{name}/vars/main.yml"
        internal = yaml.safe_load(main.read_text(encoding="utf-8")) if main.is_file() else {}
        assert internal.get(used.strip("{} "), used) == service.cluster


def test_every_job_of_a_service_has_its_role():
    for job in TABLE.jobs.values():
        assert all((ROOT / "roles" / service).is_dir() for service in job.services)
        assert job.examples
        assert set(job.parameters) >= {"confirm", "reason"}
        assert ("lease_s" in job.parameters) == job.locks


def test_there_is_no_job_without_a_line_in_the_docs():
    page = (ROOT / "docs/jobs.md").read_text(encoding="utf-8")
    for name, job in TABLE.jobs.items():
        assert f"## {name}\n" in page
        for parameter in set(DATA["jobs"][name]["parameters"]):
            assert f"| `{parameter}` |" in page.split(f"## {name}\n")[1]
        assert not job.destroys or job.destroys in page


# Values as the command line brings them


@pytest.mark.parametrize(
    ("job", "name", "typed", "value"),
    [
        ("restart", "members", "a1, b1", ["a1", "b1"]),
        ("restart", "members", " ", []),
        ("restart", "members", ["a1"], ["a1"]),
        ("restart", "members", "a1,,b1", ["a1", "", "b1"]),
        ("restart", "wait_s", "30", 30),
        ("restart", "wait_s", "-1", -1),
        ("restart", "wait_s", "030", "030"),
        ("restart", "wait_s", "3.0", "3.0"),
        ("restart", "wait_s", 30, 30),
        ("restart", "force", "true", True),
        ("restart", "force", "False", False),
        ("restart", "force", "on", "on"),
        ("restart", "force", True, True),
        ("restart", "reason", 7, 7),
        ("replace", "member", ["a1"], "a1"),
        ("replace", "member", "a1", "a1"),
        ("switchover", "to", ["a1", "b1"], "a1,b1"),
        ("restart", "service", ["consul"], ["consul"]),
    ],
)
def test_what_is_plainly_meant_gets_its_type(job, name, typed, value):
    found = coerced(TABLE.jobs[job].parameters[name], typed)
    assert (found, type(found)) == (value, type(value))


# Releases


@pytest.mark.parametrize(
    ("pinned", "wanted", "said"),
    [
        ("1.21.9", "1.22.5", None),
        ("1.22.3", "1.22.5", None),
        ("1.20.6", "1.21.4", None),
        ("1.20.6", "1.22.5", "upgrade to 1.21.4 first"),
        ("1.18.0", "1.22.5", "add a 1.19 to the catalogue, upgrade to it first"),
        ("1.22.5", "1.22.3", "use 2.0.1"),
        ("1.22.5", "1.22.5", "leave it out"),
        ("1.22.5", "2.0.1", "build a new cluster beside this one"),
        ("1.21.4", "2.0.1", "upgrade to 1.22.5 first"),
        ("2.0.1", "1.22.5", "add a newer release to the catalogue"),
        ("2.0.1", "2.1.0", "use 2.0.1, or add it"),
        ("1.22.5-ent", "1.22.5", "use"),
    ],
)
def test_a_release_is_the_next_step(pinned, wanted, said):
    base = replace(inventory(), catalogue={"consul": ("1.20.6", "1.21.4", "1.22.3", "1.22.5", "2.0.1")})
    subject = replace(call("upgrade", base, service="consul", version=wanted), releases={"consul": pinned})
    found = lines(targets.release_is_next, subject)
    assert len(found) == (said is not None), found
    assert said is None or said in found[0].split("|")[-1], found


def test_an_empty_catalogue_lists_nothing():
    base = replace(inventory(), catalogue={})
    [line] = lines(targets.release_is_next, call("upgrade", base, service="consul", version="1.22.5"))
    assert "which lists none|use a listed release" in line


def test_without_a_pinned_release_every_listed_one_is_next():
    subject = replace(call("upgrade", service="consul", version="1.22.5"), releases={})
    assert lines(targets.release_is_next, subject) == []


@pytest.mark.parametrize("wanted", ["18", "19"])
def test_a_newer_major_release_is_fine(wanted):
    assert lines(targets.major_is_newer, call("upgrade_major", service="postgresql", version=wanted)) == []


# Quorum


FIVE = [member(name) for name in EIGHT[:5]]


@pytest.mark.parametrize(
    ("members", "given", "said"),
    [
        (FIVE, {"remove": ["a2", "b2"]}, None),
        (FIVE, {"remove": ["a2"]}, "leaves consul_members = 4 members"),
        (FIVE, {"remove": ["a2", "b2", "c1"]}, "leaves consul_members = 2 members"),
        (FIVE, {"remove": ["b1", "b2"]}, "consul has 2 of 3 voters in zone a"),
        (FIVE, {"add": ["c2", "a3"]}, None),
        (FIVE, {"add": ["c2"]}, "leaves consul_members = 6 members"),
        (FIVE, {"add": ["c2", "a3", "b3"]}, "leaves consul_members = 8 members"),
        (FIVE, {"add": ["c1"]}, None),
    ],
)
def test_a_quorum_stays_one(members, given, said):
    subject = call("scale", inventory(EIGHT, consul_members=members), service="consul", **given)
    found = lines(safety.inventory_stays_sound, subject)
    assert bool(found) == (said is not None), found
    assert said is None or said in found[0]


def test_one_voter_where_nobody_depends_on_it():
    small = inventory(platform_allow_single=True)
    for service, rule in (("consul", safety.inventory_stays_sound), ("postgresql", safety.a_standby_stays)):
        assert lines(rule, call("scale", small, service=service, remove=["a1", "b1"])) == []
        assert len(lines(rule, call("scale", inventory(), service=service, remove=["a1", "b1"]))) == 1


def test_what_was_wrong_before_is_not_the_jobs_doing():
    base = inventory(EIGHT, consul_members=FIVE, consul_log_level="loud")
    assert lines(safety.inventory_stays_sound, call("scale", base, service="consul", add=["c2", "a3"])) == []


@pytest.mark.parametrize("job", ["switchover", "replace", "reinit"])
def test_a_cluster_of_one_has_nobody_to_take_over(job):
    single = inventory(postgresql_members=[member("a1")])
    [line] = lines(targets.enough_members, call(job, single, service="postgresql"))
    assert f"rsp-test-postgresql has 1 member, job {job} needs 2|add members first" in line


# Noise


def test_who_names_no_service_is_asked_for_nothing_else():
    found = judge.find_problems(call("reinit", service="postgres", members=["a1", "zz"]))
    assert [problem.variable for problem in found] == ["service"]


def test_a_value_of_the_wrong_type_is_told_once():
    found = judge.find_problems(call("restart", service="consul", members={"a1": 1}, wait_s=True))
    assert sorted(problem.variable for problem in found) == ["members", "wait_s"]


def test_no_cluster_needs_a_limit():
    limited = inventory(run=Run(limit=("a1",), limited=frozenset({"a1"})))
    [line] = lines(arguments.no_limit, call("adopt", limited, service="consul"))
    assert line.endswith("|remove it")


def test_a_preview_does_not_look_at_the_confirmation():
    given = {"service": "postgresql", "members": ["a1"], "confirm": ""}
    assert judge.find_problems(call("reinit", check=True, **given)) == []
    assert len(judge.find_problems(call("reinit", **given))) == 1


def test_whatever_a_job_locks_can_be_unlocked():
    """A dead run must not keep a service closed until its lease ends."""
    jobs = yaml.safe_load((ROOT / "playbooks" / "vars" / "jobs.yml").read_text(encoding="utf-8"))["jobs"]
    locked = {service for job in jobs.values() if job.get("locks", True) for service in job.get("services", [])}
    assert "postgresql" in locked
    assert locked <= set(jobs["unlock"]["services"])


def test_what_a_job_says_of_a_shared_parameter_counts():
    """A default of its own for lease_s: a standby's copy takes longer than a turn of other jobs."""
    data = changed("jobs", "restart", "parameters", "lease_s", value={"default": 1800})
    assert table_from(data).jobs["restart"].parameters["lease_s"].option.default == 1800
    assert TABLE.jobs["restart"].parameters["lease_s"].option.default == 300
