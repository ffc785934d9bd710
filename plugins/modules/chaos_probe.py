#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Asks whether an abort condition holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chaos_probe
short_description: Ask one abort condition from this host
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - HTTP, PromQL, SQL or a command. A question that could not be asked has no answer, which counts as a bad one.
options:
  kind:
    description: How to ask.
    type: str
    choices: [http, promql, sql, command]
    required: true
  options:
    description: What to ask, as an entry of C(abort) in an experiment.
    type: dict
    required: true
  database:
    description: Connection for O(kind=sql), with servers, database, user, password and ca_path.
    type: dict
attributes:
  check_mode:
    description: It only reads; a command is not run, and not answered.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does the store still answer?
  rsp.platform.chaos_probe:
    kind: http
    options: {url: 'https://store.example.org/health', status: 200}
"""

RETURN = r"""
holds:
  description: Whether the condition for an abort holds; none when it could not be asked.
  returned: always
  type: bool
seen:
  description: What was answered.
  returned: always
  type: str
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.chaos.abort import CONDITIONS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.probes import ask
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults


def main() -> None:
    """Doorway: options to a question, the answer to a result."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": ["http", "promql", "sql", "command"], "required": True},
            "options": {"type": "dict", "required": True},
            "database": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    kind, options = module.params["kind"], module.params["options"]
    wrong = list(faults("options", Option(type="dict", options=CONDITIONS[kind]), options))
    if wrong:
        module.fail_json(msg="; ".join(f"{fault.path}: {fault.rule} → {fault.fix}" for fault in wrong))
    if module.check_mode and kind == "command":
        module.exit_json(changed=False, holds=None, seen="not run in check mode")

    run = runner(module)
    holds, seen = ask(kind, options, run, module.params["database"])
    module.exit_json(changed=False, holds=holds, seen=seen)


if __name__ == "__main__":
    main()
