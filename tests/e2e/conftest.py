"""Slow tests on the running lab: they change its clusters and put them back. The fixtures are those of tests/lab."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = ROOT / "tests" / "lab" / "conftest.py"
_spec = importlib.util.spec_from_file_location("lab_conftest", PATH)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

lab, conninfo, playbook, unit_times = _module.lab, _module.conninfo, _module.playbook, _module.unit_times
breaking = importlib.import_module("breaking")  # it imports what tests/lab/conftest.py puts on the path
monitor, whole, tools, policy = breaking.monitor, breaking.whole, breaking.tools, breaking.policy
whole_before_and_clean_after = breaking.whole_before_and_clean_after


@pytest.fixture(scope="session")
def job():
    """Runs a job; returns its exit code and what it said."""

    def run(name, *arguments):
        done = subprocess.run(
            [".venv/bin/ansible-playbook", f"playbooks/{name}.yml", *arguments],
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run
