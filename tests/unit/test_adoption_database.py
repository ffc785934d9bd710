"""psql as Patroni's superuser, and what Patroni's users lack: statements by their text, a psql in memory."""

from __future__ import annotations

import json

import pytest
from adoption_data import HBA
from ansible_collections.rsp.platform.plugins.module_utils.adoption.database import (
    QUIET,
    REWIND,
    Psql,
    missing_users,
    rules,
)
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import matches, verifier
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

CONFIG = {
    "postgresql": {
        "listen": "*:5433",
        "authentication": {"superuser": {"username": "dba", "password": "canary-super"}},
    }
}


class Server:
    """Remembers how it was called and says what it is told to."""

    def __init__(self, out="", code=0, err=""):
        self.answer, self.calls = (code, out, err), []

    def __call__(self, argv, text, environment):
        self.calls.append((list(argv), text, dict(environment)))
        return self.answer


def psql(server, config=None):
    return Psql(Live(7, 101, 102, "/c.yml", CONFIG if config is None else config), server)


def test_it_comes_as_patroni_does_and_the_password_is_in_no_argument():
    server = Server("x\n")
    assert psql(server).execute("SELECT 1;") == "x"
    argv, text, environment = server.calls[0]
    assert argv[:4] == ["setpriv", "--reuid=101", "--regid=102", "--clear-groups"]
    assert argv[argv.index("-h") + 1] == "localhost"
    assert argv[argv.index("-p") + 1] == "5433"
    assert argv[argv.index("-U") + 1] == "dba"
    assert "canary" not in " ".join(argv)
    assert environment["PGPASSWORD"] == "canary-super"
    assert text == f"{QUIET}\nSELECT 1;\n"


def test_without_a_name_the_superuser_is_postgres():
    server = Server()
    psql(server, {"postgresql": {"listen": "*:5432"}}).execute("SELECT 1;")
    assert server.calls[0][0][-3] == "postgres"
    assert server.calls[0][2]["PGPASSWORD"] == ""


def test_what_psql_says_is_the_reason():
    with pytest.raises(DriverError, match=r"PostgreSQL at localhost:5433 as dba: FATAL: no"):
        psql(Server(code=2, err="FATAL: no\n")).execute("SELECT 1;")


def test_what_is_asked():
    said = {"settings": [], "roles": {"app": "md5"}, "databases": ["shop"], "hba": "\n# x\n".join(HBA), "ident": ""}
    assert psql(Server(json.dumps(said))).ask() == {**said, "hba": HBA, "ident": []}


def test_verifiers():
    assert psql(Server('{"app": null, "x": "md5abc"}')).verifiers() == {"app": None, "x": "md5abc"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("# only\n\n   # comments\n", []),
        ("local  all\tall   peer\n", ["local all all peer"]),
        ("a b\n#c\n  d  e", ["a b", "d e"]),
    ],
)
def test_rules(text, lines):
    assert rules(text) == lines


def user(name, kind, password="secret-1"):
    return {"name": name, "kind": kind, "password": password}


def test_users_that_have_what_they_need_are_left_alone():
    kept = {"postgres": verifier("secret-1"), "repl": verifier("secret-1")}
    assert missing_users([user("postgres", "superuser"), user("repl", "replication")], kept) == []


@pytest.mark.parametrize(
    ("kind", "create"),
    [
        ("superuser", 'CREATE ROLE "new" LOGIN SUPERUSER'),
        ("replication", 'CREATE ROLE "new" LOGIN REPLICATION'),
        ("rewind", 'CREATE ROLE "new" LOGIN '),
    ],
)
def test_a_user_that_is_missing_is_made(kind, create):
    (made, sql), (password, statement) = missing_users([user("new", kind)], {})
    assert (made, password) == ("role new: create", "role new: password as SCRAM")
    assert sql.split(";")[0] == create
    assert sql.count("GRANT EXECUTE") == (len(REWIND) if kind == "rewind" else 0)
    assert "secret-1" not in statement


@pytest.mark.parametrize("kept", ["md5aaaa", None, verifier("another")])
def test_a_password_that_does_not_fit_becomes_scram(kept):
    [(what, statement)] = missing_users([user("repl", "replication")], {"repl": kept})
    assert what == "role repl: password as SCRAM"
    new = statement.removeprefix('ALTER ROLE "repl" PASSWORD \'').removesuffix("'")
    assert matches("secret-1", new)


def test_a_name_is_quoted():
    assert missing_users([user('a"b', "superuser")], {})[0][1] == 'CREATE ROLE "a""b" LOGIN SUPERUSER'
