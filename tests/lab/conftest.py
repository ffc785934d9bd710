"""The running lab of this checkout; `make up` made it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from lab import Lab


@pytest.fixture(scope="session")
def lab():
    return Lab.load()


@pytest.fixture(scope="session")
def conninfo(lab):
    return lab.conninfo()


@pytest.fixture
def playbook(tmp_path):
    """Runs a playbook; returns its output and the set of changed tasks."""

    def run(name, *arguments, check=False):
        changes = tmp_path / "changes.json"
        done = subprocess.run(
            [".venv/bin/ansible-playbook", f"playbooks/{name}.yml", *(["--check"] if check else []), *arguments],
            env={**os.environ, "ANSIBLE_CALLBACKS_ENABLED": "rsp.platform.changes", "RSP_CHANGES_FILE": str(changes)},
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout, json.loads(Path(f"{changes}{'.check' if check else ''}").read_text())

    return run


@pytest.fixture(scope="session")
def unit_times():
    """Reads when each unit of each host started."""

    def read():
        done = subprocess.run(
            [".venv/bin/ansible", "all", "-m", "rsp.platform.unit_times", "-o"],
            env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [line.split(" | SUCCESS => ") for line in done.stdout.splitlines() if " | SUCCESS => " in line]
        return {host.strip(): json.loads(answer)["started"] for host, answer in lines}

    return read
