"""The doorways consul_objects and consul_smoke: options, documentation, results, silence about secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import consul_objects, consul_smoke
from fixtures.consul.memory import ROOT, Consul
from module_call import call

CANARY = "c0ffee00-0000-4000-8000-00000000cafe"
CONNECTION = {"url": "https://127.0.0.1:8501", "token": ROOT}
OBJECTS = {
    "connection": CONNECTION,
    "policies": [{"name": "app", "rules": "x"}],
    "tokens": [{"name": "app", "policies": ["app"]}],
    "kv": [{"key": "app/db", "secret": "db"}],
    "secrets": {"app": CANARY, "db": "canary-value"},
}
SMOKE = {"connection": {"ca_path": "/ca", "token": ROOT}, "servers": {"a1": "https://a1"}, "key": "k"}


@pytest.fixture
def consul(monkeypatch: pytest.MonkeyPatch) -> Consul:
    """A Consul in memory behind both doors; what a module writes to the system's log is kept in `syslog`."""
    made = Consul()
    made.syslog = []
    real = consul_objects.ConsulObjects
    monkeypatch.setattr(real, "connect", classmethod(lambda cls, _: real(made)))
    monkeypatch.setattr(
        basic.AnsibleModule, "log", lambda _self, msg, log_args=None: made.syslog.append((msg, log_args))
    )
    return made


def options_of(main: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument spec that a module declares."""
    seen: dict[str, Any] = {}

    class Stop(Exception):  # noqa: N818
        pass

    def catch(_self: Any, **given: Any) -> None:
        seen.update(given["argument_spec"])
        raise Stop

    monkeypatch.setattr(basic.AnsibleModule, "__init__", catch)
    with pytest.raises(Stop):
        main()
    return seen


@pytest.mark.parametrize("module", [consul_objects, consul_smoke])
def test_documentation_equals_the_spec(module, monkeypatch):
    def compare(spec: dict[str, Any], docs: dict[str, Any], path: str) -> None:
        assert spec.keys() == docs.keys(), path
        for name, option in spec.items():
            for key in ("type", "default", "elements", "choices"):
                assert option.get(key) == docs[name].get(key), f"{path}.{name}.{key}"
            assert option.get("required", False) == docs[name].get("required", False), f"{path}.{name}"
            assert docs[name]["description"]
            compare(option.get("options", {}), docs[name].get("suboptions", {}), f"{path}.{name}")

    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    compare(options_of(module.main, monkeypatch), documented, "")


@pytest.mark.parametrize("module", [consul_objects, consul_smoke])
def test_examples_and_returns_are_yaml(module):
    (task,) = yaml.safe_load(module.EXAMPLES)
    assert f"rsp.platform.{module.__name__.rsplit('.', 1)[-1]}" in task
    assert all("description" in value for value in yaml.safe_load(module.RETURN).values())


def test_objects_are_made_once(consul, capsys):
    first = call(consul_objects.main, capsys, **OBJECTS)
    assert (first["rc"], first["changed"]) == (0, True)
    assert first["actions"] == ["create policy app", "create token app", "create key app/db"]
    again = call(consul_objects.main, capsys, **OBJECTS)
    assert (again["changed"], again["actions"]) == (False, [])


def test_check_mode_predicts_and_writes_nothing(consul, capsys):
    predicted = call(consul_objects.main, capsys, check=True, **OBJECTS)
    assert consul.log == []
    made = call(consul_objects.main, capsys, **OBJECTS)
    assert {k: predicted[k] for k in ("changed", "actions", "rogue", "diff")} == {
        k: made[k] for k in ("changed", "actions", "rogue", "diff")
    }


def test_no_secret_in_result_or_log(consul, capsys):
    result = call(consul_objects.main, capsys, **OBJECTS)
    told = json.dumps(result) + json.dumps(consul.syslog, default=str)
    assert result["changed"]
    assert consul.syslog
    assert not any(secret in told for secret in (CANARY, "canary-value", ROOT))


def test_rogue_objects_are_a_warning_by_name(consul, capsys, monkeypatch):
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _self, text: warned.append(text))
    consul.add_token("t", "s", "left behind")
    result = call(consul_objects.main, capsys, **OBJECTS)
    assert result["rogue"] == ["token left behind"]
    assert warned == ["Consul has objects that nobody asked for: token left behind"]
    deleted = call(consul_objects.main, capsys, **OBJECTS, prune="delete")
    assert deleted["actions"] == ["delete token left behind"]
    assert len(warned) == 1


def test_a_refusal_fails_with_the_objects_name(consul, capsys):
    consul.refuse = "'Name': 'app'"
    result = call(consul_objects.main, capsys, **OBJECTS)
    assert result["rc"] == 1
    assert result["msg"].startswith("create policy app: 500")
    assert result["actions"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prune": "all"}, "prune"),
        ({"policies": [{"rules": "x"}]}, "name"),
        ({"kv": [{"key": "k", "state": "gone"}]}, "state"),
        ({"services": [{"name": "s", "node": "n", "address": "x", "port": "many"}]}, "port"),
        ({"autopilot": {"min_qourum": 3}}, "min_qourum"),
    ],
)
def test_wrong_options_are_refused(consul, capsys, given, message):
    result = call(consul_objects.main, capsys, **{**OBJECTS, **given})
    assert result["rc"] == 1
    assert message in result["msg"]
    assert consul.log == []


@pytest.mark.parametrize("check", [True, False])
def test_smoke_never_changes(monkeypatch, capsys, check):
    asked = []

    def pretend(params: Any, connect: Any, in_check: bool) -> dict[str, Any]:
        asked.append((connect("https://a1").connection.headers, in_check))
        return {"servers": list(params["servers"]), "addresses": [], "checked": 1}

    monkeypatch.setattr(consul_smoke, "smoke", pretend)
    result = call(consul_smoke.main, capsys, check=check, **SMOKE)
    assert (result["changed"], result["checked"], result["servers"]) == (False, 1, ["a1"])
    assert asked == [({"X-Consul-Token": ROOT}, check)]


def test_smoke_fails_with_the_reason(monkeypatch, capsys):
    def refuse(*_: Any) -> None:
        raise DriverError("b1 knows no leader")

    monkeypatch.setattr(consul_smoke, "smoke", refuse)
    assert call(consul_smoke.main, capsys, **SMOKE)["msg"] == "b1 knows no leader"
