"""The action plugin at its edges: secrets, labels, broken files, and that it makes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.rsp.platform.plugins.action import preflight as action
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Host
from ansible_collections.rsp.platform.plugins.modules import preflight as documented
from fixtures.preflight.plugin import preflight, provide_secrets

CONTRACTS = {"consul": Contract("consul", {}, secrets={"consul/gossip": {}, "consul/bootstrap-token": {}})}
ENVIRONMENT = {"backend": "environment", "prefix": "RSP_TEST_"}


@pytest.fixture
def directory(tmp_path):
    """A small good inventory whose secrets are in a file that is not there yet."""
    hosts = {
        f"{zone}1": {"platform_zone": zone, "ansible_host": f"10.9.{index}.11"} for index, zone in enumerate("abc")
    }
    variables = {
        "platform_name": "rsp-test",
        "platform_environment": "dev",
        "platform_domain": "rsp.internal",
        "platform_zones": [{"name": zone, "cidr": f"10.9.{index}.0/24"} for index, zone in enumerate("abc")],
        "platform_address": "{{ ansible_host }}",
        "platform_mirror_url": "http://10.9.2.19:8080",
        "platform_nofile": 65536,
        "platform_secrets": {
            "backend": "file",
            "path": "{{ inventory_dir }}/store/secrets.yml",
            "key_file": "{{ inventory_dir }}/store/secrets.key",
        },
        "etcd_members": "{{ groups['etcd'] | rsp.platform.members(hostvars) }}",
    }
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    data = {"all": {"hosts": hosts, "children": {"etcd": {"hosts": dict.fromkeys(hosts)}}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    (inventory / "group_vars/all.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    return inventory


def add(directory: Path, **variables: object) -> None:
    """Variables for all hosts, beside those that are there."""
    path = directory / "group_vars/all.yml"
    path.write_text(path.read_text(encoding="utf-8") + yaml.safe_dump(variables), encoding="utf-8")


def test_a_small_inventory_is_clean(directory):
    result = preflight(directory)
    assert result.get("failed") is None, result["msg"]
    assert (result["changed"], result["hosts"]) == (False, 3)
    assert result["rules"] > 20
    assert "etcd" in result["roles"]


def test_secrets_are_not_made(directory):
    add(directory, etcd_root_password="{{ lookup('rsp.platform.secret', 'x/y', generate='password') }}")
    result = preflight(directory)
    assert result.get("failed") is None, result["msg"]
    assert not (directory / "store").exists()


def test_a_secret_that_is_asked_for_and_not_there_is_told(directory):
    add(directory, etcd_root_password="{{ lookup('rsp.platform.secret', 'x/y') }}")
    message = preflight(directory)["msg"]
    assert "etcd_root_password" in message
    assert "secret x/y is missing" in message


def test_a_variable_may_refer_to_a_roles_default(directory):
    add(directory, etcd_metrics_port="{{ etcd_client_port + 10 }}", etcd_peer_port="{{ etcd_client_port }}")
    message = preflight(directory)["msg"]
    assert "1 problem" in message
    assert "etcd_peer_port = 2379" in message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"environment": "production"}, "this playbook is for production inventories only"),
        ({"confirm": "rsp-tset"}, "add -e confirm=rsp-test"),
    ],
)
def test_arguments_are_judged(directory, change, text):
    assert text in preflight(directory, **change)["msg"]


@pytest.mark.parametrize("arguments", [{"environment": "dev"}, {"confirm": "rsp-test"}])
def test_right_arguments_pass(directory, arguments):
    assert preflight(directory, **arguments).get("failed") is None


def test_unknown_arguments_are_refused(directory):
    with pytest.raises(AnsibleActionFail, match="environmnt"):
        preflight(directory, environmnt="dev")


def test_the_documentation_describes_the_arguments():
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    kept = {
        name: {key: value for key, value in option.items() if key != "description"} for name, option in options.items()
    }
    assert kept == action.ARGUMENTS


def test_the_documentation_describes_the_result(directory):
    described = set(yaml.safe_load(documented.RETURN))
    assert described == set(preflight(directory)) - {"changed"}


def test_a_broken_file_of_the_collection_is_no_fault_of_the_inventory(directory, tmp_path, monkeypatch):
    meta = tmp_path / "collection/roles/etcd/meta"
    meta.mkdir(parents=True)
    (meta / "argument_specs.yml").write_text("a: [", encoding="utf-8")
    monkeypatch.setattr(action, "COLLECTION", tmp_path / "collection")
    with pytest.raises(AnsibleActionFail, match=r"roles/etcd/meta/argument_specs.yml can't be read"):
        preflight(directory)


def test_what_the_environment_lacks(monkeypatch):
    monkeypatch.setenv("RSP_TEST_CONSUL_GOSSIP", "planted")
    hosts = [Host("a1", {"platform_secrets": ENVIRONMENT})]
    missing = action.missing_secrets(hosts, CONTRACTS)
    assert missing == {"consul/bootstrap-token": "set the environment variable RSP_TEST_CONSUL_BOOTSTRAP_TOKEN"}


def test_an_empty_secret_is_none(monkeypatch):
    monkeypatch.setenv("RSP_TEST_CONSUL_GOSSIP", "")
    assert "consul/gossip" in action.missing_secrets([Host("a1", {"platform_secrets": ENVIRONMENT})], CONTRACTS)


@pytest.mark.parametrize("store", [None, "file", {"backend": "file"}, {}, {"backend": "environment"}])
def test_a_store_that_makes_its_secrets_or_is_incomplete_lacks_none(store):
    assert action.missing_secrets([Host("a1", {"platform_secrets": store})], CONTRACTS) == {}


def test_without_hosts_nothing_is_lacking():
    assert action.missing_secrets([], CONTRACTS) == {}


def test_every_secret_of_the_roles_has_a_variable(monkeypatch):
    provide_secrets(monkeypatch, "RSP_TEST_")
    assert action.missing_secrets([Host("a1", {"platform_secrets": ENVIRONMENT})], CONTRACTS) == {}


@pytest.mark.parametrize(
    ("source", "text"),
    [("inventories/staging", "inventories/staging"), ("/srv/inventories/x", "/srv/inventories/x"), ("", None)],
)
def test_an_inventory_is_called_by_its_path(source, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(source) if source.startswith("/") else tmp_path / source
    assert action.label(str(path)) == (text or str(tmp_path))
