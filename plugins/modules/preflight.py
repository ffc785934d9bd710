# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Judges an inventory before any host is touched
description:
  - Reads the variables of all hosts, the argument specs and C(meta/rules.yml) of every role of this collection,
    and the artifact catalogue.
  - Fails with all problems at once. Each names host, variable, value, the rule and the fix.
  - Opens no connection and gathers no facts. What needs facts is checked by each role's own preflight.
  - Run it once in a play over V(all); hosts outside C(--limit) are judged too.
options:
  environment:
    description: The environment that the playbook is for. The inventory's C(platform_environment) must be the same.
    type: str
    choices: [local, dev, staging, production]
  confirm:
    description:
      - The name of the platform as the operator typed it. When given, it must be the inventory's C(platform_name).
      - Not looked at in check mode.
    type: str
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check mode), when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Find everything that is wrong with this inventory
  rsp.platform.preflight:
    environment: staging
  run_once: true
"""

RETURN = r"""
msg:
  description: The report. A heading, then a line a problem with host, variable and value, rule and fix.
  type: str
  returned: always
hosts:
  description: How many hosts were judged.
  type: int
  returned: success
roles:
  description: Roles whose contracts were used.
  type: list
  elements: str
  returned: success
rules:
  description: How many rules were applied.
  type: int
  returned: success
"""
