# SPDX-License-Identifier: Apache-2.0
"""Argument spec of the `connection` option of modules about an S3 store; plugins/doc_fragments/s3.py documents it."""

from __future__ import annotations

from typing import Any


def s3_options() -> dict[str, Any]:
    """How to reach the store, and as whom."""
    return {
        "type": "dict",
        "required": True,
        "options": {
            "url": {"type": "str", "required": True},
            "ca_path": {"type": "path"},
            "access": {"type": "str", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
            "region": {"type": "str", "default": "us-east-1"},
            "timeout_s": {"type": "float", "default": 30.0},
        },
    }
