"""What chaos costs: the ledger to a client that writes to PostgreSQL, with it and without in one run; arming to a run.

    python tests/bench/chaos_cost.py --seconds 10 --rounds 3

Arming is read off the evidence of experiments that ran on this lab: the time between two faults of one kind and moment,
each armed and fired on its target. The very writer of the experiments runs on the lab's client host, through the
endpoint, as fast as it can; "without" is the same client whose outcomes go nowhere. Both take turns, so that whatever
else the machine does meets both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from datetime import datetime
from itertools import pairwise

from lab import ROOT, Lab, secret

WRITER = ROOT / "plugins" / "module_utils" / "chaos" / "writer.py"
# Runs beside a copy of writer.py. Plain does what Writer does but for the line and its fdatasync.
SIDE = """
import json, sys, threading, time
from pathlib import Path
import writer

class Counted(writer.Writer):
    acked = 0
    def _write(self):
        line = super()._write()
        self.acked += line["o"] == "ok"
        return line

class Plain(Counted):
    def run(self):
        while not self._stopping.is_set():
            self._token += 1
            self._write()

config, folder = json.load(sys.stdin), Path(sys.argv[1])
make = writer.DRIVERS["postgresql"]
make(config).prepare()
figures = {"with": [], "without": []}
for turn in range(2 * config["rounds"]):
    kind, stopping = ("with", "without")[turn % 2], threading.Event()
    built = Counted if kind == "with" else Plain
    numbers = range(1 + turn * config["writers"], 1 + (turn + 1) * config["writers"])
    writers = [built(n, make(config), folder, 1e9, stopping) for n in numbers]
    begun = time.monotonic()
    for each in writers:
        each.start()
    time.sleep(config["seconds"])
    stopping.set()
    for each in writers:
        each.join(30)
    took = time.monotonic() - begun
    acked = sum(each.acked for each in writers)
    if not acked:
        sys.exit(f"no write was acknowledged in turn {turn}")
    figures[kind].append(round(acked / took, 1))
make(config).clean()
print(json.dumps(figures))
"""


def arming() -> dict[str, dict[str, float]]:
    """Seconds to arm and fire one more fault, by kind. Waits for a later moment of the plan are no costs."""
    took: dict[str, list[float]] = {}
    for path in sorted((ROOT / ".lab" / "chaos").glob("[!g]*/evidence.jsonl")):
        links = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        fired = [link for link in links if link["kind"] == "injected"]
        for one, next_one in pairwise(fired):
            seconds = (datetime.fromisoformat(next_one["at"]) - datetime.fromisoformat(one["at"])).total_seconds()
            if one["body"]["kind"] == next_one["body"]["kind"]:
                took.setdefault(next_one["body"]["kind"], []).append(seconds)
    return {
        kind: {"faults": len(v), "median_s": round(statistics.median(v), 2), "max_s": round(max(v), 2)}
        for kind, v in sorted(took.items())
    }


def main() -> int:
    """Print the figures as JSON; fails when a side wrote nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writers", type=int, default=8)
    given, lab = parser.parse_args(), Lab.load()
    postgresql = lab.services["postgresql"]
    config = {
        **vars(given), "servers": postgresql["rw"], "database": postgresql["database"], "user": postgresql["user"],
        "password": secret(postgresql["password"]["secret"]), "ca_path": "/etc/postgresql-client/ca.crt",
        "timeout_s": 10, "run": "cost",
    }  # fmt: skip
    folder = lab.on("ops", "mktemp", "-d", "/var/tmp/ledger-cost-XXXXXX")
    try:
        for name, text in {"writer.py": WRITER.read_text(encoding="utf-8"), "side.py": SIDE}.items():
            lab.on("ops", "tee", f"{folder}/{name}", stdin=text)
        figures = json.loads(lab.on("ops", "python3", f"{folder}/side.py", folder, stdin=json.dumps(config)))
    finally:
        lab.on("ops", "rm", "-rf", folder)
    both = {kind: statistics.median(values) for kind, values in figures.items()}
    ledger = {**figures, "median": both, "ratio": round(both["with"] / both["without"], 3)}
    print(json.dumps({"ledger": ledger, "arming": arming()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
