#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Hands the secrets of a Patroni that was made by hand to the platform's store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_secrets
short_description: Import the secrets of a Patroni that was made by hand
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads passwords from the configuration of the running process and keeps them in the store that C(platform_secrets)
    names. A value that the store has of the same name gives way to what the cluster uses.
  - Values are never shown. Give the task C(no_log), so that the connection's debug output has none either.
options:
  unit:
    description: The unit that runs Patroni.
    type: str
    default: patroni.service
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: Names only, never values.
    support: none
"""

EXAMPLES = r"""
- name: Keep the passwords that the cluster uses
  rsp.platform.patroni_secrets:
  no_log: true
  register: imported
"""

RETURN = r"""
names:
  description: Names of the secrets that the store did not have, or had otherwise.
  returned: always
  type: list
  elements: str
replaced:
  description: Those of RV(names) that the store had otherwise.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.adoption.reach import open_live
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def main() -> None:
    """Doorway: for the action plugin, which keeps the values and takes them out of the result."""
    options = {"unit": {"type": "str", "default": "patroni.service"}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        live = open_live(module, module.params["unit"])
    except (DriverError, UnitError) as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=False, secrets=live.secrets())


if __name__ == "__main__":
    main()
