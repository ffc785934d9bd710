# SPDX-License-Identifier: Apache-2.0
"""Callback that records what the tasks of a run say about changes and about live state."""

from __future__ import annotations

DOCUMENTATION = r"""
name: record
type: aggregate
short_description: Writes what each task of a run changes, and what it saw of live services, to a file
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Writes a JSON list of files with their digests, units, objects, rolling orders, gates and needed restarts.
  - The jobs plan and apply read it. It holds no times, and no secrets but as keyed digests.
options:
  path:
    description:
      - File to write. Nothing is recorded when it is not set.
      - While it is set, M(rsp.platform.files) returns digests of what it changes.
    type: path
    env:
      - name: RSP_RECORD_FILE
"""

import json
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.rsp.platform.plugins.module_utils.plan.rows import Row, rows
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain


class CallbackModule(CallbackBase):
    """Collects rows and writes them at the end of each playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rsp.platform.record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what the task says."""
        task = result._task
        role = task._role.get_name(include_role_fqcn=False) if task._role else None
        action = task.resolved_action or task.action
        self._rows += rows(result._host.get_name(), role, task.get_name(), action, plain(result._result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A gate that is closed fails its task."""
        self.v2_runner_on_ok(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write what was collected so far."""
        path = self.get_option("path")
        if path:
            file = Path(path)
            file.touch(mode=0o600)
            file.write_text(json.dumps(self._rows) + "\n", encoding="utf-8")
