"""Says what runs of this checkout's lab: containers, their memory, and the time of each stage of the last start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

STATE = Path(__file__).resolve().parent.parent / ".lab"


def docker(*arguments: str) -> list[list[str]]:
    """Rows of a docker command whose format divides columns by tabs."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines() if line]


def main() -> int:
    """Print the table; 1 when there is no lab or a container of it does not run."""
    if not (STATE / "id").is_file():
        print("no lab: make up starts one")
        return 1
    label = f"label=rsp.lab={(STATE / 'id').read_text(encoding='utf-8').strip()}"
    found = docker("ps", "-a", "--filter", label, "--format", "{{.Names}}\t{{.Status}}")
    running = [name for name, status in found if status.startswith("Up") and "Paused" not in status]
    rows = docker("stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}", *running) if running else []
    memory = {row[0]: row[1] for row in rows}
    for name, status in sorted(found):
        print(f"  {name:24} {status:32} {memory.get(name, '-')}")
    if (STATE / "stages.json").is_file():
        stages = json.loads((STATE / "stages.json").read_text(encoding="utf-8"))
        print("  last start: " + ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in stages.items()))
    return 0 if found and len(running) == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
