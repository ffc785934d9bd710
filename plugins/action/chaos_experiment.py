# SPDX-License-Identifier: Apache-2.0
"""Runs one chaos experiment from the controller, which owns the heartbeat of every fault."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.outcome import document
from ansible_collections.rsp.platform.plugins.module_utils.chaos.run import Runner
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Clock
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import Setting
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import Place
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_certificates import issuer
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_library import chosen
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_reports import compared, write
from ansible_collections.rsp.platform.plugins.plugin_utils.fleet import Fleet

SPEC: dict[str, dict[str, Any]] = {
    "experiment": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "file": {"type": "path", "required": True},
    "own_file": {"type": "str", "default": ""},
    "control": {"type": "bool", "default": False},
    "info": {"type": "dict", "required": True},
    "members": {"type": "list", "elements": "str", "required": True},
    "places": {"type": "list", "elements": "dict", "required": True},
    "max_lag": {"type": "int", "default": 0},
    "client": {"type": "str", "required": True},
    "ledger": {"type": "dict", "required": True},
    "unit": {"type": "str", "default": ""},
    "others": {"type": "dict", "default": {}},
    "engine": {"type": "str", "default": ""},
    "containers": {"type": "dict", "default": {}},
    "loss": {"type": "dict", "default": {}},
    "environment": {"type": "str", "required": True},
    "approval": {"type": "str", "default": ""},
    "longest_lease_s": {"type": "int", "default": 900},
    "window": {"type": "str", "default": ""},
    "fill": {"type": "dict", "default": {}},
    "switch": {"type": "dict", "default": {}},
    "evidence_key": {"type": "str", "default": "", "no_log": True},
    "reports": {"type": "path", "required": True},
}
CLOCK = Clock(time.monotonic, time.sleep, lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


class ActionModule(ActionBase):
    """Reads the experiment, runs it over the fleet, writes reports, and fails unless it held."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, raw = self.validate_argument_spec(SPEC)
        arguments = plain(raw)
        experiment = chosen(self._loader.load_from_file, arguments)
        run, chain = secrets.token_hex(4), Chain(arguments["evidence_key"].encode())
        fleet = Fleet(self, (task_vars or {})["hostvars"])
        issue = issuer(self._templar.template((task_vars or {}).get("platform_secrets")), arguments["service"])
        runner = Runner(experiment, setting_from(arguments, issue), hosts=fleet, clock=CLOCK, run=run, chain=chain)
        began, at = time.monotonic(), CLOCK.wall()
        chain.add("experiment", at, {"name": experiment.name, "run": run, "control": arguments["control"]})
        try:
            planned, plans = runner.prepare(datetime.now().astimezone())
            if self._task.check_mode:
                return {**result, "changed": True, "plan": plans, "targets": sorted({p.target for p in planned})}
            seen = runner.run(planned)
        except ChaosError as err:
            return {**result, "failed": True, "msg": str(err), "reasons": err.result.get("reasons", [str(err)])}
        finally:
            fleet.close()
        folder = Path(arguments["reports"])
        report = compared(folder, document(
            experiment, seen, run=run, at=at, control=arguments["control"], loss=arguments["loss"],
            seconds=time.monotonic() - began,
        ))  # fmt: skip
        chain.add("verdict", CLOCK.wall(), report)
        files = write(folder, report, chain)
        wanted, reasons = "violated" if arguments["control"] else "held", report["reasons"]
        good = report["verdict"] == wanted and report["worse"] is None
        text = f"{experiment.name}{' (control)' if arguments['control'] else ''}: {report['verdict']}"
        expected = f"it had to be {wanted}" if report["verdict"] != wanted else "but worse than before"
        text += f", {expected}: {'; '.join(reasons) or 'no reason'}" if not good else ""
        return {**result, "changed": True, "failed": not good, "msg": text, "verdict": report["verdict"],
                "reasons": reasons, "report": report, "files": files}  # fmt: skip


def setting_from(arguments: Mapping[str, Any], issue: Callable[[str, str], str] | None = None) -> Setting:
    """Where the experiment runs, from the action's arguments; `issue` makes certificates that no client may accept."""
    rules = Policy(arguments["environment"], arguments["approval"], arguments["longest_lease_s"], arguments["window"])
    same = ("members", "info", "client", "ledger", "max_lag", "unit", "others", "engine", "containers", "loss",
            "fill", "switch")  # fmt: skip
    places = [Place(each["name"], each["address"], each["zone"]) for each in arguments["places"]]
    return Setting(places=places, policy=rules, issue=issue, **{key: arguments[key] for key in same})
