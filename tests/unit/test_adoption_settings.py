"""Settings as PostgreSQL keeps them and as people write them."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.adoption.settings import differing, same


def row(setting, vartype="integer", unit=None, context="sighup", name="x"):
    return {
        "name": name,
        "setting": setting,
        "unit": unit,
        "vartype": vartype,
        "context": context,
        "shown": f"{setting}{unit or ''}",
    }


@pytest.mark.parametrize(
    ("there", "wanted", "equal"),
    [
        (row("524288", unit="8kB"), "4GB", True),
        (row("524288", unit="8kB"), 524288, True),
        (row("524288", unit="8kB"), "4096MB", True),
        (row("524288", unit="8kB"), "4GB ", True),
        (row("524287", unit="8kB"), "4GB", False),
        (row("4096", unit="kB"), "4MB", True),
        (row("64", unit="MB"), "64MB", True),
        (row("64", unit="MB"), "64GB", False),
        (row("16777216", unit="B"), "16MB", True),
        (row("300000", unit="ms"), "5min", True),
        (row("300000", unit="ms"), "300s", True),
        (row("300", unit="s"), "5min", True),
        (row("300", unit="s"), 300, True),
        (row("5", unit="min"), "300s", True),
        (row("7200", unit="s"), "2h", True),
        (row("-1", unit="kB"), -1, True),
        (row("-1", unit="kB"), "10MB", False),
        (row("200"), 200, True),
        (row("200"), "200", True),
        (row("200"), 150, False),
        (row("200"), "200kB", False),
        (row("200", unit="kB"), "200parsecs", False),
        (row("1.1", "real"), 1.1, True),
        (row("4", "real"), 1.1, False),
        (row("1", "real"), "1.0", True),
        (row("0", unit="ms", vartype="real"), "0", True),
        (row("on", "bool"), "on", True),
        (row("on", "bool"), True, True),
        (row("on", "bool"), "yes", True),
        (row("off", "bool"), "0", True),
        (row("off", "bool"), "on", False),
        (row("off", "bool"), "perhaps", False),
        (row("scram-sha-256", "enum"), "SCRAM-SHA-256", True),
        (row("md5", "enum"), "scram-sha-256", False),
        (row("pg_stat_statements, pgaudit", "string"), "pg_stat_statements,pgaudit", True),
        (row("", "string"), "pgaudit", False),
        (row("%m [%p] ", "string"), "%m [%p]", False),
        (row("12x", unit="kB"), "12x", True),
        (row("1.2.3", unit="kB"), "1.2.4", False),
    ],
)
def test_same(there, wanted, equal):
    assert same(there, wanted) is equal


def test_what_differs_says_what_it_needs():
    rows = [
        row("150", context="postmaster", name="max_connections"),
        row("4096", unit="kB", context="user", name="work_mem"),
        row("on", "bool", context="internal", name="data_checksums"),
        row("on", "bool", name="fsync"),
    ]
    wanted = {"max_connections": 200, "work_mem": "8MB", "data_checksums": "off", "fsync": "on", "pgaudit.log": "ddl"}
    assert differing(rows, wanted) == [
        {"name": "data_checksums", "live": "on", "wanted": "off", "needs": "a new cluster"},
        {"name": "max_connections", "live": "150", "wanted": "200", "needs": "restart"},
        {"name": "pgaudit.log", "live": None, "wanted": "ddl", "needs": "reload"},
        {"name": "work_mem", "live": "4096kB", "wanted": "8MB", "needs": "reload"},
    ]


def test_nothing_differs_from_itself():
    assert differing([row("150", name="a")], {"a": 150}) == []
