# SPDX-License-Identifier: Apache-2.0
"""Callback that records which tasks changed on which host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: changes
type: aggregate
short_description: Writes the set of changed tasks of a run to a file
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Writes a sorted JSON list of host, task and action of every task that reported changed.
  - The set of a C(--check) run and that of the real run that follows must be equal; an idempotent run writes none.
options:
  path:
    description:
      - File to write; that of a C(--check) run gets the suffix C(.check).
      - Nothing is recorded when it is not set.
    type: path
    env:
      - name: RSP_CHANGES_FILE
"""

import json
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase


def changed_items(result: dict[str, Any]) -> bool:
    """Whether a task's result, or an item of its loop, is changed."""
    return bool(result.get("changed")) or any(item.get("changed") for item in result.get("results", ()))


class CallbackModule(CallbackBase):
    """Collects changed tasks and writes them at the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rsp.platform.changes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._changes: set[tuple[str, str, str]] = set()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Remember the task when it changed something."""
        if changed_items(result._result):
            task = result._task
            self._changes.add((result._host.get_name(), task.get_name(), task.resolved_action or task.action))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write what was collected."""
        path = self.get_option("path")
        if path:
            rows = [dict(zip(("host", "task", "action"), row, strict=True)) for row in sorted(self._changes)]
            checked = ".check" if context.CLIARGS.get("check") else ""
            Path(f"{path}{checked}").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
