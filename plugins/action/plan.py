# SPDX-License-Identifier: Apache-2.0
"""Computes a plan on the controller: a recorded check run of site.yml, live state, code and variables."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible_collections.rsp.platform.plugins.action import preflight
from ansible_collections.rsp.platform.plugins.module_utils.plan import compare, digests, document, summary
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain
from ansible_collections.rsp.platform.plugins.plugin_utils import nested_run, planning, recording
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "job": {"type": "dict", "required": True},
    "tags": {"type": "dict", "required": True},
    "directory": {"type": "path", "required": True},
    "hash": {"type": "str"},
}
PLAYBOOKS = preflight.COLLECTION / "playbooks"
STATE = PLAYBOOKS / "plan_state.yml"
SHARED = ("platform_", "pki_", "ansible_host")


class ActionModule(preflight.ActionModule):
    """With `hash`, fails unless the present has the plan of this hash; else writes the plan down."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task: the plan."""
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _validated, args = ActionBase.validate_argument_spec(self, argument_spec=ARGUMENTS)
        try:
            return {**result, **self._act(args, task_vars or {})}
        except (planning.PlanError, nested_run.NestedRunError, SecretError) as err:
            raise AnsibleActionFail(str(err)) from err

    def _act(self, args: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        directory, wanted = Path(args["directory"]), args["hash"]
        approved = planning.read(wanted, directory) if wanted else None
        plan = self._plan(args, task_vars)
        digest = document.hash_of(plan)
        facts = {"plan": plan, "hash": digest, "empty": summary.is_empty(plan), "summary": summary.lines(plan)}
        if wanted and digest != wanted:
            moved = (
                compare.differences(approved, plan) if approved else [f"{directory} has no such plan to compare with"]
            )
            text = f"this is not what was planned, nothing was changed; the plan is {digest} now:\n  " + "\n  ".join(
                moved
            )
            return {**facts, "failed": True, "msg": text, "moved": moved}
        if wanted and (closed := document.closed_gates(plan)):
            return {**facts, "failed": True, "msg": "nothing was changed, a gate is closed:\n  " + "\n  ".join(closed)}
        path = directory / f"{digest}.json"
        if not wanted and not self._task.check_mode:
            path = planning.keep(plan, directory, planning.made_now(f"{getpass.getuser()}@{socket.gethostname()}"))
        return {**facts, "changed": False, "path": str(path), "msg": f"plan {digest}"}

    def _plan(self, args: Mapping[str, Any], task_vars: dict[str, Any]) -> document.Plan:
        job = args["job"]
        asked = nested_run.Wanted(
            playbooks=[PLAYBOOKS / "site.yml", STATE], tags=tags_of(job, args["tags"]), check=True
        )
        controller = controller_of(
            self, job, lambda line: Display().display(line) if line.startswith("PLAY [") else None
        )
        rows = nested_run.run(asked, controller)
        names = {key: plain(job[key]) for key in ("service", "services", "clusters")}
        context_now = {**names, "code": {"ansible-core": core, **digests.code(preflight.COLLECTION)}}
        return document.build(rows, {**context_now, "variables": self._variables(job, args["tags"], task_vars)})

    def _variables(self, job: Mapping[str, Any], tags: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Keyed digests of what the inventory says about these services."""
        nothing = {"environment": None, "confirm": None}
        first, second = (self._inventory(task_vars, nothing).hosts for _turn in range(2))
        both = [(a.name, a.variables, b.variables) for a, b in zip(first, second, strict=True)]
        templar: Any = self._templar
        key = recording.key(templar.template(task_vars.get("platform_secrets")))
        prefixes = tuple(f"{tag}_" for tag in tags_of(job, tags)) or ("",)
        return digests.variables(both, (*SHARED, *prefixes), key)


def tags_of(job: Mapping[str, Any], tags: Mapping[str, Any]) -> list[str]:
    """Tags of site.yml's plays that a job is about; none for all of them."""
    return [] if job["service"] == "all" else [str(tag) for name in job["services"] for tag in tags[name]]


def controller_of(plugin: Any, job: Mapping[str, Any], show: Any) -> nested_run.Controller:
    """How this run was called, for a run inside it; the job's own parameters are left out."""
    play = plugin._play_context
    extra = {
        name: plain(value) for name, value in load_extra_vars(plugin._loader).items() if name not in (*job, "confirm")
    }
    return nested_run.Controller(
        cli=context.CLIARGS,
        extra=extra,
        passwords={"connection": getattr(play, "password", None), "become": getattr(play, "become_pass", None)},
        callbacks=constants.config.get_config_value("CALLBACKS_ENABLED"),
        show=show,
    )
