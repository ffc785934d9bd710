#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Whether a chain of evidence holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_verify
short_description: Tell whether evidence was changed
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Computes every hash of a file of evidence anew. Fails when a record was changed, moved, added or left out.
  - That the end was cut off is seen only with O(head).
  - C(python3 plugins/module_utils/evidence.py FILE) does the same without Ansible.
options:
  path: {description: The file., type: path, required: true}
  key: {description: Key that the chain was made with., type: str}
  head: {description: Hash of the last record as it was kept elsewhere., type: str}
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Was the report changed?
  rsp.platform.evidence_verify:
    path: reports/chaos/3fa2c1d0/evidence.jsonl
"""

RETURN = r"""
records: {description: Number of records., returned: always, type: int}
head: {description: Hash of the last record., returned: always, type: str}
problems: {description: 'What is wrong, one sentence each.', returned: always, type: list, elements: str}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.evidence import verify


def main() -> None:
    """Doorway: one call, one except."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "key": {"type": "str", "no_log": True},
            "head": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        lines = Path(module.params["path"]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        module.fail_json(msg=str(err), records=0, head="", problems=[str(err)])
    checked = verify(lines, (module.params["key"] or "").encode(), module.params["head"])
    result: dict[str, Any] = {"records": checked.records, "head": checked.head, "problems": list(checked.problems)}
    if not checked.good:
        module.fail_json(msg=f"{module.params['path']}: {'; '.join(checked.problems)}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
