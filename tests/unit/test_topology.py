"""The shared variables: specified in one module, described on one page, and nothing else is shared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.rsp.platform.plugins.filter import topology as filters
from ansible_collections.rsp.platform.plugins.module_utils import topology
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults

ROOT = Path(__file__).resolve().parents[2]


def documented(page: str) -> set[str]:
    """Names of the shared variables in the tables of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(platform_\w+)` \|", text, re.MULTILINE))


def test_the_page_describes_exactly_the_specified_variables():
    assert documented("platform-variables.md") == set(topology.PLATFORM)


def test_variables_of_a_host_are_specified():
    assert set(topology.PER_HOST) <= set(topology.PLATFORM)


def test_roles_read_no_other_shared_variable():
    sources = [path for path in (ROOT / "roles").rglob("*.*") if path.suffix in (".yml", ".j2")]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    used = {name for text in texts for name in re.findall(r"(?<![\w/.-])platform_[a-z_]+\b", text)}
    assert used, "nothing was found: the search is broken"
    assert used <= set(topology.PLATFORM), used - set(topology.PLATFORM)


def test_small_environments_are_environments():
    assert set(topology.SMALL_ENVIRONMENTS) < set(topology.ENVIRONMENTS)


@pytest.mark.parametrize("backend", topology.SECRET_BACKENDS)
def test_a_back_end_has_keys_that_are_specified(backend):
    options = topology.PLATFORM["platform_secrets"].options
    assert set(topology.SECRET_BACKENDS[backend]) <= set(options)
    assert backend in options["backend"].choices


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("platform_name", "rsp-local", True),
        ("platform_name", "r", True),
        ("platform_name", "-rsp", False),
        ("platform_name", "rsp_local", False),
        ("platform_name", "r" * 64, False),
        ("platform_domain", "rsp.internal", True),
        ("platform_domain", "rsp..internal", False),
        ("platform_mirror_url", "http://10.0.0.1:8080", True),
        ("platform_mirror_url", "https://mirror.rsp.internal/artifacts", True),
        ("platform_mirror_url", "ftp://mirror", False),
        ("platform_nofile", 1024, True),
        ("platform_nofile", 1023, False),
        ("platform_zone", "msk-1", True),
        ("platform_zone", "MSK", False),
        ("platform_secrets", {"backend": "environment", "prefix": "RSP_"}, True),
        ("platform_secrets", {"backend": "environment", "prefix": "rsp-"}, False),
        ("platform_zones", [{"name": "a", "cidr": "10.0.0.0/24"}], True),
        ("platform_zones", [{"cidr": "10.0.0.0/24"}], False),
    ],
)
def test_values_of_shared_variables(name, value, accepted):
    assert (not list(faults(name, topology.PLATFORM[name], value))) is accepted


def test_a_member_has_a_name_an_address_and_a_zone():
    good = [{"name": "a1", "address": "10.0.0.1", "zone": "a"}]
    assert not list(faults("x_members", topology.MEMBER, good))
    assert [fault.path for fault in faults("x_members", topology.MEMBER, [{"name": "a1"}])] == [
        "x_members[0].address",
        "x_members[0].zone",
    ]


HOSTVARS = {
    "a1": {"platform_address": "10.0.0.1", "platform_zone": "a"},
    "b1": {"platform_address": "10.0.1.1", "platform_zone": "b"},
    "c1": {"platform_address": "10.0.2.1"},
    "d1": {"platform_address": "", "platform_zone": "d"},
}


@pytest.mark.parametrize(
    ("hosts", "members"),
    [
        ([], []),
        (
            ["b1", "a1"],
            [{"name": "b1", "address": "10.0.1.1", "zone": "b"}, {"name": "a1", "address": "10.0.0.1", "zone": "a"}],
        ),
    ],
)
def test_members_are_computed_from_host_names_in_their_order(hosts, members):
    assert filters.FilterModule().filters()["members"](hosts, HOSTVARS) == members


@pytest.mark.parametrize(("host", "variable"), [("c1", "platform_zone"), ("d1", "platform_address")])
def test_a_member_without_zone_or_address_is_an_error(host, variable):
    with pytest.raises(AnsibleFilterError, match=f"{host}: {variable} is not set"):
        filters.members(["a1", host], HOSTVARS)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, ["a1", "a2", "b1", "b2", "c1"]),
        ({"a1": 4}, ["b1", "b2", "c1", "a2", "a1"]),
        ({"a1": 1, "b2": 2, "c1": 4}, ["a2", "a1", "b1", "b2", "c1"]),
        ({"a1": 7}, ["b1", "b2", "c1", "a2", "a1"]),
        ({"a1": 2, "a2": 1, "b1": 4}, ["c1", "a2", "a1", "b2", "b1"]),
        ({"a1": "4"}, ["b1", "b2", "c1", "a2", "a1"]),
    ],
)
def test_leaders_go_last_zone_by_zone(weights, expected):
    hosts = ["b1", "a1", "a2", "b2", "c1"]
    hostvars = {host: {"platform_zone": host[0], "__patch_weight": weights.get(host, 0)} for host in hosts}
    assert filters.leaders_last(hosts, hostvars) == expected
    assert filters.leaders_last(["ops"], {"ops": {}}) == ["ops"]
