"""Failures under a plain client: nothing acknowledged is lost, writes come back, a run afterwards changes nothing.

Times are measured and printed; tests/bench/outage.py makes the figures of docs/benchmarks.md.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from ipaddress import ip_network

import pytest
from lab import run, wait_until
from ledger import Writer, prepare, present
from outage import TABLE, measure, resumed

CUT = "RSP-ZONE-CUT"


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


def sides(lab, host):
    """What a zone can be cut off from: the networks of all others, and the hosts that are inside."""
    names = run("docker", "ps", "--filter", f"label=rsp.lab={lab.id}", "--format", "{{.Names}}").split()
    hosts = [name.removeprefix(f"rsp-{lab.id}-") for name in names]
    networks = {host: ip_network(f"{lab.address(host)}/24", strict=False) for host in hosts}
    inside = [name for name, network in networks.items() if network == networks[host]]
    return sorted(set(networks.values()) - {networks[host]}), inside


def heal(lab, host):
    """Take the cut away as far as it is there."""
    for words in (("-D", "INPUT", "-j", CUT), ("-D", "OUTPUT", "-j", CUT), ("-F", CUT), ("-X", CUT)):
        with suppress(RuntimeError):
            lab.netns(host, "iptables", "-w", *words)


@contextmanager
def cut_off(lab, hosts, networks):
    """Drop every packet between hosts and networks, in a chain of its own in the hosts' network namespaces."""
    try:
        for host in hosts:
            heal(lab, host)  # what a killed run left
            lab.netns(host, "iptables", "-w", "-N", CUT)
            for network in networks:
                lab.netns(host, "iptables", "-w", "-A", CUT, "-s", str(network), "-j", "DROP")
                lab.netns(host, "iptables", "-w", "-A", CUT, "-d", str(network), "-j", "DROP")
            for chain in ("INPUT", "OUTPUT"):
                lab.netns(host, "iptables", "-w", "-I", chain, "-j", CUT)
        yield
    finally:
        for host in hosts:
            heal(lab, host)
    left = [host for host in hosts if CUT in lab.netns(host, "iptables", "-w", "-S")]
    assert left == []


def takes_no_writes(lab, host):
    """Whether a member's own PostgreSQL is in recovery, or lets nobody in: a stop waits for the archiver, which can't
    reach its repositories either. Asked on the member itself.
    """
    question = ("psql", "--no-psqlrc", "-Atc", "SELECT pg_is_in_recovery()")
    try:
        return lab.on(host, "runuser", "-u", "postgres", "--", *question) == "t"
    except RuntimeError as error:
        return "connection to server" in str(error)


def test_a_zone_is_cut_off(lab, conninfo):
    """The primary's zone loses the network to all others and lives on: the rest stays writable, it steps down."""
    wait_until("the cluster is whole", lab.whole)
    prepare(conninfo, TABLE)
    host = lab.primary()
    others, inside = sides(lab, host)
    assert host in inside
    assert len(others) == 3
    writer = Writer(conninfo, TABLE, interval_s=0.01)
    writer.start()
    try:
        wait_until("the writer writes", lambda: len(writer.ledger.acked) > 50, 30)
        with cut_off(lab, inside, others):
            cut = time.monotonic()
            wait_until("writes are back", lambda: resumed(writer, cut + 1), 90)
            other = next(name for name in lab.services["consul"]["members"] if name not in inside)
            assert lab.consul_put(other, "rsp/smoke/zone-cut", "written") is True
            wait_until("the old primary takes no writes", lambda: takes_no_writes(lab, host), 60)
            assert writer.ledger.longest_gap(cut, time.monotonic()) > 1, "the cut was not felt"
        wait_until("the cluster is whole again", lab.whole)
        time.sleep(1)
    finally:
        writer.stop()
        writer.join(10)
    assert set(writer.ledger.acked) <= present(conninfo, TABLE)
    assert lab.primary() != host
