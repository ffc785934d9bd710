# SPDX-License-Identifier: Apache-2.0
"""The faults of this very host, with the watchdog that it can have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.faults import Faults
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.switch import why_not
from ansible_collections.rsp.platform.plugins.module_utils.chaos.watchdog import (
    ProcessWatchdog,
    SystemdWatchdog,
    Watchdog,
)
from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases


def faults_of(run: Run, root: Path = Path("/"), switch: Mapping[str, Any] | None = None) -> Faults:
    """The faults of a host; `run` runs argv lists there, `switch` is the key in Consul that must say go."""
    look = Look(run, root)
    watchdog: Watchdog = SystemdWatchdog(Leases(run, root)) if look.boots_systemd() else ProcessWatchdog()
    return Faults(look, watchdog, steps.DO, lambda: why_not(switch or {}))
