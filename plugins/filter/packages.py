# SPDX-License-Identifier: Apache-2.0
"""Filters on what the package manager says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.packages import to_install


def packages_to_install(simulated: str) -> list[str]:
    """Sorted `name=version` of all that apt would put in place: `seen.stdout | rsp.platform.packages_to_install`."""
    return sorted(to_install(simulated))


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"packages_to_install": packages_to_install}
