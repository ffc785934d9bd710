#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Keeps Consul's policies, roles, tokens, keys, external services and autopilot settings as data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_objects
short_description: Keep Consul's policies, roles, tokens, keys and services as data
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - One call for all objects of a cluster. It reads what is there, plans, and changes only what differs.
  - Bootstraps the ACLs once with a secret of your own, and never again.
  - A token is found by an accessor that is computed from its name; its secret comes from your secret store.
  - A key is written with compare-and-set, so an edit that happens at the same time fails the run and is not lost.
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
      token: {description: The management token., type: str}
      username: {description: User of a proxy before the API., type: str}
      password: {description: Password of O(connection.username)., type: str}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 10.0}
  bootstrap:
    description: Bootstrap the ACLs with O(connection.token) when they are not yet.
    type: bool
    default: false
  fresh:
    description: The cluster does not run yet; in check mode report everything as to be made and contact nothing.
    type: bool
    default: false
  wait_s:
    description: Seconds to wait for a leader.
    type: float
    default: 60
  datacenter:
    description: Datacenter of the node identities.
    type: str
    default: dc1
  prune:
    description:
      - What to do with objects that nobody asked for. V(report) names them, V(delete) deletes them.
      - Built-in policies, the anonymous token, the token in use, nodes' tokens and logins' tokens are always kept.
    type: str
    choices: [ignore, report, delete]
    default: report
  protected:
    description: Names of policies and roles, and descriptions or accessors of tokens, that O(prune) leaves alone.
    type: list
    elements: str
    default: []
  previous:
    description:
      - What becomes of a token whose secret is another one than the wanted. Consul can't change it in place.
      - V(replace) deletes the token and makes it anew. V(keep) makes another one beside it, so that both are valid.
      - V(delete) deletes what V(keep) has left, once there is a token with the wanted secret.
    type: str
    choices: [replace, keep, delete]
    default: replace
  management:
    description: Secret of a management token that shall be there, beside the one of the bootstrap or instead of it.
    type: str
  owned_keys:
    description: Key prefixes that O(prune) covers; other keys belong to applications.
    type: list
    elements: str
    default: []
  secrets:
    description: Secrets of tokens and keys by their name, from the secret store.
    type: dict
    default: {}
  policies:
    description: ACL policies.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      description: {description: What it is for., type: str}
      rules: {description: Rules in HCL., type: str}
      state: &state {description: Whether it shall be there., type: str, choices: [present, absent], default: present}
  roles:
    description: ACL roles.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      description: {description: What it is for., type: str}
      policies: {description: Names of policies., type: list, elements: str}
      node_identities: {description: Nodes whose agents it may be., type: list, elements: str}
      service_identities: {description: Services that it may register., type: list, elements: str}
      state: *state
  tokens:
    description: ACL tokens. The secret is the entry of O(secrets) with the token's name.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name that the accessor is computed from., type: str, required: true}
      description: {description: The name by default., type: str}
      policies: {description: Names of policies., type: list, elements: str}
      roles: {description: Names of roles., type: list, elements: str}
      node_identities: {description: Nodes whose agents it may be., type: list, elements: str}
      service_identities: {description: Services that it may register., type: list, elements: str}
      local: {description: Valid in this datacenter only., type: bool, default: false}
      state: *state
  nodes:
    description: Nodes whose agents get a token C(agent/<node>) with the node's identity.
    type: list
    elements: str
    default: []
  kv:
    description: Keys.
    type: list
    elements: dict
    default: []
    suboptions:
      key: {description: Path., type: str, required: true}
      value: {description: Value; it is shown in diffs., type: str}
      secret: {description: Name of the entry of O(secrets) that is the value; it is never shown., type: str}
      state: *state
  services:
    description: Services on nodes without an agent.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      id: {description: ID on the node; the name by default., type: str}
      node: {description: Name of the external node., type: str, required: true}
      address: {description: Address of the service and its node., type: str, required: true}
      port: {description: Port., type: int, required: true}
      tags: {description: Tags., type: list, elements: str}
      meta: {description: Metadata., type: dict}
      state: *state
  autopilot:
    description: Settings of autopilot; what is not named stays as it is.
    type: dict
    suboptions:
      cleanup_dead_servers: {description: Remove a dead server when a new one joins., type: bool}
      last_contact_threshold: {description: 'Longest silence of a healthy server, such as V(200ms).', type: str}
      max_trailing_logs: {description: Most log entries that a healthy server may lag behind., type: int}
      min_quorum: {description: Never remove a dead server when fewer would be left., type: int}
      server_stabilization_time: {description: 'Time that a new server waits for its vote, V(10s).', type: str}
