"""Failures under a plain client: nothing acknowledged is lost, writes come back, a run afterwards changes nothing.

Times are measured and printed; tests/bench/outage.py makes the figures of docs/benchmarks.md.
"""

from __future__ import annotations

import time

import pytest
from lab import run, wait_until
from ledger import Writer, prepare, present
from outage import TABLE, measure, resumed


@pytest.mark.parametrize(
    ("fault", "seconds", "moves"),
    [
        ("switchover", 0, True),
        ("blip", 4, False),
        ("process_kill", 0, None),
        ("node_pause", 25, True),
        ("node_kill", 0, True),
    ],
)
def test_the_primary_fails(lab, conninfo, fault, seconds, moves):
    outcome = measure(lab, conninfo, fault, seconds)
    print(outcome)
    assert outcome.acked > 100
    assert outcome.lost == 0
    assert moves is None or outcome.failover is moves


def test_a_run_after_the_failovers_changes_nothing(lab, playbook):
    wait_until("the cluster is whole", lab.whole)
    primary = lab.primary()
    _, changes = playbook("site")
    assert changes == []
    assert lab.primary() == primary


def test_a_zone_is_off(lab, conninfo):
    """All containers of the primary's zone stop answering: PostgreSQL and Consul stay writable."""
    wait_until("the cluster is whole", lab.whole)
    prepare(conninfo, TABLE)
    host = lab.primary()
    writer = Writer(conninfo, TABLE, interval_s=0.01)
    writer.start()
    wait_until("the writer writes", lambda: len(writer.ledger.acked) > 50, 30)
    run("docker", "pause", lab.container(host))
    try:
        wait_until("writes are back", lambda: resumed(writer, time.monotonic() - 6), 60)
        other = next(name for name in lab.services["consul"]["members"] if name != host)
        assert lab.consul_put(other, "rsp/smoke/zone-off", "written") is True
    finally:
        run("docker", "unpause", lab.container(host))
    wait_until("the cluster is whole again", lab.whole)
    writer.stop()
    writer.join(10)
    assert set(writer.ledger.acked) <= present(conninfo, TABLE)
