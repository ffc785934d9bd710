# SPDX-License-Identifier: Apache-2.0
"""A whole host, seen from the machine that runs its container: dead or frozen, and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option


def _plan(want: str) -> Any:
    def plan(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
        name = params.get("container")
        if not name or not look.has("docker"):
            raise UnavailableError(
                "there is no container engine here that runs this host → leave hosts alone, use units"
            )
        code, out, err = look.run(["docker", "inspect", "-f", "{{.State.Status}}", name])
        if code != 0 or out.strip() != "running":
            raise ChaosError(f"container {name} does not run: {out.strip() or err.strip()}")
        return FaultPlan(
            inject=({"do": "container", "name": name, "want": want},),
            undo=({"do": "container", "name": name, "want": "running"},),
            fingerprint=({"see": "container", "name": name},),
            effect=({"see": "container_is", "name": name, "status": want},),
        )

    return plan


CONTAINER = {"container": Option(pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*")}
KINDS = (
    Kind(
        "host_kill", "The host loses its power; the undo boots it from its disk.", CONTAINER, _plan("exited"), "engine"
    ),
    Kind(
        "host_pause", "The host freezes with its connections open, and goes on.", CONTAINER, _plan("paused"), "engine"
    ),
)
