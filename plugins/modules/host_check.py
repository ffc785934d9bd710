#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Preflight on a member: one read-only call that tells a role everything about its host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Check whether a host can carry a service, and say what is there already
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads packages, units, paths, ports, memory, processors, space, clock and routes in one call; facts are not needed.
  - Never changes anything. All problems are reported at once, each with the variable and the fix.
options:
  service:
    description: The service; its name is the prefix of variables in problems.
    type: str
    required: true
  packages:
    description: Packages of the distribution, as a name or as C(name=version); the version may hold V(*).
    type: list
    elements: str
    default: []
  units:
    description: Units of the service.
    type: list
    elements: str
    default: []
  paths:
    description: Paths whose existence the role wants to know.
    type: list
    elements: path
    default: []
  ports:
    description: TCP ports that the service listens on. A port held by something else is a problem.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      unit:
        description: The unit that may hold it; any of O(units) by default.
        type: str
      variable:
        description: Name of the variable that sets it.
        type: str
  memory_min_mb:
    description: Memory in MiB that the service needs.
    type: int
    default: 0
  disk_min_mb:
    description: Free space in MiB that it needs, by path. A path need not exist yet.
    type: dict
    default: {}
  peers:
    description: Names or addresses that must resolve and have a route. Nothing is sent to them.
    type: list
    elements: str
    default: []
  controller_epoch:
    description:
      - The controller's time in seconds since 1970. The action plugin sets it and compares again with the answer.
    type: float
  max_skew_s:
    description: Seconds that the clock may differ from the controller's, besides what the connection takes.
    type: float
    default: 5
  os_supported:
    description: Systems that the role knows, such as V(debian-13). Empty takes any.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Preflight | Can this host carry Consul?
  rsp.platform.host_check:
    service: consul
    packages: [unzip]
    units: [consul.service]
    paths: [/opt/rsp/consul]
    ports:
      - {port: 8501, variable: consul_https_port}
    memory_min_mb: 256
    disk_min_mb: {/var/lib/consul: 1024}
    os_supported: [debian-12, debian-13]
  register: __consul_host
"""

RETURN = r"""
missing_packages:
  description: Entries of O(packages) that are not installed in that version.
  returned: always
  type: list
  elements: str
versions:
  description: Versions of the installed packages.
  returned: always
  type: dict
units:
  description: Whether each unit is active and enabled.
  returned: always
  type: dict
  sample: {consul.service: {active: true, enabled: true}}
paths:
  description: Whether each path exists.
  returned: always
  type: dict
memory_mb:
  description: Memory in MiB, or the smallest limit of the control groups around the host.
  returned: always
  type: int
cpus:
  description: Processors, or a smaller quota rounded down; at least 1.
  returned: always
  type: int
disk_free_mb:
  description: Free space in MiB of each path of O(disk_min_mb).
  returned: always
  type: dict
os:
  description: Distribution and version.
  returned: always
  type: str
  sample: debian-13
fresh:
  description: Whether none of O(units) is running.
  returned: always
  type: bool
epoch:
  description: The member's clock, in seconds since 1970.
  returned: always
  type: float
problems:
  description: What stands in the way, each with C(what), C(variable) and C(fix).
  returned: always
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.host import HostError, Roots
from ansible_collections.rsp.platform.plugins.module_utils.host_check import Demand, examine, refusal
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def host_check_options() -> dict[str, Any]:
    """Argument spec."""
    port = {"port": {"type": "int", "required": True}, "unit": {"type": "str"}, "variable": {"type": "str"}}
    return {
        "service": {"type": "str", "required": True},
        "packages": {"type": "list", "elements": "str", "default": []},
        "units": {"type": "list", "elements": "str", "default": []},
        "paths": {"type": "list", "elements": "path", "default": []},
        "ports": {"type": "list", "elements": "dict", "default": [], "options": port},
        "memory_min_mb": {"type": "int", "default": 0},
        "disk_min_mb": {"type": "dict", "default": {}},
        "peers": {"type": "list", "elements": "str", "default": []},
        "controller_epoch": {"type": "float"},
        "max_skew_s": {"type": "float", "default": 5},
        "os_supported": {"type": "list", "elements": "str", "default": []},
    }


def main() -> None:
    """Doorway: options to a demand, one look at the host, all problems at once."""
    module = AnsibleModule(argument_spec=host_check_options(), supports_check_mode=True)

    disk = {path: int(size) for path, size in module.params["disk_min_mb"].items()}
    demand = Demand(**{**module.params, "disk_min_mb": disk})
    try:
        result = examine(demand, runner(module), Roots(), time.time())
    except (HostError, UnitError) as err:
        module.fail_json(msg=str(err))
    if result["problems"]:
        module.fail_json(msg=refusal(demand.service, result["problems"]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
