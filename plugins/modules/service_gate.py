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
      - V(may_stop) asks whether O(member) may be stopped. A quorum and a copy in sync must be left, and every other
        member that holds data must be well. Agents of other zones must be well, too. What is wrong with O(member)
        itself is no reason, since a restart may be its repair.
      - V(may_lead) asks whether O(member) may take leadership by command and lose no acknowledged write.
      - V(may_upgrade) asks whether the service may go to O(version) in one step, V(runs) whether all members run it.
      - V(after_removal) asks whether O(member) may leave for good, as one of O(removing). It must be drained, not
        lead, and leave a quorum behind, in the end an odd one.
      - V(may_forget) asks whether O(member) is lost and may be taken out by others, V(gone) whether it is no member.
    type: str
    choices: [settled, may_stop, may_lead, may_upgrade, runs, after_removal, may_forget, gone]
    required: true
  version:
    description: The release that O(question=may_upgrade) or O(question=runs) is about, such as V(1.22.5).
    type: str
  member:
    description: Name of the member that the question is about, where it is about one.
    type: str
  removing:
    description: Names of all members that the job removes, for O(question=after_removal).
    type: list
    elements: str
    default: []
  holder:
    description:
      - Who holds the maintenance lock of the service, for O(question=may_stop).
      - The gate stays closed while that is somebody else than O(owner). Nobody holds it when left out or empty.
    type: str
  owner:
    description: Who asks, in the words of O(holder), for O(question=may_stop).
    type: str
  expected:
    description: Names of the members that must be there; those of O(members) by default. V(may_lead) expects none.
    type: list
    elements: str
  current:
    description:
      - Names of members that were restarted and may wait for no further restart, for O(question=settled).
      - A member that still does keeps the gate closed. Only PostgreSQL knows whether a member waits.
    type: list
    elements: str
    default: []
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

- name: May this member stop now? Another one is asked, this one may be down
  rsp.platform.service_gate:
    service: etcd
    question: may_stop
    member: "{{ inventory_hostname }}"
    connection:
      url: https://10.0.1.11:2379
      ca_path: /etc/etcd/tls/ca.crt
      cert_path: /etc/etcd/tls/client.crt
      key_path: /etc/etcd/tls/client.key
    members: "{{ etcd_members }}"
    max_lag: 100
    wait_s: 30
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
from ansible_collections.rsp.platform.plugins.module_utils.gates import after_removal, may_lead, may_stop, settled
from ansible_collections.rsp.platform.plugins.module_utils.gates_membership import gone, may_forget
from ansible_collections.rsp.platform.plugins.module_utils.gates_upgrade import may_upgrade, runs
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import service_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict
from ansible_collections.rsp.platform.plugins.module_utils.waiting import wait_until_open

# question → how a failure names it
CLOSED = {
    "settled": "{service} has not settled in {wait_s:g} s",
    "may_stop": "{member} of {service} may not stop (may_stop closed for {wait_s:g} s)",
    "may_lead": "{member} of {service} may not lead (may_lead closed for {wait_s:g} s)",
    "may_upgrade": "{service} may not go to {version}",
    "runs": "{service} does not run {version} everywhere",
    "after_removal": "{member} may not leave {service} (after_removal closed for {wait_s:g} s)",
    "may_forget": "{member} of {service} may not be forgotten (may_forget closed for {wait_s:g} s)",
    "gone": "{member} has not left {service} in {wait_s:g} s",
}
ABOUT = dict.fromkeys(("may_stop", "may_lead", "after_removal", "may_forget", "gone"), "member")
ABOUT |= dict.fromkeys(("may_upgrade", "runs"), "version")


def gate_options() -> dict[str, Any]:
    """Argument spec: what service_info takes and the question."""
    return {
        **service_options(),
        "question": {"type": "str", "choices": list(CLOSED), "required": True},
        "member": {"type": "str"},
        "removing": {"type": "list", "elements": "str", "default": []},
        "version": {"type": "str"},
        "holder": {"type": "str"},
        "owner": {"type": "str"},
        "expected": {"type": "list", "elements": "str"},
        "current": {"type": "list", "elements": "str", "default": []},
        "max_lag": {"type": "int", "default": 0},
        "wait_s": {"type": "float", "default": 60},
        "interval_s": {"type": "float", "default": 1},
    }


def ask(state: ServiceState, params: dict[str, Any]) -> Verdict:
    """The answer to the question of the options."""
    expected, max_lag = params["expected"], params["max_lag"]
    if expected is None:
        expected = [member["name"] for member in params["members"]]
    if params["question"] == "may_stop":
        who = {"holder": params["holder"], "owner": params["owner"]}
        return may_stop(state, params["member"], expected=expected, max_lag=max_lag, **who)
    if params["question"] == "may_lead":
        return may_lead(state, params["member"], max_lag)
    if params["question"] == "after_removal":
        return after_removal(state, params["member"], params["removing"])
    if params["question"] in ("may_forget", "gone"):
        return (may_forget if params["question"] == "may_forget" else gone)(state, params["member"])
    if params["question"] in ("may_upgrade", "runs"):
        return (may_upgrade if params["question"] == "may_upgrade" else runs)(state, params["version"])
    return settled(state, expected, max_lag, params["current"])


def main() -> None:
    """Doorway: options to driver, the gate's verdict to result."""
    module = AnsibleModule(
        argument_spec=gate_options(),
        required_if=[("question", question, [option]) for question, option in ABOUT.items()],
        supports_check_mode=True,
    )
    params = module.params
    try:
        driver = open_driver(params["service"], params)
    except DriverError as err:
        module.fail_json(msg=str(err), open=False, reason=str(err), reasons=[str(err)], evidence=err.result)
    verdict = wait_until_open(lambda: ask(driver.state(), params), params["wait_s"], params["interval_s"])
    if not verdict.open:
        late = CLOSED[params["question"]].format(**params)
        module.fail_json(msg=f"{late}: {verdict.reason}", **verdict.as_result())
    module.exit_json(changed=False, **verdict.as_result())


if __name__ == "__main__":
    main()
