#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Says which installed packages could be replaced by newer ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_candidates
short_description: Say which installed packages apt could replace by newer ones
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads what apt would install, so that a plan shows exact versions and the change takes these and no others.
  - Packages that are not installed are left out. No package is changed.
options:
  names:
    description: The packages.
    type: list
    elements: str
    required: true
  refresh:
    description:
      - Read the lists of the sources anew first, in check mode as well. Without that the answer is of the last time
        that they were read.
    type: bool
    default: true
attributes:
  check_mode:
    description: It changes no package, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Upgrade | See what apt has
  rsp.platform.package_candidates:
    names: [postgresql-17, patroni, pgbouncer]
  register: found

- name: Upgrade | Take these versions
  ansible.builtin.apt:
    name: "{{ found.pins }}"
    only_upgrade: true
"""

RETURN = r"""
newer:
  description: Packages that have a newer version.
  returned: success
  type: list
  elements: dict
  sample: [{name: pgbouncer, installed: 1.24.1-1, candidate: 1.24.1-2}]
pins:
  description: The same as apt takes them.
  returned: success
  type: list
  elements: str
  sample: [pgbouncer=1.24.1-2]
reasons:
  description: The same as sentences.
  returned: success
  type: list
  elements: str
  sample: [pgbouncer 1.24.1-1 is older than 1.24.1-2]
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.packages import PackagesError, as_result, newer


def main() -> None:
    """Doorway: names to versions, one call, one except."""
    options = {
        "names": {"type": "list", "elements": "str", "required": True},
        "refresh": {"type": "bool", "default": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    try:
        found = newer(runner(module, environ_update={"LC_ALL": "C"}), module.params["names"], module.params["refresh"])
    except PackagesError as err:
        module.fail_json(msg=str(err))
    module.exit_json(changed=False, **as_result(found))


if __name__ == "__main__":
    main()
