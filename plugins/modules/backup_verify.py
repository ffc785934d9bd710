#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""How much of a backup is proved."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Prove a backup up to a level, and say which one was reached
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Levels are L0 (there, young, of a usual size), L1 (catalogue and chain whole, of this cluster), L2 (bytes match), L3
    (decrypts with the escrowed key), L4 (restored in isolation to the asked point), L5 (engine finds itself whole), L6
    (canaries and content) and L7 (an application works, in time).
  - L0 to L3 are read from the repository. For more, hand over O(drill), what M(rsp.platform.restore_drill) returned for
    the same point.
  - The verdict comes from parsed answers, never from an exit code. What was not checked counts as not proved, so the
    task fails unless every check of every level up to O(level) has passed.
extends_documentation_fragment:
  - rsp.platform.backup
  - rsp.platform.backup.point
options:
  level:
    description: The level that must be reached.
    type: str
    choices: [L0, L1, L2, L3, L4, L5, L6, L7]
    default: L3
  drill:
    description: Result of a drill of the same point. Needed above L3.
    type: dict
  later_s:
    description: Judge as if so many seconds had gone by, to see that age is noticed.
    type: int
    default: 0
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does the newest backup hold, with the key of the escrow?
  rsp.platform.backup_verify:
    service: postgresql
    stanza: rsp
    repository: repo2
    identity: "7712035128809379128"
    escrow: {repo2: "{{ lookup('rsp.platform.secret', 'backup/postgresql-repo2') }}"}
    level: L3
"""

RETURN = r"""
asked: {description: The level that was asked for., returned: always, type: str}
reached: {description: 'The highest level that is proved, none without L0.', returned: always, type: str}
meaning: {description: What the reached level says., returned: always, type: str}
proved: {description: Whether what was asked for is proved., returned: always, type: bool}
reasons: {description: 'What stands against it, one sentence each.', returned: always, type: list, elements: str}
tripped: {description: Names of the checks that failed., returned: always, type: list, elements: str}
findings: {description: Every check with its outcome and evidence., returned: always, type: list, elements: dict}
label: {description: The point., returned: always, type: str}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    judge,
    level_from,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import (
    expected_from,
    open_driver,
    point_options,
    read_point,
    repository_of,
    source_options,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.running import as_user

READ = Level.ESCROW


def from_drill(drill: dict[str, Any] | None, label: str | None, repository: str) -> list[Finding]:
    """Findings above L3 of a drill of this very point; a drill of another point proves nothing here."""
    if not drill:
        return []
    if drill.get("label") != label or drill.get("repository") != repository:
        raise BackupError(
            f"the drill was of {drill.get('repository')} {drill.get('label')}, not of {repository} {label}"
        )
    if drill.get("plant"):
        raise BackupError("a drill with a planted fault proves nothing about the point")
    findings = (Finding(f["check"], f["outcome"], f["reason"], f["evidence"]) for f in drill["findings"])
    return [finding for finding in findings if finding.level > READ]


def main() -> None:
    """Doorway: options to a proof."""
    levels = [f"L{int(level)}" for level in Level]
    spec = {
        **source_options(),
        **point_options(),
        "level": {"type": "str", "choices": levels, "default": "L3"},
        "drill": {"type": "dict"},
        "later_s": {"type": "int", "default": 0},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    try:
        level = level_from(params["level"])
        driver = open_driver(params, as_user(module, params["user"]))
        expected = expected_from(params, time.time() + params["later_s"])
        repository = repository_of(driver, params["repository"])
        point, findings = read_point(driver, repository, params["point"], min(level, READ), expected)
        label = point.label if point else params["point"]
        findings += from_drill(params["drill"], label, repository.name)
    except BackupError as err:
        nothing = {"asked": params["level"], "reached": None, "proved": False, "reasons": [str(err)], "tripped": []}
        module.fail_json(msg=str(err), findings=[], meaning="nothing is proved", label=params["point"], **nothing)
    proof = judge(level, findings, driver.needed)
    result = {**proof.as_result(), "label": label}
    if not proof.verdict.open:
        module.fail_json(
            msg=f"{repository.name} {label} is not proved up to {params['level']}: {proof.verdict.reason}", **result
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
