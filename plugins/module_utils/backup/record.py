# SPDX-License-Identifier: Apache-2.0
"""Evidence of proofs, chained in one file a store; what was proved when is read from nothing else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain, EvidenceError, verify

KIND = "backup_proof"
RESTORED = 4


def append(path: Path, at: str, body: Mapping[str, Any], key: bytes = b"") -> dict[str, Any]:
    """One more record behind a chain that holds. Raises BackupError when it does not."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            lines = file.read().splitlines()
            chain = Chain(key)
            if lines:
                checked = verify(lines, key)
                if not checked.good:
                    raise BackupError(
                        f"{path}: {'; '.join(checked.problems[:3])} → keep it aside, it is evidence itself"
                    )
                chain.records = [json.loads(line) for line in lines]
            record = chain.add(KIND, at, body)
            file.write(chain.text().splitlines(keepends=True)[-1])
            file.flush()
            os.fsync(file.fileno())
            return record
    except (OSError, EvidenceError) as err:
        raise BackupError(f"{path}: {err}") from err


def proofs(path: Path, key: bytes = b"") -> list[dict[str, Any]]:
    """Bodies of a chain, oldest first; none without a file. Raises BackupError for a broken chain."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise BackupError(f"{path}: {err}") from err
    checked = verify(lines, key)
    if not checked.good:
        raise BackupError(f"{path}: {'; '.join(checked.problems[:3])}")
    return [record["body"] for record in (json.loads(line) for line in lines) if record["kind"] == KIND]


def proved(bodies: list[dict[str, Any]]) -> dict[str, float]:
    """Label → when a restore last proved it. What stayed below L4 was read, not restored."""
    found: dict[str, float] = {}
    for body in bodies:
        reached = body.get("level")
        if body.get("proved") and reached is not None and reached >= RESTORED and not body.get("plant"):
            found[body["label"]] = max(found.get(body["label"], 0.0), float(body["ended_at"]))
    return found


def last_rate(bodies: list[dict[str, Any]]) -> float | None:
    """MiB/s of the newest fetch, for the estimate of the next drill."""
    rates = [body["stages"]["mib_per_s"].get("fetch") for body in bodies if body.get("stages")]
    return next((rate for rate in reversed(rates) if rate), None)
