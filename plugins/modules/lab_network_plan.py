#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Chooses the network of a lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_network_plan
short_description: Choose a network for a lab that is free on this machine
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Looks at Docker's networks and the machine's routes and takes a C(10.X.0.0/22) that overlaps with none.
  - A lab that has a network keeps it. To decide yourself, write two octets into O(path) before the first start.
options:
  name:
    description: The lab's Docker network. When it exists, its subnet is the answer.
    type: str
    required: true
  lab_id:
    description: Where the search starts, so that a lab finds the same network again.
    type: str
    required: true
  path:
    description: File that remembers the first two octets.
    type: path
    required: true
attributes:
  check_mode:
    description: Chooses, but does not write O(path).
    support: full
  diff_mode:
    description: Shows the octets before and after.
    support: full
"""

EXAMPLES = r"""
- name: Network | Choose a network that is free here
  rsp.platform.lab_network_plan:
    name: rsp-ab12cd
    lab_id: ab12cd
    path: .lab/prefix
  delegate_to: localhost
"""

RETURN = r"""
prefix:
  description: The first two octets.
  returned: success
  type: str
  sample: "10.87"
subnet:
  description: The whole network, one C(/24) a zone.
  returned: success
  type: str
  sample: 10.87.0.0/22
gateway:
  description: This machine's address in it, in the zone that is never cut off.
  returned: success
  type: str
  sample: 10.87.3.254
mtu:
  description: MTU of the interface with the default route, so that no packet is too large on its way out.
  returned: success
  type: int
  sample: 1500
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.lab_network import (
    DEFAULT_MTU,
    NoNetworkError,
    choose_prefix,
    default_interface,
    network_of,
    parse_networks,
    parse_routes,
    used_networks,
)


def docker_networks(module: AnsibleModule) -> str:
    """The JSON that describes all of Docker's networks."""
    _code, names, _err = module.run_command(["docker", "network", "ls", "--quiet"], check_rc=True)
    # A network that another lab removes between the two calls is reported on stderr and left out of the list.
    _code, described, _err = module.run_command(["docker", "network", "inspect", *names.split()])
    return str(described)


def main() -> None:
    """Arguments in, prefix out."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "lab_id": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    name, path = module.params["name"], Path(module.params["path"])
    before = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    routes = parse_routes(Path("/proc/net/route").read_text(encoding="utf-8"))
    networks = parse_networks(docker_networks(module))
    existing = next((str(subnet.network_address).rsplit(".", 2)[0] for subnet in networks.get(name, [])), None)
    try:
        prefix = existing or choose_prefix(
            module.params["lab_id"], before or None, used_networks(routes, networks, name)
        )
        network = network_of(prefix)
    except (NoNetworkError, ValueError) as err:
        module.fail_json(msg=f"{path}: {err}")
    interface = default_interface(routes)
    mtu = int(Path(f"/sys/class/net/{interface}/mtu").read_text(encoding="utf-8")) if interface else DEFAULT_MTU
    changed = before != prefix
    if changed and not module.check_mode:
        path.write_text(f"{prefix}\n", encoding="utf-8")
    module.exit_json(
        changed=changed,
        prefix=prefix,
        subnet=str(network),
        gateway=str(network.broadcast_address - 1),
        mtu=mtu,
        diff={"before": f"{before}\n", "after": f"{prefix}\n", "before_header": str(path), "after_header": str(path)},
    )


if __name__ == "__main__":
    main()
