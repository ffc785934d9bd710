"""bootstrap.sh says in one line what to do when a machine won't do. The rest is proven by running it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "bootstrap.sh"
DEBIAN = 'ID=debian\nVERSION_ID="13"\n'
FEDORA = 'ID=fedora\nVERSION_ID=43\nPRETTY_NAME="Fedora 43"\n'


def run(tmp_path, os_release=DEBIAN, **tools):
    """Run it with some commands replaced by scripts; apt-get and docker never work, so nothing can be changed."""
    commands = {"id": "echo 0", "apt-get": "exit 1", "docker": "exit 1", "dockerd": "exit 1", **tools}
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for name, body in commands.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_dir / name).chmod(0o755)
    (tmp_path / "os-release").write_text(os_release)
    settings = {
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OS_RELEASE": str(tmp_path / "os-release"),
    }
    return subprocess.run([SCRIPT], env={**os.environ, **settings}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"id": "echo 1000"}, "root is needed"),
        ({"os_release": FEDORA}, "(Fedora 43) is not supported: use Debian 12 or 13"),
        ({"os_release": 'ID=debian\nVERSION_ID="11"\n'}, "is not supported"),
        ({"df": "echo Avail; echo 1500"}, "1500 MiB are free at"),
        ({"awk": "echo 4000"}, "4000 MiB of memory, 6000 are needed"),
        ({"mmdebstrap": "", "iptables": "", "ssh-keygen": "", "seq": "echo 1"}, "engine does not answer"),
    ],
)  # fmt: skip
def test_it_stops_with_one_line(tmp_path, case, said):
    done = run(tmp_path, **case)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_is_valid_and_stops_at_errors():
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    assert "set -euo pipefail" in SCRIPT.read_text()
    assert os.access(SCRIPT, os.X_OK)
