"""The report: everything at once, aligned, each line with place, value, rule and fix."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import CONTROLLER, Problem, Run
from ansible_collections.rsp.platform.plugins.module_utils.preflight.report import as_text, merged, what, where
from fixtures.preflight.builders import inventory

FOUR = inventory(("a1", "b1", "c1", "a2", "b2"))


def problem(*hosts, variable="consul_ui", value=None, place=None):
    return Problem(hosts, variable, "is wrong", "right it", value, place)


def test_a_heading_and_aligned_lines():
    problems = [
        Problem(("pg-b-1",), "platform_zone", "is wrong", "right it", '"a"'),
        Problem(("c1",), "postgresql_max_conection", "unknown variable of role postgresql", "did you mean x?"),
    ]
    assert as_text(FOUR, problems).splitlines() == [
        "inventories/test: 2 problems, nothing was touched",
        '  pg-b-1  platform_zone = "a"       is wrong → right it',
        "  c1      postgresql_max_conection  unknown variable of role postgresql → did you mean x?",
    ]


def test_one_problem_is_no_plural():
    assert as_text(FOUR, [problem("a1")]).startswith("inventories/test: 1 problem, nothing was touched")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (problem("a1"), "a1"),
        (problem("a1", "b1", "c1"), "a1, b1, c1"),
        (problem("a1", "b1", "c1", "a2"), "a1, b1, c1 and 1 more"),
        (problem("a1", "b1", "c1", "a2", "b2"), "all hosts"),
        (problem(), "all hosts"),
        (problem(place=CONTROLLER), "controller"),
        (problem("a1", variable="from_extra"), "extra vars"),
        (problem("a1", variable="from_extra[0].name"), "extra vars"),
        (problem("a1", variable="from_extra.name"), "extra vars"),
        (problem("a1", variable="from_extra_not"), "a1"),
    ],
)
def test_where_a_problem_was_seen(found, text):
    subject = inventory(("a1", "b1", "c1", "a2", "b2"), run=Run(extra=frozenset({"from_extra"})))
    assert where(subject, found) == text


def test_the_only_host_is_named():
    assert where(inventory(("a1",)), problem("a1")) == "a1"


@pytest.mark.parametrize(("value", "text"), [(None, "consul_ui"), ('"yes"', 'consul_ui = "yes"')])
def test_a_value_is_shown_when_there_is_one(value, text):
    assert what(problem(value=value)) == text


def test_the_same_problem_of_several_hosts_is_told_once():
    found = [problem("a1"), problem("b1", value="1"), problem("c1"), problem("a1")]
    assert merged(found) == [problem("a1", "c1"), problem("b1", value="1")]
