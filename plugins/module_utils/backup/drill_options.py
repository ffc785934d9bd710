# SPDX-License-Identifier: Apache-2.0
"""Argument spec of restore_drill."""

from __future__ import annotations

from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import point_options, source_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.plant import PLANTS
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import KINDS

TEXT = {"type": "str"}
NEEDED = {"type": "str", "required": True}
QUESTION = {
    "name": NEEDED,
    "database": NEEDED,
    "query": NEEDED,
    "equals": TEXT,
    "at_least": {"type": "float"},
    "table": TEXT,
}
SUBJECTS = {
    "database": NEEDED,
    "table": NEEDED,
    "column": NEEDED,
    "values": {"type": "list", "elements": "str", "required": True},
}
CANARY = {
    "store": NEEDED,
    "key": {"type": "str", "required": True, "no_log": True},
    "database": {"type": "str", "default": "postgres"},
    "ledger": {"type": "path"},
    "k": {"type": "int"},
}
TARGET = {"kind": {"type": "str", "choices": [*KINDS, "canary"], "required": True}, "value": TEXT}


def drill_options() -> dict[str, Any]:
    """Argument spec of the module."""
    return {
        **source_options(),
        **point_options(),
        "name": NEEDED,
        "level": {"type": "str", "choices": ["L4", "L5", "L6", "L7"], "default": "L6"},
        "seed": {"type": "str", "default": "rsp"},
        "target": {"type": "dict", "options": TARGET},
        "lease_s": {"type": "int", "default": 3600},
        "recover_s": {"type": "float", "default": 900},
        "directory": {"type": "path", "default": "/var/lib/rsp/drills"},
        "engine_user": {"type": "str", "default": "postgres"},
        "binaries": {"type": "path", "required": True},
        "canary": {"type": "dict", "options": CANARY},
        "content": _questions(QUESTION),
        "application": _questions(QUESTION),
        "destroyed": _questions(SUBJECTS),
        "real_size": {"type": "int", "default": 0},
        "evidence": {"type": "path"},
        "evidence_key": {"type": "str", "no_log": True},
        "fresh_s": {"type": "int", "default": 0},
        "plant": {"type": "str", "choices": list(PLANTS)},
    }


def _questions(options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}
