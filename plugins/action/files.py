# SPDX-License-Identifier: Apache-2.0
"""Controller side of rsp.platform.files: renders everything and makes one call on the member."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.rsp.platform.plugins.plugin_utils.recording import RECORD_FILE, key_of, told, unforeseen

SOURCES = ("template", "content", "src")


class ActionModule(ActionBase):
    """Renders templates, reads files, hands all contents over in one masked argument."""

    # Contents travel in the module's arguments: no temporary directory on the member, no round trip for it.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, then call the module once; its result is the action's result."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        for own in ("payload", "digest_key"):
            if own in arguments:
                raise AnsibleActionFail(f"{own} is set by the action plugin itself → remove it")
        entries = arguments.get("files") or []
        arguments["files"] = [{key: entry[key] for key in entry if key != "content"} for entry in entries]
        for entry in [*entries, *(arguments.get("directories") or [])]:
            _refuse_bare_mode(entry)
        contents = {entry["dest"]: self._content(entry, task_vars) for entry in entries if _is_present(entry)}
        digest_key = self._digest_key(task_vars)
        if digest_key:
            arguments["digest_key"] = digest_key
        encoded = {dest: base64.b64encode(content).decode() for dest, content in contents.items()}
        if encoded:
            # An empty one would be masked too, and with it every {} of the result.
            arguments["payload"] = json.dumps(encoded)
        # The module's name is written out: a play's `collections` must not lead elsewhere.
        result |= self._execute_module("rsp.platform.files", module_args=arguments, task_vars=task_vars)
        if digest_key:
            again = {entry["dest"]: self._content(entry, task_vars) for entry in entries if _is_present(entry)}
            unknown = unforeseen(contents, again) if self._task.check_mode else set()
            result["files"] = told(result, unknown)
        if not self._task.diff:
            result.pop("diff", None)
        return result

    def _digest_key(self, task_vars: Mapping[str, Any]) -> str | None:
        """What the member keys digests with; only a recorded run tells digests."""
        if not os.environ.get(RECORD_FILE):
            return None
        settings = self._templar.template(task_vars.get("platform_secrets"))
        return key_of(settings, str(task_vars["inventory_hostname"]))

    def _content(self, entry: Mapping[str, Any], task_vars: Mapping[str, Any]) -> bytes:
        given = [source for source in SOURCES if entry.get(source) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise AnsibleActionFail(f"{entry['dest']}: give one of template, content and src; found {found}")
        if given == ["content"]:
            if not isinstance(entry["content"], str):
                kind = type(entry["content"]).__name__
                raise AnsibleActionFail(f"{entry['dest']}: content is a {kind}, not text → use a filter like to_json")
            return str(entry["content"]).encode()
        if given == ["src"]:
            return Path(self._loader.get_real_file(self._found("files", entry["src"]))).read_bytes()
        return self._rendered(entry["template"], entry["dest"], task_vars)

    def _found(self, folder: str, name: str) -> str:
        find: Callable[[str, str], str] = self._find_needle
        return str(find(folder, name))

    def _rendered(self, template: str, dest: str, task_vars: Mapping[str, Any]) -> bytes:
        """The template as ansible.builtin.template renders it, without what differs from run to run."""
        found = self._found("templates", template)
        roots = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), str(Path(found).parent)]
        variables = {
            "ansible_managed": "Ansible managed",
            **task_vars,
            "template_path": template,
            "template_fullpath": found,
            "template_destpath": dest,
        }
        templar = self._templar.copy_with_new_env(
            searchpath=[path for root in roots for path in (f"{root}/templates", root)],
            available_variables=variables,
        )
        text = templar.template(
            trust_as_template(self._loader.get_text_file_contents(found)),
            escape_backslashes=False,
            overrides={"trim_blocks": True, "lstrip_blocks": False},
        )
        return str("" if text is None else text).encode()


def _is_present(entry: Mapping[str, Any]) -> bool:
    if not entry.get("dest"):
        raise AnsibleActionFail("an entry of files has no dest")
    return bool(entry.get("state", "present") != "absent")


def _refuse_bare_mode(entry: Mapping[str, Any]) -> None:
    """YAML reads 0640 without quotes as the number 416."""
    if isinstance(entry.get("mode"), int):
        where = entry.get("dest") or entry.get("path")
        raise AnsibleActionFail(f'{where}: mode is a number → write it in quotes, "0640"')
