#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What backups there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups of a service in all of its repositories
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads the catalogues and changes nothing. A repository that can't be read is listed with its problem.
  - That a point is listed proves nothing about it; that is what M(rsp.platform.backup_verify) is for.
options:
  evidence:
    description: Chain in which M(rsp.platform.restore_drill) keeps what it proved, which tells when that was last.
    type: path
  evidence_key:
    description: Key of the chain. A chain that does not hold is an error.
    type: str
    default: ""
extends_documentation_fragment:
  - rsp.platform.backup
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: List the backups of PostgreSQL
  rsp.platform.backup_info:
    service: postgresql
    stanza: rsp
"""

RETURN = r"""
repositories:
  description: Each repository with its points, oldest first, and why it can't be read.
  returned: success
  type: list
  elements: dict
proved_at:
  description: >-
    When a restore last proved a point that is still listed, in seconds since the epoch. V(null) when O(evidence) holds
    none.
  returned: success
  type: float
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError, Repository
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import open_driver, source_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.record import proofs, proved
from ansible_collections.rsp.platform.plugins.module_utils.backup.running import as_user


def listed(repository: Repository) -> dict[str, Any]:
    """A repository as a result: tuples as lists, and the newest point named."""
    latest = repository.latest
    return {**asdict(repository), "latest": latest.label if latest else None}


def main() -> None:
    """Doorway: options to a list."""
    spec = {
        **source_options(),
        "evidence": {"type": "path"},
        "evidence_key": {"type": "str", "default": "", "no_log": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    try:
        repositories = open_driver(params, as_user(module, params["user"])).repositories()
        chain = proofs(Path(params["evidence"]), params["evidence_key"].encode()) if params["evidence"] else []
    except BackupError as err:
        module.fail_json(msg=str(err), **err.result)
    labels = {point.label for each in repositories for point in each.points}
    at = max((moment for label, moment in proved(chain).items() if label in labels), default=None)
    module.exit_json(changed=False, repositories=[listed(each) for each in repositories], proved_at=at)


if __name__ == "__main__":
    main()
