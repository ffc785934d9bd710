#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Doorway: users, roles and authentication of an etcd cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_objects
short_description: Keep users, roles and authentication of an etcd cluster as data
version_added: 0.1.0
description:
  - Makes the users and roles of an etcd v3 cluster those of the data and turns authentication on, as the last step.
  - Talks to the JSON gateway of one member; one call serves the whole cluster.
  - The user V(root) is made with its role and is never pruned. A user or role that is named is owned whole,
    so rights that the data does not list are revoked.
  - A password is compared by logging in with it, so it is set only where it differs.
author: "rsp.platform maintainers (@rsp-platform)"
options:
  connection:
    description:
      - How to reach a member from this host.
      - The client certificate must have no common name. etcd's gateway refuses others once authentication is on.
    type: dict
    required: true
    suboptions:
      url:
        description: V(https://host:port) of the client listener.
        type: str
        required: true
      ca_path:
        description: PEM file of the CA that signed the server's certificate; the system's store by default.
        type: path
      cert_path:
        description: PEM file of the client certificate.
        type: path
      key_path:
        description: PEM file of the client certificate's key.
        type: path
      timeout_s:
        description: Seconds to wait for a connection and for each answer.
        type: float
        default: 10.0
  root_password:
    description: Password of V(root). It is set while authentication is off and logged in with afterwards.
    type: str
    required: true
  previous_root_password:
    description: Tried when etcd refuses O(root_password), which is set then. So the password of V(root) is rotated.
    type: str
  users:
    description: The users beside V(root).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Its password. Without one the user is known by the common name of its certificate, over gRPC only.
        type: str
      roles:
        description: All roles that it has.
        type: list
        elements: str
        default: []
      state:
        description: Whether the user is to be there.
        type: str
        choices: [present, absent]
        default: present
  roles:
    description: The roles beside V(root).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      permissions:
        description: All permissions that it has.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description:
              - The key, or the first one of a range.
              - Empty together with O(roles[].permissions[].prefix) means every key.
            type: str
            required: true
          prefix:
            description: Whether all keys that start with O(roles[].permissions[].key) are meant.
            type: bool
            default: false
          range_end:
            description: The first key that is no longer in the range.
            type: str
          type:
            description: What may be done with these keys.
            type: str
            choices: [read, write, readwrite]
            default: readwrite
      state:
        description: Whether the role is to be there.
        type: str
        choices: [present, absent]
        default: present
  prune:
    description: Whether users and roles that the data does not name are reported or deleted.
    type: str
    choices: [report, delete]
    default: report
  fresh:
    description:
      - The cluster does not run yet.
      - In check mode nothing is contacted then and every object is reported as to be made.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns what has changed or would change, without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Objects | Give Patroni its keys
  rsp.platform.etcd_objects:
    connection:
      url: https://127.0.0.1:2379
      ca_path: /etc/etcd/tls/ca.crt
      cert_path: /etc/etcd/tls/member.crt
      key_path: /etc/etcd/tls/member.key
    root_password: "{{ etcd_root_password }}"
    roles:
      - name: patroni
        permissions: [{key: /service/, prefix: true}]
    users:
      - {name: patroni, password: "{{ patroni_etcd_password }}", roles: [patroni]}
  run_once: true
"""

RETURN = r"""
steps:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [add role patroni, grant role patroni readwrite /service/*, add user patroni, enable authentication]
unmanaged:
  description: Users and roles of the cluster that the data does not name; deleted when O(prune=delete).
  returned: success
  type: dict
  sample: {users: [old], roles: []}
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.etcd_auth import (
    ROOT,
    Actual,
    DataError,
    parse_wanted,
    plan,
    view,
)
from ansible_collections.rsp.platform.plugins.module_utils.etcd_gateway import AuthGateway
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def argument_spec() -> dict[str, Any]:
    """The options as Ansible wants them."""
    connection = {
        "url": {"type": "str", "required": True},
        "ca_path": {"type": "path"},
        "cert_path": {"type": "path"},
        "key_path": {"type": "path"},
        "timeout_s": {"type": "float", "default": 10.0},
    }
    permission = {
        "key": {"type": "str", "required": True, "no_log": False},
        "prefix": {"type": "bool", "default": False},
        "range_end": {"type": "str"},
        "type": {"type": "str", "choices": ["read", "write", "readwrite"], "default": "readwrite"},
    }
    user = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "roles": {"type": "list", "elements": "str", "default": []},
        "state": STATE,
    }
    role = {
        "name": {"type": "str", "required": True},
        "permissions": {"type": "list", "elements": "dict", "default": [], "options": permission},
        "state": STATE,
    }
    return {
        "connection": {"type": "dict", "required": True, "options": connection},
        "root_password": {"type": "str", "required": True, "no_log": True},
        "previous_root_password": {"type": "str", "no_log": True},
        "users": {"type": "list", "elements": "dict", "default": [], "options": user},
        "roles": {"type": "list", "elements": "dict", "default": [], "options": role},
        "prune": {"type": "str", "choices": ["report", "delete"], "default": "report"},
        "fresh": {"type": "bool", "default": False},
    }


def converge(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Read, plan, and unless in check mode take the steps. Returns the keys of the module's result."""
    wanted = parse_wanted(params["users"], params["roles"], prune=params["prune"] == "delete")
    gateway = AuthGateway(Connection.from_params(params["connection"]))
    actual = Actual()
    if not (check_mode and params["fresh"]):
        stale = _log_in(gateway, params["root_password"], params.get("previous_root_password"))
        actual = gateway.read(wanted)
        actual = replace(actual, stale=actual.stale | stale)
    todo = plan(wanted, actual, params["root_password"])
    for step in () if check_mode else todo.steps:
        gateway.take(step)
    return {
        "changed": bool(todo.steps),
        "steps": [step.text for step in todo.steps],
        "unmanaged": {"users": list(todo.unmanaged_users), "roles": list(todo.unmanaged_roles)},
        "diff": {"before": view(actual), "after": view(todo.outcome)},
    }


def _log_in(gateway: AuthGateway, password: str, previous: str | None) -> frozenset[str]:
    """Log in as root; what has to be set anew when only the previous password is known."""
    try:
        gateway.login(password)
    except DriverError:
        if not previous:
            raise
        gateway.login(previous)
        return frozenset({ROOT})
    return frozenset()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = converge(module.params, module.check_mode)
    except (DataError, DriverError) as err:
        module.fail_json(msg=str(err))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
