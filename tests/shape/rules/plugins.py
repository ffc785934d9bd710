"""Plugins are typed doorways with tests."""

from __future__ import annotations

import re
from pathlib import Path

from rules.core import Report, rule
from rules.sizes import lines
from rules.tree import PLUGIN_KINDS, committed, plugin_files, where


@rule
def plugins_have_tests(root: Path) -> Report:
    """Every plugin file is named by a unit test, and there are more lines of tests than of plugins."""
    report = Report()
    tests = {path: path.read_text(encoding="utf-8") for path in (root / "tests" / "unit").rglob("test_*.py")}
    text = "\n".join(tests.values())
    plugins = plugin_files(root)
    for path in plugins:
        dotted = ".".join(path.relative_to(root / "plugins").with_suffix("").parts)
        parent, _, leaf = dotted.rpartition(".")
        named = dotted in text or re.search(rf"plugins\.{re.escape(parent)} import [^\n]*\b{leaf}\b", text) is not None
        report.expect(named, f"{where(root, path)}: no unit test imports it")
    if plugins:
        code = sum(lines(path.read_text(encoding="utf-8")) for path in plugins)
        report.expect(lines(text) > code, f"{lines(text)} lines of unit tests for {code} lines of plugins")
    return report


@rule
def plugins_say_what_they_support(root: Path) -> Report:
    """Modules document check mode and diff mode; an action has its module's documentation beside it."""
    report = Report()
    for path in sorted((root / "plugins" / "modules").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in ("DOCUMENTATION", "EXAMPLES", "RETURN", "check_mode:", "diff_mode:"):
            report.expect(word in text, f"{where(root, path)}: {word} is missing")
    for path in sorted((root / "plugins" / "action").glob("*.py")):
        module = root / "plugins" / "modules" / path.name
        report.expect(
            module.is_file(), f"{where(root, path)}: plugins/modules/{path.name} with its documentation is missing"
        )
    return report


@rule
def plugins_are_pure_of_tricks(root: Path) -> Report:
    """No lint is switched off, nothing sleeps without a reason, no shell is started."""
    report = Report()
    for path in plugin_files(root):
        text = path.read_text(encoding="utf-8")
        report.expect("# noqa" not in text, f"{where(root, path)}: switches a lint off")
        report.expect(
            "shell=True" not in text and "use_unsafe_shell=True" not in text, f"{where(root, path)}: starts a shell"
        )
        report.expect(
            re.search(r"except( Exception)?:\s*\n\s*pass", text) is None, f"{where(root, path)}: swallows errors"
        )
    return report


@rule
def no_machine_in_the_text(root: Path) -> Report:
    """Committed files name no path of a build machine, and no lint is skipped by configuration."""
    report = Report()
    machine = re.compile(r"/(?:work|root)/|/tmp/w/")
    own = {f"plugins/{kind}" for kind in PLUGIN_KINDS}
    for path in committed(root):
        if path.suffix not in (".py", ".yml", ".md", ".toml", ".j2", ".sh", ".cfg", "") or "shape" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found = machine.search(text)
        report.expect(found is None, f"{where(root, path)}: names the path {found.group(0) if found else ''}")
        if any(where(root, path).startswith(prefix) for prefix in own) or path.suffix == ".yml":
            report.expect("skip_list" not in text, f"{where(root, path)}: skips a lint")
    return report
