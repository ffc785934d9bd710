# SPDX-License-Identifier: Apache-2.0
"""Digests that tell whether something moved. What may be a secret is keyed: a digest must not let anybody guess it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.file_node import Node

KEYED = "hmac-sha256"
# What decides what a run does. Tests and documentation may change under a plan.
CODE = ("roles/*", "plugins/*", "playbooks", "catalogue")
LEFT_OUT = ("__pycache__", ".pyc")
# Names of what roles and jobs keep for themselves while they run: no inventory has them.
OURS = "__"


def canonical(data: Any) -> bytes:
    """The one JSON form of something."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def derived(key: str, host: str) -> str:
    """A host's own key: who has it can guess nothing of other hosts."""
    return hmac.new(key.encode(), host.encode(), hashlib.sha256).hexdigest()


def described(node: Node, dest: str, secret: bool, key: str) -> dict[str, str]:
    """What is at a path, as a plan shows it; empty when nothing is there."""
    if node.kind == "absent":
        return {}
    about = {"owner": f"{node.uid}:{node.gid}", "mode": f"{node.mode:04o}"}
    if node.kind == "directory":
        return about
    if secret:
        message = dest.encode() + b"\0" + node.content
        return {**about, "digest": f"{KEYED}:{hmac.new(key.encode(), message, hashlib.sha256).hexdigest()}"}
    return {**about, "digest": f"sha256:{hashlib.sha256(node.content).hexdigest()}"}


def code(root: Path) -> dict[str, str]:
    """Part of the collection → digest of its files, names included."""
    parts = sorted(
        part for pattern in CODE for part in root.glob(pattern) if part.is_dir() and part.name not in LEFT_OUT
    )
    return {str(part.relative_to(root)): _tree(part) for part in parts}


def _tree(part: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(part.rglob("*")):
        if path.is_file() and not any(word in str(path) for word in LEFT_OUT):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(part)}\0{content}\n".encode())
    return digest.hexdigest()


def variables(
    hosts: Iterable[tuple[str, Mapping[str, Any], Mapping[str, Any]]], prefixes: tuple[str, ...], key: str
) -> dict[str, dict[str, list[str]]]:
    """Variable → keyed digest of its value → hosts that have this value.

    Args:
        hosts: name of a host, its variables, and the same computed once more: a value that differs is made up anew each
            time, because check mode keeps no secret.
        prefixes: of the variables that count; what a run has registered for itself never does.
        key: of the digests.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for host, first, second in hosts:
        for name in sorted(first):
            if name.startswith(prefixes) and not name.startswith(OURS):
                value = canonical([name, first[name]])
                lasting = value == canonical([name, second.get(name)])
                digest = (
                    hmac.new(key.encode(), value, hashlib.sha256).hexdigest()[:32]
                    if lasting
                    else "made when it is missing"
                )
                found.setdefault(name, {}).setdefault(digest, []).append(host)
    return {name: {digest: sorted(names) for digest, names in sorted(found[name].items())} for name in sorted(found)}
