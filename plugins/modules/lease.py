#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Something temporary that undoes itself unless its lease is renewed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: Undo something temporary by itself when nobody renews it
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - A dead man's switch on the target. Arm it before anything temporary is done, renew it while that lasts,
    then disarm it when you have undone it yourself, or fire it.
  - It is a timer and a service of systemd, C(rsp-lease-<name>), on the disk before this module returns.
    The timer counts on the monotonic clock and needs no controller.
  - A host that boots with a lease undoes at once.
  - The commands run in order. When one fails or hangs, all are tried again every five seconds until they succeed,
    so each must be harmless when it runs twice. The journal of the service has what they said.
  - After they succeeded the units are taken away.
  - The commands are seen by every user of the host, in the units and in the journal, so they must not hold secrets.
options:
  name:
    description: Name of the lease. Needed unless O(state=read).
    type: str
  state:
    description:
      - V(armed) makes it tick, with its whole time before it. A lease that is there is only renewed. It is refused when
        the lease there has another O(undo), which would be lost.
      - V(renewed) starts its time anew. It fails when the lease has fired or is not there.
      - V(disarmed) takes it away without undoing. It fails while the undo runs.
      - V(fired) undoes now and waits until nothing is left of the lease.
      - V(read) lists the leases of this host.
    type: str
    choices: [armed, renewed, disarmed, fired, read]
    required: true
  undo:
    description: Commands as lists of words, each with the absolute path of its program. Needed with O(state=armed).
    type: list
    elements: list
  ttl_s:
    description: Seconds until it fires, from 5 to 86400. Needed with O(state=armed).
    type: int
  reason:
    description: What for, one line for people.
    type: str
    default: ''
  command_timeout_s:
    description: Seconds that one command may take.
    type: int
    default: 60
  wait_s:
    description: Seconds to wait with O(state=fired).
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts the outcome and writes nothing. Whether the programs are there is not judged.
    support: full
  diff_mode:
    description: The lease before and after.
    support: full
"""

EXAMPLES = r"""
- name: Arm the undo before the member is drained
  rsp.platform.lease:
    name: drain-haproxy
    state: armed
    ttl_s: 120
    reason: Restart of this member
    undo:
      - [/usr/bin/rm, -f, /run/rsp/drained]
      - [/usr/bin/systemctl, reload, haproxy.service]

- name: Still at it
  rsp.platform.lease: {name: drain-haproxy, state: renewed}

- name: Undo now and prove it
  rsp.platform.lease: {name: drain-haproxy, state: fired}
"""

RETURN = r"""
lease:
  description:
    - The lease afterwards, in check mode as it would be; none when it is gone.
    - C(state) is C(armed), C(undoing), C(retrying) when the undo failed and is tried again, or C(stopped) when only a
      boot would undo. C(remaining_s) is none unless it is armed.
  returned: unless O(state=read)
  type: dict
  sample: {name: drain-haproxy, undo: [[/usr/bin/rm, -f, /run/rsp/drained]], ttl_s: 120, reason: Restart of this member,
    command_timeout_s: 60, state: armed, remaining_s: 119.9}
leases:
  description: Every lease of this host, by name.
  returned: with O(state=read)
  type: list
  elements: dict
journal:
  description: The last lines of the undo.
  returned: when O(state=fired) did not succeed in time
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.lease import Lease, LeaseError, Present
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def lease_options() -> dict[str, Any]:
    """Argument spec."""
    states = ["armed", "renewed", "disarmed", "fired", "read"]
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": states, "required": True},
        "undo": {"type": "list", "elements": "list"},
        "ttl_s": {"type": "int"},
        "reason": {"type": "str", "default": ""},
        "command_timeout_s": {"type": "int", "default": 60},
        "wait_s": {"type": "float", "default": 60},
    }


def converge(params: Mapping[str, Any], leases: Leases, check: bool) -> dict[str, Any]:
    """Bring one lease where it shall be, or list them; keys of the module result."""
    name, state = params["name"], params["state"]
    if state == "read":
        found = leases.all() if name is None else [p for p in [leases.find(name)] if p]
        return {"changed": False, "leases": [present.as_result() for present in found]}
    before = leases.find(name)
    after: Present | None = None
    if state == "armed":
        undo = tuple(tuple(str(word) for word in argv) for argv in params["undo"])
        wanted = Lease(name, undo, params["ttl_s"], params["reason"], params["command_timeout_s"])
        changed, after = leases.arm(wanted, check)
    elif state == "renewed":
        changed, after = False, leases.renew(name, check)
    elif state == "disarmed":
        changed = leases.disarm(name, check)
    else:
        changed = leases.fire(name, params["wait_s"], check)
    diff = {"before": _lasting(before), "after": _lasting(after)} if changed else {}
    return {"changed": changed, "lease": after.as_result() if after else None, "diff": diff}


def _lasting(present: Present | None) -> dict[str, Any]:
    return {k: v for k, v in present.as_result().items() if k != "remaining_s"} if present else {}


def main() -> None:
    """Doorway: options to a lease, one call, one except."""
    needs = [("armed", ("name", "undo", "ttl_s")), *((s, ("name",)) for s in ("renewed", "disarmed", "fired"))]
    module = AnsibleModule(
        argument_spec=lease_options(),
        required_if=[("state", state, options) for state, options in needs],
        supports_check_mode=True,
    )

    try:
        result = converge(module.params, Leases(runner(module)), module.check_mode)
    except (LeaseError, UnitError) as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
