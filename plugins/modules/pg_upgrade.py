#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The steps of a major upgrade of PostgreSQL that happen on a member."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_upgrade
short_description: One step of a major upgrade of PostgreSQL under Patroni, on one member
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - The role postgresql calls the steps in order, stops and starts Patroni between them, and arms a lease that undoes
    them.
  - The old data are not written to. With O(mode=link) the new cluster uses their files; they are of no use once it ran.
options:
  step:
    description:
      - V(report) reads the running old server, and tries the upgrade with C(pg_upgrade --check) and with the schema of
        all databases, on an empty cluster of the new release that is removed afterwards. For the primary.
      - V(control) reads the old data directory, and how much space is free for a new one. For every member.
      - V(checkpoint) writes out what is in memory, so that the stop is short.
      - V(replayed) waits until a standby has replayed what O(checkpoint) names.
      - V(upgrade) makes the new cluster, has Patroni's store name it as the one that members belong to, and runs
        C(pg_upgrade), as the unit C(rsp-pg-upgrade.service). The old server must be stopped.
      - V(extensions) brings extensions to the versions of the new release.
      - V(rough_statistics) is one quick pass, V(statistics) makes all of them in stages while clients work.
      - V(discard) throws away what an attempt that was undone has left at the new place. For standbys.
      - V(finish) gives the old data directory another name, so that nothing starts it by accident.
    type: str
    required: true
    choices: [report, control, checkpoint, replayed, upgrade, extensions, rough_statistics, statistics, discard, finish]
  version:
    description: The new major release.
    type: int
    required: true
  old_bin: {description: Directory of the old release's programs., type: path, required: true}
  new_bin: {description: Directory of the new release's programs., type: path, required: true}
  old_data: {description: The old data directory., type: path, required: true}
  new_data: {description: The new data directory., type: path, required: true}
  socket_dir: {description: Directory of the server's socket., type: path, default: /var/run/postgresql}
  port: {description: Port of the server., type: int, default: 5432}
  patroni_dir: {description: Patroni's configuration., type: path, required: true}
  mode:
    description: How files are taken over. V(clone) needs a file system with reflinks.
    type: str
    choices: [copy, clone, link]
    default: copy
  preload: {description: 'Libraries that both servers load when they start, by comma.', type: str, default: ''}
  jobs: {description: How many databases and files are worked on at once., type: int, default: 1}
  settings: {description: Names of settings that are made., type: list, elements: str, default: []}
  packages:
    description: Packages of the new release that are not installed. O(step=report) unpacks them for its trial only.
    type: list
    elements: str
    default: []
  locale: {description: C(locale) in RV(report) of O(step=report). Needed with O(step=upgrade)., type: dict}
  checkpoint: {description: Where the stopped primary's last checkpoint is. Needed with O(step=replayed)., type: str}
  wait_s: {description: Seconds to wait with O(step=replayed)., type: float, default: 60}
attributes:
  check_mode:
    description: It runs.
    support: partial
    details: V(report) and V(control) run in check mode as well. The others do nothing.
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: What would the upgrade to 17 meet?
  rsp.platform.pg_upgrade:
    step: report
    version: 17
    old_bin: /usr/lib/postgresql/15/bin
    new_bin: /usr/lib/postgresql/17/bin
    old_data: /var/lib/postgresql/15/rsp
    new_data: /var/lib/postgresql/17/rsp
    patroni_dir: /etc/patroni/rsp
    preload: pgaudit
"""

RETURN = r"""
report:
  description: What the upgrade would meet; C(problems) must be empty before it may begin.
  returned: with O(step=report)
  type: dict
control:
  description: The old cluster's system_id, state, last checkpoint and checksums; free_mb, size_mb.
  returned: with O(step=control)
  type: dict
claim:
  description: The command that makes Patroni's store name the old cluster again. Harmless when it runs twice.
  returned: with O(step=control)
  type: list
  elements: str
extensions:
  description: By database and extension, what was done.
  returned: with O(step=extensions)
  type: dict
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.host import free_mb
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import upgrade as pure
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade_run import Clock, Upgrade

READING = ("report", "control", "replayed")
STEPS = (
    "report",
    "control",
    "checkpoint",
    "replayed",
    "upgrade",
    "extensions",
    "rough_statistics",
    "statistics",
    "discard",
    "finish",
)


def options() -> dict[str, Any]:
    """Argument spec."""
    paths = ("old_bin", "new_bin", "old_data", "new_data", "patroni_dir")
    lists = ("settings", "packages")
    return {
        "step": {"type": "str", "required": True, "choices": list(STEPS)},
        "version": {"type": "int", "required": True},
        **{name: {"type": "path", "required": True} for name in paths},
        **{name: {"type": "list", "elements": "str", "default": []} for name in lists},
        "socket_dir": {"type": "path", "default": "/var/run/postgresql"},
        "port": {"type": "int", "default": 5432},
        "mode": {"type": "str", "choices": list(pure.MODES), "default": "copy"},
        "preload": {"type": "str", "default": ""},
        "jobs": {"type": "int", "default": 1},
        "locale": {"type": "dict"},
        "checkpoint": {"type": "str"},
        "wait_s": {"type": "float", "default": 60},
    }


def take(params: Mapping[str, Any], upgrade: Upgrade) -> dict[str, Any]:
    """One step; keys of the module's result. Raises UpgradeError."""
    step, target, places = params["step"], params["version"], upgrade.places
    result: dict[str, Any] = {"changed": step not in READING}
    if step == "report":
        facts = upgrade.facts(params["settings"], params["packages"], target)
        result["report"] = pure.report(facts, target, upgrade.mode)
    elif step == "control":
        control = upgrade.control()
        undone = places.old_data if upgrade.mode == "link" else ""
        result["control"] = {**asdict(control), "free_mb": free_mb(places.new_data)}
        result["claim"] = pure.claim_argv(params["patroni_dir"], control.system_id, undone)
    elif step == "replayed":
        upgrade.wait_replayed(params["checkpoint"], params["wait_s"], Clock(time.monotonic, time.sleep))
    elif step == "upgrade":
        locale = pure.Locale(**params["locale"])
        result |= upgrade.upgrade(lambda new: pure.claim_argv(params["patroni_dir"], new), target, locale)
    elif step == "extensions":
        result["extensions"] = upgrade.extensions()
        result["changed"] = bool(result["extensions"])
    elif step == "finish":
        result["changed"] = upgrade.finished()
    elif step == "discard":
        result["changed"] = upgrade.discarded()
    elif step == "checkpoint":
        upgrade.checkpoint()
    else:
        upgrade.statistics(rough=step == "rough_statistics")
    return result


def main() -> None:
    """Doorway: options to one step, one call, one except."""
    needs = [("step", "upgrade", ["locale"]), ("step", "replayed", ["checkpoint"])]
    module = AnsibleModule(argument_spec=options(), required_if=needs, supports_check_mode=True)
    params = module.params
    if module.check_mode and params["step"] not in ("report", "control"):
        module.exit_json(changed=params["step"] not in READING)

    def run(
        argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        return runner(module, cwd=cwd, environ_update=dict(env or {}))(argv)

    names = ("old_bin", "new_bin", "old_data", "new_data", "socket_dir", "port")
    places = pure.Places(**{name: params[name] for name in names})
    try:
        result = take(params, Upgrade(run, places, params["mode"], params["preload"], params["jobs"]))
    except (pure.UpgradeError, OSError) as err:
        module.fail_json(msg=str(err), **getattr(err, "result", {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
