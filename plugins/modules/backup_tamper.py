#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Breaks a copy of a repository, to see whether anybody notices."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_tamper
short_description: Make a fault in a copy of a backup repository, and name the check that must trip
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - A verifier that never saw a bad backup proves nothing. Make a copy, break it, and M(rsp.platform.backup_verify) must
    fail with RV(trips).
  - It works on copies only, which it made itself and marked. A path that is a live repository, lies in one or holds one
    is refused, by whatever link it is named.
options:
  state:
    description: V(copied) makes a marked copy. V(broken) makes the fault in it. V(absent) deletes a marked copy.
    type: str
    choices: [copied, broken, absent]
    required: true
  copy:
    description: Path of the copy.
    type: path
    required: true
  source:
    description: The repository to copy. Needed with O(state=copied).
    type: path
  live:
    description: Paths of all live repositories. They are never touched.
    type: list
    elements: path
    required: true
  kind:
    description: The fault, see C(docs/backup-proofs.md). Needed with O(state=broken).
    type: str
  owner:
    description: System user who owns the copy; whoever owns the source by default.
    type: str
attributes:
  check_mode:
    description: Predicts which files would be hurt.
    support: full
  diff_mode:
    description: The files that are hurt.
    support: full
"""

EXAMPLES = r"""
- name: Copy the repository
  rsp.platform.backup_tamper:
    state: copied
    source: /var/lib/pgbackrest
    copy: /var/lib/rsp/tamper/repo1
    live: [/var/lib/pgbackrest]

- name: Flip bits in a data file of the copy
  rsp.platform.backup_tamper:
    state: broken
    copy: /var/lib/rsp/tamper/repo1
    live: [/var/lib/pgbackrest]
    kind: data_flipped
"""

RETURN = r"""
files: {description: What is hurt., returned: always, type: list, elements: str}
trips: {description: Name of the check that must fail now., returned: 'with O(state=broken)', type: str}
asks: {description: How to ask the verification instead., returned: 'with O(state=broken)', type: dict}
stage: {description: V(restored) for what restore_drill plants., returned: 'with O(state=broken)', type: str}
"""

import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup import tamper
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["copied", "broken", "absent"], "required": True},
    "copy": {"type": "path", "required": True},
    "source": {"type": "path"},
    "live": {"type": "list", "elements": "path", "required": True},
    "kind": {"type": "str"},
    "owner": {"type": "str"},
}


def act(params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do it; keys of the result."""
    copy, live = Path(params["copy"]), params["live"]
    if params["state"] == "copied":
        source = Path(params["source"])
        tamper.may_copy(source, copy, live)
        if not check:
            tamper.copy_of(source, copy, live)
            tamper.own(copy, params["owner"] or source.owner())
        return {"changed": True, "files": [], "diff": {"before": "", "after": f"{copy}\n"}}
    if params["state"] == "absent":
        there = copy.exists()
        if there:
            tamper.refuse_unmarked(copy, live)
        if there and not check:
            shutil.rmtree(copy)
        return {"changed": there, "files": [], "diff": {"before": f"{copy}\n" if there else "", "after": ""}}
    names = tamper.chosen(copy, params["kind"], live)
    kind = tamper.kind_of(params["kind"])
    if not check:
        tamper.apply(copy, params["kind"], names)
    facts = {"trips": kind.trips, "asks": dict(kind.asks), "stage": kind.stage, "files": names}
    return {"changed": bool(names), "diff": {"before": "", "after": "".join(f"{n}\n" for n in names)}, **facts}


def main() -> None:
    """Doorway: options to a copy or a fault."""
    needs = [("state", "copied", ["source"]), ("state", "broken", ["kind"])]
    module = AnsibleModule(argument_spec=OPTIONS, required_if=needs, supports_check_mode=True)
    try:
        result = act(module.params, module.check_mode)
    except (BackupError, OSError, KeyError) as err:
        module.fail_json(msg=str(err), files=[])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
