# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up, with a floor of free bytes, and never one that others live on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, FaultPlan, Kind
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

FLOOR_MB = 16


def fill(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
    """A file takes what is free but the floor, at most `max_mb`."""
    folder = params["path"].rstrip("/") or "/"
    if not (look.root / folder.lstrip("/")).is_dir():
        raise ChaosError(f"{folder} is no directory on this host")
    mount = look.mount(folder)
    if mount.shared:
        raise ChaosError(f"{folder} lies on {mount.point} ({mount.kind}), which this host shares with others: refused")
    if mount.point == "/" and not params["allow_root"]:
        raise ChaosError(f"{folder} lies on the root file system → choose another path, or set allow_root")
    path = f"{folder.rstrip('/')}/.rsp-chaos-{fault}"
    size = {"path": path, "bytes": params["max_mb"] << 20, "floor": params["floor_mb"] << 20}
    return FaultPlan(
        inject=({"do": "fill", **size},),
        undo=({"do": "no_file", "path": path},),
        fingerprint=({"see": "exists", "path": path},),
        effect=({"see": "full", **size},),
    )


KINDS = (
    Kind("disk_fill", "Fills a file system down to a floor of free bytes.",
         {"path": Option(type="str", pattern=r"/[^\x00-\x1f]*", required=True),
          "floor_mb": Option(type="int", minimum=FLOOR_MB, maximum=1048576, default=64),
          "max_mb": Option(type="int", minimum=1, maximum=1048576, default=10240),
          "allow_root": Option(type="bool", default=False)}, fill),
)  # fmt: skip
