"""The four inventories: clean, alike in their keys, and of the sizes that the documentation promises."""

from __future__ import annotations

import functools
import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from fixtures.preflight.plugin import preflight, provide_secrets

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("local", "dev", "staging", "production")
# How the controller reaches hosts is each inventory's own affair, and so is the group that says it.
OWN = ("ansible_", "lab_")
OWN_GROUPS = {"lab", "machines"}


def variables(environment: str) -> dict[str, Any]:
    """All variables of group_vars/all."""
    files = sorted((ROOT / "inventories" / environment / "group_vars/all").glob("*.yml"))
    assert files
    return {key: value for path in files for key, value in yaml.safe_load(path.read_text(encoding="utf-8")).items()}


@functools.cache
def loaded(environment: str) -> InventoryManager:
    """The inventory as Ansible reads it."""
    return InventoryManager(loader=DataLoader(), sources=[str(ROOT / "inventories" / environment)])


def groups(environment: str) -> dict[str, set[str]]:
    """Group → hosts, those of child groups included."""
    return {name: set(hosts) for name, hosts in loaded(environment).get_groups_dict().items()}


def zones(environment: str, group: str) -> str:
    """Zones of a group's hosts, one a host, sorted."""
    hosts = loaded(environment).get_hosts(group)
    return "".join(sorted(host.vars["platform_zone"] for host in hosts))


def shared(environment: str) -> dict[str, Any]:
    """The variables that every inventory has."""
    return {key: value for key, value in variables(environment).items() if not key.startswith(OWN)}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_is_clean(environment, monkeypatch):
    provide_secrets(monkeypatch, f"RSP_{environment.upper()}_")
    extra = {"lab_prefix": "10.20"} if environment == "local" else {}  # `make up` writes it, tests don't need a lab
    result = preflight(ROOT / "inventories" / environment, extra, environment=environment)
    assert "failed" not in result, result["msg"]
    assert result["hosts"] == len(groups(environment)["all"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_has_its_playbook(environment):
    text = (ROOT / "playbooks/environments" / f"{environment}.yml").read_text(encoding="utf-8")
    assert f"preflight_environment: {environment}" in text
    assert len(text.splitlines()) <= 30
    assert ("preflight_confirm" in text) is (environment == "production")


@pytest.mark.parametrize("environment", ENVIRONMENTS[1:])
def test_inventories_have_the_same_keys(environment):
    assert set(shared(environment)) == set(shared("local"))
    assert set(groups(environment)) - OWN_GROUPS == set(groups("local")) - OWN_GROUPS


@pytest.mark.parametrize("environment", ENVIRONMENTS[1:])
def test_what_is_computed_is_computed_alike(environment):
    computed = {key: value for key, value in shared("local").items() if isinstance(value, str) and "groups[" in value}
    assert len(computed) >= 5
    assert {key: shared(environment)[key] for key in computed} == computed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_controller_does_not_get_the_hosts_connection(environment):
    assert not [name for name in variables(environment) if name.startswith("ansible_")]
    [own] = OWN_GROUPS & set(groups(environment))
    assert groups(environment)[own] == groups(environment)["all"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_host_runs_a_consul_server_or_agent(environment):
    found = groups(environment)
    assert found["consul_servers"] | found["consul_agents"] == found["all"]
    assert not found["consul_servers"] & found["consul_agents"]


@pytest.mark.parametrize(
    ("environment", "group", "expected"),
    [
        ("staging", "consul_servers", "abc"),
        ("staging", "etcd", "abc"),
        ("staging", "postgresql", "abc"),
        ("staging", "haproxy", "abc"),
        ("production", "consul_servers", "aabbc"),
        ("production", "etcd", "abc"),
        ("production", "postgresql", "aabc"),
        ("production", "haproxy", "abc"),
        ("production", "clients", "ab"),
        ("production", "mirrors", "c"),
    ],
)
def test_sizes_are_those_of_a_production(environment, group, expected):
    assert zones(environment, group) == expected


@pytest.mark.parametrize("environment", ENVIRONMENTS[1:])
def test_addresses_are_private(environment):
    addresses = [host.vars["ansible_host"] for host in loaded(environment).get_hosts("all")]
    assert addresses
    assert all(ipaddress.ip_address(address).is_private for address in addresses)


def test_environments_do_not_share_addresses_names_or_secrets():
    networks = [{zone["cidr"] for zone in variables(name)["platform_zones"]} for name in ENVIRONMENTS[1:]]
    assert not networks[0] & networks[1] | networks[1] & networks[2] | networks[0] & networks[2]
    names = [variables(name)["platform_name"] for name in ENVIRONMENTS]
    stores = [str(variables(name)["platform_secrets"]) for name in ENVIRONMENTS]
    assert len(set(names)) == len(set(stores)) == len(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_no_secret_file_where_people_depend_on_it(environment):
    assert variables(environment)["platform_secrets"]["backend"] == "environment"
