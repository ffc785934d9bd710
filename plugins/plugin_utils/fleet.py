# SPDX-License-Identifier: Apache-2.0
"""Runs modules on several hosts from inside one action, each over its own connection as the inventory describes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import action_loader, become_loader, connection_loader
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import HostError

COLLECTION = "rsp.platform"
LOCALHOSTS = ("localhost", "127.0.0.1")


class Fleet:
    """Hosts of the inventory, asked one after the other. A connection is kept until it breaks."""

    def __init__(self, action: ActionBase, hostvars: Any) -> None:
        """`action`: whose task, check mode and templates are used. Nothing is opened yet."""
        self._action, self._hostvars = action, hostvars
        self._handlers: dict[str, tuple[ActionBase, dict[str, Any]]] = {}

    def call(self, host: str, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a module. Raises HostError when the host is not reached or the module fails."""
        try:
            handler, variables = self._handler(host)
            result: dict[str, Any] = handler._execute_module(
                module_name=f"{COLLECTION}.{module}", module_args=dict(arguments), task_vars=variables
            )
        except AnsibleError as err:
            self._forget(host)
            raise HostError(f"{host} is not reached: {err}") from err
        if result.get("unreachable") or result.get("failed") or "module_stderr" in result:
            # A module that crashed says why on its last line of stderr.
            crash = str(result.get("module_stderr") or "").strip().splitlines()[-1:]
            said = ": ".join([str(result.get("msg") or "failed"), *crash])
            raise HostError(said, **{k: v for k, v in result.items() if k in ("reasons", "undone", "wrong")})
        return result

    def close(self) -> None:
        """Close every connection."""
        for host in list(self._handlers):
            self._forget(host)

    def _handler(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        if host not in self._handlers:
            self._handlers[host] = self._connected(host)
        return self._handlers[host]

    def _connected(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        base = self._action
        local = host in LOCALHOSTS and host not in self._hostvars
        own = {"inventory_hostname": host, "ansible_python_interpreter": sys.executable}
        variables = own if local else dict(self._hostvars.raw_get(host))
        templar = base._templar.copy_with_new_env(available_variables=variables)
        named = templar.template(variables.get("ansible_connection")) if "ansible_connection" in variables else None
        context = base._play_context.copy()
        kind = "local" if local else named or base._task.connection or "ssh"
        context.connection = "ssh" if kind == "smart" else kind
        connection = connection_loader.get(context.connection, context, task_uuid=base._task._uuid)
        if connection is None:
            raise HostError(f"{host}: there is no connection plugin {context.connection}")
        task_keys = {k: v for k, v in base._task.dump_attrs().items() if k not in ("retries", "timeout")}
        if "ansible_become" in variables:
            becomes = bool(templar.template(variables["ansible_become"]))
        else:
            becomes = bool(base._task.become) and not local
        become = become_loader.get(base._task.become_method or "sudo") if becomes else None
        connection.set_become_plugin(become)
        connection.set_options(
            task_keys=task_keys, var_options=connection._resolve_option_variables(variables, templar)
        )
        for plugin, where in ((connection._shell, "shell"), (connection.become, "become")):
            if plugin is not None:
                names = [
                    name for name in constants.config.get_plugin_vars(where, plugin._load_name) if name in variables
                ]
                options = {name: templar.template(variables[name]) for name in names}
                plugin.set_options(task_keys=task_keys, var_options=options)
        handler = action_loader.get(
            "ansible.builtin.normal", task=base._task, connection=connection, play_context=context,
            loader=base._loader, templar=templar, shared_loader_obj=base._shared_loader_obj,
        )  # fmt: skip
        return handler, variables

    def _forget(self, host: str) -> None:
        handler, _variables = self._handlers.pop(host, (None, None))
        if handler is not None:
            handler._connection.close()
