#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Lists faults of a host and what it could be done to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_info
short_description: List the faults of a host, and the kinds of faults
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads the host's own records. A fault that its watchdog undid stays listed, with RV(faults), until it is recovered.
options:
  switch:
    description: A key in Consul that must hold C(go), as in M(rsp.platform.chaos_fault).
    type: dict
    suboptions:
      urls: {description: Servers of Consul., type: list, elements: str, required: true}
      key: {description: The key., type: str, required: true}
      ca: {description: PEM of the CA that signed the servers' certificates., type: str}
      token: {description: A token that may read the key., type: str}
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: What is being done to this host?
  rsp.platform.chaos_info:
  register: chaos
"""

RETURN = r"""
faults:
  description: Each fault with kind, parameters, steps, whether its watchdog ticks (C(armed)), how it was undone.
  returned: success
  type: list
  elements: dict
stopped:
  description: Whether C(/etc/rsp/chaos.stop), or the key of O(switch), forbids faults here.
  returned: success
  type: bool
kinds:
  description: Kind to what it does.
  returned: success
  type: dict
unavailable:
  description: Kind that nobody can have here to the reason.
  returned: success
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.chaos.host import faults_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS, UNAVAILABLE
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.switch import SWITCH
from ansible_collections.rsp.platform.plugins.module_utils.command import runner


def main() -> None:
    """Doorway: one call, one except."""
    module = AnsibleModule(argument_spec={"switch": {"type": "dict", "options": SWITCH}}, supports_check_mode=True)

    run = runner(module)
    faults = faults_of(run, switch=module.params["switch"])
    try:
        found = faults.all()
    except (ChaosError, OSError) as err:
        module.fail_json(msg=str(err))
    module.exit_json(
        changed=False,
        faults=found,
        stopped=faults.forbidden() is not None,
        kinds={name: kind.about for name, kind in KINDS.items()},
        unavailable=UNAVAILABLE,
    )


if __name__ == "__main__":
    main()
