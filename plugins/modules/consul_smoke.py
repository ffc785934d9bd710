#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Uses Consul from this host as a client does, and says whether it worked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_smoke
short_description: Write, read and resolve through Consul as a client does
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Writes a key through each server, reads it through the next one with full consistency, and deletes it.
  - Asks the DNS of the local agent for a name.
  - Nothing stays, so it never reports a change.
options:
  connection:
    description: How to reach every server; C(url) is that of the entry in O(servers).
    type: dict
    required: true
    suboptions:
      ca_path: {description: PEM file of the CA that signed the servers' certificates., type: path, required: true}
      token: {description: Token that may write O(key)., type: str, required: true}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 10.0}
  servers:
    description: The servers' APIs, V(https://host:port) by name.
    type: dict
    required: true
  key:
    description: Key to write; nobody else may use it.
    type: str
    required: true
  dns:
    description: What to ask the DNS; left out where there is no agent.
    type: dict
    suboptions:
      address: {description: Address of the agent's DNS., type: str, required: true}
      port: {description: Its port., type: int, required: true}
      name: {description: Name to ask for., type: str, required: true}
      expected: {description: Addresses that it may have; any by default., type: list, elements: str, default: []}
attributes:
  check_mode:
    description: In check mode it writes nothing, and asks each server for the leader instead.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does Consul work from here?
  rsp.platform.consul_smoke:
    connection: {ca_path: /etc/consul-client/ca.crt, token: "{{ lookup('rsp.platform.secret', 'consul/smoke') }}"}
    servers: {a1: 'https://192.0.2.11:8501', b1: 'https://192.0.2.27:8501'}
    key: rsp/smoke/ops
    dns: {address: 127.0.0.1, port: 8600, name: consul.service.consul}
"""

RETURN = r"""
servers:
  description: Servers that took a write and answered a read.
  returned: success
  type: list
  elements: str
addresses:
  description: What the DNS answered.
  returned: success
  type: list
  elements: str
checked:
  description: How many endpoints proved themselves.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.consul_smoke import smoke
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import consul_client
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: options to one round through all endpoints."""
    connection = {
        "ca_path": {"type": "path", "required": True},
        "token": {"type": "str", "required": True, "no_log": True},
        "timeout_s": {"type": "float", "default": 10.0},
    }
    dns = {
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "name": {"type": "str", "required": True},
        "expected": {"type": "list", "elements": "str", "default": []},
    }
    spec = {
        "connection": {"type": "dict", "required": True, "options": connection},
        "servers": {"type": "dict", "required": True},
        "key": {"type": "str", "required": True, "no_log": False},
        "dns": {"type": "dict", "options": dns},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    try:
        outcome = smoke(
            params,
            lambda url: consul_client(Connection.from_params({**params["connection"], "url": url})),
            module.check_mode,
        )
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=False, **outcome)


if __name__ == "__main__":
    main()
