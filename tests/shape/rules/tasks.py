"""What tasks may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rules.core import Report, rule
from rules.tree import all_tasks, load, playbooks, task_files, where

COMMANDS = tuple(f"ansible.builtin.{name}" for name in ("command", "shell", "raw", "script", "expect"))
MOST_COMMANDS = 0.02
SECRET_KEY = re.compile(r"(^|_)(password|token|secret|passphrase|private_?key)(_content|_id)?$")
OUR_NO_LOG = "rsp.platform."
KEYWORDS = frozenset(
    [
        "name",
        "when",
        "register",
        "loop",
        "loop_control",
        "vars",
        "tags",
        "notify",
        "until",
        "retries",
        "delay",
        "become",
        "become_user",
        "delegate_to",
        "delegate_facts",
        "run_once",
        "changed_when",
        "failed_when",
        "no_log",
        "check_mode",
        "diff",
        "environment",
        "throttle",
        "args",
        "any_errors_fatal",
        "block",
        "rescue",
        "always",
        "listen",
        "async",
        "poll",
        "connection",
        "module_defaults",
        "ignore_unreachable",
        "timeout",
        "port",
        "remote_user",
        "collections",
    ]
)


def action(task: dict[str, Any]) -> str | None:
    """The module that a task calls; None for a block."""
    return next((key for key in task if key not in KEYWORDS), None)


@rule
def few_commands(root: Path) -> Report:
    """At most 2 % of all tasks run a command or a shell."""
    report = Report()
    actions = [(where(root, path), action(task)) for path, task in all_tasks(root) if action(task)]
    commands = [f"{path} ({name})" for path, name in actions if name in COMMANDS]
    report.checked = len(actions)
    if actions and len(commands) / len(actions) > MOST_COMMANDS:
        report.violations.append(f"{len(commands)} of {len(actions)} tasks run commands: {', '.join(commands)}")
    return report


@rule
def tasks_use_full_names(root: Path) -> Report:
    """Modules are called by their fully qualified names."""
    report = Report()
    for path, task in all_tasks(root):
        if name := action(task):
            report.expect(name.count(".") >= 2, f"{where(root, path)}: {name} is no fully qualified name")
    return report


@rule
def errors_are_not_ignored(root: Path) -> Report:
    """No ignore_errors, no certificate checks switched off, no moving versions, no sleeping."""
    report = Report()
    for path, task in all_tasks(root):
        body = task.get(action(task) or "") or {}
        arguments = body if isinstance(body, dict) else {}
        place = f"{where(root, path)}: '{task.get('name')}'"
        report.expect("ignore_errors" not in task, f"{place} ignores errors")
        report.expect(task.get("failed_when") is not False, f"{place} can't fail")
        report.expect(arguments.get("validate_certs", True) is not False, f"{place} does not check certificates")
        report.expect(arguments.get("state") != "latest", f"{place} takes whatever is latest")
        report.expect(action(task) != "ansible.builtin.pause", f"{place} sleeps instead of waiting for a signal")
    return report


@rule
def secrets_are_not_logged(root: Path) -> Report:
    """A task that hands a secret to a foreign module has no_log; our own modules declare it themselves."""
    report = Report()
    for path, task in all_tasks(root):
        name = action(task) or ""
        body = task.get(name)
        if isinstance(body, dict):
            foreign = not name.startswith(OUR_NO_LOG) and not name.endswith(("_role", "_tasks", "set_fact"))
            secret = sorted(key for key in body if foreign and SECRET_KEY.search(key))
            covered = not secret or task.get("no_log") is True
            report.expect(covered, f"{where(root, path)}: {name} shows {', '.join(secret)}")
    return report


@rule
def conditions_are_boolean(root: Path) -> Report:
    """A bare variable is only a condition when it is a known boolean: ansible-core 2.19 refuses the rest."""
    report = Report()
    for path, task in all_tasks(root):
        conditions = task.get("when", [])
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            text = str(condition)
            report.expect("| length" not in text or re.search(r"\| length\s*(>|<|=|!|\))", text) is not None,
                          f"{where(root, path)}: '{text}' is a number, not a condition")  # fmt: skip
            report.expect("{{" not in text, f"{where(root, path)}: '{text}' is a template inside a condition")
    return report


def _texts(content: Any) -> Iterator[str]:
    """Every string inside parsed YAML."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        yield from _texts(list(content.values()))
    elif isinstance(content, list):
        for item in content:
            yield from _texts(item)


@rule
def backslashes_are_single(root: Path) -> Report:
    """Ansible keeps a backslash inside a template as it stands: a doubled one reaches regular expressions doubled."""
    report = Report()
    for path in [*task_files(root), *playbooks(root), *(root / "roles").glob("*/vars/**/*.yml")]:
        doubled = [text for text in _texts(load(path)) if "\\\\" in text]
        report.expect(not doubled, f"{where(root, path)}: doubled backslash in {doubled[:1]}")
    return report
