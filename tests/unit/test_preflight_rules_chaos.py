"""Rules of `chaos_policy`: each with its planted violation."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import chaos
from fixtures.preflight.builders import inventory, told, with_host

GOOD = {
    "longest_lease_s": 300, "window": "22:00-05:30", "reports": "/var/lib/reports", "engine": "a1",
    "containers": {"b1": "vm-b1"}, "consul_key": "rsp/chaos/go", "proof_max_age_s": 0,
    "experiments": {"consul": "chaos/consul.yml"},
}  # fmt: skip


@pytest.mark.parametrize("policy", [GOOD, {}, {"engine": "localhost", "window": "", "consul_key": ""}])
def test_a_good_policy_is_accepted(policy):
    subject = inventory(chaos_policy=policy)
    assert told(chaos.chaos_policy, subject) == []
    assert told(chaos.chaos_policy_names, subject) == []


@pytest.mark.parametrize(
    ("policy", "where", "rule"),
    [
        ("fast", "chaos_policy", "must be a mapping, not a string"),
        ({"windows": "09:00-17:00"}, "chaos_policy.windows", "unknown key|did you mean window?"),
        ({"window": "9:00-17:00"}, "chaos_policy.window", "does not match"),
        ({"window": "09:00-24:00"}, "chaos_policy.window", "does not match"),
        ({"longest_lease_s": 14}, "chaos_policy.longest_lease_s", "is outside 15 to 900"),
        ({"longest_lease_s": 901}, "chaos_policy.longest_lease_s", "is outside 15 to 900"),
        ({"proof_max_age_s": -1}, "chaos_policy.proof_max_age_s", "is outside 0 or more"),
        ({"proof_max_age_s": "604800"}, "chaos_policy.proof_max_age_s", "must be an integer"),
        ({"consul_key": "/rsp/go"}, "chaos_policy.consul_key", "does not match"),
        ({"containers": ["a1"]}, "chaos_policy.containers", "must be a mapping"),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(policy, where, rule):
    lines = told(chaos.chaos_policy, inventory(("a1",), chaos_policy=policy))
    assert [line.startswith(f"a1|{where}|{rule}") for line in lines] == [True], lines


@pytest.mark.parametrize("changed", [{"window": "01:00-02:00"}, None])
def test_the_policy_is_one_for_all_hosts(changed):
    subject = with_host(inventory(chaos_policy=GOOD), "b1", {"chaos_policy": changed})
    [line] = told(chaos.chaos_policy, subject)
    assert line.startswith("b1|chaos_policy|differs from that of other hosts")


@pytest.mark.parametrize("name", ["chaos_polcy", "chaos_rules", "chaos_window"])
def test_no_other_variable_begins_like_it(name):
    [line] = told(chaos.chaos_policy, with_host(inventory(), "b1", {name: {}}))
    assert line.startswith(f"b1|{name}|unknown variable|an inventory sets chaos_policy only")


@pytest.mark.parametrize(
    ("policy", "where", "text"),
    [
        ({"engine": "hyper1"}, "engine", "names no host of this inventory"),
        ({"containers": {"a11": "vm-a1"}}, "containers", "names no host of this inventory|did you mean a1?"),
        ({"experiments": {"consul": ""}}, "experiments.consul", "must be the path of a YAML file"),
        ({"experiments": {"consul": ["x.yml"]}}, "experiments.consul", "must be the path of a YAML file"),
        ({"experiments": {"postgres": "x.yml"}}, "experiments", "names no service of this inventory|did you mean post"),
    ],
)
def test_what_the_policy_names_exists(policy, where, text):
    [line] = told(chaos.chaos_policy_names, inventory(chaos_policy=policy))
    assert line.startswith(f"-|chaos_policy.{where}|{text}")


@pytest.mark.parametrize("policy", ["fast", {"engine": 3, "containers": "a1", "experiments": []}, None])
def test_what_has_the_wrong_type_is_left_to_its_own_rule(policy):
    assert told(chaos.chaos_policy_names, inventory(chaos_policy=policy)) == []
