"""Reading the tree: roles, task files, tasks, plugins."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

BLOCK_KEYS = ("block", "rescue", "always")
PLUGIN_KINDS = ("action", "callback", "filter", "inventory", "lookup", "modules", "module_utils", "plugin_utils")


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads Ansible's own tags as plain text."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    """Parsed YAML of a file; None for an empty one."""
    return _Loader(path.read_text(encoding="utf-8")).get_single_data()


def roles(root: Path) -> list[Path]:
    """Directories of all roles."""
    return sorted(path for path in (root / "roles").glob("*") if path.is_dir())


def task_files(root: Path) -> list[Path]:
    """Task and handler files of all roles."""
    return sorted(f for part in ("tasks", "handlers") for f in (root / "roles").glob(f"*/{part}/**/*.yml"))


def playbooks(root: Path) -> list[Path]:
    """Playbooks, molecule's included."""
    return sorted([*(root / "playbooks").rglob("*.yml"), *(root / "molecule").rglob("*.yml")])


def walk(tasks: Any) -> Iterator[dict[str, Any]]:
    """Every task of a list, those inside blocks too."""
    for task in tasks or ():
        if not isinstance(task, dict):
            continue
        yield task
        for key in BLOCK_KEYS:
            yield from walk(task.get(key))


def tasks_of(path: Path) -> list[dict[str, Any]]:
    """Tasks of a task file or of all plays of a playbook."""
    content = load(path)
    if not isinstance(content, list):
        return []
    found: list[dict[str, Any]] = []
    for item in content:
        if isinstance(item, dict) and "hosts" in item:
            for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                found.extend(walk(item.get(part)))
        elif isinstance(item, dict) and not any("import_playbook" in key for key in item):
            found.extend(walk([item]))
    return found


def all_tasks(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each task of roles and playbooks with its file."""
    for path in [*task_files(root), *playbooks(root)]:
        for task in tasks_of(path):
            yield path, task


def plugin_files(root: Path) -> list[Path]:
    """Python files of all plugins, package markers left out."""
    files = (f for kind in PLUGIN_KINDS for f in (root / "plugins" / kind).rglob("*.py"))
    return sorted(f for f in files if f.name != "__init__.py")


def committed(root: Path) -> list[Path]:
    """Files that git tracks; in a tree without git every file."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return sorted(f for f in root.rglob("*") if f.is_file())
    return sorted(f for name in done.stdout.split("\0") if name and (f := root / name).is_file() and not f.is_symlink())


def where(root: Path, path: Path) -> str:
    """Path relative to the tree, for messages."""
    return str(path.relative_to(root))
