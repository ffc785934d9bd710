#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""One fault on one host: planned, injected, renewed, proved, undone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_fault
short_description: Inject one fault that undoes itself
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Arms, then fires. Undo and fingerprint are on the host's disk and a watchdog ticks before anything is injected.
  - When nobody renews the fault in O(ttl_s), or the host boots, it undoes by itself and compares with the fingerprint.
  - Connections with the host's sshd are never cut. Rules of others are neither changed nor reordered.
  - The file C(/etc/rsp/chaos.stop) on the host forbids every injection and renewal there; so does a key in Consul that
    does not say C(go), where O(switch) names one.
options:
  fault:
    description: Id of the fault, unique on the host, at most 20 small letters, digits and dashes.
    type: str
    required: true
  state:
    description:
      - V(planned) says what would be done, and what the host refuses. V(injected) does it.
      - V(renewed) starts the lease anew. It fails when the fault is over.
      - V(proved) tells whether the fault takes effect now. V(undone) takes it back and compares.
    type: str
    choices: [planned, injected, renewed, proved, undone]
    required: true
  kind:
    description: Kind of the fault; C(docs/chaos.md) lists all with their parameters. Needed to plan and to inject.
    type: str
  params:
    description: Parameters of the kind.
    type: dict
    default: {}
  ttl_s:
    description: Seconds after which the host undoes by itself, from 15 to 900. Needed to plan and to inject.
    type: int
  reason:
    description: What for, one line for people.
    type: str
    default: ''
  wait_s:
    description:
      - Seconds that V(undone) waits until the host is as it was. Then it says what is missing, and the watchdog goes on
        trying.
    type: int
    default: 60
  switch:
    description:
      - A key in Consul that must hold C(go). The host asks the servers itself, in order. No answer, no key and any
        other word are a stop. An undo asks nobody.
    type: dict
    suboptions:
      urls: {description: Servers of Consul., type: list, elements: str, required: true}
      key: {description: The key., type: str, required: true}
      ca: {description: PEM of the CA that signed the servers' certificates., type: str}
      token: {description: A token that may read the key., type: str}
attributes:
  check_mode:
    description: Returns the plan and writes nothing.
    support: full
  diff_mode:
    description: The plan says what is done.
    support: none
"""

EXAMPLES = r"""
- name: Cut the host off from two peers for a minute at most
  rsp.platform.chaos_fault:
    fault: cut-1
    state: injected
    kind: partition
    params: {direction: in, peers: [10.0.1.11, 10.0.2.11]}
    ttl_s: 60

- name: Mend it
  rsp.platform.chaos_fault: {fault: cut-1, state: undone}
"""

RETURN = r"""
plan:
  description: Steps there (C(inject)) and back (C(undo)), what is compared (C(fingerprint)) and what proves the effect.
  returned: with V(planned) and V(injected)
  type: dict
effective:
  description: Whether the effect was proved.
  returned: with V(proved)
  type: bool
seen:
  description: How, one sentence each.
  returned: with V(proved)
  type: list
  elements: str
undone:
  description: Whether the host is as it was.
  returned: with V(undone), or when an injection failed
  type: bool
wrong:
  description: What is not as it was.
  returned: with V(undone), or when an injection failed
  type: list
  elements: str
by:
  description: Who undid it, V(controller), V(lease) or V(nobody).
  returned: with V(undone)
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.chaos.faults import Faults, Request
from ansible_collections.rsp.platform.plugins.module_utils.chaos.host import faults_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import StepError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.switch import SWITCH
from ansible_collections.rsp.platform.plugins.module_utils.command import runner

STATES = ["planned", "injected", "renewed", "proved", "undone"]


def fault_options() -> dict[str, Any]:
    """Argument spec."""
    return {
        "fault": {"type": "str", "required": True},
        "state": {"type": "str", "choices": STATES, "required": True},
        "kind": {"type": "str"},
        "params": {"type": "dict", "default": {}},
        "ttl_s": {"type": "int"},
        "reason": {"type": "str", "default": ""},
        "wait_s": {"type": "int", "default": 60},
        "switch": {"type": "dict", "options": SWITCH},
    }


def converge(params: dict[str, Any], faults: Faults, check: bool) -> dict[str, Any]:
    """Keys of the module result."""
    fault, state = params["fault"], params["state"]
    if state in ("planned", "injected"):
        request = Request(fault, params["kind"], params["params"], params["ttl_s"], params["reason"])
        changed, record = faults.inject(request, check or state == "planned")
        return {"changed": changed and state == "injected", "plan": record}
    if state == "renewed":
        if not check:
            faults.renew(fault)
        return {"changed": not check}
    if state == "proved":
        effective, seen = faults.prove(fault)
        return {"changed": False, "effective": effective, "seen": seen}
    return faults.undo(fault, check, params["wait_s"])


def main() -> None:
    """Doorway: options to a request, one call, one except."""
    module = AnsibleModule(
        argument_spec=fault_options(),
        required_if=[("state", state, ("kind", "ttl_s")) for state in ("planned", "injected")],
        supports_check_mode=True,
    )

    run = runner(module)
    try:
        result = converge(module.params, faults_of(run, switch=module.params["switch"]), module.check_mode)
    except (ChaosError, StepError, OSError) as err:
        module.fail_json(msg=str(err), **getattr(err, "result", {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
