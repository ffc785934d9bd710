# SPDX-License-Identifier: Apache-2.0
"""A clock that is wrong. Only where the host has a clock of its own, and the shift can be seen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import FaultPlan, Kind, UnavailableError
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

LEAST_S, MOST_S = 2, 86400


def shift(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """Wall time jumps; the lease counts on the monotonic clock and is not moved by that."""
    if look.in_container():
        raise UnavailableError("a container has no clock of its own: the shift would hit every host of this machine")
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return FaultPlan(
        inject=({"do": "clock", "offset_s": offset + params["seconds"]},),
        undo=({"do": "clock", "offset_s": offset},),
        fingerprint=({"see": "clock"},),
        effect=({"see": "clock_off", "offset_s": offset, "least_s": LEAST_S},),
        notes=("a running time daemon takes it back before the lease ends: then the run is inconclusive",),
    )


KINDS = (
    Kind("clock_shift", "Sets the wall clock wrong by some seconds.",
         {"seconds": Option(type="int", minimum=-MOST_S, maximum=MOST_S, required=True)}, shift),
)  # fmt: skip
