# SPDX-License-Identifier: Apache-2.0
"""Carries out one step of a plan on the controller, and compares what was done with the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.rsp.platform.plugins.action.plan import PLAYBOOKS, STATE, controller_of, tags_of
from ansible_collections.rsp.platform.plugins.module_utils.plan import compare, document
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain
from ansible_collections.rsp.platform.plugins.plugin_utils import nested_run

ARGUMENTS: dict[str, dict[str, Any]] = {
    "job": {"type": "dict", "required": True},
    "tags": {"type": "dict", "required": True},
    "plan": {"type": "dict", "required": True},
    "restart": {"type": "str"},
}


class ActionModule(ActionBase):
    """Without `restart` everything of the plan but restarts; with it the restarts of one service."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task: what was done, and how it deviates from the plan."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan, service = plain(args["plan"]), args["restart"]
        if self._task.check_mode:
            return {**result, "changed": True, "deviations": []}
        try:
            found = self._restart(service, plan, args) if service else self._change(plan, args)
        except nested_run.NestedRunError as err:
            raise AnsibleActionFail(f"the plan is not carried out to its end: {err}") from err
        if found:
            text = "what was done is not what was planned:\n  " + "\n  ".join(found)
            return {**result, "failed": True, "msg": text, "deviations": found}
        return {**result, "changed": True, "deviations": []}

    def _change(self, plan: document.Plan, args: Mapping[str, Any]) -> list[str]:
        """site.yml for real, then what waits for a restart must be what was planned."""
        done = self._run(args, "site.yml", tags=tags_of(args["job"], args["tags"]))
        changes = [row for row in done if row["kind"] == "change"]
        found = compare.deviations(plan["changes"], changes)
        return found + compare.restarts_differ(plan["restarts"], document.waiting(done, plan["services"]))

    def _restart(self, service: str, plan: document.Plan, args: Mapping[str, Any]) -> list[str]:
        """The rolling engine over the planned members, then nobody must wait any more."""
        members = ",".join(sorted(plan["restarts"].get(service, {})))
        done = self._run(args, "restart.yml", extra={"service": service, "members": members})
        left = document.waiting(done, [service]).get(service, {})
        return [f"{name}: was restarted and still waits: {', '.join(reasons)}" for name, reasons in left.items()]

    def _run(
        self, args: Mapping[str, Any], name: str, tags: list[str] | None = None, extra: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        job = args["job"]
        circumstances = {name: job[name] for name in ("reason", "wait_s", "lease_s") if job.get(name)}
        asked = nested_run.Wanted(
            playbooks=[PLAYBOOKS / name, STATE],
            tags=tags or [],
            extra={**extra, **plain(circumstances)} if extra else {},
            owner=str(job["lock_arguments"]["owner"]),
        )
        return nested_run.run(asked, controller_of(self, job, Display().display))
