"""The playbooks of proofs: modules get options that they have, and expressions give what the modules take."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.rsp.platform.plugins.module_utils.backup.drill_options import drill_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import point_options, source_options

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
# Named as the doorways that they are: plugins of this collection
NAMES = (
    "modules.backup_canary",
    "modules.backup_info",
    "modules.backup_report",
    "modules.backup_retention",
    "modules.backup_tamper",
    "modules.backup_verify",
    "modules.restore_drill",
)


def loaded(name):
    return importlib.import_module(f"ansible_collections.rsp.platform.plugins.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_documented_under_its_own_name(name):
    module = loaded(name)
    text = yaml.safe_load(module.DOCUMENTATION)
    assert text["module"] == name.removeprefix("modules.")
    assert {"check_mode", "diff_mode"} <= set(text["attributes"])
    assert callable(module.main)
    for task in yaml.safe_load(module.EXAMPLES):
        [action] = [key for key in task if key.startswith("rsp.platform.")]
        assert action.startswith(("rsp.platform.backup_", "rsp.platform.restore_drill"))


@pytest.mark.parametrize("name", NAMES)
def test_examples_use_options_that_are_there(name):
    module = loaded(name)
    known = set(yaml.safe_load(module.DOCUMENTATION).get("options", {})) | set(source_options()) | set(point_options())
    for task in yaml.safe_load(module.EXAMPLES):
        [action] = [key for key in task if key.startswith("rsp.platform.")]
        assert set(task[action]) <= known


# --- the tasks ---


def tasks(path):
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = []
    for item in data:
        found += item.get("tasks", []) if "hosts" in item else [item]
    return found + [inner for task in found for inner in task.get("block", [])]


FILES = [
    PLAYBOOKS / "restore_drill.yml",
    PLAYBOOKS / "backup_report.yml",
    *sorted((PLAYBOOKS / "tasks").glob("prove_*.yml")),
]


def test_there_is_something_to_look_at():
    assert len(FILES) == 5
    assert all(tasks(path) for path in FILES)


def test_the_drill_gets_options_that_it_has():
    [task] = [t for t in tasks(FILES[0]) if "rsp.platform.restore_drill" in t]
    assert set(task["rsp.platform.restore_drill"]) <= set(drill_options())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_modules_get_options_that_they_have(path):
    for task in tasks(path):
        for action in [key for key in task if key.startswith("rsp.platform.backup_")]:
            module = loaded(f"modules.{action.rpartition('.')[2]}")
            known = (
                set(yaml.safe_load(module.DOCUMENTATION).get("options", {}))
                | set(source_options())
                | set(point_options())
            )
            assert set(task[action] or {}) <= known


@pytest.mark.parametrize("name", ["restore_drill", "backup_report"])
def test_the_playbook_can_be_read(name):
    argv = [
        str(ROOT / ".venv/bin/ansible-playbook"),
        "--syntax-check",
        "-i",
        "inventories/staging",
        f"playbooks/{name}.yml",
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the expressions ---

PG, CONSUL = "rsp-local-postgresql", "rsp-local-dc1"
JOB = {
    "services": ["consul", "postgresql"],
    "clusters": {"consul": CONSUL, "postgresql": PG},
    "token": None,
    "time": None,
    "lsn": None,
    "xid": None,
    "point": None,
}


def value(expression, service="postgresql", job=None, **variables):
    """A variable of proving.yml as a host sees it."""
    raw = yaml.safe_load((PLAYBOOKS / "vars" / "proving.yml").read_text(encoding="utf-8"))

    def trusted(data):
        if isinstance(data, str):
            return trust_as_template(data)
        if isinstance(data, dict):
            return {key: trusted(each) for key, each in data.items()}
        return [trusted(each) for each in data] if isinstance(data, list) else data

    known = {
        **trusted(raw),
        "prove_service": service,
        "job": {**JOB, **(job or {})},
        "postgresql_members": [{"name": "a1", "address": "10.0.0.11", "zone": "a"}],
        "__prove_patroni": {"json": {"database_system_identifier": "7712035128809379128"}},
        **variables,
    }
    return Templar(loader=DataLoader(), variables=known).template(trust_as_template("{{ " + expression + " }}"))


@pytest.mark.parametrize(
    ("job", "service", "target"),
    [
        ({}, "postgresql", {"kind": "latest"}),
        ({"token": 7}, "postgresql", {"kind": "canary"}),
        ({"token": 7}, "consul", {"kind": "latest"}),
        ({"lsn": "0/F000280"}, "postgresql", {"kind": "lsn", "value": "0/F000280"}),
        ({"xid": "748"}, "postgresql", {"kind": "xid", "value": "748"}),
        ({"point": "before_sale"}, "postgresql", {"kind": "name", "value": "before_sale"}),
        ({"time": "2026-11-25T09:30:00Z"}, "postgresql", {"kind": "time", "value": "2026-11-25T09:30:00Z"}),
        # A place and a token: recovery ends at the place, and the token must be the last
        ({"lsn": "0/F000280", "token": 7}, "postgresql", {"kind": "lsn", "value": "0/F000280"}),
    ],
)
def test_where_recovery_ends(job, service, target):
    assert value("prove_target", service, job) == target


def test_two_targets_are_counted():
    assert len(value("prove_targets", job={"lsn": "0/1", "xid": "7"})) == 2


@pytest.mark.parametrize(
    ("expression", "service", "variables", "expected"),
    [
        ("prove_names[1]", "postgresql", {}, "repo1"),
        ("prove_names[2]", "postgresql", {}, "repo2"),
        ("prove_names[1]", "consul", {}, "files"),
        ("prove_user", "postgresql", {}, "postgres"),
        ("prove_user", "consul", {}, ""),
        ("prove_store", "postgresql", {}, f"postgresql/{PG}"),
        ("prove_store", "consul", {}, f"consul/{CONSUL}"),
        ("prove_stanza", "postgresql", {}, PG),
        ("prove_stanza", "postgresql", {"pgbackrest_stanza": "own"}, "own"),
        ("prove_identity", "postgresql", {}, "7712035128809379128"),
        ("prove_identity", "consul", {}, "dc1"),
        ("prove_identity", "consul", {"consul_datacenter": "msk1"}, "msk1"),
        ("prove_evidence", "consul", {}, "/var/lib/rsp-platform/proofs/consul.jsonl"),
        ("prove_evidence", "consul", {"backup_proof_dir": "/x"}, "/x/consul.jsonl"),
        ("prove_directories", "consul", {"backup_consul_dir": "/y"}, {"files": "/y"}),
        ("prove_policy", "consul", {}, {}),
        ("prove_policy", "consul", {"backup_policies": {"consul": {"rto_s": 5}}}, {"rto_s": 5}),
        ("prove_policy", "postgresql", {"backup_policies": {"consul": {"rto_s": 5}}}, {}),
        ("prove_escrow", "consul", {"backup_escrow": {"consul": {"files": "k"}}}, {"files": "k"}),
        ("prove_binaries.postgresql", "postgresql", {"postgresql_version": "18"}, "/usr/lib/postgresql/18/bin"),
        ("prove_services", "consul", {}, ["consul", "postgresql"]),
        ("prove_patroni", "postgresql", {}, "https://10.0.0.11:8008/patroni"),
        ("prove_unseal[-1]", "consul", {}, "{file}"),
    ],
)
def test_what_a_service_is_proved_with(expression, service, variables, expected):
    assert value(expression, service, **variables) == expected


def test_no_key_is_in_the_command_that_unseals():
    words = value("prove_unseal", "consul")
    assert "env:RSP_BACKUP_KEY" in words
    assert not any("pass:" in word for word in words)
