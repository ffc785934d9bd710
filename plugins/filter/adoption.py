# SPDX-License-Identifier: Apache-2.0
"""Filters of the job adopt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.adoption.plan import adoption


def adoption_plan(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of a take-over: `{member: what it runs} | rsp.platform.adoption_plan(what the inventory wants)`."""
    return adoption(found, wanted)


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"adoption_plan": adoption_plan}
