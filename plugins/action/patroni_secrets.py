# SPDX-License-Identifier: Apache-2.0
"""Keeps the secrets that a member's Patroni uses in the platform's store. Values never reach the result."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError, changes
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store


class ActionModule(ActionBase):
    """Asks the member, writes what differs, knows check mode; shows names only."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read on the member, keep on the controller."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        if not self._task.no_log:
            return {**result, "failed": True, "msg": "rsp.platform.patroni_secrets: the task needs no_log: true"}
        said = self._execute_module("rsp.platform.patroni_secrets", module_args=self._task.args, task_vars=task_vars)
        found: dict[str, str] = said.pop("secrets", None) or {}
        if said.get("failed"):
            return {**result, **said}
        templar: Any = self._templar
        try:
            store = open_store(templar.template(task_vars.get("platform_secrets")))
            known = {name: value for name in found if (value := store.get(name)) is not None}
            changed = changes(known, found)
            if changed and not self._task.check_mode:
                store.put(changed)
        except SecretError as error:
            return {**result, "failed": True, "msg": f"rsp.platform.patroni_secrets: {error}"}
        replaced = sorted(name for name in changed if name in known)
        return {**result, "changed": bool(changed), "names": sorted(changed), "replaced": replaced}
