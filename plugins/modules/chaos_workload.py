#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The ledger: a client that writes tokens, and what became of them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_workload
short_description: Write tokens and read back what became of them
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Every write has a token of its own. Its outcome is on the disk before the next write begins.
  - The writer runs by itself until O(state=stopped), and at most for O(seconds).
  - Keys are below C(rsp/smoke/chaos/), rows in a table C(chaos_<run>) of the client's own database.
options:
  state:
    description:
      - V(started) begins to write, V(status) looks, V(stopped) ends. V(read) returns outcomes and all tokens.
      - V(absent) takes the run's data out of the service, and its files off the host.
    type: str
    choices: [started, status, stopped, read, absent]
    required: true
  run:
    description: Id of the run, small letters and digits.
    type: str
    required: true
  driver:
    description: The service.
    type: str
    choices: [consul, postgresql]
    required: true
  servers:
    description: 'C(host:port) of the client path, in the order of trying.'
    type: list
    elements: str
    required: true
  members: {description: 'Member to C(host:port), for reading each by itself.', type: dict, default: {}}
  ca_path: {description: PEM file of the CA., type: path, required: true}
  token: {description: Consul's token., type: str}
  database: {description: PostgreSQL's database., type: str}
  user: {description: PostgreSQL's user., type: str}
  password: {description: Password of O(user)., type: str}
  writers: {description: Writers side by side., type: int, default: 2}
  rate: {description: Writes a second of all of them., type: int, default: 50}
  timeout_s: {description: Seconds after which a write's outcome is unknown., type: float, default: 10.0}
  seconds: {description: Seconds after which the writer ends by itself., type: int, default: 900}
  reads:
    description:
      - How each newest token is read after its acknowledgement, four times a second.
      - V(default) asks the client path, V(consistent) Consul's leader, which makes sure that it leads, and V(stale)
        each of O(members) for what it has itself.
    type: list
    elements: str
    choices: [default, consistent, stale]
    default: []
attributes:
  check_mode:
    description: Writes nothing, and returns nothing but RV(running).
    support: partial
    details: What a run would see is not predicted.
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Write while something breaks
  rsp.platform.chaos_workload:
    state: started
    run: 4f2a
    driver: consul
    servers: [10.0.0.11:8501, 10.0.1.11:8501]
    ca_path: /etc/consul-client/ca.crt
    token: "{{ lookup('rsp.platform.secret', 'consul/smoke') }}"
"""

RETURN = r"""
running: {description: Whether the writer runs., returned: 'with V(started) and V(status)', type: bool}
now: {description: The host's monotonic clock., returned: 'with V(started) and V(status)', type: float}
last_ack:
  description: When the newest write was acknowledged, on that clock; none when none was.
  returned: with V(started) and V(status)
  type: float
operations:
  description: Every write with its token, begin, end, outcome and error.
  returned: with V(read)
  type: list
  elements: dict
client:
  description: Tokens by the client path in the service's order.
  returned: 'with V(read)'
  type: list
  elements: int
members: {description: Member to its tokens; none when it could not be read., returned: 'with V(read)', type: dict}
reads:
  description: 'Reads of tokens: how, at which member, t, seen (none when nobody answered), begin and end.'
  returned: with V(read)
  type: list
  elements: dict
errors: {description: Member to why it could not be read., returned: 'with V(read)', type: dict}
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import READS, ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.workload import Workload


def workload_options() -> dict[str, Any]:
    """Argument spec."""
    return {
        "state": {"type": "str", "choices": ["started", "status", "stopped", "read", "absent"], "required": True},
        "run": {"type": "str", "required": True},
        "driver": {"type": "str", "choices": ["consul", "postgresql"], "required": True},
        "servers": {"type": "list", "elements": "str", "required": True},
        "members": {"type": "dict", "default": {}},
        "ca_path": {"type": "path", "required": True},
        "token": {"type": "str", "no_log": True},
        "database": {"type": "str"},
        "user": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "writers": {"type": "int", "default": 2},
        "rate": {"type": "int", "default": 50},
        "timeout_s": {"type": "float", "default": 10.0},
        "seconds": {"type": "int", "default": 900},
        "reads": {"type": "list", "elements": "str", "choices": list(READS), "default": []},
    }


def converge(params: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """Keys of the module result."""
    state = params["state"]
    if state == "started":
        return {"changed": True, **workload.start(params)}
    if state == "stopped":
        workload.stop()
        return {"changed": True}
    if state == "read":
        return {"changed": False, **workload.read(params)}
    if state == "absent":
        return {"changed": workload.clean(params)}
    return {"changed": False, **workload.status()}


def main() -> None:
    """Doorway: one call, one except."""
    needs = [("driver", "consul", ("token",)), ("driver", "postgresql", ("database", "user", "password"))]
    module = AnsibleModule(argument_spec=workload_options(), required_if=needs, supports_check_mode=True)
    if not re.fullmatch("[a-z0-9]+", module.params["run"]):
        module.fail_json(msg=f"run {module.params['run']!r} must be small letters and digits")
    if module.check_mode:
        module.exit_json(changed=module.params["state"] in ("started", "absent"), running=False)
    try:
        result = converge(module.params, Workload(module.params["run"]))
    except (ChaosError, OSError) as err:
        module.fail_json(msg=str(err))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
