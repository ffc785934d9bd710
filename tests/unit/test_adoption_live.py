"""The running Patroni as its process, files and environment show it; a fake /proc and real files."""

from __future__ import annotations

import os

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import SECRETS, Live, files, find
from ansible_collections.rsp.platform.plugins.module_utils.adoption.reach import load_yaml
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

CONFIG = {
    "scope": "shop",
    "name": "a1",
    "namespace": "/db/",
    "restapi": {
        "listen": "0.0.0.0:8008",
        "connect_address": "10.0.0.11:8008",
        "authentication": {"username": "admin", "password": "canary-api"},
    },
    "etcd3": {"hosts": "x:2379", "username": "dba", "password": "canary-store"},
    "postgresql": {
        "listen": "0.0.0.0:5432",
        "data_dir": "/srv/pg/shop",
        "authentication": {
            "superuser": {"username": "postgres", "password": "canary-super"},
            "replication": {"username": "repl", "password": "canary-replication"},
        },
    },
}


@pytest.fixture
def process(tmp_path):
    """Puts a process with a configuration into a fake /proc; finds it."""

    def start(config=CONFIG, argv=None, environment=()):
        path = tmp_path / "config.yml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        proc = tmp_path / "proc" / "7"
        proc.mkdir(parents=True, exist_ok=True)
        argv = argv if argv is not None else ["/usr/bin/python3", "/usr/bin/patroni", str(path)]
        (proc / "cmdline").write_text("\0".join([*argv, ""]))
        (proc / "environ").write_text("\0".join(["HOME=/x", *environment, ""]))
        return find(7, load_yaml, tmp_path / "proc")

    return start


def test_what_a_process_reads(process, tmp_path):
    live = process()
    assert live.path == str(tmp_path / "config.yml")
    assert (live.pid, live.uid) == (7, os.getuid())
    assert live.get("scope") == "shop"
    assert live.get("postgresql.data_dir") == "/srv/pg/shop"
    assert live.get("postgresql.nothing.below") is None
    assert live.get("scope.below", "default") == "default"
    assert live.store == "etcd"
    assert live.environment == ()


def test_secrets_by_their_names_and_where_they_are(process, tmp_path):
    live = process()
    assert live.secrets() == {
        "postgresql/superuser": "canary-super",
        "postgresql/replication": "canary-replication",
        "etcd/patroni": "canary-store",
    }
    assert live.places()["etcd/patroni"] == f"{tmp_path / 'config.yml'}: etcd3.password"
    assert "canary" not in str(live.places())
    assert "canary" not in repr(live)


def test_the_environment_wins_over_the_file_as_it_does_for_patroni(process):
    live = process(
        environment=("PATRONI_SUPERUSER_PASSWORD=canary-environment", "PATRONI_SCOPE=other", "PATRONI_LOG_LEVEL=INFO")
    )
    assert live.get("scope") == "other"
    assert live.secrets()["postgresql/superuser"] == "canary-environment"
    assert live.places()["postgresql/superuser"] == "environment of process 7: PATRONI_SUPERUSER_PASSWORD"
    assert live.environment == ("PATRONI_LOG_LEVEL", "PATRONI_SCOPE", "PATRONI_SUPERUSER_PASSWORD")
    # What the file has besides stays
    assert live.get("postgresql.authentication.superuser.username") == "postgres"


def test_a_directory_of_files_is_merged_in_order(process, tmp_path):
    folder = tmp_path / "rsp"
    folder.mkdir()
    (folder / "a.yml").write_text("scope: first\npostgresql: {listen: 'x:1', data_dir: /d}\n")
    (folder / "b.yml").write_text("scope: second\npostgresql: {data_dir: /e}\n")
    (folder / "ignored.txt").write_text("scope: third\n")
    live = process(argv=["/usr/bin/python3", "/usr/bin/patroni", str(folder)])
    assert live.path == str(folder)
    assert live.get("scope") == "second"
    assert live.config["postgresql"] == {"listen": "x:1", "data_dir": "/e"}
    assert files(str(folder)) == [str(folder / "a.yml"), str(folder / "b.yml")]


