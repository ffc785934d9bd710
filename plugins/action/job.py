# SPDX-License-Identifier: Apache-2.0
"""Judges the arguments of a day-2 job on the controller. No host, connection or fact is touched."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.rsp.platform.plugins.action import preflight
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import CatalogueError
from ansible_collections.rsp.platform.plugins.module_utils.jobs.call import Call
from ansible_collections.rsp.platform.plugins.module_utils.jobs.judge import RULES, find_problems, normalised
from ansible_collections.rsp.platform.plugins.module_utils.jobs.table import JobError, Table, table_from
from ansible_collections.rsp.platform.plugins.module_utils.preflight.contracts import ContractError
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain, root_cause
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory
from ansible_collections.rsp.platform.plugins.module_utils.preflight.report import as_text
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import nearest
from ansible_collections.rsp.platform.plugins.plugin_utils.nested_run import LOCK_OWNER

ARGUMENTS: dict[str, dict[str, Any]] = {"job": {"type": "str", "required": True}}
TABLE = preflight.COLLECTION / "playbooks" / "vars" / "jobs.yml"


class ActionModule(preflight.ActionModule):
    """Reads what preflight reads, and what was typed; fails with every problem at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task: the report, or the arguments as the job's plays read them."""
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _validated, args = ActionBase.validate_argument_spec(self, argument_spec=ARGUMENTS)
        try:
            # Trusted: its expressions are templates.
            table = table_from(self._loader.load_from_file(str(TABLE), trusted_as_template=True))
            call = self._call(args["job"], table, task_vars or {})
        except (JobError, ContractError, CatalogueError) as err:
            raise AnsibleActionFail(str(err)) from err
        problems = find_problems(call)
        if problems:
            return {**result, "failed": True, "msg": as_text(call.inventory, problems)}
        facts = normalised(call, owner())
        text = f"{call.inventory.label}: {facts['cluster']}, {len(RULES)} rules, no problem"
        return {**result, "changed": False, "msg": text, **plain(facts)}

    def _call(self, name: str, table: Table, task_vars: dict[str, Any]) -> Call:
        if name not in table.jobs:
            near = nearest(name, table.jobs)
            raise JobError(
                f"there is no job {name} → {f'did you mean {near}?' if near else f'use one of {table.jobs}'}"
            )
        inventory = self._inventory(task_vars, {"environment": None, "confirm": None})
        inventory = replace(inventory, label=f"job {name} on {inventory.label}")
        expressions = self._expressions(table, inventory, task_vars["hostvars"])
        return Call(
            job=table.jobs[name],
            table=table,
            inventory=inventory,
            given=self._given(task_vars),
            clusters={service: cluster for service, (cluster, _release) in expressions.items()},
            releases={service: release for service, (_cluster, release) in expressions.items() if release},
            check_mode=self._task.check_mode,
        )

    def _given(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Extra vars, and variables that a playbook which imports the job hands over. Never the inventory's."""
        names = {*load_extra_vars(self._loader), *(set(self._task.get_play().vars) - {"job_name"})}
        try:
            return {name: plain(self._templar.template(task_vars[name])) for name in names if name in task_vars}
        except Exception as err:  # a template in an argument may raise anything
            raise AnsibleActionFail(f"an argument can't be computed: {root_cause(err)}") from err

    def _expressions(self, table: Table, inventory: Inventory, hostvars: Any) -> dict[str, tuple[str, str | None]]:
        """Service that has members → the cluster's name and the pinned release, as its first member sees them."""
        found: dict[str, tuple[str, str | None]] = {}
        hosts = {host.name for host in inventory.hosts}
        defaults = self._defaults()
        for name, service in table.services.items():
            members = inventory.members(inventory.contracts[name])
            first = next((member["name"] for member in members if member["name"] in hosts), None)
            if first is None:
                continue
            variables = {**defaults, **self._role_vars(name), **hostvars.raw_get(first)}
            template = self._templar.copy_with_new_env(available_variables=variables).template
            try:
                found[name] = (
                    str(template(service.cluster)),
                    str(template(service.release)) if service.release else None,
                )
            except Exception as err:  # a lookup of the inventory may raise anything
                raise AnsibleActionFail(f"the name or release of {name} can't be computed: {root_cause(err)}") from err
        return found

    def _role_vars(self, role: str) -> dict[str, Any]:
        """The internal variables of a role, as it loads them itself."""
        files = sorted((preflight.COLLECTION / "roles" / role / "vars").glob("main*/*.yml"))
        files += sorted((preflight.COLLECTION / "roles" / role / "vars").glob("main.yml"))
        loaded = [self._loader.load_from_file(str(path), trusted_as_template=True) or {} for path in files]
        return {name: value for variables in loaded for name, value in variables.items()}


def owner() -> str:
    """Who holds the lock: user, controller and this very run; inside of another job's run that job."""
    return (
        os.environ.get(LOCK_OWNER)
        or f"{getpass.getuser()}@{socket.gethostname()}:{os.getppid()}-{uuid.uuid4().hex[:8]}"
    )
