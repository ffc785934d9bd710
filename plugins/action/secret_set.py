# SPDX-License-Identifier: Apache-2.0
"""Keeps secrets in the platform's store, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError, check_name, open_store


class ActionModule(ActionBase):
    """Writes what differs; knows check mode; shows names only."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare with the store and keep what is new."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"secrets": {"type": "dict", "required": True, "no_log": True}})
        templar: Any = self._templar
        try:
            store = open_store(templar.template((task_vars or {}).get("platform_secrets")))
            wanted = {check_name(str(name)): str(value) for name, value in arguments["secrets"].items()}
            changed = {name: value for name, value in wanted.items() if store.get(name) != value}
            if changed and not self._task.check_mode:
                store.put(changed)
        except SecretError as error:
            return {**result, "failed": True, "msg": f"rsp.platform.secret_set: {error}"}
        return {**result, "changed": bool(changed), "names": sorted(changed)}
