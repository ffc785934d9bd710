"""All rules together: silent on a good inventory, and every problem at once on a bad one."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight import registry, rules
from fixtures.preflight.builders import inventory, told, with_host

GOOD = inventory()


@pytest.mark.parametrize("rule", registry.RULES, ids=lambda rule: rule.__name__)
def test_a_good_inventory_breaks_no_rule(rule):
    assert told(rule, GOOD) == []


def test_every_public_rule_is_registered():
    rooms = [importlib.import_module(f"{rules.__name__}.{room.name}") for room in pkgutil.iter_modules(rules.__path__)]
    public = {
        name
        for room in rooms
        for name, thing in vars(room).items()
        if getattr(thing, "__module__", None) == room.__name__ and callable(thing) and not name.startswith("_")
    }
    assert len(rooms) >= 6
    assert public == {rule.__name__ for rule in registry.RULES}


def test_problems_of_all_rules_are_found_at_once():
    subject = with_host(inventory(consul_ui="yes"), "b1", {"platform_zone": "d", "consul_uii": 1})
    found = [(problem.variable, problem.hosts) for problem in registry.find_problems(subject)]
    assert found == [
        ("platform_zone", ("b1",)),
        ("consul_members[1].zone", ()),
        ("postgresql_members[1].zone", ()),
        ("consul_uii", ("b1",)),
        ("consul_ui", ("a1", "b1", "c1")),
    ]


def test_an_inventory_without_hosts_proves_nothing():
    [problem] = registry.find_problems(inventory(()))
    assert problem.rule == "the inventory has no hosts"
