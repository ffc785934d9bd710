"""From options of the module to the wanted objects of PostgreSQL; what contradicts itself is refused."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import DataError, Target
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.parse import PRIVILEGES, parse
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.spec import object_options
from postgresql_data import CONNECTION, DATA, LOOKUP, grant, only, options, wanted

SHOP = DATA["roles"][0]


def test_defaults_of_a_role():
    role = only(roles=[{"name": "x"}]).roles["x"]
    assert role.flags == {"LOGIN", "INHERIT"}
    assert (role.connection_limit, role.member_of, role.settings, role.verifier) == (-1, frozenset(), {}, None)


def test_everything_wanted_is_where_it_belongs():
    data = wanted()
    assert sorted(data.inside) == ["postgres", "shop"]
    assert data.inside["postgres"].schemas == {"pooler": "postgres"}
    assert data.inside["shop"].schemas == {"shop": "shop"}
    assert sorted(data.inside["shop"].extensions) == ["pg_trgm"]
    function = data.inside["postgres"].functions["pooler", "get_auth(text)"]
    assert (function.security_definer, function.settings) == (True, {"search_path": "pg_catalog"})


def test_all_stands_for_every_privilege_and_names_are_of_any_case():
    privileges = (
        only(grants=[grant("table", "x", "all", name="t", schema="s"), grant("schema", "PUBLIC", "usage", name="s")])
        .inside["shop"]
        .privileges
    )
    assert privileges[Target("table", "t", "s")]["x"] == PRIVILEGES["table"]
    assert privileges[Target("schema", "s")] == {"public": {"USAGE"}}


def test_the_role_that_connects_is_never_pruned():
    assert "role:postgres" in parse(options(protected=["role:x"])).protected


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"roles": [{"nam": "x"}]}, "nam"),
        ({"roles": [{"name": "x", "state": "gone"}]}, "gone"),
        ({"grants": [{"database": "x", "kind": "view", "role": "y"}]}, "view"),
        ({"prune": "yes"}, "yes"),
    ],
)
def test_what_the_spec_does_not_know_is_refused(entry, reason):
    result = ArgumentSpecValidator(object_options()).validate({"connection": CONNECTION, **entry})
    assert reason in " ".join(result.error_messages)


TWICE = [{"name": "x", "state": "present"}, {"name": "x", "state": "absent"}]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"roles": TWICE}, "role x is there twice"),
        ({"databases": TWICE}, "database x is there twice"),
        ({"schemas": [{"database": "shop", **entry} for entry in TWICE]}, "schema of shop x is there twice"),
        ({"extensions": [{"database": "shop", **entry} for entry in TWICE]}, "extension of shop x is there twice"),
        ({"functions": [LOOKUP, LOOKUP]}, r"function of postgres pooler.get_auth\(text\) is there twice"),
        ({"functions": [{**LOOKUP, "body": None}]}, "function pooler.get_auth: body is missing"),
        ({"roles": [{"name": "x", "password_secret": "y"}]}, "role x: passwords has no y"),
        ({"roles": [SHOP], "passwords": {"shop": "пароль"}}, "role shop: a password must be printable ASCII"),
        ({"grants": [grant("table", "x", "SELECT", name="t")]}, "table t of shop to x: schema is missing"),
        ({"grants": [grant("schema", "x", "USAGE")]}, "grant on a schema of shop to x: name is missing"),
        ({"grants": [grant("schema", "x", "SELECT", name="s")]}, "no such privilege: SELECT"),
        ({"grants": [grant("database", "x"), grant("database", "x")]}, "database shop of shop to x is there twice"),
        ({"databases": [{"name": "shop", "state": "absent"}]}, "shop is absent, but the data wants something in it"),
    ],
)
def test_contradictions_are_refused(changes, reason):
    with pytest.raises(DataError, match=reason):
        wanted(**changes)
