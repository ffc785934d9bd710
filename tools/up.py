"""Brings the lab of this checkout up, stage by stage, and says where everything is: what `make up` does.

Safe to repeat and to interrupt: every stage looks at what is there and does the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".lab"
STAGES = (
    ("lab", "node image, network, containers", "lab"),
    ("mirror", "artifacts, built or fetched once", "mirror"),
    ("converge", "the whole platform", "environments/local"),
    ("verify", "members and clients", "verify"),
    ("endpoints", "addresses for clients", "endpoints"),
)


def playbook(name: str) -> int:
    """Run one playbook with its output shown."""
    argv = [str(ROOT / ".venv/bin/ansible-playbook"), f"playbooks/{name}.yml"]
    return subprocess.run(argv, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)


def endpoints(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each address that clients use."""
    rows: list[tuple[str, ...]] = [("service", "use", "address", "user", "password")]
    for service, known in sorted(document["services"].items()):
        password = known.get("password", {}).get("secret", "-")
        for use in ("rw", "ro"):
            rows.extend((service, use, address, known.get("user", "-"), password) for address in known.get(use, ()))
    return rows


def report(times: dict[str, float]) -> str:
    """What is printed at the end."""
    document = json.loads((STATE / "endpoints.json").read_text(encoding="utf-8"))
    stages = [("stage", "seconds"), *((name, f"{seconds:.0f}") for name, seconds in times.items())]
    return "\n".join((
        f"\n{document['platform']} is up.\n",
        table(endpoints(document)),
        "",
        f"  CA: {document['ca']}; all of this for programs: {STATE / 'endpoints.json'}",
        "  A password is read with: make secret NAME=<its name in the table>",
        "",
        table(stages),
    ))  # fmt: skip


def main() -> int:
    """Run the stages; the first that fails ends the run and is said in one line."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    times = {"bootstrap": float(os.environ.get("RSP_BOOTSTRAP_S", "0"))}
    for name, about, play in STAGES:
        print(f"\n=== {name}: {about}", flush=True)
        start = time.monotonic()
        code = playbook(play)
        times[name] = round(time.monotonic() - start, 1)
        (STATE / "stages.json").write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
        if code != 0:
            print(
                f"\nmake up: stage {name} failed after {times[name]:.0f} s; mend what it says above and repeat make up"
            )
            return 1
    print(report(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
