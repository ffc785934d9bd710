"""Rules of the shared topology: each with its planted violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import platform
from fixtures.preflight.builders import ZONES, inventory, member, told, with_host

GOOD = inventory()


@pytest.mark.parametrize(
    ("changes", "variable", "rule"),
    [
        ({"platform_zone": None}, "platform_zone", "a required variable is not set"),
        ({"platform_name": None}, "platform_name", "a required variable is not set"),
        ({"platform_name": "My Platform"}, "platform_name", "does not match"),
        ({"platform_environment": "prod"}, "platform_environment", "must be one of local, dev, staging, production"),
        ({"platform_domain": "internal"}, "platform_domain", "does not match"),
        ({"platform_zones": "a,b,c"}, "platform_zones", "must be a list, not a string"),
        ({"platform_zones": [{"cidr": "10.0.0.0/24"}]}, "platform_zones[0].name", "a required key is not set"),
        ({"platform_zones": [{"name": "a"}]}, "platform_zones[0].cidr", "a required key is not set"),
        ({"platform_mirror_url": "mirror:8080"}, "platform_mirror_url", "does not match"),
        ({"platform_nofile": "65536"}, "platform_nofile", "must be an integer, not a string"),
        ({"platform_nofile": 100}, "platform_nofile", "is outside 1024 to 1048576"),
        ({"platform_allow_single": "yes"}, "platform_allow_single", "must be a boolean, not a string"),
        ({"platform_secrets": {"backend": "valt"}}, "platform_secrets.backend", "must be one of file, environment"),
        ({"platform_zonne": "a"}, "platform_zonne", "unknown shared variable"),
        ({"platform_foo_bar_baz": 1}, "platform_foo_bar_baz", "unknown shared variable"),
    ],
)
def test_shared_variables(changes, variable, rule):
    [line] = told(platform.platform_variables, with_host(GOOD, "b1", changes))
    assert line.startswith(f"b1|{variable}|{rule}")


def test_a_typo_in_a_shared_variable_names_the_nearest():
    [line] = told(platform.platform_variables, with_host(GOOD, "b1", {"platform_zonne": "a"}))
    assert line.endswith("did you mean platform_zone?")


def test_a_shared_variable_that_can_not_be_computed_is_left_to_its_own_rule():
    broken = replace(GOOD.hosts[0], variables={**GOOD.hosts[0].variables}, broken={"platform_zone": "x"})
    broken.variables.pop("platform_zone")
    assert told(platform.platform_variables, replace(GOOD, hosts=(broken, *GOOD.hosts[1:]))) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("platform_name", "rsp-other"),
        ("platform_environment", "local"),
        ("platform_zones", ZONES[:2]),
        ("consul_members", [member("a1")]),
    ],
)
def test_what_describes_the_platform_is_the_same_on_every_host(variable, value):
    [line] = told(platform.same_everywhere, with_host(GOOD, "c1", {variable: value}))
    assert line.startswith(f"c1|{variable}|differs from a1")


@pytest.mark.parametrize(("variable", "value"), [("platform_zone", "b"), ("platform_nofile", 2048)])
def test_what_describes_a_host_may_differ(variable, value):
    assert told(platform.same_everywhere, with_host(GOOD, "c1", {variable: value})) == []


@pytest.mark.parametrize(
    ("zones", "path", "rule"),
    [
        ([*ZONES, {"name": "a", "cidr": "10.8.0.0/24"}], "platform_zones[3].name", "two zones have the same name"),
        ([{"name": "a", "cidr": "10.9.0.0/33"}], "platform_zones[0].cidr", "is no network"),
        ([{"name": "a", "cidr": "10.9.0.1/24"}], "platform_zones[0].cidr", "is no network"),
        ([*ZONES, {"name": "d", "cidr": "10.9.0.0/16"}], "platform_zones[3].cidr", "overlaps zone a"),
    ],
)
def test_zones_can_be_told_apart(zones, path, rule):
    line = told(platform.zone_networks, inventory(platform_zones=zones))[0]
    assert line.startswith(f"-|{path}|{rule}")


@pytest.mark.parametrize(
    "zones",
    [
        [{"name": "a"}, {"name": "b"}],
        [{"name": "a", "cidr": "10.0.0.0/24"}, {"name": "b", "cidr": "fd00::/64"}],
        "no list",
        [3],
    ],
)
def test_zones_without_networks_or_of_the_wrong_type_are_not_judged_twice(zones):
    assert told(platform.zone_networks, inventory(platform_zones=zones)) == []


@pytest.mark.parametrize(("zone", "fix"), [("d", "use one of a, b, c"), ("zone-a", "use one of a, b, c")])
def test_a_zone_must_be_listed(zone, fix):
    [line] = told(platform.known_zones, with_host(GOOD, "a1", {"platform_zone": zone}))
    assert line.startswith("a1|platform_zone|is not listed in platform_zones|" + fix)


def test_a_misspelt_zone_names_the_nearest():
    zones = [{"name": "moscow-1"}, {"name": "moscow-2"}]
    subject = inventory(("a1",), platform_zones=zones, platform_zone="moscw-1")
    assert told(platform.known_zones, subject)[0].endswith("did you mean moscow-1?")


@pytest.mark.parametrize("variable", ["platform_address", "ansible_host"])
def test_addresses_are_unique(variable):
    [line] = told(platform.unique_addresses, with_host(GOOD, "b1", {variable: "10.9.0.11"}))
    assert line.startswith(f"a1,b1|{variable}|several hosts have this address")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("10.9.1.11", "is outside 10.9.0.0/24, the network of zone a"),
        ("fd00::1", "is outside 10.9.0.0/24, the network of zone a"),
        ("127.0.0.1", "peers can't reach a host at this address"),
        ("0.0.0.0", "peers can't reach a host at this address"),
        ("224.0.0.1", "peers can't reach a host at this address"),
    ],
)
def test_an_address_lies_in_its_zone(address, rule):
    [line] = told(platform.address_in_zone, with_host(GOOD, "a1", {"platform_address": address}))
    assert line.startswith(f"a1|platform_address|{rule}")


@pytest.mark.parametrize(
    "subject",
    [
        with_host(GOOD, "a1", {"platform_address": "a1.rsp.internal"}),
        inventory(platform_zones=[{"name": zone} for zone in "abc"]),
        inventory(platform_zones=[{"name": zone, "cidr": "nonsense"} for zone in "abc"]),
    ],
)
def test_names_and_zones_without_networks_can_not_be_compared(subject):
    assert told(platform.address_in_zone, subject) == []
