#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What is proved about all backups, for people, programs and the alert."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_report
short_description: Write the report of all backups as JSON, as a page, and as metrics with alert rules
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads the chains of evidence that M(rsp.platform.restore_drill) wrote. A chain that was changed counts as no proof.
  - The alert fires on a proof that is too old, and on one that is absent, since a job that died reports nothing.
options:
  title: {description: Title of the page., type: str, default: Backups}
  stores:
    description: All stores that must be restorable.
    type: list
    elements: dict
    required: true
    suboptions:
      store: {description: Name., type: str, required: true}
      evidence: {description: File of its evidence., type: path, required: true}
      evidence_key: {description: Key of the chain., type: str}
      points: {description: 'Labels of all points, for the coverage.', type: list, elements: str, default: []}
      reasons: {description: What else stands against it., type: list, elements: str, default: []}
      policy: {description: 'What is promised, as backup_info has it.', type: dict, default: {}}
  directory: {description: 'Where backups.json, .html and .rules.yml go.', type: path, required: true}
  textfile: {description: File of the metrics for the node exporter. None is written when left out., type: path}
attributes:
  check_mode:
    description: Says which files would change.
    support: full
  diff_mode:
    description: The files that change.
    support: full
"""

EXAMPLES = r"""
- name: Write the report
  rsp.platform.backup_report:
    stores:
      - {store: postgresql/rsp-local-postgresql, evidence: /var/lib/rsp/proofs/postgresql.jsonl}
    directory: /var/lib/rsp/reports
    textfile: /var/lib/prometheus/node-exporter/rsp_backup.prom
"""

RETURN = r"""
good: {description: Whether every store is restorable as promised., returned: always, type: bool}
counts: {description: 'Stores, good ones, bad ones.', returned: always, type: dict}
stores: {description: What is proved of each store., returned: always, type: list, elements: dict}
files: {description: What was written., returned: always, type: list, elements: str}
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup import record, report
from ansible_collections.rsp.platform.plugins.module_utils.backup.coverage import coverage
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy

STORE = {
    "store": {"type": "str", "required": True}, "evidence": {"type": "path", "required": True},
    "evidence_key": {"type": "str", "no_log": True}, "policy": {"type": "dict", "default": {}},
    "points": {"type": "list", "elements": "str", "default": []},
    "reasons": {"type": "list", "elements": "str", "default": []},
}  # fmt: skip


def entry(store: dict[str, Any], now: float) -> dict[str, Any]:
    """One store, from its chain. A chain that does not hold is a reason and no proof."""
    reasons = list(store["reasons"])
    try:
        bodies = record.proofs(Path(store["evidence"]), (store["evidence_key"] or "").encode())
    except BackupError as err:
        bodies, reasons = [], [*reasons, str(err)]
    bodies = [body for body in bodies if not body.get("plant")]
    last = bodies[-1] if bodies else {}
    if last and not last["proved"]:
        reasons.append(f"the last drill failed: {'; '.join(last['reasons'])}")
    proved = record.proved(bodies)
    return {
        "store": store["store"], "reasons": reasons, "level": last.get("level"), "rto_s": last.get("rto_s"),
        "reached": f"L{last['level']}" if last.get("level") is not None else None, "rpo_s": last.get("rpo_s"),
        "proved_at": max(proved.values(), default=None), "coverage": coverage(store["points"], proved, now),
    }  # fmt: skip


def main() -> None:
    """Doorway: chains to files."""
    spec = {
        "title": {"type": "str", "default": "Backups"},
        "stores": {"type": "list", "elements": "dict", "required": True, "options": STORE},
        "directory": {"type": "path", "required": True},
        "textfile": {"type": "path"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params, now = module.params, time.time()
    try:
        policies = {store["store"]: Policy.from_params(store["policy"]) for store in params["stores"]}
        data = report.document([entry(store, now) for store in params["stores"]], policies, now)
        texts = {
            "backups.json": json.dumps(data, indent=2, sort_keys=True) + "\n",
            "backups.html": report.page(data, params["title"]),
            "backups.rules.yml": json.dumps(report.alert_rules(policies), indent=2) + "\n",
        }
        files = {Path(params["directory"]) / name: text for name, text in texts.items()}
        files |= {Path(params["textfile"]): report.textfile(data)} if params["textfile"] else {}
        changed = report.write(files, module.check_mode)
    except (BackupError, OSError) as err:
        module.fail_json(msg=str(err), good=False, counts={}, stores=[], files=[])
    result = {name: data[name] for name in ("good", "counts", "stores")}
    diff = {"before": "", "after": "".join(f"{path}\n" for path in changed)}
    module.exit_json(changed=bool(changed), files=changed, diff=diff, **result)


if __name__ == "__main__":
    main()
