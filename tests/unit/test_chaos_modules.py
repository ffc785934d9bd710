"""The modules of chaos as Ansible calls them, on a host that is a directory."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.action import chaos_experiment as action
from ansible_collections.rsp.platform.plugins.action import chaos_report as report_action
from ansible_collections.rsp.platform.plugins.module_utils.chaos.host import faults_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from chaos_data import host, setting
from module_call import call
from test_chaos_faults import Place

MODULES = (
    "plugins.modules.chaos_experiment",
    "plugins.modules.chaos_fault",
    "plugins.modules.chaos_info",
    "plugins.modules.chaos_probe",
    "plugins.modules.chaos_recover",
    "plugins.modules.chaos_report",
    "plugins.modules.chaos_workload",
)
chaos_experiment, chaos_fault, chaos_info, chaos_probe, chaos_recover, chaos_report, chaos_workload = (
    importlib.import_module(f"ansible_collections.rsp.platform.{name}") for name in MODULES
)
FILL = {"fault": "ab12-0", "kind": "disk_fill", "params": {"path": "/data", "max_mb": 1}, "ttl_s": 30}


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path)
    for module in (chaos_fault, chaos_recover, chaos_info):
        monkeypatch.setattr(module, "faults_of", lambda _run, **_options: made.faults)
    monkeypatch.setattr(chaos_recover, "end_all", lambda check: [])
    return made


def test_a_fault_from_the_plan_to_the_undo(place, capsys):
    def fault(state, check=False, **more):
        return call(chaos_fault.main, capsys, check, state=state, **{"fault": "ab12-0", **more})

    planned = fault("planned", **FILL)
    assert (planned["rc"], planned["changed"]) == (0, False)
    assert planned["plan"]["undo"][0]["do"] == "no_file"
    assert place.log == []
    predicted = fault("injected", check=True, **FILL)
    assert (predicted["changed"], place.log) == (True, [])
    injected = fault("injected", **FILL)
    assert injected["changed"] is True
    assert fault("injected", **FILL)["changed"] is False
    assert fault("renewed")["changed"] is True
    assert fault("renewed", check=True)["changed"] is False
    proved = fault("proved")
    assert (proved["changed"], proved["effective"]) == (False, False)
    assert fault("undone", check=True)["changed"] is True
    undone = fault("undone")
    assert (undone["changed"], undone["undone"], undone["by"]) == (True, True, "controller")
    assert fault("undone")["changed"] is False
    over = fault("renewed")
    assert over["rc"] == 1
    assert "is over" in over["msg"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"state": "injected", "fault": "x"}, "kind"),
        ({**FILL, "state": "planned", "params": {"path": "/tmp"}}, "shares with others"),
        ({**FILL, "state": "planned", "kind": "packet_delay"}, "is not available"),
        ({"state": "melted", "fault": "x"}, "value of state must be one of"),
    ],
)
def test_a_fault_that_is_refused(place, capsys, arguments, text):
    found = call(chaos_fault.main, capsys, **arguments)
    assert found["rc"] == 1
    assert text in found["msg"]
    assert place.log == []


def test_what_is_there_and_what_could_be(place, capsys):
    place.faults.inject(chaos_fault.Request("ab12-0", "disk_fill", FILL["params"], 30))
    found = call(chaos_info.main, capsys)
    assert [each["fault"] for each in found["faults"]] == ["ab12-0"]
    assert found["faults"][0]["armed"] is True
    assert (found["changed"], found["stopped"]) == (False, False)
    assert "partition" in found["kinds"]
    assert "packet_delay" in found["unavailable"]


def test_recovery(place, capsys):
    assert call(chaos_recover.main, capsys)["changed"] is False
    place.faults.inject(chaos_fault.Request("ab12-0", "disk_fill", FILL["params"], 30))
    assert call(chaos_recover.main, capsys, check=True)["changed"] is True
    assert len(place.faults.all()) == 1
    found = call(chaos_recover.main, capsys)
    assert (found["rc"], found["changed"], len(found["recovered"])) == (0, True, 1)
    assert place.faults.all() == []


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("ended", "code", "text"),
    [
        ([{"fault": "ledger ab", "changed": True, "undone": True, "wrong": [], "by": "recover"}], 0, ""),
        ([{"fault": "ledger ab", "changed": True, "undone": False, "wrong": ["it hangs"], "by": "recover"}], 1,
         "not everything is undone: ledger ab: it hangs"),
    ],
)  # fmt: skip
def test_recovery_ends_writers_too(capsys, monkeypatch, ended, code, text):
    asked = []
    monkeypatch.setattr(chaos_recover, "end_all", lambda check: asked.append(check) or ended)
    found = call(chaos_recover.main, capsys)
    assert (found["rc"], found["recovered"]) == (code, ended)
    assert text in found.get("msg", "")
    call(chaos_recover.main, capsys, check=True)
    assert asked == [False, True]


def test_recovery_that_fails_is_loud(place, capsys):
    place.faults.inject(chaos_fault.Request("ab12-0", "disk_fill", FILL["params"], 30))
    place.dog.fires = False
    found = call(chaos_recover.main, capsys)
    assert found["rc"] == 1
    assert "not everything is undone: ab12-0: it goes on trying" in found["msg"]


def test_a_probe(capsys, monkeypatch):
    monkeypatch.setattr(chaos_probe, "ask", lambda *_arguments: (None, "refused"))
    found = call(chaos_probe.main, capsys, kind="http", options={"url": "https://x/"})
    assert (found["rc"], found["changed"], found["holds"], found["seen"]) == (0, False, None, "refused")
    found = call(chaos_probe.main, capsys, kind="sql", options={"query": "SELECT 1"})
    assert found["rc"] == 1
    assert "options.when" in found["msg"]
    found = call(chaos_probe.main, capsys, check=True, kind="command", options={"argv": ["/bin/x"]})
    assert found["seen"] == "not run in check mode"


class Load:
    """A workload that writes down what it was told."""

    def __init__(self, run):
        self.run = run

    def start(self, _params):
        return {"running": True, "now": 1.0, "last_ack": None}

    def status(self):
        return {"running": False, "now": 2.0, "last_ack": 1.5}

    def stop(self):
        if self.run == "hangs":
            raise ChaosError("it did not end")

    def read(self, _params):
        return {"client": [1], "members": {}, "operations": [], "reads": [], "errors": {}}

    def clean(self, _params):
        return True


CONSUL = {"run": "ab12", "driver": "consul", "servers": ["10.0.0.1:8501"], "ca_path": "/ca", "token": "4b1d-secret"}


@pytest.mark.parametrize(
    ("state", "changed", "key"),
    [("started", True, "now"), ("status", False, "last_ack"), ("stopped", True, "changed"), ("read", False, "client"),
     ("absent", True, "changed")],
)  # fmt: skip
def test_the_ledger(capsys, monkeypatch, state, changed, key):
    monkeypatch.setattr(chaos_workload, "Workload", Load)
    found = call(chaos_workload.main, capsys, state=state, **CONSUL)
    assert (found["rc"], found["changed"]) == (0, changed)
    assert key in found
    assert call(chaos_workload.main, capsys, check=True, state=state, **CONSUL)["running"] is False


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({**CONSUL, "run": "A b"}, "must be small letters and digits"),
        ({**CONSUL, "run": "../x"}, "must be small letters and digits"),
        ({k: v for k, v in CONSUL.items() if k != "token"}, "token"),
        ({**CONSUL, "driver": "postgresql"}, "database"),
        ({**CONSUL, "run": "hangs"}, "it did not end"),
    ],
)
def test_the_ledger_refuses(capsys, monkeypatch, arguments, text):
    monkeypatch.setattr(chaos_workload, "Workload", Load)
    found = call(chaos_workload.main, capsys, state="stopped", **arguments)
    assert found["rc"] == 1
    assert text in found["msg"]


@pytest.mark.parametrize(("module", "spec"), [(chaos_experiment, action.SPEC), (chaos_report, report_action.SPEC)])
def test_an_action_takes_what_its_module_documents(module, spec):
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(documented) == set(spec)
    for name, option in spec.items():
        described = documented[name]
        for key in ("type", "required", "default", "elements"):
            assert described.get(key) == option.get(key), (name, key)


@pytest.mark.parametrize("module", [chaos_fault, chaos_info, chaos_probe, chaos_recover, chaos_report, chaos_workload])
def test_documentation_is_sound(module):
    options = yaml.safe_load(module.DOCUMENTATION)
    assert options["short_description"]
    assert yaml.safe_load(module.RETURN)
    assert yaml.safe_load(module.EXAMPLES)


def test_a_setting_is_made_of_the_actions_arguments():
    arguments = {name: option.get("default") for name, option in action.SPEC.items()}
    arguments |= {
        "members": ["a1"], "info": {}, "client": "ops", "ledger": {}, "environment": "staging", "window": "09:00-17:00",
        "places": [{"name": "a1", "address": "10.0.0.1", "zone": "a"}],
    }  # fmt: skip
    made = action.setting_from(arguments)
    assert made.address("a1") == "10.0.0.1"
    assert (made.policy.environment, made.policy.window, made.policy.longest_lease_s) == ("staging", "09:00-17:00", 900)
    assert type(made) is type(setting())


def test_the_real_host_is_only_looked_at(tmp_path):
    look = host(tmp_path)
    assert faults_of(look.run, tmp_path).all() == []
