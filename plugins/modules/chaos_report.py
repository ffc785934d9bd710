# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_report
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Write one report of several chaos experiments
description:
  - JSON, JUnit, HTML and Prometheus, in a directory of its own. It fails unless every experiment ran and was V(held),
    or V(violated) for negative controls, and none took longer than its history allows.
options:
  title: {description: Title of the page., type: str, required: true}
  reports:
    description: What M(rsp.platform.chaos_experiment) returned as C(report).
    type: list
    elements: dict
    required: true
  refused: {description: 'Experiments that did not run, and why.', type: list, elements: str, default: []}
  control: {description: They are negative controls., type: bool, default: false}
  evidence_key:
    description: Key that signs the evidence (HMAC). Without one it is only chained.
    type: str
    default: ''
  directory: {description: Directory of reports., type: path, required: true}
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Write one report
  rsp.platform.chaos_report:
    title: Game day
    reports: "{{ done }}"
    directory: /var/lib/reports
"""

RETURN = r"""
files: {description: Form to path., returned: always, type: dict}
wrong: {description: Experiments that did not come out as they had to., returned: always, type: list, elements: str}
"""
