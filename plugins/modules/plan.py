# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Computes what site.yml would change, and a hash that stands for exactly that
description:
  - Runs C(site.yml --check) and C(plan_state.yml) in a run of its own, which inherits inventory, extra vars and
    connection. The callback P(rsp.platform.record#callback) tells what their tasks say.
  - The plan has the changes (files with digests before and after, units, objects, packages), the members that would
    wait for a restart and why, leader, rolling order, gates and releases as they are now, digests of the collection's
    code and of the inventory's variables. Two plans of the same state have the same hash. Digests of secret files and
    of variables are keyed with the secret C(plan/digest).
  - Without O(hash) the plan is written down. With it the task fails, and names what moved, unless the present has that
    plan; it also fails when a member that would be restarted may not stop now.
options:
  job:
    description: What M(rsp.platform.job) returned.
    type: dict
    required: true
  tags:
    description: Service to tags of the plays of C(site.yml) that are about it.
    type: dict
    required: true
  directory:
    description: Where plans are kept on the controller, as C(<hash>.json) with mode 0600.
    type: path
    required: true
  hash:
    description: The plan that was approved.
    type: str
attributes:
  check_mode:
    description: The plan is computed and compared, and not written.
    support: full
  diff_mode:
    description: The plan holds diffs of files that are not secret.
    support: none
"""

EXAMPLES = r"""
- name: Plan | Predict what site.yml would do, and ask live state
  rsp.platform.plan:
    job: "{{ job }}"
    tags: {consul: [consul], etcd: [etcd], postgresql: [postgresql, haproxy]}
    directory: "{{ inventory_dir }}/plans"
  register: plan
  run_once: true
"""

RETURN = r"""
hash:
  description: SHA-256 of the plan in its one JSON form.
  type: str
  returned: always
plan:
  description: The plan; docs/jobs.md describes its keys.
  type: dict
  returned: always
empty:
  description: Whether there is nothing to do.
  type: bool
  returned: always
summary:
  description: The plan for people.
  type: list
  elements: str
  returned: always
path:
  description: File of the plan.
  type: str
  returned: success
moved:
  description: What is not as it was planned, one sentence each.
  type: list
  elements: str
  returned: when the present is not what was planned
"""
