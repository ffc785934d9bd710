"""Bridges and rings: who is cut off from whom, for any number of groups; and rows that a one-way cut loses."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import problems
from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import Operation, classify
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.shapes import cut_from
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import Place, shaped
from chaos_data import GOOD, SPAN, member, state
from test_chaos_cuts import cut, partition

NAMES = "abcdefghi"


def talk(cuts, one, other):
    return other not in cuts[one]


@pytest.mark.parametrize("count", range(3, 10))
@pytest.mark.parametrize("seed", range(3))
def test_property_a_bridge_hears_all_and_its_halves_hear_only_themselves(count, seed):
    groups = list(NAMES[:count])
    bridge = random.Random(seed).choice(groups)
    random.Random(seed).shuffle(groups)
    cuts = cut_from("bridge", groups, bridge)
    assert cuts[bridge] == ()
    ends = [group for group in groups if group != bridge]
    halves = {frozenset(other for other in ends if talk(cuts, group, other)) for group in ends}
    assert len(halves) == 2
    assert set().union(*halves) == set(ends)
    assert abs(len(min(halves, key=len)) - len(max(halves, key=len))) <= 1
    assert all(talk(cuts, one, other) is talk(cuts, other, one) for one in groups for other in groups)


@pytest.mark.parametrize("count", range(4, 10))
def test_property_a_ring_leaves_two_neighbours_and_no_two_groups_hear_the_same(count):
    groups = NAMES[:count]
    cuts = cut_from("ring", groups)
    hears = {group: frozenset(other for other in groups if talk(cuts, group, other)) for group in groups}
    assert all(len(each) == 3 for each in hears.values()), "itself and two"
    assert len(set(hears.values())) == count
    assert all(talk(cuts, one, other) is talk(cuts, other, one) for one in groups for other in groups)
    assert all(talk(cuts, *pair) for pair in pairwise([*groups, groups[0]]))


def test_five_members_of_a_ring_each_hear_a_majority():
    cuts = cut_from("ring", NAMES[:5])
    assert all(5 - len(cut_off) > 5 / 2 for cut_off in cuts.values())


@pytest.mark.parametrize(
    ("shape", "groups", "bridge", "text"),
    [
        ("ring", "abc", None, "a ring needs 4 groups, here are 3: a, b, c"),
        ("bridge", "ab", "a", "a bridge needs 3 groups"),
        ("bridge", "abc", "x", "the bridge x is none of a, b, c"),
        ("bridge", "abc", None, "the bridge None"),
        ("ring", "aabbccc", None, "needs 4"),
    ],
)
def test_a_shape_that_would_cut_nobody_or_has_no_middle_is_refused(shape, groups, bridge, text):
    with pytest.raises(ChaosError, match=text):
        cut_from(shape, groups, bridge)


ALL = {"role": "all"}
SHAPED = {
    # the bridge is the last zone that is not the leader's
    "beside the leader": ({"from": "bridge", "targets": ALL}, {"a1": "c1 ops", "b1": "c1 ops", "c1": "a1 b1 ops"}),
    "the leader": (
        {"from": "bridge", "bridge": "leader", "targets": ALL},
        {"a1": "b1 c1 ops", "b1": "a1 ops", "c1": "a1 ops"},
    ),
    "over members": (
        {"from": "bridge", "over": "members", "targets": ALL},
        {"a1": "c1 ops", "b1": "c1 ops", "c1": "a1 b1 ops"},
    ),
    "a ring of all zones": (
        {"from": "ring", "over": "all_zones", "targets": ALL},
        {"a1": "b1 ops", "b1": "a1 c1", "c1": "b1 ops"},
    ),
}


@pytest.mark.parametrize("case", SHAPED)
def test_who_talks_in_a_network_of_that_shape(tmp_path, case):
    fault, expected = SHAPED[case]
    network = cut(tmp_path, partition(**fault))
    for name, friends in expected.items():
        found = {other for other in ("a1", "b1", "c1", "ops") if other != name and network.talk(name, other)}
        assert found == set(friends.split()), name


@pytest.mark.parametrize(
    ("fault", "targets", "seen", "text"),
    [
        ({"from": "ring"}, ALL, None, "a ring needs 4 groups"),
        ({"from": "ring", "over": "members"}, ALL, None, "a ring needs 4 groups"),
        ({"from": "bridge"}, ALL, state(leader=None), "no leader of consul is known"),
        ({"from": "bridge", "bridge": "leader"}, {"role": "leader"}, None, "cuts a1 off from nobody"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_before_anything_is_armed(tmp_path, fault, targets, seen, text):
    with pytest.raises(ChaosError, match=text):
        cut(tmp_path, partition(**fault), targets, seen)


def test_five_members_in_three_zones_make_a_ring_of_members_and_a_bridge_of_zones():
    names = ("a1", "a2", "b1", "b2", "c1")
    places = [Place(name, f"10.0.0.{n}", name[0]) for n, name in enumerate(names)]
    seen = state(*(member(name, "leader" if name == "a1" else "voter", zone=name[0]) for name in names))
    named = {place.address: place.name for place in places}

    def off(**spec):
        found = shaped({"over": "zones", "bridge": "other", **spec}, seen, places, names)
        return {name: " ".join(named[address] for address in addresses) for name, addresses in found.items()}

    assert off(shape="ring", over="members") == {
        "a1": "b1 b2", "a2": "b2 c1", "b1": "a1 c1", "b2": "a1 a2", "c1": "a2 b1",
    }  # fmt: skip
    assert off(shape="bridge") == {"a1": "b1 b2", "a2": "b1 b2", "b1": "a1 a2", "b2": "a1 a2", "c1": ""}


@pytest.mark.parametrize(
    ("fault", "path", "fix"),
    [
        ({"from": "members", "over": "zones"}, "faults[0].over", "remove it"),
        ({"from": "members", "bridge": "leader"}, "faults[0].bridge", "remove it"),
        ({"from": "bridge", "bridge": "b1"}, "faults[0].bridge", "use one of them"),
        ({"from": "star"}, "faults[0].from", "use one of them"),
    ],
)
def test_bad_shapes_are_bad_input(fault, path, fix):
    found = problems("leader_killed", {**GOOD, "faults": [{"kind": "partition", "lease_s": 60, **fault}]})
    assert any(path in each.path and fix in f"{each.rule} {each.fix}" for each in found), found


# --- what a one-way cut loses ------------------------------------------------------------------------------------


def cluster(rng, synchronous):
    """A primary whose packets stop to arrive, then it dies: what the client was told, and the new primary's rows.

    Acknowledgements of the standby still arrive at the primary, but there is nothing that it could acknowledge.
    """
    cut_at, dies_at = rng.uniform(1, 3), rng.uniform(4, 6)
    moment, token, operations, standby = 0.0, SPAN, [], []
    while moment < dies_at:
        token += 1
        moment += rng.uniform(0.005, 0.05)
        arrives = moment < cut_at
        if arrives:
            standby.append(token)
        if synchronous and not arrives:
            operations.append(Operation(token, moment, dies_at, "unknown", "timeout"))
            break
        operations.append(Operation(token, moment, moment, "ok"))
    for _ in range(rng.randint(0, 50)):  # the standby leads now
        token += 1
        standby.append(token)
        operations.append(Operation(token, 9.0, 9.1, "ok"))
    return operations, standby


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("synchronous", [False, True])
def test_property_lost_rows_are_as_many_as_a_count_of_rows_lacks(seed, synchronous):
    operations, rows = cluster(random.Random(seed), synchronous)
    found = classify(operations, rows, {"b1": rows})
    acked = sum(operation.acked for operation in operations)
    assert len(found.lost) == acked - len(rows) + len(found.recovered)
    assert (len(found.lost) == 0) is synchronous
    assert found.resurrected == found.duplicated == found.foreign == ()
