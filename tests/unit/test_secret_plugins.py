"""Lookup `secret` and action `secret_set` as roles call them, in templates and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.rsp.platform.plugins.action.secret_set import ActionModule
from ansible_collections.rsp.platform.plugins.lookup import secret
from ansible_collections.rsp.platform.plugins.modules import secret_set
from ansible_collections.rsp.platform.plugins.plugin_utils import lookups
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store

CANARY = "CANARY-91bc"


@pytest.fixture
def variables(tmp_path):
    """Variables as a play has them: the store's path is itself a template."""
    return {
        "inventory_hostname": "a1",
        "ansible_check_mode": False,
        "here": str(tmp_path),
        "platform_secrets": {
            "backend": "file",
            "path": trust_as_template("{{ here }}/secrets.yml"),
            "key_file": trust_as_template("{{ here }}/secrets.key"),
        },
    }


@pytest.fixture
def store(tmp_path):
    return open_store({"backend": "file", "path": f"{tmp_path}/secrets.yml", "key_file": f"{tmp_path}/secrets.key"})


@pytest.fixture
def in_environment(variables):
    return {**variables, "platform_secrets": {"backend": "environment", "prefix": "D_"}}


def render(variables: dict[str, Any], expression: str) -> Any:
    """An expression of a role, evaluated as Ansible does it."""
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(f"{{{{ {expression} }}}}"))


def lookup(variables: dict[str, Any], arguments: str) -> Any:
    return render(variables, f"lookup('rsp.platform.secret', {arguments})")


# --- the lookup


def test_a_secret_is_made_once(variables, store):
    first = lookup(variables, "'postgresql/replication', generate='password', length=20")
    assert len(first) == 20
    assert lookup(variables, "'postgresql/replication', generate='hex'") == first
    assert lookup(variables, "'postgresql/replication'") == first == store.get("postgresql/replication")


def test_several_secrets_in_order(variables, store):
    store.put({"b": "2"})
    made = render(variables, "query('rsp.platform.secret', 'a', 'b', generate='uuid')")
    assert made == [store.get("a"), "2"]


def test_a_value_is_never_a_template(variables, store):
    store.put({"a": "{{ 6 * 7 }}"})
    variables["b"] = trust_as_template("{{ lookup('rsp.platform.secret', 'a') }}!")
    assert render(variables, "b") == "{{ 6 * 7 }}!"


