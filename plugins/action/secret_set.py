# SPDX-License-Identifier: Apache-2.0
"""Keeps secrets in the platform's store, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError, changes, check_name
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store

SPEC = {
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "once": {"type": "bool", "default": False},
    "absent": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """Writes what differs; knows check mode; shows names only."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare with the store and keep what is new."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(SPEC)
        templar: Any = self._templar
        try:
            store = open_store(templar.template((task_vars or {}).get("platform_secrets")))
            wanted = {check_name(str(name)): _text(name, value) for name, value in arguments["secrets"].items()}
            absent = [check_name(name) for name in arguments["absent"]]
            gone = [name for name in absent if store.get(name) is not None]
            if self._task.check_mode:
                known = {name: value for name in wanted if (value := store.get(name)) is not None}
                changed = changes(known, wanted, once=arguments["once"])
            else:
                changed = store.put(wanted, once=arguments["once"], absent=absent)
        except SecretError as error:
            return {**result, "failed": True, "msg": f"rsp.platform.secret_set: {error}"}
        if arguments["once"] and wanted and not changed:
            gone = []
        return {**result, "changed": bool(changed or gone), "names": sorted(changed), "forgotten": sorted(gone)}


def _text(name: object, value: object) -> str:
    """The value; an error when it is anything but text, which would come back as something else."""
    if not isinstance(value, str) or not value:
        raise SecretError(f"the value of {name} must be text that is not empty")
    return value