attributes:
  check_mode:
    description: Predicts each change without one. An unknown management token is taken for a bootstrap to be made.
    support: full
  diff_mode:
    description: Shows the objects that change; secrets are masked.
    support: full
"""

EXAMPLES = r"""
- name: Keep what Patroni needs
  rsp.platform.consul_objects:
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/bootstrap-token') }}"
    policies:
      - name: patroni
        rules: 'key_prefix "service/" { policy = "write" } session_prefix "" { policy = "write" }'
    tokens:
      - {name: patroni, policies: [patroni]}
    secrets:
      patroni: "{{ lookup('rsp.platform.secret', 'consul/patroni') }}"
    prune: delete
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: [create policy patroni, create token patroni]
rogue:
  description: Objects that nobody asked for, by name.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects import wanted_objects
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects_api import ConsulObjects, converge
from ansible_collections.rsp.platform.plugins.module_utils.services.base import connection_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

NAMES = {"type": "list", "elements": "str"}
NAME = {"type": "str", "required": True}
STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
GRANTS = {"policies": NAMES, "node_identities": NAMES, "service_identities": NAMES}


def entries(**options: dict[str, Any]) -> dict[str, Any]:
    """Spec of a list of objects; each has a state."""
    return {"type": "list", "elements": "dict", "default": [], "options": {**options, "state": STATE}}


def objects_options() -> dict[str, Any]:
    """Argument spec of the module."""
    text = {"type": "str"}
    return {
        "connection": {"type": "dict", "required": True, "options": connection_options()},
        "bootstrap": {"type": "bool", "default": False},
        "fresh": {"type": "bool", "default": False},
        "wait_s": {"type": "float", "default": 60},
        "datacenter": {"type": "str", "default": "dc1"},
        "prune": {"type": "str", "choices": ["ignore", "report", "delete"], "default": "report"},
        "protected": {**NAMES, "default": []},
        "previous": {"type": "str", "choices": ["replace", "keep", "delete"], "default": "replace"},
        "management": {"type": "str", "no_log": True},
        "owned_keys": {**NAMES, "default": [], "no_log": False},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "policies": entries(name=NAME, description=text, rules=text),
        "roles": entries(name=NAME, description=text, **GRANTS),
        "tokens": {
            **entries(name=NAME, description=text, **GRANTS, roles=NAMES, local={"type": "bool", "default": False}),
            "no_log": False,
        },
        "nodes": {**NAMES, "default": []},
        "kv": entries(key={**NAME, "no_log": False}, value=text, secret={**text, "no_log": False}),
        "services": entries(
            name=NAME,
            id=text,
            node=NAME,
            address=NAME,
            port={"type": "int", "required": True},
            tags=NAMES,
            meta={"type": "dict"},
        ),
        "autopilot": {
            "type": "dict",
            "options": {
                "cleanup_dead_servers": {"type": "bool"},
                "last_contact_threshold": text,
                "max_trailing_logs": {"type": "int"},
                "min_quorum": {"type": "int"},
                "server_stabilization_time": text,
            },
        },
    }


def main() -> None:
    """Doorway: options to wanted objects, the outcome to a result."""
    module = AnsibleModule(argument_spec=objects_options(), supports_check_mode=True)
    try:
        wanted = wanted_objects(module.params)
        outcome = converge(ConsulObjects.connect(module.params["connection"]), wanted, module.params, module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    if outcome["rogue"] and module.params["prune"] == "report":
        module.warn(f"Consul has objects that nobody asked for: {', '.join(outcome['rogue'])}")
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
