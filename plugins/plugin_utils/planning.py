# SPDX-License-Identifier: Apache-2.0
"""Plans on the controller: computing one, and the files that hold them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.plan.document import Plan, hash_of


class PlanError(Exception):
    """A plan that can't be made, read or trusted."""


def keep(plan: Plan, directory: Path, made: Mapping[str, Any]) -> Path:
    """Write a plan into a private file named by its hash. What differs from run to run stands beside the plan."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{hash_of(plan)}.json"
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    text = json.dumps(
        {"hash": hash_of(plan), "made": dict(made), "plan": plan}, indent=1, sort_keys=True, ensure_ascii=False
    )
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    new.replace(path)
    return path


def read(digest: str, directory: Path) -> Plan | None:
    """The plan of this hash; None when this controller has none.

    Raises:
        PlanError: the file is not what its name says.
    """
    path = directory / f"{digest}.json"
    try:
        plan: Plan = json.loads(path.read_text(encoding="utf-8"))["plan"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as err:
        raise PlanError(f"{path} can't be read: {err} → plan anew") from err
    if hash_of(plan) != digest:
        raise PlanError(
            f"{path} was changed after it was written: its content has the hash {hash_of(plan)} → plan anew"
        )
    return plan


def made_now(user: str) -> dict[str, str]:
    """When and by whom a plan was made: not a part of it."""
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": user}
