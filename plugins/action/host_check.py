# SPDX-License-Identifier: Apache-2.0
"""Controller side of rsp.platform.host_check: compares both clocks, which takes a look before and one after."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.module_utils.host_check import clock_problems, refusal


class ActionModule(ActionBase):
    """Tells the module the controller's time, and holds the member's answer against the time when it came."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the module once; its result is the action's result, with what the clocks say."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {"controller_epoch": time.time(), **self._task.args}
        asked = float(arguments["controller_epoch"])
        result |= self._execute_module("rsp.platform.host_check", module_args=arguments, task_vars=task_vars)
        answered, member = time.time(), result.get("epoch")
        if member is None:
            return result
        allowed = float(arguments.get("max_skew_s", 5))
        # What the module itself could tell is among its problems already.
        ahead = clock_problems(member, asked, answered, allowed) if member >= asked else []
        if ahead:
            result["problems"] = [*result["problems"], *map(asdict, ahead)]
            result |= {"failed": True, "msg": refusal(arguments["service"], result["problems"])}
        return result
