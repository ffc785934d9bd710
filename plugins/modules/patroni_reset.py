#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Patroni's store after a restore."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_reset
short_description: Make Patroni's store forget the data that were there before a restore
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Takes leader, positions, synchronous standby, history and members out of the store, keeps the dynamic configuration
    and names the restored cluster. Without it the restored member would count as lagging and never lead.
  - Refused while somebody leads. Patroni must be stopped on every member. Run it as the user that Patroni runs as.
options:
  patroni_dir: {description: "Patroni's configuration, with its credentials.", type: path, required: true}
  system_id: {description: Identifier of the restored cluster., type: str, required: true}
attributes:
  check_mode:
    description: Asks whether somebody leads, and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Restored | Forget what was there before
  rsp.platform.patroni_reset: {patroni_dir: /etc/patroni/rsp, system_id: "7712038237046306201"}
  become: true
  become_user: postgres
"""

RETURN = r"""
system_id:
  description: The identifier that members must have.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.store import reset_argv


def main() -> None:
    """Doorway: one command, one verdict."""
    spec = {"patroni_dir": {"type": "path", "required": True}, "system_id": {"type": "str", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    if not params["system_id"].isdecimal():
        module.fail_json(msg=f"{params['system_id']!r} is no system identifier")
    argv = reset_argv(params["patroni_dir"], params["system_id"], module.check_mode)
    code, _out, err = runner(module, cwd="/")(argv)
    if code != 0:
        said = (err.strip().splitlines() or [f"it ended with {code}"])[-1]
        module.fail_json(msg=f"Patroni's store was not reset: {said}", rc=code)
    module.exit_json(changed=True, system_id=params["system_id"])


if __name__ == "__main__":
    main()
