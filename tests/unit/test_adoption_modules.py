"""Modules of a take-over as Ansible calls them: a Patroni, a psql and a systemd in memory."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from adoption_data import HBA, cluster
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.rsp.platform.plugins.action.patroni_secrets import ActionModule
from ansible_collections.rsp.platform.plugins.module_utils.adoption import reach
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import verifier
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState
from ansible_collections.rsp.platform.plugins.modules import patroni_adopt, patroni_adopt_info, patroni_secrets
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store
from module_call import call

CANARY = "canary-"
CONFIG = {
    "scope": "shop",
    "name": "a1",
    "namespace": "db",
    "restapi": {
        "connect_address": "10.0.0.11:8008",
        "authentication": {"username": "admin", "password": f"{CANARY}api"},
    },
    "etcd3": {"username": "dba", "password": f"{CANARY}store"},
    "postgresql": {
        "listen": "*:5432",
        "data_dir": "/srv/pg/shop/",
        "parameters": {"checkpoint_timeout": "7min"},
        "authentication": {
            "superuser": {"username": "postgres", "password": f"{CANARY}super"},
            "replication": {"username": "repl", "password": f"{CANARY}replication"},
        },
    },
}
SETTINGS = [
    {
        "name": name,
        "setting": setting,
        "unit": None,
        "vartype": vartype,
        "context": "postmaster",
        "shown": setting,
    }
    for name, setting, vartype in (
        ("max_connections", "150", "integer"),
        ("unix_socket_directories", "/run/postgresql, /tmp", "string"),
    )
]
STATUS = {"server_version": 170011, "database_system_identifier": "74", "state": "running", "role": "primary"}


class Host:
    """What the modules reach: Patroni's API, and psql's statements."""

    def __init__(self, path="/etc/patroni/config.yml", led=True):
        self.live = Live(7, 0, 0, path, CONFIG)
        self.config = {"ttl": 30, "loop_wait": 1, "postgresql": {"parameters": {"work_mem": "7MB"}}}
        self.members = [{"name": "a1", "role": "leader" if led else "replica", "host": "10.0.0.11"}]
        self.patches, self.statements, self.closed, self.looks = [], [], False, 0
        self.kept = {"postgres": verifier(f"{CANARY}super"), "repl": verifier(f"{CANARY}replication")}

    def get(self, path):
        return self.call("GET", path).data

    def call(self, method, path, *, json=None, accept=(200,)):
        if method == "PATCH":
            self.patches.append(json)
        self.looks += 1
        answers = {"/patroni": {**STATUS, "dcs_last_seen": self.looks}, "/cluster": {"members": self.members}}
        return Answer(200, answers.get(path, self.config), {})

    def close(self):
        self.closed = True

    def ask(self):
        database = cluster()["a1"]["database"]
        return {**database, "settings": list(SETTINGS)}

    def verifiers(self):
        return self.kept

    def execute(self, text):
        self.statements.append(text)


@pytest.fixture
def host(monkeypatch):
    """Puts a host under all three modules."""

    def put(there):
        for module in (patroni_adopt, patroni_adopt_info, patroni_secrets):
            monkeypatch.setattr(module, "open_live", lambda _module, _unit: there.live)
        for module in (patroni_adopt, patroni_adopt_info):
            monkeypatch.setattr(module, "open_psql", lambda _module, _live: there)
            monkeypatch.setattr(module, "JsonClient", lambda _connection: there)
        monkeypatch.setattr(patroni_adopt, "reread", lambda *arguments: there.statements.append(arguments[:1]))
        return there

    return put


def test_what_runs_is_told_without_a_secret(host, capsys):
    there = host(Host())
    said = call(patroni_adopt_info.main, capsys, directory="/etc/patroni/rsp", parameters={"max_connections": 200})
    assert said["identity"] == {
        **cluster()["a1"]["identity"],
        "sockets": ["/run/postgresql", "/tmp"],
        "owner": "root",
        "system": "74",
    }
    assert said["own_keys"] == []
    assert said["settings"] == [{"name": "max_connections", "live": "150", "wanted": "200", "needs": "restart"}]
    assert said["local"] == {"checkpoint_timeout": "7min"}
    assert said["database"]["hba"] == HBA
    assert "settings" not in said["database"]
    assert said["connection"] == {"url": "http://10.0.0.11:8008"}
    assert said["secrets"]["etcd/patroni"] == "/etc/patroni/config.yml: etcd3.password"
    assert (said["changed"], said["taken"], said["directory"]) == (False, False, False)
    assert CANARY not in json.dumps(said)
    assert there.closed


def test_one_that_reads_the_roles_directory_is_taken(host, capsys, tmp_path):
    (tmp_path / "rsp").mkdir()
    (tmp_path / "config.yml").symlink_to(tmp_path / "rsp")
    host(Host(path=str(tmp_path / "config.yml")))
    said = call(patroni_adopt_info.main, capsys, directory=str(tmp_path / "rsp"))
    assert (said["taken"], said["directory"]) == (True, True)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (patroni_adopt_info, {"directory": "/x"}),
        (patroni_adopt, {"step": "take", "directory": "/x", "connection": {"url": "http://x"}}),
        (patroni_secrets, {}),
    ],
)
def test_without_a_running_patroni_every_module_fails(monkeypatch, capsys, module, arguments):
    def nothing(_module, unit):
        raise DriverError(f"{unit} is inactive")

    monkeypatch.setattr(module, "open_live", nothing)
    said = call(module.main, capsys, **arguments)
    assert said["failed"]
    assert said["msg"] == "patroni.service is inactive"


USERS = [
    {"name": "postgres", "kind": "superuser", "password": "password-p"},
    {"name": "repl", "kind": "replication", "password": "password-r"},
    {"name": "rewind", "kind": "rewind", "password": f"{CANARY}w"},
]
WANTED = {"ttl": 20, "loop_wait": 1, "postgresql": {"parameters": {"work_mem": "7MB"}}}


def test_prepare_makes_what_is_missing_and_patches_what_differs(host, capsys):
    there = host(Host())
    said = call(patroni_adopt.main, capsys, step="prepare", users=USERS, config=WANTED, wait_s=5)
    assert said["actions"] == ["role rewind: create", "role rewind: password as SCRAM", "dynamic configuration: ttl"]
    assert said["changed"] is True
    assert there.patches == [{"ttl": 20}]
    assert there.statements[0].startswith('CREATE ROLE "rewind" LOGIN ;\nGRANT EXECUTE')
    assert CANARY not in json.dumps(said)


def test_prepare_keeps_the_passwords_in_use_whatever_the_store_has(host, capsys):
    host(Host())
    users = [{**user, "password": "made anew"} for user in USERS[:2]]
    assert call(patroni_adopt.main, capsys, step="prepare", users=users, config={"ttl": 30})["actions"] == []


def test_prepare_in_check_mode_says_the_same_and_does_nothing(host, capsys):
    there = host(Host())
    said = call(patroni_adopt.main, capsys, check=True, step="prepare", users=USERS, config=WANTED, wait_s=5)
    assert len(said["actions"]) == 3
    assert (there.patches, there.statements) == ([], [])


def test_prepare_of_what_fits_changes_nothing(host, capsys):
    there = host(Host())
    there.kept["rewind"] = verifier(f"{CANARY}w")
    said = call(patroni_adopt.main, capsys, step="prepare", users=USERS, config={**WANTED, "ttl": 30}, wait_s=5)
    assert (said["changed"], said["actions"]) == (False, [])


@pytest.fixture
def place(tmp_path):
    (tmp_path / "rsp").mkdir()
    (tmp_path / "config.yml").write_text("scope: shop\n")
    return tmp_path


def take(capsys, folder, **more):
    connection = {"url": "https://10.0.0.11:8008"}
    return call(patroni_adopt.main, capsys, step="take", directory=str(folder / "rsp"), connection=connection, **more)


def test_take_lays_the_link_and_tells_the_process(host, capsys, place):
    there = host(Host(path=str(place / "config.yml")))
    said = take(capsys, place)
    assert said["actions"] == [f"{place}/config.yml: link to {place}/rsp, and reload"]
    assert there.statements == [(7,)]
    assert (place / "config.yml").is_symlink()
    assert take(capsys, place)["changed"] is False
    assert there.statements == [(7,)]


def test_take_in_check_mode_leaves_the_file(host, capsys, place):
    there = host(Host(path=str(place / "config.yml")))
    assert take(capsys, place, check=True)["changed"] is True
    assert there.statements == []
    assert not (place / "config.yml").is_symlink()


def test_a_member_that_does_not_take_them_has_its_file_back(host, capsys, place, monkeypatch):
    there = host(Host(path=str(place / "config.yml")))

    def late(pid, *more):
        there.statements.append(pid)
        if more:
            raise DriverError("not within 60 s")

    monkeypatch.setattr(patroni_adopt, "reread", late)
    said = take(capsys, place)
    assert said["msg"] == "not within 60 s"
    assert (place / "config.yml").read_text() == "scope: shop\n"
    assert there.statements == [7, 7]


# --- secrets: the module hands them to its action, which keeps them and shows names


def test_the_module_hands_values_to_its_action(host, capsys):
    host(Host())
    assert set(call(patroni_secrets.main, capsys)["secrets"]) == {
        "postgresql/superuser",
        "postgresql/replication",
        "etcd/patroni",
    }


@pytest.fixture
def settings(tmp_path):
    return {"backend": "file", "path": f"{tmp_path}/secrets.yml", "key_file": f"{tmp_path}/secrets.key"}


def run(settings, said, no_log=True, check=False):
    """The action, with what the module would answer."""
    loader = DataLoader()
    plugin = ActionModule(
        task=SimpleNamespace(args={}, no_log=no_log, check_mode=check, async_val=0, diff=False, action="x"),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), has_pipelining=True),
        play_context=SimpleNamespace(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )
    plugin._execute_module = lambda *_arguments, **_more: dict(said)
    return plugin.run(task_vars={"platform_secrets": settings})


SAID = {"changed": False, "secrets": {"postgresql/superuser": f"{CANARY}1", "etcd/patroni": f"{CANARY}2"}}


def test_secrets_go_into_the_store_and_nowhere_else(settings):
    said = run(settings, SAID)
    assert said["names"] == ["etcd/patroni", "postgresql/superuser"]
    assert (said["changed"], said["replaced"]) == (True, [])
    assert open_store(settings).get("postgresql/superuser") == f"{CANARY}1"
    assert CANARY not in str(said)
    assert run(settings, SAID)["changed"] is False


def test_what_the_cluster_uses_wins_over_what_the_store_had(settings):
    open_store(settings).put({"etcd/patroni": "made by an earlier run"})
    said = run(settings, SAID)
    assert said["replaced"] == ["etcd/patroni"]
    assert open_store(settings).get("etcd/patroni") == f"{CANARY}2"


def test_check_mode_names_them_and_keeps_none(settings):
    assert run(settings, SAID, check=True)["names"] == ["etcd/patroni", "postgresql/superuser"]
    assert open_store(settings).get("etcd/patroni") is None


def test_without_no_log_nothing_is_asked(settings):
    said = run(settings, SAID, no_log=False)
    assert said["failed"]
    assert "no_log" in said["msg"]
    assert open_store(settings).get("etcd/patroni") is None


def test_a_failure_of_the_module_or_the_store_is_one(settings):
    assert run(settings, {"failed": True, "msg": "inactive"})["msg"] == "inactive"
    assert "platform_secrets" in run(None, SAID)["msg"]


# --- how a host is reached


class Module:
    """An AnsibleModule as far as it is needed."""

    def __init__(self, out=""):
        self.out, self.calls = out, []

    def run_command(self, argv, **more):
        self.calls.append((argv, more))
        return 0, self.out, ""


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (UnitState("x.service", active="inactive"), "x.service is inactive: there is no running Patroni to take over"),
        (UnitState("x.service", active="active", main_pid=0), "x.service is active: there is no running Patroni"),
        (UnitState("x.service", active="active", main_pid=2**22 + 7), "of Patroni cannot be read"),
    ],
)
def test_only_a_running_unit_is_taken_over(monkeypatch, state, reason):
    monkeypatch.setattr(reach, "show", lambda run, names: {names[0]: state} if run(["x"]) else None)
    with pytest.raises(DriverError, match=reason):
        reach.open_live(Module(), "x.service")


def test_psql_gets_its_password_by_the_environment():
    module = Module(out="1\n")
    assert reach.open_psql(module, Host().live).execute("SELECT 1;") == "1"
    [(argv, more)] = module.calls
    assert CANARY not in " ".join(argv)
    assert more["environ_update"]["PGPASSWORD"] == f"{CANARY}super"
    assert "SELECT 1;" in more["data"]


def test_broken_yaml_does_not_show_its_text():
    assert reach.load_yaml("a: 1") == {"a": 1}
    with pytest.raises(ValueError, match="Error") as caught:
        reach.load_yaml(f"{CANARY}: [")
    assert CANARY not in str(caught.value)
