#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A restore that is tried, measured, and removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill
short_description: Restore a backup in isolation, ask it, measure it, and remove it
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Restores one point into a directory of this host, starts an engine on it that has no network but a loopback of its
    own, asks it, and removes everything. The evidence goes into a chain of records.
  - Before the first byte is written a lease is armed (M(rsp.platform.lease)). It is never renewed, so O(lease_s) is the
    longest time that a copy lives, whoever dies. It holds personal data.
  - The copy archives nothing, follows nobody, loads no library and has no key of a DCS. That it had no network, that
    nothing came into the repository and that nothing of it is left are checks of their own.
  - Recovery that ended before its target is a failure. So is everything that could not be told.
  - Everything that can be refused is refused before a copy is begun, with all reasons at once.
extends_documentation_fragment:
  - rsp.platform.backup
  - rsp.platform.backup.point
options:
  name: {description: 'Name of the drill, small letters, digits and -.', type: str, required: true}
  level:
    description: The level that must be reached.
    type: str
    choices: [L4, L5, L6, L7]
    default: L6
  point:
    description:
      - Label of the point, or V(latest).
      - V(sample) chooses one by the evidence, every second time the newest, else one that was never proved, else the
        one whose proof is oldest. O(seed) makes the choice repeatable.
    type: str
    default: latest
  seed: {description: Seed of the choice., type: str, default: rsp}
  target:
    description: Where recovery ends; at the end of the log when left out.
    type: dict
    suboptions:
      kind:
        description: V(canary) is the time in the middle of the tokens O(canary.k) and the one behind it.
        type: str
        choices: [time, lsn, xid, name, immediate, latest, canary]
        required: true
      value: {description: The time with its zone or LSN or transaction or name., type: str}
  lease_s: {description: 'The longest time that a copy may live, from 60 to 86400.', type: int, default: 3600}
  recover_s: {description: Seconds that recovery may take., type: float, default: 900}
  directory: {description: Where drills lie., type: path, default: /var/lib/rsp/drills}
  engine_user: {description: System user who runs the engine of the copy., type: str, default: postgres}
  binaries:
    description: Directory of PostgreSQL's programs, or the path of the program consul.
    type: path
    required: true
  canary:
    description: The tokens that must be there, see M(rsp.platform.backup_canary). Needed for L6.
    type: dict
    suboptions:
      store: {description: Name of the store., type: str, required: true}
      key: {description: Key of the tokens., type: str, required: true}
      database: {description: Database that has them., type: str, default: postgres}
      ledger: {description: Path of the client's ledger on this host., type: path}
      k: {description: Number of the last token that must be there; the next one must not., type: int}
  content:
    description: Questions whose answers are known.
    type: list
    elements: dict
    default: []
    suboptions: &question
      name: {description: What is asked., type: str, required: true}
      database: {description: Database., type: str, required: true}
      query: {description: Query with one answer., type: str, required: true}
      equals: {description: What the answer must be., type: str}
      at_least: {description: What the number must not be below., type: float}
      table: {description: Table that the fault V(table_emptied) empties., type: str}
  application:
    description: Questions as the application puts them, for L7.
    type: list
    elements: dict
    default: []
    suboptions: *question
  destroyed:
    description: Subjects whose data were destroyed and must not be back.
    type: list
    elements: dict
    default: []
    suboptions:
      database: {description: Database., type: str, required: true}
      table: {description: Table., type: str, required: true}
      column: {description: Column that names the subject., type: str, required: true}
      values: {description: The subjects., type: list, elements: str, required: true}
  real_size: {description: 'Bytes of production, for the extrapolation of the RTO.', type: int, default: 0}
  evidence: {description: File of the chained evidence. None is kept when left out., type: path}
  evidence_key: {description: Key of the chain., type: str}
  fresh_s: {description: Do nothing for a point that was proved so many seconds ago., type: int, default: 0}
  plant:
    description: A fault to make in the restored copy, to see its check trip. Such a drill proves nothing else.
    type: str
    choices: [page_torn, index_broken, collation_changed, table_emptied, canary_removed, destroyed_is_back]
attributes:
  check_mode:
    description: Says what would be restored, how much space and time it needs, and refuses as the real run would.
    support: full
  diff_mode:
    description: The plan.
    support: full
"""

EXAMPLES = r"""
- name: Prove the newest backup between two canaries
  rsp.platform.restore_drill:
    name: nightly
    service: postgresql
    stanza: rsp
    repository: repo1
    binaries: /usr/lib/postgresql/17/bin
    identity: "7712035128809379128"
    escrow: {repo1: "{{ lookup('rsp.platform.secret', 'backup/postgresql-repo1') }}"}
    target: {kind: canary}
    canary:
      store: postgresql/rsp-local-postgresql
      key: "{{ lookup('rsp.platform.secret', 'backup/canary') }}"
      ledger: /var/lib/rsp/canary/postgresql.jsonl
      k: 4711
    evidence: /var/lib/rsp/proofs/postgresql.jsonl
"""

RETURN = r"""
plan: {description: 'Point, space, time and lease.', returned: always, type: dict}
proved: {description: Whether O(level) is proved., returned: when a drill ran, type: bool}
reached: {description: The highest level that is proved., returned: when a drill ran, type: str}
reasons: {description: What stands against it., returned: when a drill ran, type: list, elements: str}
tripped: {description: Checks that failed., returned: when a drill ran, type: list, elements: str}
findings: {description: Every check., returned: when a drill ran, type: list, elements: dict}
stages: {description: 'Seconds, bytes and MiB/s of each stage.', returned: when a drill ran, type: dict}
evidence_hash: {description: Hash of the record., returned: when O(evidence) is given, type: str}
"""

import time
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup.drill_options import drill_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.drilling import Wanted, run_drill
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.backup.record import append
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import iso
from ansible_collections.rsp.platform.plugins.module_utils.backup.running import as_root, as_user
from ansible_collections.rsp.platform.plugins.module_utils.lease import LeaseError
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def main() -> None:
    """Doorway: options, refusals, one drill, its record."""
    module = AnsibleModule(argument_spec=drill_options(), supports_check_mode=True)
    params = module.params
    try:
        wanted = Wanted(params, open_driver(params, as_user(module, params["user"])), time.time())
        plan = wanted.plan()
        if wanted.proved_already():
            module.exit_json(changed=False, plan=asdict(plan), msg=f"{plan.label} is proved already")
        plan.check()
        diff = {"before": "", "after": f"{plan.label} restored, asked and removed within {plan.lease_s} s\n"}
        if module.check_mode:
            module.exit_json(changed=True, plan=asdict(plan), diff=diff)
        proof, body = run_drill(wanted, as_root(module))
        record = append(Path(params["evidence"]), iso(time.time()), body, wanted.key) if params["evidence"] else None
    except (BackupError, LeaseError, UnitError) as err:
        module.fail_json(msg=str(err), **getattr(err, "result", {}))
    result = {**proof.as_result(), **body, "plan": asdict(plan), "evidence_hash": record["hash"] if record else None}
    result |= {name: value for name, value in proof.as_result().items() if name in ("asked", "reached")}
    if not proof.verdict.open:
        module.fail_json(msg=f"{plan.label} is not proved up to {params['level']}: {proof.verdict.reason}", **result)
    module.exit_json(changed=True, diff=diff, **result)


if __name__ == "__main__":
    main()
