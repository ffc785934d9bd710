"""Tokens that are rotated: beside, then instead; never both gone, never a stranger deleted."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.consul_generations import generation_id, plan_generations
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects import MANAGEMENT, Object, accessor_id

WANTED_ID = accessor_id("dns")


def token(secret, accessor=WANTED_ID, name="dns", wanted=False):
    body = {"description": name, "policies": ["dns"], "roles": [], "local": False, "secret": secret}
    return Object("token", accessor, name, body, ref="" if wanted else accessor)


OLD = token("A")
NEXT = token("B", generation_id("dns", "B"))
STRANGER = token("C", "0-0-0-0", name="dns")


@pytest.mark.parametrize(
    ("found", "previous", "actions", "rogue"),
    [
        ([], "keep", ["create token dns"], []),
        ([OLD], "replace", ["replace token dns"], []),
        ([OLD], "keep", ["create token dns"], []),
        ([OLD], "delete", ["create token dns"], []),  # the old one stays until there is another
        ([OLD, NEXT], "keep", [], []),
        ([OLD, NEXT], "replace", [], []),  # a run of site.yml in between leaves both
        ([OLD, NEXT], "delete", ["delete token dns"], []),
        ([NEXT], "delete", [], []),
        ([NEXT], "replace", [], []),
        ([NEXT, STRANGER], "delete", [], ["token dns"]),  # the same description is no proof of being ours
    ],
)
def test_generations(found, previous, actions, rogue):
    todo = plan_generations([token("B", wanted=True)], found, "report", previous)
    assert [str(action) for action in todo.actions] == actions
    assert [obj.label for obj in todo.rogue] == rogue
    assert "A" not in todo.diff()["before"].values()


def test_the_next_one_has_an_accessor_of_its_own_and_only_the_old_one_goes():
    [made] = plan_generations([token("B", wanted=True)], [OLD], "ignore", "keep").actions
    assert made.subject.id == generation_id("dns", "B") != WANTED_ID
    [gone] = plan_generations([token("B", wanted=True)], [OLD, NEXT], "delete", "delete").actions
    assert gone.subject.ref == WANTED_ID


def test_a_second_rotation_goes_on_from_the_first():
    later = token("D", generation_id("dns", "D"))
    assert [str(a) for a in plan_generations([token("D", wanted=True)], [NEXT], "ignore", "keep").actions] == [
        "create token dns"
    ]
    [gone] = plan_generations([token("D", wanted=True)], [NEXT, later], "ignore", "delete").actions
    assert gone.subject.ref == NEXT.ref


def test_the_token_of_the_bootstrap_is_known_by_what_consul_calls_it():
    first = token("A", "random", name=MANAGEMENT)
    wanted = token("B", accessor_id("bootstrap-token"), name="bootstrap-token", wanted=True)
    [made] = plan_generations([wanted], [first], "ignore", "keep").actions
    beside = token("B", made.subject.id, name=MANAGEMENT)
    [gone] = [a for a in plan_generations([wanted], [first, beside], "ignore", "delete").actions if a.verb == "delete"]
    assert gone.subject.ref == "random"
