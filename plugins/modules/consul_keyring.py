#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Changes the key of Consul's gossip while it runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_keyring
short_description: Change the key of Consul's gossip while every agent runs
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Installs a key on every agent, then uses it. Older keys stay valid until O(only).
  - Fails when an agent does not answer, because it would be cut off later.
options:
  connection:
    description: How to reach a server's API.
    type: dict
    required: true
    suboptions:
      url: {description: 'V(https://host:port) of the API.', type: str, required: true}
      ca_path: {description: PEM file of the CA that signed the server's certificate., type: path}
      cert_path: {description: PEM file of a client certificate., type: path}
      key_path: {description: PEM file of the client certificate's key., type: path}
      token: {description: A token that may write the keyring., type: str}
      username: {description: User of a proxy before the API., type: str}
      password: {description: Password of O(connection.username)., type: str}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 10.0}
  key:
    description: The key, 32 random bytes in base64.
    type: str
    required: true
  only:
    description: Remove every other key.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Keys are never shown.
    support: none
"""

EXAMPLES = r"""
- name: Use another key
  rsp.platform.consul_keyring:
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/bootstrap-token') }}"
    key: "{{ lookup('rsp.platform.secret', 'consul/gossip.next') }}"
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [install, use]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.consul_keyring import converge
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.services.base import connection_options
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import consul_client
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: a key to the keyring."""
    options = {
        "connection": {"type": "dict", "required": True, "options": connection_options()},
        "key": {"type": "str", "required": True, "no_log": True},
        "only": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params
    try:
        client = consul_client(Connection.from_params(params["connection"]))
        done = converge(client, params["key"], only=params["only"], check=module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err))
    module.exit_json(changed=bool(done), steps=done)


if __name__ == "__main__":
    main()
