"""Measures a job on the running lab under a client's writes: gaps, errors, lost writes, and the order of the members.

    python tests/bench/rolling.py postgresql restart -e force=true
    python tests/bench/rolling.py consul upgrade -e version=1.22.5

The job runs once; everything after the job's name goes to ansible-playbook. Exits 1 when an acknowledged write is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from consul_ledger import ConsulWriter
from lab import ROOT, Lab, secret, wait_until
from ledger import Ledger, Writer, prepare, present

TABLE = "rolling_ledger"
TASK = re.compile(r"^TASK \[(?P<name>[^\]]+)\]")
DONE = re.compile(r"^(?P<state>ok|changed|fatal|skipping): \[(?P<host>[^\]\s]+)")
GAP_COUNTS_S = 0.5


class Client(Protocol):
    """A writer with its ledger, as a thread."""

    ledger: Ledger

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...


@dataclass
class Outcome:
    """What a job did to a client.

    Attributes:
        rc: of ansible-playbook.
        seconds: wall time of the job.
        acted: hosts in the order in which `Restart | …` tasks changed them.
        gaps_s: every time of at least half a second without an acknowledgement.
        errors: what the client saw, with how often.
    """

    rc: int
    seconds: float
    acked: int
    lost: int
    longest_gap_s: float
    gaps_s: list[float]
    acted: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    output: str = ""


def job(name: str, service: str, *arguments: str, timeout_s: float = 1200) -> tuple[int, str]:
    """Run a job's playbook; its exit code and what it said."""
    done = subprocess.run(
        [".venv/bin/ansible-playbook", f"playbooks/{name}.yml", "-e", f"service={service}", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def results(output: str) -> list[tuple[str, str, str]]:
    """(task, host, state) of each result in the output of the default callback, in order."""
    found, task = [], ""
    for line in output.splitlines():
        if begun := TASK.match(line):
            task = begun["name"].removeprefix("rsp.platform.").split(" : ")[-1]
        elif ended := DONE.match(line):
            found.append((task, ended["host"], ended["state"]))
    return found


def acted(output: str, title: str = "Restart | Restart") -> list[str]:
    """Hosts that a task whose name begins with `title` changed, in order, each once."""
    return list(
        dict.fromkeys(host for task, host, state in results(output) if task.startswith(title) and state == "changed")
    )


def client(lab: Lab, service: str, conninfo: str, interval_s: float) -> Client:
    """A plain client of a service that writes all the time."""
    if service == "postgresql":
        prepare(conninfo, TABLE)
        return Writer(conninfo, TABLE, interval_s)
    consul = lab.services["consul"]
    return ConsulWriter(consul["rw"], secret(consul["password"]["secret"]), lab.ca, interval_s)


def lost(writer: Client, conninfo: str) -> int:
    """How many acknowledged writes are not there."""
    if isinstance(writer, ConsulWriter):
        return len(writer.lost())
    return len(set(writer.ledger.acked) - present(conninfo, TABLE))


def measure(lab: Lab, conninfo: str, service: str, name: str, *arguments: str, interval_s: float = 0.002) -> Outcome:
    """Run a job while a client writes."""
    writer = client(lab, service, conninfo, interval_s)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > 100, 30)
    began = time.monotonic()
    rc, output = job(name, service, *arguments)
    took = time.monotonic() - began
    enough = len(writer.ledger.acked) + 100
    wait_until("the writer still writes", lambda: len(writer.ledger.acked) > enough, 60)
    writer.stop()
    writer.join(30)
    kinds: dict[str, int] = {}
    for _moment, text in writer.ledger.errors:
        kinds[text] = kinds.get(text, 0) + 1
    gaps = writer.ledger.gaps(began, GAP_COUNTS_S)
    return Outcome(
        rc, round(took, 1), len(writer.ledger.acked), lost(writer, conninfo),
        round(writer.ledger.longest_gap(began, time.monotonic()), 2), gaps, acted(output), kinds, output,
    )  # fmt: skip


def main() -> int:
    """One job, one outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", choices=["consul", "postgresql"])
    parser.add_argument("job")
    args, arguments = parser.parse_known_args()
    lab = Lab.load()
    conninfo = lab.conninfo()
    outcome = measure(lab, conninfo, args.service, args.job, *arguments)
    log = ROOT / ".lab" / "log" / f"bench-{args.job}-{args.service}.log"
    Path(log).write_text(outcome.output)
    print(json.dumps({key: value for key, value in asdict(outcome).items() if key != "output"}))
    return 1 if outcome.lost or outcome.rc else 0


if __name__ == "__main__":
    sys.exit(main())
