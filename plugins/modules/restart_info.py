#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Says why a member waits for a restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restart_info
short_description: Say why a member waits for a restart
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Collects the reasons that a unit should be restarted and changes nothing. No reason means that a restart is surplus.
options:
  service:
    description: RV(ignore:service) of M(rsp.platform.files) whose files the unit reads.
    type: str
    required: true
  unit:
    description: The unit, such as V(consul.service).
    type: str
    required: true
  settings:
    description: Settings that wait for a restart of this member, as M(rsp.platform.patroni_config) returns them.
    type: dict
    default: {}
  packages:
    description: Packages that the unit runs; one whose files are newer than the unit's process is a reason.
    type: list
    elements: str
    default: []
  asked_at:
    description:
      - Seconds since the epoch at which a restart was asked for whatever the files say.
      - A unit that was started later has had it, so a job that was cut off goes on where it stopped.
    type: float
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does Consul wait for a restart?
  rsp.platform.restart_info:
    service: consul
    unit: consul.service
  register: waiting
"""

RETURN = r"""
reasons:
  description: Why the unit should be restarted, one sentence each; empty when it need not be.
  returned: success
  type: list
  elements: str
  sample: ["files changed at 2026-11-25T02:00:00Z"]
leader_first:
  description: Whether a setting gets smaller that a standby must not have less of than its primary.
  returned: success
  type: bool
running:
  description: Whether the unit runs.
  returned: success
  type: bool
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.file_node import FilesError
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.restart_info import (
    Moment,
    installed_at,
    leader_first,
    reasons,
)
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError, show


def main() -> None:
    """Doorway: what systemd and the files' state say, put into reasons."""
    options = {
        "service": {"type": "str", "required": True},
        "unit": {"type": "str", "required": True},
        "settings": {"type": "dict", "default": {}},
        "packages": {"type": "list", "elements": "str", "default": []},
        "asked_at": {"type": "float"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params

    try:
        unit = show(runner(module), [params["unit"]])[params["unit"]]
        pending = Generations(params["service"]).pending()
    except (UnitError, FilesError) as err:
        module.fail_json(msg=str(err), **err.result)
    now = Moment(time.time(), time.monotonic_ns() // 1000)
    packages = installed_at(params["packages"])
    found = reasons(unit, pending, params["settings"], params["asked_at"], now, installed=packages)
    module.exit_json(changed=False, reasons=found, running=unit.running, leader_first=leader_first(params["settings"]))


if __name__ == "__main__":
    main()
