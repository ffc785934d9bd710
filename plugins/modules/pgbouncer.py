#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Pauses and resumes a pooler."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer
short_description: Pause a pgBouncer between transactions, or let queries through again
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Paused, running transactions end and new queries wait; nobody is cut off in the middle. So a member is drained.
  - When a transaction stays open for longer than O(wait_s), the pooler is resumed and the task fails.
options:
  state:
    description: Whether queries wait or go through.
    type: str
    choices: [paused, resumed]
    required: true
  wait_s:
    description: Seconds that running transactions may take to end.
    type: float
    default: 30
  user:
    description: System user that the pooler runs as.
    type: str
    default: postgres
  socket_dir:
    description: Directory of the pooler's socket.
    type: path
    default: /var/run/postgresql
  port:
    description: Port of the pooler.
    type: int
    default: 6432
attributes:
  check_mode:
    description: Predicts whether the state changes.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Drain | Let transactions end
  rsp.platform.pgbouncer:
    state: paused
"""

RETURN = r"""
busy:
  description: Server connections that are inside a transaction afterwards.
  returned: success
  type: int
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.pgbouncer import Console, PoolerError


def main() -> None:
    """Doorway: options to the console."""
    options = {
        "state": {"type": "str", "choices": ["paused", "resumed"], "required": True},
        "wait_s": {"type": "float", "default": 30},
        "user": {"type": "str", "default": "postgres"},
        "socket_dir": {"type": "path", "default": "/var/run/postgresql"},
        "port": {"type": "int", "default": 6432},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params

    console = Console(runner(module), params["user"], params["socket_dir"], params["port"])
    try:
        changed = console.paused() != (params["state"] == "paused")
        if changed and not module.check_mode:
            console.pause(params["wait_s"]) if params["state"] == "paused" else console.resume()
        busy = console.busy()
    except PoolerError as err:
        module.fail_json(msg=str(err))
    module.exit_json(changed=changed, busy=busy)


if __name__ == "__main__":
    main()
