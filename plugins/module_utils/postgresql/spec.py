# SPDX-License-Identifier: Apache-2.0
"""Argument spec of the module postgresql_objects."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

NAME: Spec = {"type": "str", "required": True}
TEXT: Spec = {"type": "str"}
STATE: Spec = {"type": "str", "choices": ["present", "absent"], "default": "present"}
LIMIT: Spec = {"type": "int", "default": -1}
NAMES: Spec = {"type": "list", "elements": "str", "default": []}
SETTINGS: Spec = {"type": "dict", "default": {}}


def _flag(default: bool) -> Spec:
    return {"type": "bool", "default": default}


def _entries(options: Spec) -> Spec:
    return {"type": "list", "elements": "dict", "default": [], "options": {**options, "state": STATE}}


CONNECTION: Spec = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "default": "postgres"},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca_path": {"type": "path", "required": True},
}
ROLE: Spec = {
    "name": NAME,
    "login": _flag(True),
    "superuser": _flag(False),
    "createdb": _flag(False),
    "createrole": _flag(False),
    "inherit": _flag(True),
    "replication": _flag(False),
    "bypassrls": _flag(False),
    "connection_limit": LIMIT,
    "password_secret": {"type": "str", "no_log": False},
    "member_of": NAMES,
    "settings": SETTINGS,
}
FUNCTION: Spec = {
    "database": NAME,
    "schema": NAME,
    "name": NAME,
    "arguments": NAMES,
    "returns": TEXT,
    "language": {"type": "str", "default": "sql"},
    "body": TEXT,
    "security_definer": _flag(False),
    "settings": SETTINGS,
}
GRANT: Spec = {
    "database": NAME,
    "kind": {"type": "str", "required": True, "choices": ["database", "schema", "table", "sequence", "function"]},
    "schema": TEXT,
    "name": TEXT,
    "role": NAME,
    "privileges": NAMES,
}
DEFAULT_PRIVILEGE: Spec = {
    "database": NAME,
    "kind": {"type": "str", "required": True, "choices": ["table", "sequence", "function", "type"]},
    "owner": NAME,
    "schema": TEXT,
    "role": NAME,
    "privileges": NAMES,
}


def object_options() -> Spec:
    """The options, as AnsibleModule takes them."""
    return {
        "connection": {"type": "dict", "required": True, "options": CONNECTION},
        "passwords": {"type": "dict", "default": {}, "no_log": True},
        "roles": _entries(ROLE),
        "databases": _entries({"name": NAME, "owner": TEXT, "connection_limit": LIMIT}),
        "schemas": _entries({"database": NAME, "name": NAME, "owner": TEXT}),
        "extensions": _entries({"database": NAME, "name": NAME, "schema": TEXT, "version": TEXT, "library": TEXT}),
        "functions": _entries(FUNCTION),
        "grants": _entries(GRANT),
        "default_privileges": _entries(DEFAULT_PRIVILEGE),
        "prune": {"type": "str", "choices": ["report", "delete"], "default": "report"},
        "protected": NAMES,
        "fresh": _flag(False),
    }
