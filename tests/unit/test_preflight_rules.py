"""Every rule of preflight (a): silent on a good inventory, and loud on one with a planted violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight import registry
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Host, Run
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import (
    members,
    platform,
    relations,
    roles,
    run,
    secrets,
)
from fixtures.preflight.builders import CONTRACTS, ZONES, inventory, member, told, values, with_host

GOOD = inventory()


@pytest.mark.parametrize("rule", registry.RULES, ids=lambda rule: rule.__name__)
def test_a_good_inventory_breaks_no_rule(rule):
    assert told(rule, GOOD) == []


def test_every_public_rule_is_registered():
    rooms = (members, platform, relations, roles, run, secrets)
    public = {
        name
        for room in rooms
        for name, thing in vars(room).items()
        if getattr(thing, "__module__", None) == room.__name__ and callable(thing) and not name.startswith("_")
    }
    assert public == {rule.__name__ for rule in registry.RULES}


# --- shared variables


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


# --- members and quorum


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


EIGHT = ("a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3")


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


# --- role variables


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
        ("__consul_files", "is internal to role consul: the role computes it", "remove it"),
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


# --- relations between variables


TRIO = [member(name) for name in ("a1", "b1", "c1")]


@pytest.mark.parametrize(
    ("rule", "changes", "line"),
    [
        (
            relations.etcd_election_outlasts_heartbeats,
            {"etcd_election_ms": 400},
            "etcd_election_ms|is below 5 heartbeats of 100 ms: a short delay starts an election|use 500 or more",
        ),
        (
            relations.etcd_election_outlasts_heartbeats,
            {"etcd_heartbeat_ms": 300},
            "etcd_election_ms|is below 5 heartbeats of 300 ms: a short delay starts an election|use 1500 or more",
        ),
        (
            relations.postgresql_lock_outlasts_retries,
            {"postgresql_retry_timeout": 10},
            "postgresql_ttl|is below postgresql_loop_wait + 2 x postgresql_retry_timeout = 22"
            "|use 22 or more, or shorten the other two",
        ),
        (
            relations.postgresql_pool_fits,
            {"postgresql_max_connections": 50},
            "postgresql_pgbouncer_default_pool_size|with the reserve of 10 is above the 45 connections that clients"
            " can have|lower it, or raise postgresql_max_connections",
        ),
        (
            relations.postgresql_standbys_exist,
            {"postgresql_synchronous_node_count": 3},
            "postgresql_synchronous_node_count|is more than the 2 standbys of 3 members|use 2 or less, or add members",
        ),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "etcd_members": []},
            "postgresql_dcs|etcd_members is empty: there would be no store for the leader lock"
            "|give etcd members, or use another store",
        ),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "postgresql_endpoint": "consul_dns"},
            "postgresql_endpoint|Patroni registers services in Consul only when that is its store"
            "|set postgresql_dcs: consul, or postgresql_endpoint: haproxy",
        ),
    ],
)
def test_relations_that_do_not_hold(rule, changes, line):
    subject = inventory(**{"etcd_members": TRIO, **changes})
    assert told(rule, subject) == [f"{name}|{line}" for name in ("a1", "b1", "c1")]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (relations.etcd_election_outlasts_heartbeats, {"etcd_heartbeat_ms": 200}),
        (relations.etcd_election_outlasts_heartbeats, {"etcd_heartbeat_ms": "200", "etcd_election_ms": 300}),
        (relations.etcd_election_outlasts_heartbeats, {"etcd_election_ms": 400, "etcd_members": []}),
        (relations.postgresql_lock_outlasts_retries, {"postgresql_retry_timeout": 9}),
        (relations.postgresql_lock_outlasts_retries, {"postgresql_ttl": "5"}),
        (relations.postgresql_pool_fits, {"postgresql_max_connections": 55}),
        (relations.postgresql_pool_fits, {"postgresql_max_connections": None}),
        (relations.postgresql_standbys_exist, {"postgresql_synchronous_node_count": 2}),
        (
            relations.postgresql_standbys_exist,
            {"postgresql_synchronous_node_count": 9, "postgresql_synchronous_mode": False},
        ),
        (relations.postgresql_standbys_exist, {"postgresql_members": TRIO[:1]}),
        (relations.postgresql_store_exists, {"postgresql_dcs": "etcd"}),
        (
            relations.postgresql_store_exists,
            {"postgresql_dcs": "etcd", "etcd_members": [], "postgresql_etcd_members": TRIO},
        ),
        (relations.postgresql_store_exists, {"postgresql_dcs": "consul", "postgresql_endpoint": "consul_dns"}),
        (relations.postgresql_store_exists, {"postgresql_dcs": "zookeeper"}),
    ],
)
def test_relations_that_hold_or_can_not_be_judged(rule, changes):
    assert told(rule, inventory(**{"etcd_members": TRIO, **changes})) == []


# --- secrets


@pytest.mark.parametrize(
    ("store", "path", "rule"),
    [
        ({"backend": "environment"}, "platform_secrets.prefix", "back-end environment needs it"),
        ({"backend": "file", "path": "/x"}, "platform_secrets.key_file", "back-end file needs it"),
        (
            {"backend": "environment", "prefix": "X_", "path": "/x"},
            "platform_secrets.path",
            "is no key of back-end environment",
        ),
    ],
)
def test_the_back_end_is_described_completely(store, path, rule):
    lines = told(secrets.backend_complete, with_host(GOOD, "a1", {"platform_secrets": store}))
    assert [line.split("|")[:3] for line in lines] == [["a1", path, rule]]


@pytest.mark.parametrize("store", [{"backend": "valt"}, {}, "file"])
def test_an_unknown_back_end_is_left_to_its_own_rule(store):
    assert told(secrets.backend_complete, inventory(platform_secrets=store)) == []


LACKING = Run(missing={"consul/gossip": "set the environment variable RSP_CONSUL_GOSSIP", "kafka/x": "set it"})


def test_secrets_that_the_store_can_not_make_are_there():
    assert told(secrets.secrets_present, replace(GOOD, run=LACKING)) == [
        "controller|consul/gossip|role consul needs this secret, and the store can't make it"
        "|set the environment variable RSP_CONSUL_GOSSIP"
    ]


def test_services_without_members_need_no_secrets():
    assert told(secrets.secrets_present, replace(inventory(consul_members=[]), run=LACKING)) == []


# --- the call


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
    [line] = told(members.limit_keeps_services_whole, called(limit=limited, limited=frozenset(limited)))
    assert line == f"command line|--limit|holds 2 of 3 voters of consul, but not c1|{fix}"


def test_a_limit_on_five_members_may_hold_two():
    five = inventory(EIGHT, consul_members=[member(name) for name in EIGHT[:5]])
    two, three = (replace(five, run=Run(limit=("x",), limited=frozenset(EIGHT[:n]))) for n in (2, 3))
    assert told(members.limit_keeps_services_whole, two) == []
    assert "holds 3 of 5 voters" in told(members.limit_keeps_services_whole, three)[0]


@pytest.mark.parametrize("limited", [("a1",), ("a1", "b1", "c1"), ()])
def test_one_member_all_or_none_is_safe(limited):
    assert told(members.limit_keeps_services_whole, called(limit=("x",), limited=frozenset(limited))) == []


# --- all together


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
