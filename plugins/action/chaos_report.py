# SPDX-License-Identifier: Apache-2.0
"""Joins the reports of a game day on the controller."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_reports import game_day

SPEC: dict[str, dict[str, Any]] = {
    "title": {"type": "str", "required": True},
    "reports": {"type": "list", "elements": "dict", "required": True},
    "refused": {"type": "list", "elements": "str", "default": []},
    "control": {"type": "bool", "default": False},
    "evidence_key": {"type": "str", "default": "", "no_log": True},
    "directory": {"type": "path", "required": True},
}


class ActionModule(ActionBase):
    """Writes one report; fails unless every experiment ran, came out as it had to, and was no worse than before."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Result of the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, raw = self.validate_argument_spec(SPEC)
        arguments = plain(raw)
        if self._task.check_mode:
            return {**result, "changed": False, "files": {}, "wrong": []}
        wanted = "violated" if arguments["control"] else "held"
        reports = arguments["reports"]
        wrong = [f"{r['experiment']}: {r['verdict']}" for r in reports if r["verdict"] != wanted]
        wrong += [f"{r['experiment']}: {r['worse']}" for r in reports if r["verdict"] == wanted and r.get("worse")]
        wrong += arguments["refused"]
        if not reports:
            wrong.append("no experiment ran: an empty game day proves nothing")
            return {**result, "failed": True, "msg": "; ".join(wrong), "wrong": wrong, "files": {}}
        folder = Path(arguments["directory"]) / f"game-day-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        folder.mkdir(parents=True, mode=0o700)
        files = game_day(folder, reports, arguments["title"], arguments["evidence_key"].encode())
        text = f"{len(reports)} runs, {len(wrong)} failed: {'; '.join(wrong) or 'none'}"
        return {**result, "changed": True, "failed": bool(wrong), "msg": text, "wrong": wrong, "files": files}
