"""Runs a command and says what it cost in CPU seconds: the controller's processes and each container of the lab.

    python tests/bench/cpu.py -- .venv/bin/ansible-playbook playbooks/site.yml

The containers' figures come from cgroup accounting, so they include what the services did meanwhile;
`--idle S` measures the lab at rest for S seconds first and subtracts that share.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from lab import ROOT, run

ACCOUNTS = (
    "/sys/fs/cgroup/cpuacct/docker/{id}/cpuacct.usage",
    "/sys/fs/cgroup/system.slice/docker-{id}.scope/cpu.stat",
)


def containers(lab_id: str) -> dict[str, str]:
    """Container id by name of this lab's running containers."""
    rows = run("docker", "ps", "--no-trunc", "--filter", f"label=rsp.lab={lab_id}", "--format", "{{.Names}} {{.ID}}")
    return dict(row.split() for row in rows.splitlines())


def cpu_seconds(container: str) -> float:
    """CPU seconds that a container has used since it started; an unreadable account is an error."""
    for pattern in ACCOUNTS:
        account = Path(pattern.format(id=container))
        if account.is_file():
            text = account.read_text().split()
            return int(text[0]) / 1e9 if len(text) == 1 else int(text[text.index("usage_usec") + 1]) / 1e6
    raise FileNotFoundError(f"no CPU account of container {container}")


def controller_seconds() -> float:
    """CPU seconds of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def at_rest(ids: dict[str, str], seconds: float) -> dict[str, float]:
    """CPU seconds per second that each container uses when nobody asks for anything."""
    if seconds <= 0:
        return dict.fromkeys(ids, 0.0)
    before = {name: cpu_seconds(i) for name, i in ids.items()}
    time.sleep(seconds)
    return {name: (cpu_seconds(i) - before[name]) / seconds for name, i in ids.items()}


def main() -> int:
    """Run the command and print the figures as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=0, help="seconds to measure the lab at rest first")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    ids = containers((ROOT / ".lab" / "id").read_text().strip())
    rest = at_rest(ids, args.idle)
    before = {name: cpu_seconds(i) for name, i in ids.items()}
    own, start = controller_seconds(), time.monotonic()
    code = subprocess.run(args.command, check=False, cwd=ROOT).returncode
    wall = time.monotonic() - start
    used = {name: round(cpu_seconds(i) - before[name] - rest[name] * wall, 2) for name, i in ids.items()}
    controller = round(controller_seconds() - own, 2)
    print(json.dumps({
        "wall_s": round(wall, 1), "controller_cpu_s": controller, "members_cpu_s": used,
        "total_cpu_s": round(controller + sum(used.values()), 1), "rc": code,
    }))  # fmt: skip
    return code


if __name__ == "__main__":
    sys.exit(main())
