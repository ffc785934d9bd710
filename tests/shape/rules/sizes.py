"""Small files: what does not fit on a screen is hard to trust."""

from __future__ import annotations

import re
from pathlib import Path

from rules.core import Report, rule
from rules.tree import plugin_files, roles, task_files, where

TASK_FILE, DEFAULTS, MODULE, MODULE_UTIL = 80, 150, 120, 300
DOC_BLOCK = re.compile(r'^(DOCUMENTATION|EXAMPLES|RETURN) = r?"""\n.*?^"""\n', re.MULTILINE | re.DOTALL)


def lines(text: str) -> int:
    """Lines of a text."""
    return len(text.splitlines())


def code_lines(text: str) -> int:
    """Lines of a plugin without its documentation blocks, blank lines and comments."""
    code = DOC_BLOCK.sub("", text)
    return sum(1 for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#"))


@rule
def files_are_small(root: Path) -> Report:
    """Task files ≤80 lines, defaults ≤150, modules and actions ≤120 code lines, utils of modules and plugins ≤300."""
    report = Report()
    for path in task_files(root):
        count = lines(path.read_text(encoding="utf-8"))
        report.expect(count <= TASK_FILE, f"{where(root, path)}: {count} lines, a task file has at most {TASK_FILE}")
    for role in roles(root):
        defaults = role / "defaults" / "main.yml"
        count = lines(defaults.read_text(encoding="utf-8")) if defaults.is_file() else 0
        report.expect(count <= DEFAULTS, f"{where(root, defaults)}: {count} lines, defaults have at most {DEFAULTS}")
    for path in plugin_files(root):
        text = path.read_text(encoding="utf-8")
        util = not {"module_utils", "plugin_utils"}.isdisjoint(path.parts)
        count, most = (lines(text), MODULE_UTIL) if util else (code_lines(text), MODULE)
        report.expect(count <= most, f"{where(root, path)}: {count} lines of code, at most {most}")
    return report
