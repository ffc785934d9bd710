"""Measures the outage that a plain client sees: breaks the primary of this checkout's lab, and reads every row back.

    python tests/bench/outage.py node_kill --runs 10
    python tests/bench/outage.py blip --seconds 4 --runs 3

Prints one line a run and a JSON summary; exits 1 when an acknowledged row is lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from lab import Lab, run, wait_until
from ledger import Writer, prepare, present

TABLE = "outage_ledger"
BEFORE_S = 3.0
AFTER_S = 4.0
LONGEST_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What one run showed: seconds of the longest gap, rows acknowledged and lost, whether the primary moved."""

    fault: str
    gap_s: float
    acked: int
    lost: int
    errors: int
    failover: bool
    whole_again_s: float


Undo = Callable[[], object]


def node_kill(lab: Lab, primary: str, _seconds: float) -> Undo:
    """The host dies: its container is killed; undo boots it again from its disk."""
    run("docker", "kill", "-s", "KILL", lab.container(primary))
    return lambda: run("docker", "start", lab.container(primary))


def process_kill(lab: Lab, primary: str, _seconds: float) -> Undo:
    """Patroni and PostgreSQL die at once; systemd is what brings them back."""
    run("docker", "exec", lab.container(primary), "pkill", "-KILL", "-u", "postgres", "-f", "patroni|postgres")
    return lambda: None


def node_pause(lab: Lab, primary: str, seconds: float) -> Undo:
    """The host freezes with its connections open, and comes back after `seconds`."""
    run("docker", "pause", lab.container(primary))
    time.sleep(seconds)
    run("docker", "unpause", lab.container(primary))
    return lambda: None


def switchover(lab: Lab, primary: str, _seconds: float) -> Undo:
    """A commanded switchover to the synchronous standby."""
    candidate = next(m["name"] for m in lab.patroni() if m["role"] == "sync_standby")
    lab.rest(primary, "POST", "/switchover", {"leader": primary, "candidate": candidate})
    return lambda: None


def blip(lab: Lab, primary: str, seconds: float) -> Undo:
    """The primary's host is cut off the network in both directions for `seconds`."""
    for chain in ("INPUT", "OUTPUT"):
        lab.netns(primary, "iptables", "-I", chain, "!", "-i" if chain == "INPUT" else "-o", "lo", "-j", "DROP")
    time.sleep(seconds)
    for chain in ("INPUT", "OUTPUT"):
        lab.netns(primary, "iptables", "-D", chain, "!", "-i" if chain == "INPUT" else "-o", "lo", "-j", "DROP")
    return lambda: None


FAULTS: dict[str, Callable[[Lab, str, float], Undo]] = {
    "node_kill": node_kill,
    "process_kill": process_kill,
    "node_pause": node_pause,
    "switchover": switchover,
    "blip": blip,
}


def resumed(writer: Writer, since: float) -> bool:
    """Whether writes have been acknowledged for a while after `since`."""
    later = [moment for moment in list(writer.ledger.acked.values()) if moment > since]
    return len(later) > 10 and later[-1] - later[0] > AFTER_S


def measure(lab: Lab, conninfo: str, fault: str, seconds: float) -> Outcome:
    """One run: whole → write → break → resume → undo → whole → read back."""
    wait_until("the cluster is whole", lab.whole)
    prepare(conninfo, TABLE)
    primary = lab.primary()
    writer = Writer(conninfo, TABLE, interval_s=0.005)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > BEFORE_S * 20, 30)
    injected = time.monotonic()
    undo = FAULTS[fault](lab, primary, seconds)
    try:
        wait_until("writes are back", lambda: resumed(writer, time.monotonic() - AFTER_S - 2), LONGEST_S)
    finally:
        undo()
    undone = time.monotonic()
    wait_until("the cluster is whole again", lab.whole)
    whole_again = time.monotonic() - undone
    time.sleep(1)
    writer.stop()
    writer.join(10)
    lost = set(writer.ledger.acked) - present(conninfo, TABLE)
    gap = writer.ledger.longest_gap(injected, time.monotonic())
    return Outcome(
        fault, round(gap, 2), len(writer.ledger.acked), len(lost), len(writer.ledger.errors),
        lab.primary() != primary, round(whole_again, 1),
    )  # fmt: skip


def main() -> int:
    """Run the fault as often as asked and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=sorted(FAULTS))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30, help="length of a pause or a blip")
    args = parser.parse_args()
    lab = Lab.load()
    conninfo = lab.conninfo()
    outcomes = []
    for _ in range(args.runs):
        outcomes.append(measure(lab, conninfo, args.fault, args.seconds))
        print(json.dumps(asdict(outcomes[-1])), flush=True)
    gaps = [outcome.gap_s for outcome in outcomes]
    print(json.dumps({
        "fault": args.fault, "seconds": args.seconds, "runs": len(gaps), "min_s": min(gaps),
        "median_s": round(statistics.median(gaps), 2), "max_s": max(gaps),
        "lost": sum(o.lost for o in outcomes), "failovers": sum(o.failover for o in outcomes),
    }))  # fmt: skip
    return 1 if any(outcome.lost for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
