"""Rules of role variables: each with its planted violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Host
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import roles
from fixtures.preflight.builders import CONTRACTS, EIGHT, inventory, member, told, with_host

GOOD = inventory()


def test_what_can_not_be_computed_is_told_once_for_each_cause():
    cause = "'x' is undefined"
    hosts = (
        Host("a1", {}, {"consul_members": cause, "ansible_host": cause, "consul_ui": "no", "platform_address": cause}),
        Host("b1", {}, {"consul_members": cause}),
        Host("c1", {}, {"consul_members": cause, "consul_ui": "no"}),
    )
    lines = told(roles.templates_resolve, replace(GOOD, hosts=hosts))
    assert [line.split("|")[:3] for line in lines] == [
        [
            "a1",
            "ansible_host",
            "can't be computed: 'x' is undefined (this breaks consul_members, platform_address too)",
        ],
        ["a1,c1", "consul_ui", "can't be computed: no"],
    ]


@pytest.mark.parametrize(
    ("name", "rule", "fix"),
    [
        ("consul_log_levl", "unknown variable of role consul", "did you mean consul_log_level?"),
        ("postgresql_max_conection", "unknown variable of role postgresql", "did you mean postgresql_max_connections?"),
        ("consul_xyz", "unknown variable of role consul", "remove it; roles/consul/README.md lists them all"),
        ("consul_servers", "was removed from role consul", "use consul_members"),
    ],
)
def test_names_of_role_variables(name, rule, fix):
    [line] = told(roles.known_names, with_host(GOOD, "a1", {name: 1}))
    assert line.startswith(f"a1|{name}|{rule}|{fix}")


def test_names_that_can_not_be_computed_are_checked_too():
    subject = replace(GOOD, hosts=(replace(GOOD.hosts[0], broken={"consul_uii": "x"}),))
    assert len(told(roles.known_names, subject)) == 1


@pytest.mark.parametrize("name", ["consul_prune", "consulate_x", "my_consul_x", "other"])
def test_other_names_are_none_of_preflights_business(name):
    assert told(roles.known_names, with_host(GOOD, "a1", {name: "report"})) == []


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("consul_ui", "yes", "must be a boolean, not a string"),
        ("consul_http_port", "8501", "must be an integer, not a string"),
        ("consul_log_level", "warn", "must be one of info, debug"),
        ("consul_datacenter", ["x"], "must be a string, not a list"),
        ("consul_prune", "drop", "must be one of report, delete"),
        ("postgresql_max_connections", 10, "is outside 20 to 5000"),
        ("postgresql_max_connections", 6000, "is outside 20 to 5000"),
        ("consul_members", "a1,b1", "must be a list, not a string"),
    ],
)
def test_values_of_role_variables(name, value, rule):
    [line] = told(roles.right_values, with_host(GOOD, "a1", {name: value}))
    assert line.startswith(f"a1|{name}|{rule}")


def test_the_parts_of_a_member_are_required():
    [line] = told(roles.right_values, with_host(GOOD, "a1", {"consul_members": [{"name": "a1", "address": "x"}]}))
    assert line.startswith("a1|consul_members[0].zone|a required key is not set")


def test_an_empty_variable_is_not_its_default():
    empty = replace(GOOD.hosts[0], variables={**GOOD.hosts[0].variables, "consul_datacenter": None})
    [line] = told(roles.right_values, replace(GOOD, hosts=(empty,)))
    assert line == (
        'a1|consul_datacenter|is empty, which is not the default|give it a value, or remove it to get the default "rsp"'
    )


def test_an_empty_variable_without_a_default_is_unset():
    empty = replace(GOOD.hosts[0], variables={**GOOD.hosts[0].variables, "consul_gossip_key": None})
    assert told(roles.right_values, replace(GOOD, hosts=(empty,))) == []


def test_what_a_role_requires_is_set_on_its_members():
    assert told(roles.required_are_set, with_host(GOOD, "b1", {"postgresql_scope": None})) == [
        "b1|postgresql_scope|role postgresql requires it|set it"
    ]


def test_what_a_role_requires_is_not_asked_of_other_hosts():
    subject = inventory(("a1", "b1", "c1", "a2"))
    assert told(roles.required_are_set, with_host(subject, "a2", {"postgresql_scope": None})) == []


@pytest.mark.parametrize(("version", "fix"), [("1.22.4", "use 1.22."), ("9", "use 1.22.5, or add it to the catalogue")])
def test_versions_are_in_the_catalogue(version, fix):
    [line] = told(roles.listed_versions, with_host(GOOD, "a1", {"consul_version": version}))
    assert f"consul {version} is not in the catalogue, which lists 1.22.3, 1.22.5|{fix}" in line


def test_a_listed_version_is_accepted():
    assert told(roles.listed_versions, inventory(consul_version="1.22.3")) == []


def test_an_artifact_that_is_not_listed_at_all():
    subject = replace(inventory(consul_version="1.22.3"), catalogue={})
    assert "which lists none" in told(roles.listed_versions, subject)[0]


@pytest.mark.parametrize(
    ("changes", "variable", "other"),
    [
        ({"postgresql_port": 8501}, "postgresql_port", "consul_http_port"),
        ({"consul_http_port": 5432}, "postgresql_port", "consul_http_port"),
    ],
)
def test_services_on_one_host_have_their_own_ports(changes, variable, other):
    lines = told(roles.separate_ports, inventory(**changes))
    assert len(lines) == 3
    assert lines[0] == f"a1|{variable}|{other} has this port on the same host|give one of them another port"


def test_services_on_different_hosts_may_share_a_port():
    subject = inventory(EIGHT, postgresql_port=8501, postgresql_members=[member(name) for name in ("a2", "b2", "c2")])
    assert told(roles.separate_ports, subject) == []


def test_agents_of_other_hosts_have_ports_too():
    agents = {**CONTRACTS, "consul": replace(CONTRACTS["consul"], everywhere=True)}
    subject = inventory(EIGHT, postgresql_port=8501, postgresql_members=[member(name) for name in ("a2", "b2", "c2")])
    lines = told(roles.separate_ports, replace(subject, contracts=agents))
    assert [line.split("|")[:2] for line in lines] == [[name, "postgresql_port"] for name in ("a2", "b2", "c2")]


def test_a_port_that_can_not_be_computed_is_not_guessed():
    hosts = tuple(replace(host, broken={"postgresql_port": "x"}) for host in inventory(consul_http_port=5432).hosts)
    assert told(roles.separate_ports, replace(GOOD, hosts=hosts)) == []


def test_results_of_an_earlier_play_are_no_variables_of_the_inventory():
    assert told(roles.known_names, with_host(GOOD, "a1", {"__consul_files": {"changed": True}})) == []