def test_a_link_to_a_directory_is_read_as_patroni_reads_it(process, tmp_path):
    folder = tmp_path / "rsp"
    folder.mkdir()
    (folder / "a.yml").write_text("scope: linked\n")
    link = tmp_path / "link.yml"
    link.symlink_to(folder)
    assert process(argv=["patroni", str(link)]).get("scope") == "linked"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ({"argv": ["/usr/bin/patroni"]}, "was not started with a file"),
        ({"argv": ["/usr/bin/patroni", "/nowhere/config.yml"]}, "/nowhere/config.yml cannot be read"),
        ({"config": "- a list\n"}, "is no mapping"),
        ({"config": "a: [\n"}, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_no_answer(process, start, reason):
    with pytest.raises(DriverError, match=reason):
        process(**start)


def test_a_process_that_is_gone(tmp_path):
    with pytest.raises(DriverError, match="the process 9 of Patroni cannot be read"):
        find(9, yaml.safe_load, tmp_path)


def live(**changes):
    return Live(1, 0, 0, "/c.yml", {**CONFIG, **changes})


def test_the_api_is_reached_with_its_own_user():
    connection = live().api()
    assert connection.url == "http://10.0.0.11:8008"
    assert (connection.username, connection.password) == ("admin", "canary-api")
    assert connection.ca_path is None


def test_the_api_with_tls():
    restapi = {"listen": "1.1.1.1:8008", "certfile": "/c", "cafile": "/api-ca"}
    assert live(restapi=restapi).api().url == "https://1.1.1.1:8008"
    assert live(restapi=restapi).api().ca_path == "/api-ca"
    connection = live(restapi=restapi, ctl={"cacert": "/ca", "certfile": "/crt", "keyfile": "/key"}).api()
    assert (connection.ca_path, connection.cert_path, connection.key_path) == ("/ca", "/crt", "/key")


def test_without_an_address_there_is_no_api():
    with pytest.raises(DriverError, match=r"names no restapi\.connect_address"):
        live(restapi={}).api()


@pytest.mark.parametrize(
    ("listen", "more", "server"),
    [
        ("0.0.0.0:5432", {}, ("localhost", 5432)),
        ("*:5433", {}, ("localhost", 5433)),
        ("127.0.0.1,10.0.0.1:5432", {}, ("127.0.0.1", 5432)),
        ("[::]:5432", {}, ("localhost", 5432)),
        ("10.0.0.1:5432", {"use_unix_socket": True}, ("/var/run/postgresql", 5432)),
        (
            "10.0.0.1:5432",
            {"use_unix_socket": True, "parameters": {"unix_socket_directories": "/tmp/x, /run"}},
            ("/tmp/x", 5432),
        ),
    ],
)
def test_where_its_server_is(listen, more, server):
    assert live(postgresql={"listen": listen, **more}).server() == server


def test_a_server_without_a_port_is_unknown():
    with pytest.raises(DriverError, match="no host:port"):
        live(postgresql={"listen": "everywhere"}).server()


@pytest.mark.parametrize(("section", "store"), [("etcd3", "etcd"), ("consul", "consul"), ("zookeeper", None)])
def test_the_store(section, store):
    assert Live(1, 0, 0, "/c", {section: {"host": "x"}}).store == store


def test_every_secret_has_a_place_in_the_files_and_a_variable():
    assert all("." in path and variable.isupper() for path, variable in SECRETS.values())


def test_what_only_the_hand_made_file_has_is_named_without_values():
    config = {
        "scope": "shop",
        "log": {"level": "DEBUG"},
        "tags": {"nosync": True, "nofailover": True},
        "postgresql": {"listen": "*:5432", "callbacks": {"on_start": "/x"}},
        "etcd3": {"anything": 1},
        "empty": {},
    }
    found = Live(1, 0, 0, "/x.yml", config).own_keys()
    assert found == ["empty", "log.level", "postgresql.callbacks", "tags.nofailover"]
