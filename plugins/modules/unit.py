#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The units of a service: enabled, started, reloaded in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit
short_description: Enable, start, stop and reload the units of a service
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Asks systemd once about all units and does only what is needed. A changed unit file is read anew by itself.
  - A running unit is never restarted because its files changed. That is reported as RV(pending_restart).
  - What was started, restarted or reloaded is watched until it is up and stays up for a second.
options:
  units:
    description: The units; the first one is the service itself.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Full name, such as V(consul.service).
        type: str
        required: true
      state:
        description: Where it shall be; left alone by default.
        type: str
        choices: [started, stopped]
      enabled:
        description: Whether it starts at boot; left alone by default.
        type: bool
      reload:
        description: It takes the reload that O(needs) asks for. Without any such unit the first one does.
        type: bool
        default: false
      restart:
        description: Restart it, or start it if it is stopped. Only the rolling engine may ask for this.
        type: bool
        default: false
  needs:
    description: RV(rsp.platform.files#module:needs) of the service's files.
    type: str
    choices: [none, reload, restart]
    default: none
  service:
    description: O(rsp.platform.files#module:service) whose files the first unit takes, so that a reload is remembered.
    type: str
  rollback:
    description: When a unit does not come up, say whether the last generation of O(service)'s files would help.
    type: bool
    default: true
  wait_s:
    description: Seconds that a unit may take to become active.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts the actions, also for units that are not installed yet.
    support: full
  diff_mode:
    description: RV(actions) says what is done.
    support: none
"""

EXAMPLES = r"""
- name: Service | Consul runs, and has read its files
  rsp.platform.unit:
    service: consul
    needs: "{{ __consul_files.needs }}"
    units:
      - {name: consul.service, state: started, enabled: true}

- name: Restart | Restart this member
  rsp.platform.unit:
    service: consul
    units:
      - {name: consul.service, restart: true}
"""

RETURN = r"""
units:
  description: Each unit afterwards; in check mode as it would be.
  returned: success
  type: dict
  sample: {consul.service: {active: true, enabled: true, since: Mon 2026-11-23 08:00:01 UTC, main_pid: 812}}
actions:
  description: What was done, as one would type it after C(systemctl).
  returned: success
  type: list
  elements: str
pending_restart:
  description: Whether a running unit needs a restart, which only the rolling engine may do.
  returned: success
  type: bool
unit:
  description: The unit that did not come up.
  returned: when a unit did not come up
  type: str
journal:
  description: Its last lines in the journal.
  returned: when systemd refused or a unit did not come up
  type: list
  elements: str
rollback:
  description: Whether O(rsp.platform.files#module:state=previous) would bring back files that the unit ran with.
  returned: failure
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.file_node import FilesError
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError, Wanted
from ansible_collections.rsp.platform.plugins.module_utils.units_apply import Clock, Task, apply, can_go_back


def unit_options() -> dict[str, Any]:
    """Argument spec."""
    unit = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["started", "stopped"]},
        "enabled": {"type": "bool"},
        "reload": {"type": "bool", "default": False},
        "restart": {"type": "bool", "default": False},
    }
    return {
        "units": {"type": "list", "elements": "dict", "required": True, "options": unit},
        "needs": {"type": "str", "choices": ["none", "reload", "restart"], "default": "none"},
        "service": {"type": "str"},
        "rollback": {"type": "bool", "default": True},
        "wait_s": {"type": "float", "default": 60},
    }


def main() -> None:
    """Doorway: options to a task, one call, one except."""
    module = AnsibleModule(argument_spec=unit_options(), supports_check_mode=True)
    params = module.params

    store = Generations(params["service"]) if params["service"] else None
    task = Task(
        units=tuple(Wanted(**unit) for unit in params["units"]),
        needs=params["needs"],
        wait_s=params["wait_s"],
        check=module.check_mode,
    )
    try:
        result = apply(task, runner(module), store, Clock())
    except (UnitError, FilesError) as err:
        helps = params["rollback"] and can_go_back(store)
        hint = "\n→ rsp.platform.files with state=previous brings back the files that it ran with" if helps else ""
        module.fail_json(msg=f"{err}{hint}", rollback=helps, **err.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
