#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Hands the leadership of a service over."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leader_transfer
short_description: Hand the leadership of a service over to another member by command
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Picks a member that may lead now, one in another zone first, commands the hand-over and waits until it leads.
  - Without a member that may take over, nothing is done and the task fails with the reason of each.
extends_documentation_fragment:
  - rsp.platform.service
options:
  away_from:
    description: Only if this member leads; whoever leads by default.
    type: str
  to:
    description: Who shall lead. By default the member that lags least.
    type: str
  max_lag:
    description: The largest lag of a member that may lead, in the driver's unit (bytes or log entries).
    type: int
    default: 0
  quiesce:
    description:
      - Commands as lists of words, run on this host right before the hand-over, so that nothing is in flight meanwhile.
      - They are not undone here, whatever happens. When one fails, nothing is handed over.
    type: list
    elements: list
    default: []
  wait_s:
    description: Seconds that the hand-over may take.
    type: float
    default: 60
attributes:
  check_mode:
    description: Says who would lead, and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Drain | Another server leads
  rsp.platform.leader_transfer:
    service: consul
    away_from: "{{ inventory_hostname }}"
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/operations') }}"
    members: "{{ consul_members }}"
    max_lag: 100
"""

RETURN = r"""
before:
  description: Who led.
  returned: success
  type: str
leader:
  description: Who leads; in check mode who would.
  returned: success
  type: str
seconds:
  description: How long the hand-over took.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.leadership import Wish, hand_over
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import service_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: options to a wish, one call, one except."""
    options = {
        **service_options(),
        "away_from": {"type": "str"},
        "to": {"type": "str"},
        "max_lag": {"type": "int", "default": 0},
        "quiesce": {"type": "list", "elements": "list", "default": []},
        "wait_s": {"type": "float", "default": 60},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params

    def quiesce() -> None:
        for argv in params["quiesce"]:
            code, out, err = module.run_command([str(word) for word in argv])
            if code != 0:
                raise DriverError(f"{argv[0]} … {argv[-1]} ended with {code}: {err.strip() or out.strip()}")

    try:
        driver = open_driver(params["service"], params)
        wish = Wish(params["away_from"], params["to"], params["max_lag"])
        result = hand_over(driver, wish, params["wait_s"], check=module.check_mode, quiesce=quiesce)
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
