# SPDX-License-Identifier: Apache-2.0
"""Filters of role postgresql."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.tuning import tuning


def postgresql_tuning(memory_mb: int, cpus: int, max_connections: int) -> dict[str, str | int]:
    """Settings for a host: `memory_mb | rsp.platform.postgresql_tuning(cpus, max_connections)`."""
    try:
        return tuning(int(memory_mb), int(cpus), int(max_connections))
    except ValueError as err:
        raise AnsibleFilterError(str(err)) from err


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"postgresql_tuning": postgresql_tuning}
