"""Data for the objects of PostgreSQL, in the form of the module's options; catalog.json is what a server made of it."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import catalog
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.catalog import read
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.converge import preview
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.parse import parse
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.plan import plan
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.spec import object_options

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "postgresql" / "catalog.json").read_text())
QUERIES = {text: name for name, text in vars(catalog).items() if name.isupper()}
CONNECTION = {"hosts": ["127.0.0.1"], "password": "canary-admin", "ca_path": "/ca.crt"}
PASSWORDS = {"shop": "canary-Shop1", "ana": "canary-Ana2"}
BODY = "SELECT rolname::text, rolpassword::text FROM pg_catalog.pg_authid WHERE rolname = $1"
LOOKUP = {
    "database": "postgres",
    "schema": "pooler",
    "name": "get_auth",
    "arguments": ["text"],
    "returns": "TABLE(role_name text, verifier text)",
    "security_definer": True,
    "settings": {"search_path": "pg_catalog"},
    "body": BODY,
}
DATA = {
    "passwords": PASSWORDS,
    "roles": [
        {
            "name": "shop",
            "password_secret": "shop",
            "settings": {"statement_timeout": "5s", "search_path": "shop, public", "pgaudit.log": "ddl,role"},
            "connection_limit": 5,
        },
        {"name": "ana", "password_secret": "ana", "member_of": ["readers", "pg_monitor"], "createdb": True},
        {"name": "readers", "login": False},
        {"name": "Odd name", "login": False},
    ],
    "databases": [{"name": "shop", "owner": "shop"}, {"name": "odd db"}],
    "schemas": [{"database": "shop", "name": "shop", "owner": "shop"}, {"database": "postgres", "name": "pooler"}],
    "extensions": [
        {"database": "shop", "name": "pg_trgm", "schema": "shop"},
        {"database": "postgres", "name": "pg_stat_statements", "version": "1.11"},
    ],
    "functions": [LOOKUP],
    "grants": [
        {"database": "shop", "kind": "database", "role": "public", "privileges": []},
        {"database": "shop", "kind": "database", "role": "readers", "privileges": ["CONNECT"]},
        {"database": "shop", "kind": "schema", "name": "shop", "role": "readers", "privileges": ["usage"]},
        {"database": "postgres", "kind": "function", "schema": "pooler", "name": "get_auth(text)", "role": "public"},
        {
            "database": "postgres",
            "kind": "function",
            "schema": "pooler",
            "name": "get_auth(text)",
            "role": "readers",
            "privileges": ["ALL"],
        },
    ],
    "default_privileges": [
        {
            "database": "shop",
            "kind": "table",
            "owner": "shop",
            "schema": "shop",
            "role": "readers",
            "privileges": ["SELECT"],
        },
        {"database": "shop", "kind": "function", "owner": "shop", "role": "public", "privileges": []},
    ],
}


def options(**changes):
    """DATA with other lists, as AnsibleModule hands them over."""
    result = ArgumentSpecValidator(object_options()).validate({"connection": CONNECTION, **DATA, **changes})
    assert not result.error_messages
    return result.validated_parameters


def wanted(**changes):
    """The data, parsed."""
    return parse(options(**changes))


def only(**lists):
    """Nothing but these lists."""
    empty = {key: [] for key in DATA if key != "passwords"}
    return wanted(**{**empty, **lists})


class Recorded:
    """A server that answers with recorded rows and keeps what it was told to run."""

    def __init__(self, rows=RECORDED):
        self.rows, self.run = rows, []

    def query(self, database, text):
        return self.rows[database][QUERIES[text]]

    def execute(self, statement):
        self.run.append(statement)


def actual(rows=RECORDED, databases=("postgres", "shop")):
    """What the recorded server has."""
    return read(Recorded(rows).query, databases)


def sql(data, there=None):
    """The statements of the plan as people read them."""
    return [preview(statement) for statement in plan(data, there or actual()).statements]


def grant(kind, role, *privileges, name=None, schema=None, state="present", database="shop"):
    """An entry of grants."""
    return {
        "database": database,
        "kind": kind,
        "name": name,
        "schema": schema,
        "role": role,
        "privileges": list(privileges),
        "state": state,
    }


# A standby of the lab, PostgreSQL 17 on Debian 13
CONTROLDATA = """pg_control version number:            1700
Catalog version number:               202406281
Database system identifier:           7711924345757294104
Database cluster state:               in archive recovery
pg_control last modified:             Wed Nov 25 02:54:31 2026
Latest checkpoint location:           0/55199F8
Latest checkpoint's REDO location:    0/55199A0
Latest checkpoint's REDO WAL file:    000000040000000000000005
Latest checkpoint's TimeLineID:       4
Time of latest checkpoint:            Wed Nov 25 02:53:01 2026
Minimum recovery ending location:     0/551E1F8
wal_log_hints setting:                on
Database block size:                  8192
Bytes per WAL segment:                16777216
Date/time type storage:               64-bit integers
Data page checksum version:           1
Mock authentication nonce:            3cffe34574231c074815bfb1a9fb71abc883b923f65ab86b779819eb687893b7
"""
