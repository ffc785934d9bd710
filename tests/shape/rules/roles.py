"""One shape for all roles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rules.core import Report, rule
from rules.tree import load, roles, task_files, tasks_of, where

VERBS = (
    "preflight", "install", "configure", "service", "verify",
    "objects", "client", "smoke", "endpoints", "backup", "restore", "upgrade", "restart", "remove",
    "lock", "drain", "undrain", "transfer", "reinit", "join", "peers", "forget", "wipe",
)  # fmt: skip
REQUIRED = ("README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml")
PUBLIC_TOPOLOGY = "platform_"
TEXT = ("str", "path", "raw")


def _defaults(role: Path) -> dict[str, Any]:
    path = role / "defaults" / "main.yml"
    return (load(path) or {}) if path.is_file() else {}


def _specs(role: Path) -> dict[str, dict[str, Any]]:
    path = role / "meta" / "argument_specs.yml"
    return (load(path) or {}).get("argument_specs", {}) if path.is_file() else {}


def _type_fits(value: Any, kind: str) -> bool:
    if isinstance(value, str) and "{{" in value:
        return True
    types: dict[str, Any] = {
        "bool": bool, "int": int, "float": (int, float), "list": list, "dict": dict,
        "str": str, "path": str, "raw": object, "json": (str, dict, list),
    }  # fmt: skip
    return isinstance(value, types[kind]) and not (kind in ("int", "float") and isinstance(value, bool))


@rule
def roles_have_their_files(root: Path) -> Report:
    """Every role has README, defaults, meta, argument_specs and tasks."""
    report = Report()
    for role in roles(root):
        for name in REQUIRED:
            report.expect((role / name).is_file(), f"{where(root, role)}: {name} is missing")
        dependencies = (
            (load(role / "meta/main.yml") or {}).get("dependencies") if (role / "meta/main.yml").is_file() else []
        )
        report.expect(not dependencies, f"{where(root, role)}: roles have no dependencies, the playbook hands over")
    return report


@rule
def specs_equal_defaults(root: Path) -> Report:
    """Keys, types and default values of argument_specs (entry point main) and defaults/main.yml agree."""
    report = Report()
    for role in roles(root):
        defaults, specs = _defaults(role), _specs(role)
        options = specs.get("main", {}).get("options", {})
        for key in sorted(defaults.keys() | options.keys()):
            place = f"{where(root, role)}: {key}"
            if key not in options:
                report.expect(False, f"{place} is in defaults, not in argument_specs")
            elif key not in defaults:
                required = options[key].get("required") is True
                fits = required or key.startswith(PUBLIC_TOPOLOGY) or "default" not in options[key]
                report.expect(fits, f"{place} has a default in argument_specs, none in defaults")
            else:
                kind = options[key].get("type", "str")
                # A default that a template computes may be left out where antsibull wants one of the type
                computed = kind not in TEXT and "{{" in str(defaults[key]) and "default" not in options[key]
                wanted = None if computed else defaults[key]
                report.expect(
                    options[key].get("default") == wanted,
                    f"{place}: argument_specs says {options[key].get('default')!r}, defaults say {wanted!r}",
                )
                report.expect(_type_fits(defaults[key], kind), f"{place}: {defaults[key]!r} is no {kind}")
    return report


@rule
def specs_cover_entry_points(root: Path) -> Report:
    """Every verb that a playbook may call with tasks_from has its own entry in argument_specs."""
    report = Report()
    for role in roles(root):
        specs = _specs(role)
        files = {path.stem for path in (role / "tasks").glob("*.yml")} & {
            "main",
            "objects",
            "client",
            "smoke",
            "endpoints",
            "remove",
            "lock",
            "drain",
            "undrain",
            "restart",
            "transfer",
            "reinit",
            "join",
            "peers",
            "forget",
            "wipe",
        }
        for name in sorted(files):
            report.expect(name in specs, f"{where(root, role)}: entry point {name} has no argument_specs")
    return report


@rule
def variables_carry_the_role(root: Path) -> Report:
    """Public variables begin with the role's name, internal ones with two underscores and the role's name."""
    report = Report()
    for role in roles(root):
        for key in _defaults(role):
            report.expect(
                key.startswith(f"{role.name}_"), f"{where(root, role)}: default {key} lacks the role's prefix"
            )
    for path in task_files(root):
        internal = f"__{path.relative_to(root).parts[1]}_"
        for task in tasks_of(path):
            facts = task.get("ansible.builtin.set_fact") or {}
            found = [task.get("register"), (task.get("loop_control") or {}).get("loop_var"), *facts]
            for name in (n for n in found if n and n != "cacheable"):
                report.expect(
                    str(name).startswith(internal), f"{where(root, path)}: {name} does not begin with {internal}"
                )
    return report


@rule
def main_is_a_table_of_contents(root: Path) -> Report:
    """tasks/main.yml only includes verbs, and task names carry the file's title."""
    report = Report()
    for role in roles(root):
        main = role / "tasks" / "main.yml"
        for task in tasks_of(main) if main.is_file() else ():
            included = [v for k, v in task.items() if k.endswith((".import_tasks", ".include_tasks"))]
            report.expect(bool(included), f"{where(root, main)}: '{task.get('name')}' is more than an include")
    for path in task_files(root):
        title = path.stem.replace("_", " ").capitalize()
        for task in tasks_of(path):
            name = str(task.get("name", ""))
            report.expect(name.startswith(f"{title} | "), f"{where(root, path)}: task name '{name}' lacks '{title} | '")
    return report


@rule
def roles_stand_alone(root: Path) -> Report:
    """Roles know no group names and call no other role."""
    report = Report()
    for role in roles(root):
        for path in sorted(
            f for part in ("tasks", "templates", "defaults", "handlers", "vars") for f in (role / part).rglob("*")
        ):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                report.expect("groups[" not in text, f"{where(root, path)}: a role knows no group names")
                calls = re.findall(r"(?:include|import)_role:\s*\{?\s*(?:name:\s*)?([\w.]+)", text)
                others = [name for name in calls if name.rsplit(".", 1)[-1] != role.name]
                report.expect(not others, f"{where(root, path)}: calls another role: {others}")
    return report
