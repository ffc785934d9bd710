"""Rules of members and quorum: each with its planted violation."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import members
from fixtures.preflight.builders import EIGHT, ZONES, inventory, member, told, values

GOOD = inventory()


def test_a_service_whose_group_has_hosts_has_members():
    [line] = told(members.has_members, inventory(consul_members=[]))
    assert line.startswith("-|consul_members|is empty, but group consul_servers has hosts|")
    assert "groups['consul_servers'] | rsp.platform.members(hostvars)" in line


def test_a_service_that_nobody_uses_needs_no_members():
    assert told(members.has_members, inventory(postgresql_members=[])) == []


@pytest.mark.parametrize(
    ("entries", "path", "rule"),
    [
        ([member("a1"), member("b1"), member("b1")], "consul_members", "b1 is listed 2 times"),
        ([member("a1"), member("b1"), member("c2")], "consul_members[2].name", "is no host of this inventory"),
        (
            [member("a1"), member("b1"), {**member("c1"), "zone": "a"}],
            "consul_members[2].zone",
            'c1 itself says platform_zone = "c"',
        ),
        (
            [{**member("a1"), "address": "10.9.0.12"}, member("b1"), member("c1")],
            "consul_members[0].address",
            'a1 itself says platform_address = "10.9.0.11"',
        ),
    ],
)
def test_members_are_hosts_of_the_inventory(entries, path, rule):
    [line] = told(members.members_are_hosts, inventory(consul_members=entries))
    assert line.startswith(f"-|{path}|{rule}|")


@pytest.mark.parametrize(
    ("count", "rule", "fix"),
    [
        (1, "1 voter is no quorum: the service dies with its host", "list 3 members, one a zone, or set"),
        (2, "2 voters survive the loss of no more than 1 would", "list 3 members, one a zone"),
        (4, "4 voters survive the loss of no more than 3 would", "list 3 or 5 members"),
        (6, "6 voters survive the loss of no more than 5 would", "list 5 or 7 members"),
        (8, "8 voters make every write wait for 5 of them", "list 3, 5 or 7 members"),
    ],
)
def test_a_quorum_is_odd(count, rule, fix):
    subject = inventory(EIGHT, consul_members=[member(name) for name in EIGHT[:count]])
    [line] = told(members.odd_quorum, subject)
    assert line.startswith(f"-|consul_members|{rule}|{fix}")
    assert values(members.odd_quorum(subject)) == [f"{count} members"]


@pytest.mark.parametrize("count", [3, 5, 7])
def test_odd_quorums_are_accepted(count):
    subject = inventory(EIGHT, consul_members=[member(name) for name in EIGHT[:count]])
    assert told(members.odd_quorum, subject) == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_members_elected_by_another_service_may_be_even(count):
    subject = inventory(EIGHT, postgresql_members=[member(name) for name in EIGHT[:count]])
    assert told(members.odd_quorum, subject) == []


@pytest.mark.parametrize(
    ("environment", "allowed", "problems"),
    [("local", True, 0), ("dev", True, 0), ("dev", False, 1), ("staging", True, 1), ("production", True, 1)],
)
def test_a_single_voter_only_where_nobody_depends_on_it(environment, allowed, problems):
    subject = inventory(consul_members=[member("a1")], platform_environment=environment, platform_allow_single=allowed)
    found = told(members.odd_quorum, subject)
    assert len(found) == problems
    assert not any("platform_allow_single" in line for line in found if environment not in ("local", "dev"))


@pytest.mark.parametrize(
    ("role", "names", "zone", "share"),
    [
        ("consul", ("a1", "a2", "c1"), "a", "2 of 3"),
        ("consul", ("a1", "a2", "a3", "b1", "c1"), "a", "3 of 5"),
        ("postgresql", ("b1", "b2", "c1"), "b", "2 of 3"),
        ("postgresql", ("b1", "b2"), "b", "2 of 2"),
    ],
)
def test_no_zone_holds_a_majority(role, names, zone, share):
    subject = inventory(EIGHT, **{f"{role}_members": [member(name) for name in names]})
    [line] = told(members.zone_without_majority, subject)
    assert (
        f"|platform_zone|{role} has {share} voters in zone {zone}: losing it loses quorum|put one of {zone}1, " in line
    )


@pytest.mark.parametrize(
    ("names", "zones"),
    [
        (("a1", "a2", "b1", "b2", "c1"), ZONES),
        (("a1", "a2", "b1", "c1"), ZONES),
        (("a1",), ZONES),
        (("a1", "a2", "b1"), ZONES[:2]),
    ],
)
def test_spread_members_and_platforms_of_two_zones_are_accepted(names, zones):
    subject = inventory(EIGHT, consul_members=[member(name) for name in names], platform_zones=zones)
    assert told(members.zone_without_majority, subject) == []
