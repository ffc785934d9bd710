"""What is there, from rows recorded from PostgreSQL 17."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.catalog import DATABASES, read
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Database, DefaultTarget, Target
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import matches
from postgresql_data import PASSWORDS, Recorded, actual


def test_roles():
    roles = actual().roles
    assert roles["shop"].settings == {
        "statement_timeout": "5s",
        "search_path": "shop, public",
        "pgaudit.log": "ddl,role",
    }
    assert roles["shop"].connection_limit == 5
    assert roles["ana"].flags == {"LOGIN", "CREATEDB", "INHERIT"}
    assert roles["ana"].member_of == {"readers", "pg_monitor"}
    assert roles["readers"].verifier is None
    assert "SCRAM" not in repr(roles)


@pytest.mark.parametrize("name", sorted(PASSWORDS))
def test_the_verifiers_that_the_server_keeps_are_those_of_the_passwords(name):
    assert matches(PASSWORDS[name], actual().roles[name].verifier)
    assert not matches(PASSWORDS[name] + "x", actual().roles[name].verifier)


def test_databases():
    assert actual().databases["shop"] == Database("shop", "shop")
    assert set(actual().databases) >= {"postgres", "template0", "template1", "odd db"}


def test_the_inside_of_a_database():
    inside = actual().at("shop")
    assert inside.schemas["shop"] == "shop"
    assert (inside.extensions["pg_trgm"].schema, inside.extensions["pg_trgm"].version) == ("shop", "1.6")
    assert inside.privileges[Target("database", "shop")]["readers"] == {"CONNECT"}
    assert "public" not in inside.privileges[Target("database", "shop")]
    assert Target("sequence", "seq", "shop") in inside.privileges
    assert inside.defaults[DefaultTarget("table", "shop", "shop")] == {"readers": {"SELECT"}}


def test_functions_are_known_by_their_arguments():
    function = actual().at("postgres").functions["pooler", "get_auth(text)"]
    assert function.returns == "TABLE(role_name text, verifier text)"
    assert function.settings == {"search_path": "pg_catalog"}
    assert function.security_definer


def test_a_database_that_is_not_there_is_not_asked():
    asked = []
    server = Recorded()

    def query(database, text):
        asked.append(database)
        return server.query(database, text)

    assert read(query, {"nowhere", "shop"}).at("nowhere").schemas == {}
    assert set(asked) == {"postgres", "shop"}
    assert server.query("postgres", DATABASES)
