#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Asks a gate about a service and waits for it to open."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_gate
short_description: Fail unless a service answers a question with yes in time
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Polls a service through its own API inside one module call, until the gate opens or the time is over.
  - A gate that did not open in time fails the task with every reason. What is unknown keeps it closed.
extends_documentation_fragment:
  - rsp.platform.service
options:
  question:
    description:
      - V(settled) asks whether every expected member is there and healthy, a leader is known and nobody lags.
    type: str
    choices: [settled]
    required: true
  expected:
    description: Names of the members that must be there; those of O(members) by default.
    type: list
    elements: str
  max_lag:
    description: The largest lag that counts as caught up, in the driver's unit (bytes or log entries).
    type: int
    default: 0
  wait_s:
    description: Seconds to wait for the gate to open; V(0) asks once.
    type: float
    default: 60
  interval_s:
    description: Seconds between two questions.
    type: float
    default: 1
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Has Consul settled?
  rsp.platform.service_gate:
    service: consul
    question: settled
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/monitor') }}"
    members: "{{ consul_members }}"
    max_lag: 100
"""

RETURN = r"""
open:
  description: Whether the gate opened.
  returned: always
  type: bool
reason:
  description: All reasons in one line; none when open.
  returned: always
  type: str
reasons:
  description: Why it is closed, one sentence each.
  returned: always
  type: list
  elements: str
evidence:
  description: What was looked at.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.gates import settled
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import service_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.waiting import wait_until_open


def gate_options() -> dict[str, Any]:
    """Argument spec: what service_info takes and the question."""
    return {
        **service_options(),
        "question": {"type": "str", "choices": ["settled"], "required": True},
        "expected": {"type": "list", "elements": "str"},
        "max_lag": {"type": "int", "default": 0},
        "wait_s": {"type": "float", "default": 60},
        "interval_s": {"type": "float", "default": 1},
    }


def main() -> None:
    """Doorway: options to driver, the gate's verdict to result."""
    module = AnsibleModule(argument_spec=gate_options(), supports_check_mode=True)
    params = module.params
    expected = params["expected"]
    if expected is None:
        expected = [member["name"] for member in params["members"]]
    try:
        driver = open_driver(params["service"], params)
    except DriverError as err:
        module.fail_json(msg=str(err), open=False, reason=str(err), reasons=[str(err)], evidence=err.result)
    verdict = wait_until_open(
        lambda: settled(driver.state(), expected, params["max_lag"]), params["wait_s"], params["interval_s"]
    )
    if not verdict.open:
        late = f"{params['service']} has not settled in {params['wait_s']:g} s"
        module.fail_json(msg=f"{late}: {verdict.reason}", **verdict.as_result())
    module.exit_json(changed=False, **verdict.as_result())


if __name__ == "__main__":
    main()
