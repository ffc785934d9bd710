# SPDX-License-Identifier: Apache-2.0
"""What a backup would take: kind, bytes and seconds by the last one of its kind, and whether the disk has room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup_job.postgresql import due
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import (
    CONFIG_DIR,
    REAL,
    Asked,
    Ports,
    may_run,
)
from ansible_collections.rsp.platform.plugins.module_utils.host import free_mb
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Stanza, latest
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

MB = 1_000_000
# A backup of this kind was never made: the database compressed, and then some
UNKNOWN_RATIO = 0.6


def forecast(service: str, asked: Asked, config_dir: Path = CONFIG_DIR, ports: Ports = REAL) -> dict[str, Any]:
    """The plan by repository. Raises DriverError when a gate is closed or the space does not do."""
    config = json.loads((config_dir / f"{service}.json").read_text(encoding="utf-8"))
    gate = may_run(config, asked, ports)
    if not gate.open:
        raise DriverError(f"backup of {config['cluster']} would be postponed: {gate.reason}")
    if service != "postgresql":
        return {"files": {"kind": "full", "free_mb": free_mb(config["directory"])}, "gate": gate.evidence}
    stanza = Pgbackrest(ports.run, config["stanza"]).info()
    kinds = due(stanza, config, asked.kind, ports.clock())
    plan = {str(number): estimate(stanza, number, kind) for number, kind in kinds.items()}
    free = free_mb(config["repository_dir"])
    need = plan.get("1", {}).get("mb") or 0
    if need > free:
        raise DriverError(f"repository 1 needs about {need} MB more and {config['repository_dir']} has {free} MB free")
    return {**plan, "free_mb": free, "gate": gate.evidence}


def estimate(stanza: Stanza, repository: int, kind: str) -> Mapping[str, Any]:
    """Megabytes and seconds by the last backup of the kind; of none, by the size of the database; else unknown."""
    last = latest(stanza.of(repository), kind)
    if last is not None and last.stored is not None:
        found = {"mb": last.stored // MB, "seconds": last.stop - last.start, "by": last.label}
    else:
        any_one = latest(stanza.backups)
        size = int(any_one.size * UNKNOWN_RATIO) // MB if any_one else None
        found = {"mb": size, "seconds": None, "by": any_one.label if any_one else "nothing to go by"}
    return {"kind": kind, **found}
