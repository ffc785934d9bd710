#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Keeps Patroni's dynamic configuration as data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_config
short_description: Keep the dynamic configuration of a PostgreSQL cluster through Patroni's API
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Compares the configuration that Patroni keeps in its DCS with the data, and patches what differs.
  - Everything under C(postgresql) is owned; a setting there that the data does not name is taken away.
    Other keys that the data does not name are left alone and reported.
  - Never restarts anything. Settings that wait for a restart are reported by member.
options:
  connection:
    description: How to reach the API of any member, with the user for PATCH.
    type: dict
    required: true
    suboptions:
      url: {description: 'V(https://host:port) of the API.', type: str, required: true}
      ca_path: {description: PEM file of the CA that signed the server's certificate., type: path}
      cert_path: {description: PEM file of a client certificate., type: path}
      key_path: {description: PEM file of the client certificate's key., type: path}
      username: {description: User of the API., type: str}
      password: {description: Password of O(connection.username)., type: str}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 10.0}
  config:
    description: The wanted configuration, in the form of C(patronictl show-config).
    type: dict
    required: true
  whole:
    description: Below C(postgresql) everything that O(config) does not name is taken away. V(false) leaves it.
    type: bool
    default: true
  fresh:
    description:
      - The cluster does not run yet. Its first configuration comes from the file that Patroni bootstraps from,
        so in check mode there is nothing to predict and nothing is contacted.
    type: bool
    default: false
  wait_s:
    description: Seconds to wait for a cluster that is being made, and for a change to be taken.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts the change and patches nothing.
    support: full
  diff_mode:
    description: The configuration before and after.
    support: full
"""

EXAMPLES = r"""
- name: Raise work_mem without a restart
  rsp.platform.patroni_config:
    connection:
      url: https://127.0.0.1:8008
      ca_path: /etc/patroni/tls/ca.crt
      username: patroni
      password: "{{ lookup('rsp.platform.secret', 'postgresql/restapi') }}"
    config:
      ttl: 20
      postgresql:
        parameters: {work_mem: 64MB}
  run_once: true
"""

RETURN = r"""
patch:
  description: What was sent, or would be.
  returned: success
  type: dict
unmanaged:
  description: Top-level keys that the data does not name.
  returned: success
  type: list
  elements: str
pending_restart:
  description: By member, the settings that wait for a restart.
  returned: success
  type: dict
  sample: {a1: {max_connections: {old_value: '200', new_value: '300'}}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.patroni_config import PatroniApi, applied, plan
from ansible_collections.rsp.platform.plugins.module_utils.services.base import connection_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def config_options() -> dict[str, Any]:
    """Argument spec."""
    connection = {name: option for name, option in connection_options().items() if name != "token"}
    return {
        "connection": {"type": "dict", "required": True, "options": connection},
        "config": {"type": "dict", "required": True},
        "whole": {"type": "bool", "default": True},
        "fresh": {"type": "bool", "default": False},
        "wait_s": {"type": "float", "default": 60},
    }


def converge(params: dict[str, Any], api: PatroniApi, check_mode: bool) -> dict[str, Any]:
    """Read, plan, and unless in check mode patch. Returns the keys of the module's result."""
    if check_mode and params["fresh"]:
        return {"changed": False, "patch": {}, "unmanaged": [], "pending_restart": {}}
    actual = api.read(params["wait_s"])
    todo = plan(params["config"], actual, params["whole"])
    if todo.patch and not check_mode:
        api.change(todo.patch)
        api.wait_until_taken(float(params["config"].get("loop_wait", 10)), params["wait_s"])
    return {
        "changed": bool(todo.patch),
        "patch": todo.patch,
        "unmanaged": list(todo.unmanaged),
        "pending_restart": api.pending_restart(),
        "diff": {"before": actual, "after": applied(todo.patch, actual)},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=config_options(), supports_check_mode=True)
    api = PatroniApi(JsonClient(Connection.from_params(module.params["connection"])))
    try:
        result = converge(module.params, api, module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
