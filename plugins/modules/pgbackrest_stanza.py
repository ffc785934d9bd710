#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The stanza of a cluster in all repositories, and proof that WAL arrives."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_stanza
short_description: A stanza in every repository, and proof that WAL arrives there
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Makes the stanza where a repository lacks it, then has the primary archive a segment, which must arrive in each.
  - A repository that holds the stanza of another cluster is an error and never overwritten, unless O(upgrade) says that
    the cluster is the same under another major release.
  - Run it as the user that owns the repository.
options:
  stanza: {description: Name of the stanza., type: str, required: true}
  repositories: {description: Numbers of the repositories that must have it., type: list, elements: int, required: true}
  prove:
    description: Whether a segment is archived and waited for. It switches WAL.
    type: bool
    default: true
  upgrade:
    description:
      - The cluster has another system identifier because pg_upgrade made it, and goes on in the stanza.
      - Backups of before stay.
      - In check mode it is not asked, so it is not reported.
    type: bool
    default: false
  fresh:
    description: pgBackRest is not installed yet. In check mode the stanza is then reported as to be made.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts and only reads.
    support: full
  diff_mode:
    description: RV(made) says what is done.
    support: none
"""

EXAMPLES = r"""
- name: Stanza | Have it in both repositories
  rsp.platform.pgbackrest_stanza:
    stanza: rsp-postgresql
    repositories: [1, 2]
  become: true
  become_user: postgres
"""

RETURN = r"""
made:
  description: Repositories that lacked the stanza.
  returned: success
  type: list
  elements: int
upgraded:
  description: Whether the stanza was of another system identifier before.
  returned: success
  type: bool
proved:
  description: Whether a segment arrived in every repository.
  returned: success
  type: bool
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.stanza import bring_in_line, go_on
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: options to one call."""
    spec = {
        "stanza": {"type": "str", "required": True},
        "repositories": {"type": "list", "elements": "int", "required": True},
        "prove": {"type": "bool", "default": True},
        "upgrade": {"type": "bool", "default": False},
        "fresh": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    if module.check_mode and params["fresh"]:
        module.exit_json(changed=True, made=params["repositories"], upgraded=False, proved=False)

    try:
        tool, wanted = Pgbackrest(runner(module), params["stanza"]), params["repositories"]
        upgraded = params["upgrade"] and not module.check_mode and go_on(tool)
        made = bring_in_line(tool, wanted, params["prove"], module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    proved = params["prove"] and not module.check_mode
    module.exit_json(changed=bool(made) or upgraded, made=made, upgraded=upgraded, proved=proved)


if __name__ == "__main__":
    main()
