# SPDX-License-Identifier: Apache-2.0
"""Whether a run is recorded for a plan, and what rsp.platform.files then tells about its changes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.plan.digests import KEYED, derived
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import NO_CRYPTOGRAPHY, placeholder
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError, open_store

RECORD_FILE = "RSP_RECORD_FILE"
KEY_NAME = "plan/digest"
DIFF_LINES = 200


def key(settings: Any) -> str:
    """The key of digests, as the secret store keeps it.

    Raises:
        SecretError: it is not there; the job plan makes it.
    """
    store = open_store(settings)
    found = store.get(KEY_NAME)
    if found is None:
        raise SecretError(f"secret {KEY_NAME} is missing → {store.howto(KEY_NAME)}")
    return found


def key_of(settings: Any, host: str) -> str | None:
    """The key of this host's digests; None when the run is not recorded."""
    return derived(key(settings), host) if os.environ.get(RECORD_FILE) else None


def unforeseen(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> set[str]:
    """Files whose content check mode can't know: it is another one each time, or stands for a certificate to come."""
    stands = [] if NO_CRYPTOGRAPHY else [text.encode() for text in placeholder().values()]
    return {dest for dest in first if first[dest] != second[dest] or any(text in first[dest] for text in stands)}


def told(result: Mapping[str, Any], unknown: set[str]) -> list[dict[str, Any]]:
    """Entries of `files`, each with its diff unless it is secret; without digests of what can't be known."""
    texts = {each["before_header"]: each for each in reversed(result.get("diff") or [])}
    found = []
    for entry in result.get("files") or ():
        nodes = [entry.get("before") or {}, entry.get("after") or {}]
        if entry["dest"] in unknown:
            found.append({**entry, "after": None})
        elif any(node.get("digest", "").startswith(KEYED) for node in nodes) or entry["dest"] not in texts:
            found.append(entry)
        else:
            text = texts[entry["dest"]]
            sides = text["before"].splitlines(), text["after"].splitlines()
            found.append({**entry, "diff": list(difflib.unified_diff(*sides, lineterm="", n=1))[:DIFF_LINES]})
    return found
