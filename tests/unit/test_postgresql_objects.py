"""The module postgresql_objects: rounds against a scripted server, composing of statements, errors."""

from __future__ import annotations

import copy
import types

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import session
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.converge import converge
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Ident, Literal, Raw, Statement
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import postgresql_objects
from module_call import call
from postgresql_data import CONNECTION, DATA, PASSWORDS, QUERIES, RECORDED, Recorded, only, wanted


class Fresh(Recorded):
    """A server without anything of ours, until the first statements have run; then it is the recorded one."""

    def query(self, database, text):
        if self.run:
            return super().query(database, text)
        rows = {"DATABASES": [["postgres", "postgres", -1]], "LIBRARIES": [[""]]}
        return rows.get(QUERIES[text], [])


def test_a_converged_server_is_left_alone():
    server = Recorded()
    outcome = converge(wanted(), server, fresh=False, check=False)
    assert server.run == []
    assert outcome.as_result() == {
        "changed": False,
        "actions": [],
        "unmanaged": [],
        "waiting": [],
        "diff": {"prepared": ""},
    }


def test_a_fresh_server_gets_what_check_mode_predicted():
    predicted = converge(wanted(), Fresh(), fresh=False, check=True)
    blind = converge(wanted(), None, fresh=True, check=True)
    server = Fresh()
    done = converge(wanted(), server, fresh=True, check=False)
    assert [s.what for s in server.run] == [s.what for s in predicted.statements]
    assert predicted.as_result()["actions"] == blind.as_result()["actions"] == done.as_result()["actions"]


def test_check_mode_runs_nothing():
    server = Recorded()
    outcome = converge(wanted(passwords={**PASSWORDS, "ana": "canary-New"}), server, fresh=False, check=True)
    assert outcome.as_result()["changed"] is True
    assert server.run == []


def test_secrets_are_in_no_result():
    result = converge(wanted(), None, fresh=True, check=True).as_result()
    assert "canary" not in str(result)
    assert "SCRAM" not in str(result)
    assert "ALTER ROLE shop PASSWORD '********'" in result["diff"]["prepared"]


def test_what_an_object_is_born_with_takes_a_second_round():
    born = copy.deepcopy(RECORDED)
    born["shop"]["PRIVILEGES"].append(["database", "", "shop", "public", ["CONNECT"]])

    class Born(Recorded):
        def execute(self, statement):
            super().execute(statement)
            self.rows = born if len(self.run) == 1 else RECORDED

    server = Born()
    data = wanted(roles=[{**DATA["roles"][0], "connection_limit": 6}, *DATA["roles"][1:]])
    with pytest.raises(DriverError, match="role shop: change attributes"):
        converge(data, server, fresh=False, check=False)
    assert "shop: database shop: revoke CONNECT from public" in [f"{s.database}: {s.what}" for s in server.run]


def test_data_that_never_comes_true_fails_with_what_is_left():
    with pytest.raises(DriverError, match="left after 3 rounds: postgres: role other: create"):
        converge(only(roles=[{"name": "other"}]), Recorded(), fresh=False, check=False)


class Error(Exception):
    """psycopg2.Error as far as it is used."""

    def __init__(self, text, code=None):
        super().__init__(text)
        self.pgcode, self.diag = code, types.SimpleNamespace(message_primary=text)


class Cursor:
    def __init__(self, log, fail):
        self.log, self.fail, self.description = log, fail, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def execute(self, text):
        if self.fail and self.fail in str(text):
            raise Error('relation "nosuch" does not exist', "42P01")
        self.log.append(str(text))
        self.description = str(text).startswith("SELECT") or None

    def fetchall(self):
        return [("row",)]


class Library:
    """psycopg2 as far as it is used; keeps what was opened and run."""

    Error = Error

    def __init__(self, fail=None, refuse=None):
        self.fail, self.refuse, self.opened, self.ran, self.closed = fail, refuse, [], [], 0

    def connect(self, **settings):
        if self.refuse:
            raise Error(self.refuse)
        self.opened.append(settings)
        return types.SimpleNamespace(cursor=lambda: Cursor(self.ran, self.fail), close=self.close)

    def close(self):
        self.closed += 1


