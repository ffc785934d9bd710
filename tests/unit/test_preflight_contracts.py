"""A role's contract is its argument specs and its rules; a rule about nothing is a fault of the collection."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.preflight.contracts import (
    ContractError,
    contract_from,
    option_from,
    read_contracts,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults

ROLES = Path(__file__).resolve().parents[2] / "roles"

SPECS = {
    "argument_specs": {
        "main": {"options": {"etcd_port": {"type": "int", "default": 2379}, "etcd_version": {}}},
        "objects": {"options": {"etcd_users": {"type": "list", "elements": "dict"}}},
    }
}


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def role(tmp_path, name, specs=None, rules=None):
    meta = tmp_path / name / "meta"
    meta.mkdir(parents=True)
    if specs is not None:
        (meta / "argument_specs.yml").write_text(yaml.safe_dump(specs), encoding="utf-8")
    if rules is not None:
        (meta / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")


def test_options_of_all_entry_points_are_known():
    assert set(contract_from("etcd", SPECS, None).options) == {"etcd_port", "etcd_version", "etcd_users"}


def test_without_rules_nothing_more_is_known():
    contract = contract_from("etcd", SPECS, None)
    assert (contract.voters, contract.ports) == (None, ())
    assert contract.removed == contract.versions == contract.secrets == {}


def test_rules_are_taken_over():
    rules = {
        "voters": "odd",
        "ranges": {"etcd_port": {"min": 1024, "max": 65535}},
        "removed": {"etcd_hosts": "etcd_members"},
        "versions": {"etcd_version": "etcd"},
        "ports": ["etcd_port"],
        "everywhere": True,
        "secrets": ["etcd/root", {"name": "x/y", "when": {"etcd_port": 1}}],
    }
    contract = contract_from("etcd", SPECS, rules)
    assert contract.voters == "odd"
    assert (contract.options["etcd_port"].minimum, contract.options["etcd_port"].maximum) == (1024, 65535)
    assert contract.removed == {"etcd_hosts": "etcd_members"}
    assert contract.versions == {"etcd_version": "etcd"}
    assert contract.ports == ("etcd_port",)
    assert contract.everywhere is True
    assert contract.secrets == {"etcd/root": {}, "x/y": {"etcd_port": 1}}
    assert contract.members_variable == "etcd_members"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"quorum": True}, "unknown keys quorum"),
        ({"voters": "even"}, "voters must be one of odd, any"),
        ({"ranges": {"etcd_prt": {"min": 1}}}, "ranges names no variable: etcd_prt"),
        ({"versions": {"etcd_verson": "etcd"}}, "versions names no variable: etcd_verson"),
        ({"ports": ["etcd_prt"]}, "ports names no variable: etcd_prt"),
        ({"removed": {"etcd_port": "x"}}, "removed, but still specified: etcd_port"),
    ],
)
def test_rules_that_do_not_fit_the_specs_are_refused(rules, message):
    with pytest.raises(ContractError, match=message):
        contract_from("etcd", SPECS, rules)


@pytest.mark.parametrize(
    ("entry", "option"),
    [
        ({}, Option()),
        ({"type": "int", "default": 3}, Option(type="int", default=3)),
        ({"required": True, "no_log": True}, Option(required=True, secret=True)),
        ({"choices": ["a", "b"], "default": "a"}, Option(choices=("a", "b"), default="a")),
        ({"default": "{{ platform_name }}"}, Option()),
        ({"type": "list", "default": ["DNS:{{ inventory_hostname }}"]}, Option(type="list")),
        ({"type": "dict", "options": {"x": {"type": "int"}}}, Option(type="dict", options={"x": Option(type="int")})),
    ],
)
def test_options_in_the_terms_of_argument_specs(entry, option):
    assert option_from(entry) == option


def test_every_role_with_specs_is_read(tmp_path):
    role(tmp_path, "etcd", SPECS, {"voters": "odd"})
    role(tmp_path, "pki", {"argument_specs": {"main": {}}})
    role(tmp_path, "unfinished")
    contracts = read_contracts(tmp_path, read)
    assert sorted(contracts) == ["etcd", "pki"]
    assert contracts["etcd"].voters == "odd"
    assert contracts["pki"].options == {}


def test_no_roles_at_all_is_an_empty_answer(tmp_path):
    assert read_contracts(tmp_path / "nowhere", read) == {}


def test_the_roles_keep_their_own_rules():
    contracts = read_contracts(ROLES, read)
    judged = {
        fault.path: fault.rule
        for contract in contracts.values()
        for name, option in contract.options.items()
        if option.default is not None
        for fault in faults(name, option, option.default)
    }
    assert judged == {}
    assert {"consul", "etcd", "postgresql"} <= {role for role, contract in contracts.items() if contract.voters}


@pytest.mark.parametrize("role", ["consul", "etcd", "postgresql", "haproxy", "mirror", "pki"])
def test_every_number_of_a_role_has_a_range(role):
    options = read_contracts(ROLES, read)[role].options
    numbers = {name: option for name, option in options.items() if option.type in ("int", "float")}
    unbounded = [name for name, option in numbers.items() if option.minimum is None or option.maximum is None]
    assert numbers
    assert unbounded == []
