"""Consul one release further, to the one that the inventory pins, under a KV writer; a broken configuration is refused
before anything restarts."""

from __future__ import annotations

import json

import pytest
from lab import run, wait_until
from rolling import acted, job, measure, results

OLD, NEW = "1.22.3", "1.22.5"
SERVERS = ("a1", "b1", "c1")
POISON = "/etc/systemd/system/consul.service.d/poison.conf"


def versions(lab):
    # As its own user: root in a container may not look into another user's process
    running = "runuser -u consul -- readlink /proc/$(pidof consul)/exe"
    return {host: lab.on(host, "sh", "-c", running).split("/")[-2] for host in SERVERS}


@pytest.fixture
def old_release(lab, playbook):
    """Consul on the release before, put there through the files and the engine: only tests go back."""
    both = [{"name": "consul", "version": version} for version in (OLD, NEW)]
    playbook("mirror", "-e", json.dumps({"mirror_artifacts": both}))
    playbook("site", "--tags", "consul", "-e", f"consul_version={OLD}")
    code, output = job("restart", "consul")
    assert code == 0, output[-2000:]
    wait_until("the old release runs", lambda: set(versions(lab).values()) == {OLD}, 60)
    yield
    job("upgrade", "consul")
    wait_until("the new release runs", lambda: set(versions(lab).values()) == {NEW}, 60)
    playbook("mirror")


@pytest.mark.usefixtures("old_release")
def test_broken_then_poisoned_then_done(lab, conninfo, unit_times):
    before = unit_times()
    broken = json.dumps({"consul_gossip": {"probe_interval": "a moment"}})
    code, output = job("upgrade", "consul", "-e", broken)
    assert code != 0
    assert "no member was touched" in output
    assert unit_times() == before

    # Only the new release refuses to start on the first member of the order: it goes back by itself.
    # Exit status 1 counts as success in this unit: it is how Consul ends on SIGTERM
    refuse = (
        f'[Service]\nExecStartPre=/bin/sh -c "if grep -q {NEW} /etc/systemd/system/consul.service; then exit 3; fi"\n'
    )
    for host in SERVERS:
        lab.on(host, "mkdir", "-p", POISON.rsplit("/", 1)[0])
        lab.on(host, "sh", "-c", f"printf '{refuse}' > {POISON} && systemctl daemon-reload")
    try:
        code, output = job("upgrade", "consul")
        assert code != 0
        assert "runs with what it had before" in output
        assert set(versions(lab).values()) == {OLD}
    finally:
        for host in SERVERS:
            lab.on(host, "sh", "-c", f"rm -f {POISON} && systemctl daemon-reload")

    outcome = measure(lab, conninfo, "consul", "upgrade")
    print({key: value for key, value in vars(outcome).items() if key != "output"})
    assert outcome.rc == 0, outcome.output[-3000:]
    assert outcome.lost == 0
    assert set(versions(lab).values()) == {NEW}
    handed = [
        host
        for task, host, state in results(outcome.output)
        if task == "Drain | Another server leads" and state == "changed"
    ]
    assert handed == outcome.acted[-1:]


def test_a_release_that_is_not_listed_is_refused(lab, unit_times):
    before = unit_times()
    code, output = job("upgrade", "consul", "-e", "version=1.99.0")
    assert code != 0
    assert "version" in output
    assert unit_times() == before
    assert acted(output) == []
    assert run("docker", "ps", "-q", "--filter", f"label=rsp.lab={lab.id}")
