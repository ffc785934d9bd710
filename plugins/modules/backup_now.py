#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A backup at once, by the configuration that role backup left on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_now
short_description: Back up a service at once, on its backup host
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Does what the timer does, with the same gates and the same record, and fails when the record does not say done.
  - What is done is judged by what the repository lists afterwards, never by an exit code.
options:
  service: {description: The service., type: str, required: true, choices: [consul, postgresql]}
  kind:
    description: Kind of the backup. V(auto) is what is due.
    type: str
    choices: [auto, full, diff, incr]
    default: auto
  by: {description: 'Who asks, for the record.', type: str, default: job}
  owner:
    description: Owner of the cluster's lock that the caller holds; any other owner postpones the backup.
    type: str
    default: ''
attributes:
  check_mode:
    description: Asks the gates, says what would be made and how much it would add, and makes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Backup | A full one before the upgrade
  rsp.platform.backup_now: {service: postgresql, kind: full, by: "{{ job.lock_arguments.owner }}"}
  become: true
  become_user: postgres
"""

RETURN = r"""
record:
  description: What was kept in C(last.json).
  returned: when something was tried
  type: dict
plan:
  description: In check mode, kind, size of the last such backup and free space, by repository.
  returned: in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.forecast import forecast
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import Asked, perform
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.record import DONE
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: options to one run or its forecast."""
    spec = {
        "service": {"type": "str", "required": True, "choices": ["consul", "postgresql"]},
        "kind": {"type": "str", "choices": ["auto", "full", "diff", "incr"], "default": "auto"},
        "by": {"type": "str", "default": "job"},
        "owner": {"type": "str", "default": ""},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    asked = Asked(params["kind"], params["by"], params["owner"])
    try:
        if module.check_mode:
            plan = forecast(params["service"], asked)
            module.exit_json(changed=True, plan=plan)
        record = perform(params["service"], asked)
    except (DriverError, OSError, ValueError, TypeError) as err:
        module.fail_json(msg=f"{params['service']}: {err}", **getattr(err, "result", {}))
    if record.state != DONE:
        module.fail_json(msg=f"backup of {record.cluster} {record.state}: {record.reason}", record=record.as_dict())
    module.exit_json(changed=True, record=record.as_dict())


if __name__ == "__main__":
    main()
