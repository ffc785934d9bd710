"""The built collection from an empty path: playbooks run by their full names, under ansible-runner too, as in AWX."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import ansible_runner
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = Path(os.environ["RSP_BUILT"])  # tools/test.py builds it
PLAYBOOKS = sorted(path.relative_to(ROOT / "playbooks").with_suffix("") for path in (ROOT / "playbooks").rglob("*.yml"))


def environment(tmp_path: Path) -> dict[str, str]:
    """A shell that knows the built collection only, from a folder that is no checkout."""
    config = tmp_path / "ansible.cfg"
    config.write_text(f"[defaults]\ncollections_path = {BUILT}\ninject_facts_as_vars = false\n")
    return {**os.environ, "ANSIBLE_CONFIG": str(config), "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}


@pytest.fixture
def inventory(tmp_path):
    """A copy of the production inventory, as a site keeps it in its own repository."""
    return shutil.copytree(ROOT / "inventories" / "production", tmp_path / "inventory")


def fqcn(path: Path) -> str:
    return "rsp.platform." + ".".join(path.parts)


@pytest.mark.parametrize("path", [path for path in PLAYBOOKS if path.parts[0] not in ("vars", "tasks")], ids=str)
def test_playbooks_are_found_by_name(path, inventory, tmp_path):
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "--syntax-check", fqcn(path)],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nothing_private_is_shipped():
    shipped = {str(path.relative_to(BUILT)) for path in BUILT.rglob("*")}
    assert any(name.endswith("platform/playbooks/site.yml") for name in shipped)
    assert any(name.endswith("catalogue/artifacts.yml") for name in shipped)
    assert not [name for name in shipped if "/.lab" in name or "/.venv" in name or name.endswith(".key")]


def test_preflight_runs_under_ansible_runner(inventory, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "collections", project / "collections", ignore=shutil.ignore_patterns("ansible_collections"))
    (project / "preflight.yml").write_text("- import_playbook: rsp.platform.preflight\n")
    result = ansible_runner.run(
        private_data_dir=str(tmp_path), playbook="preflight.yml", inventory=str(inventory), quiet=True,
        envvars={**environment(tmp_path), **secrets(inventory)},
    )  # fmt: skip
    assert result.rc == 0, result.stdout.read()


def secrets(inventory: Path) -> dict[str, str]:
    """Values for the secrets that the environment back-end must deliver, found by asking preflight for them."""
    env = environment(inventory.parent)
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "rsp.platform.preflight"],
        env=env, cwd=inventory.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = dict.fromkeys(re.findall(r"RSP_PRODUCTION_[A-Z0-9_]+", done.stdout + done.stderr), "x" * 32)
    assert found, f"without secrets preflight must name them: {done.stdout}"
    return found
