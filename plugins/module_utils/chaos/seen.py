# SPDX-License-Identifier: Apache-2.0
"""What a run saw. Plain data; its times are of the controller's monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import Planned
from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState


@dataclass
class Clock:
    """Time of the controller: monotonic seconds, sleeping, and wall time in ISO 8601."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
    wall: Callable[[], str]


@dataclass
class Seen:
    """What a run saw, in the order in which it happened; times are of the controller's monotonic clock."""

    state: ServiceState | None = None
    active: list[Planned] = field(default_factory=list)
    fired: dict[str, Planned] = field(default_factory=dict)
    effective: dict[str, bool] = field(default_factory=dict)
    undone: dict[str, list[str]] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    aborted: str | None = None
    injected_at: float | None = None
    undone_at: float | None = None
    whole_at: float | None = None
    ended_at: float | None = None
    offset: float = 0.0
    offset_error: float = 0.0
    ledger: dict[str, Any] | None = None
    events: list[tuple[float, str]] = field(default_factory=list)
