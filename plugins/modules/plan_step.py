# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_step
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Carries out one step of a plan and compares what was done with it
description:
  - Without O(restart) runs C(site.yml). Fails when something was changed that was not planned, when something planned
    was not changed, or when other members wait for a restart than was planned.
  - With O(restart) runs C(restart.yml) over the planned members of one service, in the name of the job that holds the
    cluster's lock. Fails when one of them still waits afterwards.
  - C(playbooks/apply.yml) compares the plan first; this does not.
options:
  job:
    description: What M(rsp.platform.job) returned.
    type: dict
    required: true
  tags:
    description: Service to tags of the plays of C(site.yml) that are about it.
    type: dict
    required: true
  plan:
    description: RV(rsp.platform.plan#module:plan).
    type: dict
    required: true
  restart:
    description: The service whose planned members are restarted.
    type: str
attributes:
  check_mode:
    description: Nothing is done, since the plan is the prediction.
    support: full
  diff_mode:
    description: The runs inside show what they do.
    support: none
"""

EXAMPLES = r"""
- name: Apply | Make the changes, and compare them with the plan
  rsp.platform.plan_step:
    job: "{{ job }}"
    tags: {consul: [consul]}
    plan: "{{ approved.plan }}"
  run_once: true
"""

RETURN = r"""
deviations:
  description: What was done otherwise than planned, one sentence each.
  type: list
  elements: str
  returned: when the runs inside succeeded
"""
