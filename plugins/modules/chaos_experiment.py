# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_experiment
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Run one chaos experiment and judge it
description:
  - Reads an experiment, finds its targets in live state, asks every guard, lets a client write, injects, renews the
    leases, watches the abort conditions, undoes, waits until the service is whole, reads every write back, and reports.
  - Fails unless the verdict is V(held); a negative control fails unless it is V(violated).
  - Run it once in a play; it reaches the other hosts by itself, as the inventory describes them.
options:
  experiment: {description: Name of the experiment in O(file) or O(own_file)., type: str, required: true}
  service: {description: The service., type: str, required: true}
  file: {description: YAML file of the service's experiments., type: path, required: true}
  own_file:
    description: YAML file of the platform's own experiments on the service; none when empty. No name may be in both.
    type: str
    default: ''
  control: {description: Run the negative control., type: bool, default: false}
  info:
    description: 'Arguments of M(rsp.platform.service_info); C({address}) in its url stands for the asked member.'
    type: dict
    required: true
  members: {description: Names of the members that must be there., type: list, elements: str, required: true}
  places: {description: 'All hosts, each with name, address and zone.', type: list, elements: dict, required: true}
  max_lag: {description: The largest lag that counts as caught up., type: int, default: 0}
  client: {description: Host of the writer., type: str, required: true}
  ledger:
    description: 'Arguments of M(rsp.platform.chaos_workload), without state, run and load.'
    type: dict
    required: true
  unit: {description: Unit of systemd where a fault names none., type: str, default: ''}
  others: {description: Members of the platform's other services., type: dict, default: {}}
  engine: {description: Machine that runs the hosts' containers; none when empty., type: str, default: ''}
  containers: {description: Host to its container., type: dict, default: {}}
  loss: {description: 'Of an asynchronous PostgreSQL: ttl_s, maximum_lag_bytes, row_bytes.', type: dict, default: {}}
  environment: {description: Environment of the inventory., type: str, required: true}
  approval: {description: Who approved it; production needs it., type: str, default: ''}
  longest_lease_s: {description: No fault may be leased for longer., type: int, default: 900}
  window:
    description: 'Hours like 09:00-17:00 within which faults are allowed; always when empty.'
    type: str
    default: ''
  fill:
    description: 'What faults must know of the service: path, units, ca_path, port and protocol of what it serves.'
    type: dict
    default: {}
  switch:
    description: 'Key in Consul that must hold C(go), as O(rsp.platform.chaos_fault#module:switch); none when empty.'
    type: dict
    default: {}
  evidence_key:
    description: Key that signs the evidence (HMAC). Without one it is only chained.
    type: str
    default: ''
  reports: {description: Directory of reports on the controller., type: path, required: true}
attributes:
  check_mode:
    description: Asks every guard, and returns targets, rules and undo. Nothing is changed on any host.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Chaos | Run it
  rsp.platform.chaos_experiment:
    experiment: consul_leader_killed
    service: consul
    file: "{{ role_path }}/meta/chaos.yml"
    info: "{{ consul_info }}"
    members: [a1, b1, c1]
    places: "{{ places }}"
    client: ops
    ledger: "{{ consul_ledger }}"
    environment: staging
    reports: /var/lib/reports
"""

RETURN = r"""
verdict:
  description: 'V(held), V(violated), V(inconclusive), V(aborted) or V(rollback_failed).'
  returned: when it ran
  type: str
reasons: {description: 'Why, one sentence each.', returned: always, type: list, elements: str}
report: {description: The report's model., returned: when it ran, type: dict}
files: {description: Paths of the reports., returned: when it ran, type: dict}
plan: {description: 'Per fault its host, rules and undo.', returned: in check mode, type: dict}
"""
