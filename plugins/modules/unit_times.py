# SPDX-License-Identifier: Apache-2.0
"""When each service unit of a host started."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_times
short_description: When each running service unit of a host was started
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Lists active service units with the moment they became active, to prove that a run restarted nothing.
attributes:
  check_mode:
    description: Read-only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Remember when each unit started
  rsp.platform.unit_times:
  register: before
"""

RETURN = r"""
started:
  description: Microseconds of the monotonic clock at which a unit became active, by unit.
  returned: always
  type: dict
  sample: {"consul.service": 1234567}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.unit_times import ARGV, started


def main() -> None:
    """Ask systemd once."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    _code, out, _err = module.run_command(ARGV, check_rc=True)
    units = started(out)
    if not units:
        module.fail_json(msg="systemd lists no active service: nothing can be proved about restarts")
    module.exit_json(changed=False, started=units)


if __name__ == "__main__":
    main()