def quoted(mark, text):
    return mark + text.replace(mark, mark * 2) + mark


# psycopg2.sql: quoting as the library does it.
SQL = types.SimpleNamespace(
    SQL=str,
    Identifier=lambda name: quoted('"', name),
    Literal=lambda value: quoted("'", value) if isinstance(value, str) else str(value),
)


@pytest.fixture
def library(monkeypatch):
    def install(**kwargs):
        made = Library(**kwargs)
        monkeypatch.setattr(session, "psycopg2", made)
        monkeypatch.setattr(session, "sql", SQL, raising=False)
        return made

    return install


OPTIONS = {**CONNECTION, "hosts": ["10.0.0.1", "10.0.1.1"], "port": 5432, "user": "postgres"}


def test_one_connection_a_database_to_the_primary_with_a_verified_certificate(library):
    made = library()
    server = session.Session(OPTIONS)
    for database in ("postgres", "shop", "postgres"):
        assert server.query(database, "SELECT 1") == [("row",)]
    assert [s["dbname"] for s in made.opened] == ["postgres", "shop"]
    assert made.opened[0]["host"] == "10.0.0.1,10.0.1.1"
    assert made.opened[0]["target_session_attrs"] == "read-write"
    assert made.opened[0]["sslmode"] == "verify-full"
    assert "log_min_error_statement=panic" in made.opened[0]["options"]
    server.close()
    assert made.closed == 2


def test_names_and_values_are_quoted(library):
    made = library()
    parts = (Ident('od"d'), Raw("NOLOGIN"), Literal("it's", secret=True), Literal(5), Literal(None))
    session.Session(OPTIONS).execute(Statement("role: test", "ALTER ROLE {} {} PASSWORD {} {} {}", parts))
    assert made.ran == ["ALTER ROLE \"od\"\"d\" NOLOGIN PASSWORD 'it''s' 5 None"]


def test_a_statement_that_fails_names_its_object_and_the_sqlstate(library):
    library(fail="nosuch")
    statement = Statement("table shop.nosuch: grant SELECT to x", "GRANT SELECT ON {} TO x", (Ident("nosuch"),), "shop")
    with pytest.raises(DriverError) as failed:
        session.Session(OPTIONS).execute(statement)
    assert str(failed.value) == (
        'shop: table shop.nosuch: grant SELECT to x: relation "nosuch" does not exist (SQLSTATE 42P01)'
    )
    assert failed.value.result == {"sqlstate": "42P01", "object": "table shop.nosuch: grant SELECT to x"}


def test_a_server_that_refuses_is_an_error_without_secrets(library, capsys):
    library(refuse="connection refused")
    result = call(postgresql_objects.main, capsys, connection=CONNECTION, **DATA)
    assert result["rc"] == 1
    assert result["msg"] == "postgres: reading postgres: connection refused"
    assert "canary" not in str({**result, "invocation": None})


def test_without_the_library_only_a_fresh_prediction_works(monkeypatch, capsys):
    monkeypatch.setattr(session, "psycopg2", None)
    failed = call(postgresql_objects.main, capsys, connection=CONNECTION, **DATA)
    assert (failed["rc"], "psycopg2" in failed["msg"]) == (1, True)
    predicted = call(postgresql_objects.main, capsys, check=True, connection=CONNECTION, fresh=True, **DATA)
    assert (predicted["rc"], predicted["changed"]) == (0, True)


def test_contradictory_data_fails_before_anything_is_contacted(library, capsys):
    made = library()
    data = {**DATA, "roles": [{"name": "x"}, {"name": "x"}]}
    result = call(postgresql_objects.main, capsys, connection=CONNECTION, **data)
    assert (result["rc"], result["msg"]) == (1, "role x is there twice")
    assert made.opened == []
