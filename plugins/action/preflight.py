# SPDX-License-Identifier: Apache-2.0
"""Stage (a) of preflight: judges the whole inventory on the controller. No host, connection or fact is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import split_host_pattern
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Catalogue, CatalogueError
from ansible_collections.rsp.platform.plugins.module_utils.preflight.contracts import ContractError, read_contracts
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import load_host, relevant_names
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Host, Inventory, Run
from ansible_collections.rsp.platform.plugins.module_utils.preflight.registry import RULES, find_problems
from ansible_collections.rsp.platform.plugins.module_utils.preflight.report import as_text
from ansible_collections.rsp.platform.plugins.module_utils.topology import ENVIRONMENTS
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import unobtainable
from yaml import YAMLError

COLLECTION = Path(__file__).resolve().parents[2]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "environment": {"type": "str", "choices": list(ENVIRONMENTS)},
    "confirm": {"type": "str"},
}


class ActionModule(ActionBase):
    """Reads all hosts' variables, the contracts of all roles and the catalogue; fails with every problem at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task: the report, and on success how much was looked at."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, args = ActionBase.validate_argument_spec(self, argument_spec=ARGUMENTS)
        try:
            inventory = self._inventory(task_vars or {}, args)
        except (ContractError, CatalogueError) as err:
            raise AnsibleActionFail(str(err)) from err
        problems = find_problems(inventory)
        if problems:
            return {**result, "failed": True, "msg": as_text(inventory, problems)}
        looked_at = {"hosts": len(inventory.hosts), "roles": sorted(inventory.contracts), "rules": len(RULES)}
        text = f"{inventory.label}: {len(inventory.hosts)} hosts, {len(RULES)} rules, no problem"
        return {**result, "changed": False, "msg": text, **looked_at}

    def _inventory(self, task_vars: dict[str, Any], args: Mapping[str, Any]) -> Inventory:
        contracts = read_contracts(COLLECTION / "roles", self._read)
        catalogue = Catalogue.parse(self._read(COLLECTION / "catalogue" / "artifacts.yml"))
        hosts = self._hosts(task_vars["hostvars"], contracts)
        return Inventory(
            label=label(task_vars.get("inventory_dir") or task_vars.get("inventory_file") or "inventory"),
            hosts=hosts,
            groups={name: tuple(hosts) for name, hosts in task_vars["groups"].items()},
            contracts=contracts,
            catalogue={name: tuple(catalogue.versions(name)) for name in catalogue.names()},
            run=Run(
                environment=args["environment"],
                confirm=None if self._task.check_mode else args["confirm"],
                limit=tuple(split_host_pattern(context.CLIARGS.get("subset") or [])),
                limited=frozenset(task_vars["ansible_play_hosts_all"]),
                extra=frozenset(load_extra_vars(self._loader)),
                missing=missing_secrets(hosts, contracts),
            ),
        )

    def _hosts(self, hostvars: Any, contracts: Mapping[str, Contract]) -> tuple[Host, ...]:
        defaults = self._defaults()
        # HostVars computes all variables of a host on each access: once is enough.
        # In check mode the secret store makes nothing: preflight never changes anything.
        fixed = {"hostvars": {name: hostvars[name] for name in hostvars}, "ansible_check_mode": True}
        hosts = []
        for name in hostvars:
            raw = hostvars.raw_get(name)
            templar = self._templar.copy_with_new_env(available_variables={**defaults, **raw, **fixed})
            hosts.append(load_host(name, raw, relevant_names(raw, contracts), templar.template))
        return tuple(hosts)

    def _defaults(self) -> dict[str, Any]:
        """Defaults of all roles as written: a variable of the inventory may refer to them."""
        files = sorted((COLLECTION / "roles").glob("*/defaults/main.yml"))
        return {
            name: value
            for path in files
            for name, value in (self._loader.load_from_file(str(path), trusted_as_template=True) or {}).items()
        }

    def _read(self, path: Path) -> Any:
        """One file of the collection, without the tags that make Ansible's own loader slow."""
        try:
            return yaml_load(path.read_text(encoding="utf-8"))
        except YAMLError as err:
            raise ContractError(f"{path.relative_to(COLLECTION)} can't be read: {err}") from err


def missing_secrets(hosts: Sequence[Host], contracts: Mapping[str, Contract]) -> dict[str, str]:
    """Secrets that roles need and a read-only store lacks → how to set them. Other stores make what is missing."""
    settings = next((host.variables.get("platform_secrets") for host in hosts), None)
    if not isinstance(settings, dict) or settings.get("backend") != "environment" or not settings.get("prefix"):
        return {}  # a store that makes its secrets, or one that backend_complete reports
    return unobtainable(settings, [name for contract in contracts.values() for name in contract.secrets])


def label(source: str) -> str:
    """What people call an inventory: its path, relative when it is below the current directory."""
    path, here = Path(source), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)
