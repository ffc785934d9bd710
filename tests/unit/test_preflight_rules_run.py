"""Rules of the call: each with its planted violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Run
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import run
from fixtures.preflight.builders import EIGHT, inventory, member, told, values

GOOD = inventory()


def called(**changes):
    return replace(GOOD, run=replace(GOOD.run, **changes))


def test_a_playbook_runs_on_its_own_environment_only():
    lines = told(run.right_environment, called(environment="production"))
    assert len(lines) == 3
    assert lines[0].startswith("a1|platform_environment|this playbook is for production inventories only|choose")
    assert "playbooks/environments/dev.yml" in lines[0]


def test_a_playbook_of_the_same_environment_may_run():
    assert told(run.right_environment, called(environment="dev")) == []


@pytest.mark.parametrize(("typed", "shown"), [("", None), ("rsp-tets", '"rsp-tets"'), ("yes", '"yes"')])
def test_a_confirmation_is_the_name_of_the_platform(typed, shown):
    subject = called(confirm=typed)
    [line] = told(run.confirmed, subject)
    assert line.startswith("command line|confirm|this changes rsp-test")
    assert "-e confirm=rsp-test" in line
    assert values(run.confirmed(subject)) == [shown]


def test_the_wrong_platform_is_not_to_be_confirmed():
    assert told(run.confirmed, called(confirm="", environment="production")) == []


@pytest.mark.parametrize("typed", [None, "rsp-test"])
def test_confirmed_or_not_asked_for(typed):
    assert told(run.confirmed, called(confirm=typed)) == []


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("a9", "did you mean a1?"),
        ("consul_server", "did you mean consul_servers?"),
        ("!zzz", "name hosts or groups"),
        ("z*", "name hosts or groups"),
        ("~z[0-9]", "name hosts or groups"),
    ],
)
def test_a_limit_names_what_exists(pattern, fix):
    [line] = told(run.limit_exists, called(limit=(pattern,)))
    assert line.startswith(f"command line|--limit|matches no host and no group|{fix}")


@pytest.mark.parametrize(
    "pattern", ["a1", "all", "consul_servers", "!b1", "&consul_servers", "a*", "~b\\d", "consul_servers[0]",
                "consul_servers[1:2]", "consul_servers[-1]", "@failed.retry"],
)  # fmt: skip
def test_every_form_of_a_limit_is_understood(pattern):
    assert told(run.limit_exists, called(limit=(pattern,))) == []


@pytest.mark.parametrize(
    ("limited", "fix"),
    [(("a1", "b1"), "limit to all of them, or to 1 at a time")],
)
def test_a_limit_does_not_split_a_quorum(limited, fix):
    [line] = told(run.limit_keeps_services_whole, called(limit=limited, limited=frozenset(limited)))
    assert line == f"command line|--limit|holds 2 of 3 voters of consul, but not c1|{fix}"


def test_a_limit_on_five_members_may_hold_two():
    five = inventory(EIGHT, consul_members=[member(name) for name in EIGHT[:5]])
    two, three = (replace(five, run=Run(limit=("x",), limited=frozenset(EIGHT[:n]))) for n in (2, 3))
    assert told(run.limit_keeps_services_whole, two) == []
    assert "holds 3 of 5 voters" in told(run.limit_keeps_services_whole, three)[0]


@pytest.mark.parametrize("limited", [("a1",), ("a1", "b1", "c1"), ()])
def test_one_member_all_or_none_is_safe(limited):
    assert told(run.limit_keeps_services_whole, called(limit=("x",), limited=frozenset(limited))) == []
