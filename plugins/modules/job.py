# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Judges the arguments of a day-2 job before any host is touched
description:
  - A job's parameters are extra vars of the same names, or variables that a playbook hands over which imports the job.
    The inventory's variables are not looked at. C(docs/jobs.md) lists all jobs with their parameters.
  - Fails with all problems at once, in the form of M(rsp.platform.preflight).
  - Refuses every extra var that belongs neither to the job nor to a role, because a typo would mean all members;
    C(--limit), because the job chooses its hosts itself; and a removal or an addition after which preflight would
    refuse the inventory.
  - What only the live cluster knows (who leads, which release runs) is judged on the hosts, by the job's gates.
  - Run it once in a play over V(all) and register the result; C(playbooks/check_job.yml) does so for every job.
options:
  job:
    description: Name of the job.
    type: str
    required: true
attributes:
  check_mode:
    description: Nothing is changed. In check mode a destructive job needs no confirmation.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Restart | Check inventory and arguments
  ansible.builtin.import_playbook: check_job.yml
  vars: {job_name: restart}

- name: Restart | Look at what will be done
  hosts: all
  gather_facts: false
  tasks:
    - name: Restart | Say it
      ansible.builtin.debug:
        msg: "{{ job.members or 'whoever needs it' }} of {{ job.cluster }}"
      run_once: true
"""

RETURN = r"""
msg:
  description: The report. A heading, then a line a problem with where, parameter and value, rule and fix.
  type: str
  returned: always
job:
  description: Name of the job.
  type: str
  returned: success
service:
  description: The service; V(all) when the job goes over all of them.
  type: str
  returned: success
services:
  description: The services that are meant, of those that have members.
  type: list
  elements: str
  returned: success
cluster:
  description: Name of the cluster; for all services the name of the platform.
  type: str
  returned: success
clusters:
  description: Service to name of its cluster.
  type: dict
  returned: success
members:
  description: >-
    The members or hosts that the caller named, in the inventory's order; for the job scale those that are added or
    removed. Empty when nobody was named, which means all that need it.
  type: list
  elements: str
  returned: success
cluster_members:
  description: All members of the services, as the inventory lists them now.
  type: list
  elements: str
  returned: success
members_after:
  description: The list of members with name, address and zone that the inventory has to have when the job is done.
  type: list
  elements: dict
  returned: for one service
release:
  description: The release that the inventory pins, null when it pins none.
  type: str
  returned: for one service
lock_arguments:
  description: >-
    Arguments of the cluster's lock, which are cluster, owner (this run), reason, job, arguments (what tells this job
    from another) and lease_s. For all services cluster has to be replaced by each of RV(clusters).
  type: dict
  returned: success
parameter:
  description: >-
    Not a key of this name: every parameter of the job but C(confirm) is a key, with its value, its default, or null.
    C(version) of a job that takes a listed release is the pinned one by default.
  type: raw
  returned: success
"""