@pytest.mark.parametrize("value", ["12", "true", "[1]", "null"])
def test_a_value_stays_text(variables, store, value):
    store.put({"a": value})
    assert lookup(variables, "'a'") == value


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("'a'", "secret a is missing → .*secrets.yml does not exist yet.*secret_set"),
        ("'a', kind='uuid'", "unknown option kind: one of _terms, default, generate, length"),
        ("'a', generate='pasword'", "pasword"),
        ("'a', generate='hex', length=0", "length=0 makes no secret"),
        ("'Not A Name', generate='hex'", "'Not A Name' is no name of a secret"),
    ],
)
def test_errors_say_what_to_do(variables, arguments, text, tmp_path):
    with pytest.raises(AnsibleError, match=f"(?s){text}"):
        lookup(variables, arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_way_to_set_it(variables, store):
    store.put({"a": CANARY})
    with pytest.raises(AnsibleError, match="secret b is missing → add it with ansible-vault edit") as caught:
        lookup(variables, "'b'")
    assert CANARY not in str(caught.value)


def test_a_default_is_not_kept(variables, tmp_path):
    assert lookup(variables, "'a', default=''") == ""
    assert list(tmp_path.iterdir()) == []


def test_check_mode_makes_a_value_up_and_keeps_nothing(variables, tmp_path):
    checking = {**variables, "ansible_check_mode": True}
    first = lookup(checking, "'a', generate='base64', length=32")
    assert len(first) == 44
    assert lookup(checking, "'a', generate='base64'") != first
    assert list(tmp_path.iterdir()) == []


def test_check_mode_reads_what_is_there(variables, store):
    store.put({"a": "1"})
    assert lookup({**variables, "ansible_check_mode": True}, "'a', generate='uuid'") == "1"


def test_check_mode_makes_up_nothing_that_the_real_run_would_lack(variables):
    with pytest.raises(AnsibleError, match="secret a is missing"):
        lookup({**variables, "ansible_check_mode": True}, "'a'")


def test_no_store_is_an_error(variables):
    del variables["platform_secrets"]
    with pytest.raises(AnsibleError, match="platform_secrets is not set"):
        lookup(variables, "'a', generate='uuid'")


@pytest.mark.parametrize("arguments", ["'consul/gossip'", "'consul/gossip', generate='base64'"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_not_in_the_environment_is_never_made(in_environment, arguments, check_mode):
    in_environment["ansible_check_mode"] = check_mode
    with pytest.raises(AnsibleError, match=r"set the environment variables? D_CONSUL_GOSSIP"):
        lookup(in_environment, arguments)


def test_the_environment_is_read(in_environment, monkeypatch):
    monkeypatch.setenv("D_CONSUL_GOSSIP", CANARY)
    assert lookup(in_environment, "'consul/gossip', generate='base64'") == CANARY


def test_lookups_share_one_base():
    assert issubclass(secret.LookupModule, lookups.StoreLookup)


# --- the action


def keep(variables: dict[str, Any], arguments: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """The result of a task with secret_set."""
    loader = DataLoader()
    task = Task.load({"action": "rsp.platform.secret_set", "check_mode": check_mode})
    task.args = arguments
    context = PlayContext()
    connection = connection_loader.get("local", context)
    templar = Templar(loader=loader, variables=variables)
    return ActionModule(task, connection, context, loader, templar, None).run(task_vars=variables)


def test_values_are_kept_and_only_named(variables, store):
    result = keep(variables, {"secrets": {"b": CANARY, "a": "1"}})
    assert (result["changed"], result["names"]) == (True, ["a", "b"])
    assert CANARY not in str(result)
    assert store.get("b") == CANARY


def test_keeping_again_changes_nothing(variables, store):
    store.put({"a": "1", "b": "2"})
    assert keep(variables, {"secrets": {"a": "1", "b": "2"}})["changed"] is False
    assert keep(variables, {"secrets": {"a": "1", "b": "3"}})["names"] == ["b"]


@pytest.mark.parametrize(
    ("known", "task"),
    [
        ({}, {"secrets": {"a": "1"}}),
        ({"a": "1"}, {"secrets": {"a": "2"}}),
        ({"a": "1"}, {"secrets": {"a": "1"}}),
        ({"a": "1"}, {"secrets": {"a": "2", "b": "3"}, "once": True}),
        ({}, {"secrets": {"a": "2", "b": "3"}, "once": True}),
        ({"a": "1"}, {"secrets": {"b": "2"}, "absent": ["a"]}),
        ({"a": "1"}, {"secrets": {"a": "2"}, "absent": ["a"], "once": True}),
        ({"a": "1"}, {"absent": ["a", "b"]}),
        ({"a": "1"}, {"absent": ["b"]}),
    ],
)
def test_check_mode_predicts_the_real_run(variables, store, known, task, tmp_path):
    if known:
        store.put(known)
    before = sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir())
    predicted = keep(variables, task, check_mode=True)
    assert sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir()) == before
    real = keep(variables, task)
    for said in ("changed", "names", "forgotten"):
        assert predicted[said] == real[said]


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        ({"a": 12}, "the value of a must be text that is not empty"),
        ({"a": ""}, "the value of a must be text that is not empty"),
        ({"a": None}, "the value of a must be text"),
        ({"A b": CANARY}, "'A b' is no name of a secret"),
    ],
)
def test_what_can_not_be_kept_is_refused_whole(variables, secrets, text, tmp_path):
    result = keep(variables, {"secrets": {**secrets, "good": CANARY}})
    assert result["failed"] is True
    assert text in result["msg"]
    assert CANARY not in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_an_environment_says_what_to_set(in_environment):
    result = keep(in_environment, {"secrets": {"a/b": CANARY}})
    assert result["failed"] is True
    assert "set the environment variables D_A_B" in result["msg"]
    assert CANARY not in str(result)


def test_the_documentation_names_the_arguments():
    for name in ("secrets:", "once:"):
        assert name in secret_set.DOCUMENTATION
    assert Path(secret_set.__file__).name == "secret_set.py"
