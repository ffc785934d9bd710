"""Runs a rolling job and says how its wall time splits into the service's own work and the engine's.

    python tests/bench/engine.py consul restart -e force=true

The service's own: stopping and starting its units, handing leadership over, waiting for clients and for the cluster to
settle (the modules in OWN, each with what Ansible needs to run it). Everything else is the engine's: starting Ansible,
judging the arguments, locks, leases, the order, gates before a step. Times are those of Ansible's own jsonl callback.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lab import ROOT

OWN = ("unit", "leader_transfer", "pgbouncer")
# A gate of these files waits for the service; other gates are the engine's questions
SETTLING = ("/tasks/verify.yml:", "/tasks/served.yml:")


@dataclass
class Task:
    """A task of the run, over all of its hosts."""

    name: str
    place: str
    module: str
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Length."""
        return (self.end - self.start).total_seconds()

    @property
    def own(self) -> bool:
        """Whether the service itself is what it waits for."""
        settles = self.module == "service_gate" and any(place in self.place for place in SETTLING)
        return settles or self.module in OWN


def tasks(lines: Iterable[str]) -> list[Task]:
    """From the events of ansible.posix.jsonl; a task ends with its last host."""
    found: dict[str, Task] = {}
    for line in lines:
        event = json.loads(line) if line.startswith("{") else {}
        if not event.get("_event", "").startswith("v2_runner_on_") or "end" not in event["task"]["duration"]:
            continue
        task, (result,) = event["task"], event["hosts"].values()
        start, end = (datetime.fromisoformat(task["duration"][key]) for key in ("start", "end"))
        module = str(result["action"]).rpartition(".")[2]
        known = found.setdefault(task["id"], Task(task["name"], task["path"], module, start, end))
        known.end = max(known.end, end)
    return list(found.values())


def main() -> int:
    """Run the job and print the figures as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service")
    parser.add_argument("job")
    given, more = parser.parse_known_args()
    argv = [".venv/bin/ansible-playbook", f"playbooks/{given.job}.yml", "-e", f"service={given.service}", *more]
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
    began = time.monotonic()
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    wall = time.monotonic() - began
    spent: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for task in tasks(done.stdout.splitlines()):
        spent[task.own][task.name] += task.seconds
    own = sum(spent[True].values())
    for kind, counted in (("service", spent[True]), ("engine", spent[False])):
        for name, took in counted.most_common(15):
            print(f"{took:7.1f} s  {kind:8} {name}")
    print(json.dumps({"rc": done.returncode, "wall_s": round(wall, 1), "service_s": round(own, 1),
                      "engine_s": round(wall - own, 1), "engine_share": round((wall - own) / wall, 3)}))  # fmt: skip
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-2000:], file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
