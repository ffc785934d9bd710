"""Privileges of PostgreSQL: an entry owns what its role may do with its target."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.converge import preview
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Inside
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.privileges import revoke_everything
from postgresql_data import actual, grant, only, sql


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([grant("database", "readers", "CONNECT")], []),
        ([grant("database", "readers", "CREATE", "connect")], ["GRANT CREATE ON DATABASE shop TO readers"]),
        ([grant("database", "readers", "TEMPORARY")], [
            "GRANT TEMPORARY ON DATABASE shop TO readers", "REVOKE CONNECT ON DATABASE shop FROM readers",
        ]),
        ([grant("schema", "readers", name="shop", state="absent")], ["REVOKE USAGE ON SCHEMA shop FROM readers"]),
        ([grant("schema", "PUBLIC", "ALL", name="shop")], ["GRANT CREATE, USAGE ON SCHEMA shop TO PUBLIC"]),
        ([grant("table", "readers", "SELECT", schema="shop")], ["GRANT SELECT ON TABLE shop.orders TO readers"]),
        ([grant("table", "shop", "ALL", schema="shop")], []),
        ([grant("table", "ana", "SELECT", "INSERT", schema="shop")], [
            "GRANT INSERT, SELECT ON TABLE shop.orders TO ana"]),
        ([grant("table", "ana", "SELECT", schema="shop"),
          grant("table", "ana", "DELETE", schema="shop", name="orders")], ["GRANT DELETE ON TABLE shop.orders TO ana"]),
        ([grant("sequence", "ana", "USAGE", schema="shop")], ["GRANT USAGE ON SEQUENCE shop.seq TO ana"]),
        ([grant("table", "ana", "SELECT", schema="nowhere")], []),
        ([grant("table", "ana", "SELECT", schema="shop", name="nosuch")], ["GRANT SELECT ON TABLE shop.nosuch TO ana"]),
        ([grant("function", "ana", "EXECUTE", schema="pooler", name="get_auth(text)", database="postgres")], [
            "GRANT EXECUTE ON FUNCTION pooler.get_auth(text) TO ana"]),
    ],
)  # fmt: skip
def test_an_entry_owns_all_privileges_of_its_role_on_its_target(entries, expected):
    assert [line.split("] ")[1].removesuffix(";") for line in sql(only(grants=entries))] == expected


def default(kind, role, *privileges, owner="shop", schema=None):
    return {
        "database": "shop",
        "kind": kind,
        "owner": owner,
        "schema": schema,
        "role": role,
        "privileges": list(privileges),
    }


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (default("table", "readers", "SELECT", schema="shop"), []),
        (default("function", "public"), []),
        (default("function", "public", owner="ana"), ["FOR ROLE ana REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"]),
        (default("function", "public", owner="ana", schema="shop"), []),
        (default("type", "public", "ALL", owner="ana"), []),
        (default("table", "readers", "INSERT", schema="shop"), [
            "FOR ROLE shop IN SCHEMA shop GRANT INSERT ON TABLES TO readers",
            "FOR ROLE shop IN SCHEMA shop REVOKE SELECT ON TABLES FROM readers"]),
    ],
)  # fmt: skip
def test_default_privileges(entry, expected):
    lines = sql(only(default_privileges=[entry]))
    assert [line.removeprefix("[shop] ALTER DEFAULT PRIVILEGES ").removesuffix(";") for line in lines] == expected


def test_everything_that_a_role_has_is_taken_away():
    assert [preview(s) for s in revoke_everything("shop", "readers", actual().at("shop"))] == [
        "[shop] REVOKE CONNECT ON DATABASE shop FROM readers;",
        "[shop] REVOKE USAGE ON SCHEMA shop FROM readers;",
        "[shop] ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA shop REVOKE SELECT ON TABLES FROM readers;",
    ]


@pytest.mark.parametrize(("role", "there"), [("nobody", actual().at("shop")), ("readers", Inside())])
def test_who_has_nothing_loses_nothing(role, there):
    assert list(revoke_everything("shop", role, there)) == []
