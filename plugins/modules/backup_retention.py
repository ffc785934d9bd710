#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Whether backups are kept long enough, not too long, apart from each other, and can't be deleted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_retention
short_description: Hold what is kept against the policy, both ways, and count independent copies
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Fails when too few points are kept, when one is kept past the term of its personal data, when copies fall together
    (3-2-1-1-0), or when a bucket that must refuse a delete does not.
  - It deletes nothing but versions of an object of its own, C(rsp-immutability-probe), which the bucket must refuse.
extends_documentation_fragment:
  - rsp.platform.backup
options:
  later_s:
    description: Judge as if so many seconds had gone by.
    type: int
    default: 0
  copies:
    description: All copies of the data, production's own included. Not judged when left out.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the copy., type: str, required: true}
      domain: {description: 'What it falls with, such as a zone or a provider.', type: str, required: true}
      medium: {description: Kind of the store such as V(disk) or V(object)., type: str, required: true}
      off_site: {description: Whether it is outside of production's zones., type: bool, default: false}
      immutable: {description: Whether a delete was refused. O(probe) answers for its copy., type: bool}
      errors: {description: How many errors its last verification found., type: int}
      production: {description: Whether it is production itself., type: bool, default: false}
  probe:
    description: A bucket that must refuse a delete. An object is written there and its deletion tried.
    type: dict
    suboptions:
      copy: {description: The copy of O(copies) that lies there., type: str}
      endpoint: {description: 'Its URL, V(https://host:port).', type: str, required: true}
      bucket: {description: Name of the bucket., type: str, required: true}
      region: {description: Region., type: str, default: us-east-1}
      access_key: {description: Who asks., type: str, required: true}
      secret_key: {description: The key of who asks., type: str, required: true}
      ca_path: {description: PEM file of the CA that signed its certificate., type: path}
attributes:
  check_mode:
    description: Reads all that can be read without a change.
    support: partial
    details: The probe is not tried, so its answer is unknown and the task fails where it is asked for.
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Are backups kept as promised?
  rsp.platform.backup_retention:
    service: postgresql
    stanza: rsp
    policy: {min_points: 7, min_span_s: 604800, max_keep_s: 2592000}
"""

RETURN = r"""
findings: {description: 'Every check, for each repository.', returned: always, type: list, elements: dict}
tripped: {description: Names of the checks that failed., returned: always, type: list, elements: str}
reasons: {description: What stands against it., returned: always, type: list, elements: str}
"""

import time
from dataclasses import asdict, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup import policy
from ansible_collections.rsp.platform.plugins.module_utils.backup.copies import apart, copy_from
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    FAILED,
    PASSED,
    BackupError,
    Finding,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.object_lock import client_of, probe
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import (
    expected_from,
    open_driver,
    source_options,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.running import as_user

COPY = {
    "name": {"type": "str", "required": True}, "domain": {"type": "str", "required": True},
    "medium": {"type": "str", "required": True}, "off_site": {"type": "bool", "default": False},
    "immutable": {"type": "bool"}, "errors": {"type": "int"}, "production": {"type": "bool", "default": False},
}  # fmt: skip
PROBE = {
    "copy": {"type": "str"}, "endpoint": {"type": "str", "required": True}, "bucket": {"type": "str", "required": True},
    "region": {"type": "str", "default": "us-east-1"}, "access_key": {"type": "str", "required": True, "no_log": False},
    "secret_key": {"type": "str", "required": True, "no_log": True}, "ca_path": {"type": "path"},
}  # fmt: skip


def lock(asked: dict[str, Any] | None, check: bool, now: float) -> Finding | None:
    """What the bucket says to a delete; None when nobody asks."""
    if not asked:
        return None
    if check:
        return unknown("object_lock", "check mode tries no delete")
    return probe(client_of(asked), asked["bucket"], now)


def judged(params: dict[str, Any], driver: Any, now: float, locked: Finding | None) -> list[tuple[str, Finding]]:
    """Findings with the repository that each is about."""
    promised = expected_from(params, now).policy
    found = []
    for each in driver.repositories():
        name = each.name
        if each.problem:
            found.append((name, unknown("enough_points", f"it can't be read: {each.problem}")))
            continue
        found.append((name, policy.enough_points(each.points, promised, now)))
        found.append((name, policy.not_too_old(each.points, promised, now)))
    if locked:
        found.append((params["probe"]["bucket"], locked))
    if params["copies"]:
        copies = [copy_from(entry) for entry in params["copies"]]
        answered = params["probe"]["copy"] if locked else None
        tried = locked.outcome == PASSED if locked else None
        copies = [replace(copy, immutable=tried) if copy.name == answered else copy for copy in copies]
        found.append(("all copies", apart(copies)))
    return found


def main() -> None:
    """Doorway: options to findings."""
    spec = {
        **source_options(),
        "later_s": {"type": "int", "default": 0},
        "copies": {"type": "list", "elements": "dict", "default": [], "options": COPY},
        "probe": {"type": "dict", "options": PROBE},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params, now = module.params, time.time() + module.params["later_s"]
    try:
        driver = open_driver(params, as_user(module, params["user"]))
        found = judged(params, driver, now, lock(params["probe"], module.check_mode, time.time()))
    except BackupError as err:
        module.fail_json(msg=str(err), findings=[], tripped=[], reasons=[str(err)])
    reasons = [f"{name}: {finding.reason}" for name, finding in found if finding.outcome != PASSED]
    reasons += [] if found else ["there is no repository"]
    result: dict[str, Any] = {
        "findings": [{"repository": name, **asdict(finding)} for name, finding in found],
        "tripped": sorted({finding.check for _name, finding in found if finding.outcome == FAILED}),
        "reasons": reasons,
    }
    if reasons:
        module.fail_json(msg="; ".join(reasons), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
