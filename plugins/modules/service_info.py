#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Reads the state of a service through its driver."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Read who the members of a service are, who leads, and how they are
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Asks a service through its own API, from one of its members or clients, and returns its state.
  - It changes nothing. What could not be learned is V(none) and named in RV(state.problems), never assumed.
extends_documentation_fragment:
  - rsp.platform.service
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Who leads Consul?
  rsp.platform.service_info:
    service: consul
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/monitor') }}"
    members: "{{ consul_members }}"
  register: consul
"""

RETURN = r"""
state:
  description: The service at one moment.
  returned: success
  type: dict
  contains:
    service: {description: The service., type: str, returned: always}
    cluster: {description: Name of the cluster., type: str, returned: always}
    leader: {description: Name of the leader; none when unknown., type: str, returned: always}
    quorum:
      description: Healthy voters that are needed for writes, with a second copy of each where that is promised.
      type: int
      returned: always
    elects:
      description: Whether members vote among themselves; if not, another service elects one of them.
      type: bool
      returned: always
    synchronous: {description: Whether a write waits for a second member., type: bool, returned: always}
    certificate_days:
      description: Days until the certificate that the API presents expires; none when unknown.
      type: float
      returned: always
    problems: {description: What could not be learned., type: list, elements: str, returned: always}
    members:
      description:
        - The members, each with name, address, role, zone, voter, healthy, lag, version, pending_restart, in_sync
          (could lead at once and lose nothing), tags (what it is kept from) and problems (those of RV(state.problems)
          that are its own).
      type: list
      elements: dict
      returned: always
rolling_order:
  description:
    - All members in the order in which to stop them. Zone by zone, in each zone agents before voters, the leader's
      zone last and the leader last of all.
    - Empty when that is unknown; RV(state.problems) then says why.
  returned: success
  type: list
  elements: str
"""

from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.gates import NoOrderError, rolling_order
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.services.base import service_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, names


def main() -> None:
    """Doorway: options to driver, state to result."""
    module = AnsibleModule(argument_spec=service_options(), supports_check_mode=True)
    try:
        state = open_driver(module.params["service"], module.params).state()
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    try:
        order = rolling_order(state, names(state.members))
    except NoOrderError as err:
        state, order = replace(state, problems=(*state.problems, *err.reasons)), ()
    module.exit_json(changed=False, state=state.as_dict(), rolling_order=list(order))


if __name__ == "__main__":
    main()
