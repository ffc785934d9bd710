"""Objects of PostgreSQL: from data to statements, against the catalog of a real server."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import scram
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.converge import preview
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Actual, DataError, Literal
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.plan import plan
from postgresql_data import DATA, LOOKUP, PASSWORDS, RECORDED, actual, only, sql, wanted

SHOP, ANA, READERS, ODD = DATA["roles"]


def test_the_server_that_was_recorded_has_everything():
    todo = plan(wanted(), actual())
    assert [s.what for s in todo.statements] == []
    assert todo.unmanaged == ()


def test_an_empty_cluster_gets_everything_in_an_order_that_runs():
    lines = sql(wanted(), Actual())
    firsts = [next(i for i, line in enumerate(lines) if word in line) for word in (
        "CREATE ROLE", "GRANT readers TO ana", "CREATE DATABASE", "CREATE SCHEMA pooler", "CREATE EXTENSION",
        "CREATE OR REPLACE FUNCTION", "ON FUNCTION", "ALTER DEFAULT PRIVILEGES",
    )]  # fmt: skip
    assert firsts == sorted(firsts)
    assert len(lines) == 23


def role(base, **changes):
    return only(roles=[{**base, **changes}])


LOGIN = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (role(SHOP), []),
        (role(SHOP, connection_limit=6), [f"[postgres] ALTER ROLE shop {LOGIN} CONNECTION LIMIT 6;"]),
        (
            role(READERS, login=True),
            [f"[postgres] ALTER ROLE readers {LOGIN} CONNECTION LIMIT -1;"],
        ),
        (
            role(SHOP, settings={"statement_timeout": "6s", "search_path": '"shop",public', "pgaudit.log": "ddl,role"}),
            ["[postgres] ALTER ROLE shop SET statement_timeout TO '6s';"],
        ),
        (
            role(SHOP, settings={"statement_timeout": "5s", "pgaudit.log": "ddl"}),
            ["[postgres] ALTER ROLE shop RESET search_path;", "[postgres] ALTER ROLE shop SET pgaudit.log TO 'ddl';"],
        ),
        (
            role(SHOP, settings={**SHOP["settings"], "search_path": "public"}),
            ["[postgres] ALTER ROLE shop SET search_path TO 'public';"],
        ),
        (role(ANA, member_of=["pg_monitor"]), ["[postgres] REVOKE readers FROM ana;"]),
        (role(ANA, member_of=["readers", "pg_monitor", "shop"]), ["[postgres] GRANT shop TO ana;"]),
        (role(ANA, password_secret=None), []),
        (
            role(ODD, name="new", settings={"search_path": "a, b"}),
            [
                f"[postgres] CREATE ROLE new NO{LOGIN} CONNECTION LIMIT -1;",
                "[postgres] ALTER ROLE new SET search_path TO 'a', 'b';",
            ],
        ),
        (only(databases=[{"name": "shop", "owner": "ana"}]), ["[postgres] ALTER DATABASE shop OWNER TO ana;"]),
        (
            only(databases=[{"name": "shop", "owner": "shop", "connection_limit": 9}]),
            ["[postgres] ALTER DATABASE shop CONNECTION LIMIT 9;"],
        ),
        (
            only(schemas=[{"database": "shop", "name": "shop"}, {"database": "shop", "name": "new", "owner": "ana"}]),
            ["[shop] ALTER SCHEMA shop OWNER TO postgres;", "[shop] CREATE SCHEMA new AUTHORIZATION ana;"],
        ),
        (
            only(extensions=[{"database": "shop", "name": "pg_trgm", "schema": "public", "version": "1.7"}]),
            ["[shop] ALTER EXTENSION pg_trgm SET SCHEMA public;", "[shop] ALTER EXTENSION pg_trgm UPDATE TO 1.7;"],
        ),
        (
            only(extensions=[{"database": "shop", "name": "hstore", "schema": "shop", "version": "1.8"}]),
            ["[shop] CREATE EXTENSION hstore SCHEMA shop VERSION 1.8;"],
        ),
        (only(functions=[{**LOOKUP, "returns": "table( role_name  TEXT, verifier text )"}]), []),
        (
            only(functions=[{**LOOKUP, "body": "SELECT 1", "security_definer": False, "settings": {}}]),
            [
                "[postgres] CREATE OR REPLACE FUNCTION pooler.get_auth(text) RETURNS TABLE(role_name text, "
                "verifier text) LANGUAGE sql AS 'SELECT 1';"
            ],
        ),
    ],
)
def test_what_differs_is_changed_and_nothing_else(data, expected):
    assert sql(data) == expected


def test_a_password_becomes_a_verifier_that_is_never_shown():
    data = wanted(passwords={**PASSWORDS, "shop": "canary-New"})
    (statement,) = plan(data, actual()).statements
    secret = statement.parts[1]
    assert isinstance(secret, Literal)
    assert scram.matches("canary-New", str(secret.value))
    assert preview(statement) == "[postgres] ALTER ROLE shop PASSWORD '********';"
    assert "canary" not in repr((statement, data))
    assert str(secret.value) not in repr(statement)


def test_what_is_absent_is_dropped_from_the_inside_out():
    gone = only(
        roles=[{"name": "readers", "state": "absent"}, {"name": "nobody", "state": "absent"}],
        databases=[{"name": "odd db", "state": "absent"}],
        schemas=[{"database": "postgres", "name": "pooler", "state": "absent"}],
        functions=[{**LOOKUP, "state": "absent"}],
        extensions=[{"database": "shop", "name": "pg_trgm", "state": "absent"}],
    )
    assert sql(gone) == [
        "[postgres] REVOKE EXECUTE ON FUNCTION pooler.get_auth(text) FROM readers;",
        "[shop] REVOKE CONNECT ON DATABASE shop FROM readers;",
        "[shop] REVOKE USAGE ON SCHEMA shop FROM readers;",
        "[shop] ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA shop REVOKE SELECT ON TABLES FROM readers;",
        "[shop] DROP EXTENSION pg_trgm;",
        "[postgres] DROP FUNCTION pooler.get_auth(text);",
        "[postgres] DROP SCHEMA pooler;",
        "[postgres] DROP DATABASE odd db;",
        "[postgres] DROP ROLE readers;",
    ]
    assert sql(gone, Actual()) == []


def strangers():
    """The recorded server with one object of each kind that nobody asked for."""
    rows = copy.deepcopy(RECORDED)
    rows["postgres"]["ROLES"].append(["rogue", ["LOGIN"], -1, None, [], None])
    rows["postgres"]["DATABASES"].append(["rogue", "rogue", -1])
    rows["shop"]["SCHEMAS"].append(["rogue", "rogue"])
    rows["shop"]["EXTENSIONS"].append(["hstore", "public", "1.8"])
    return actual(rows)


STRANGERS = ("role:rogue", "database:rogue", "schema:shop/rogue", "extension:shop/hstore")


def test_strangers_are_reported():
    todo = plan(wanted(), strangers())
    assert todo.unmanaged == STRANGERS
    assert todo.statements == ()


def test_strangers_are_dropped_when_asked_for():
    assert sql(wanted(prune="delete"), strangers()) == [
        "[shop] DROP EXTENSION hstore;",
        "[shop] DROP SCHEMA rogue;",
        "[postgres] DROP DATABASE rogue;",
        "[postgres] DROP ROLE rogue;",
    ]


@pytest.mark.parametrize("kept", STRANGERS)
def test_the_protected_stay(kept):
    todo = plan(wanted(prune="delete", protected=[kept]), strangers())
    assert kept not in todo.unmanaged
    assert len(todo.statements) == 3


def test_postgresqls_own_things_are_never_strangers():
    todo = plan(only(prune="delete", protected=[]), actual())
    assert {name.split(":")[1] for name in todo.unmanaged}.isdisjoint(
        {"postgres", "pg_monitor", "template0", "template1", "postgres/public", "postgres/plpgsql"}
    )


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_postgresqls_databases_are_never_dropped(name):
    data = replace(only(), gone=frozenset({("database", "", name)}))
    with pytest.raises(DataError, match="never dropped"):
        plan(data, actual())
