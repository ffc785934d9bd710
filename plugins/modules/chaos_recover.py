#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Undoes everything that chaos left on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_recover
short_description: Find and undo all that chaos left on a host
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Needs no memory of any run. It reads the host's own records of faults, and looks for rules of ours without a record.
  - Writers of the ledger that a dead run left are ended too.
  - It fails when something could not be undone, after it tried everything.
  - It touches faults of runs that are going on too, so they end as aborted.
attributes:
  check_mode:
    description: Lists what would be undone.
    support: full
  diff_mode:
    description: The result lists what was undone.
    support: none
"""

EXAMPLES = r"""
- name: Clean up after whatever happened
  rsp.platform.chaos_recover:
"""

RETURN = r"""
recovered:
  description: Each thing that was found, with whether it is undone, what is wrong, and who undid it.
  returned: always
  type: list
  elements: dict
  sample: [{fault: 3fa2c1d0-0, changed: true, undone: true, wrong: [], by: lease}]
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.chaos.host import faults_of
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import StepError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.workload import end_all
from ansible_collections.rsp.platform.plugins.module_utils.command import runner


def main() -> None:
    """Doorway: one call, one except."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    run = runner(module)
    try:
        found = [*faults_of(run).recover(module.check_mode), *end_all(check=module.check_mode)]
    except (ChaosError, StepError, OSError) as err:
        module.fail_json(msg=str(err), recovered=[])
    left = [f"{each['fault']}: {text}" for each in found for text in each["wrong"]]
    if left:
        module.fail_json(msg=f"not everything is undone: {'; '.join(left)}", recovered=found)
    module.exit_json(changed=bool(found), recovered=found)


if __name__ == "__main__":
    main()
