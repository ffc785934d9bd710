"""The operating system is patched host by host, and only while every service on a host agrees."""

from __future__ import annotations

import pytest
from lab import run, wait_until


def boots(lab, host):
    return lab.on(host, "systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value")


def settled(lab, host):
    """Whether the host's Patroni answers again and the cluster is whole."""
    return lab.whole() and lab.on(host, "systemctl", "is-active", "consul", "patroni").split() == ["active", "active"]


@pytest.fixture
def rebootable(lab):
    """A container whose systemd reboots ends; the engine starts it again, as firmware would."""
    names = [lab.container(host) for host in ("a1", "b1", "c1")]
    for name in names:
        run("docker", "update", "--restart=unless-stopped", name)
    yield
    for name in names:
        run("docker", "update", "--restart=no", name)


def test_hosts_that_need_nothing_are_left_alone(job, unit_times):
    assert job("patch_os", "-e", "reboot=never")[0] == 0
    before = unit_times()
    code, said = job("patch_os", "-e", "reboot=needed")
    assert code == 0, said[-3000:]
    assert "order: []" in said
    assert unit_times() == before


def test_a_degraded_peer_refuses_with_the_reason(job, lab, unit_times):
    wait_until("the cluster is whole", lab.whole)
    lab.on("c1", "systemctl", "stop", "consul")
    try:
        before = {host: units for host, units in unit_times().items() if host != "c1"}
        code, said = job("patch_os", "-e", "members=a1", "-e", "reboot=always", "-e", "wait_s=5")
        assert code != 0
        assert "stopped at a1" in said
        assert "c1" in said.split("stopped at a1")[1]
        assert {host: units for host, units in unit_times().items() if host != "c1"} == before
    finally:
        lab.on("c1", "systemctl", "start", "consul")
    wait_until("Patroni sees Consul again", lab.whole)


def pending(lab, host):
    """A package with its older and its newest version; the older one is on the host now."""
    for name in ("libxslt1.1", "libxml2", "openssl"):
        rows = lab.on(host, "apt-cache", "madison", name).splitlines()
        offered = list(dict.fromkeys(row.split("|")[1].strip() for row in rows))
        if len(offered) > 1:
            lab.on(host, "apt-get", "-qq", "-y", "--allow-downgrades", "install", f"{name}={offered[-1]}")
            return name, offered[-1], offered[0]
    raise LookupError("apt offers one version of each package only: nothing can be pending")


def test_a_pending_package_is_installed_where_it_is_pending(job, lab, unit_times):
    wait_until("the cluster is whole", lab.whole)
    host = next(name for name in ("a1", "b1", "c1") if name != lab.primary())
    name, older, newest = pending(lab, host)
    asked = ("dpkg-query", "-W", "-f", "${Version}", name)
    before = {other: units for other, units in unit_times().items() if other != host}
    code, said = job("patch_os", "-e", "reboot=needed", "--check")
    assert code == 0, said[-3000:]
    assert (name in said, newest in said, lab.on(host, *asked)) == (True, True, older)
    code, said = job("patch_os", "-e", "reboot=needed")
    assert code == 0, said[-4000:]
    assert lab.on(host, *asked) == newest
    assert {other: units for other, units in unit_times().items() if other != host} == before
    wait_until("the cluster is whole", lab.whole)
    code, said = job("patch_os", "-e", "reboot=needed")
    assert code == 0, said[-3000:]
    assert "order: []" in said


def test_two_hosts_are_rebooted_the_leader_last(job, lab, rebootable):
    wait_until("the cluster is whole", lab.whole)
    leader = lab.primary()
    other = next(host for host in ("a1", "b1", "c1") if host != leader)
    third = next(host for host in ("a1", "b1", "c1") if host not in (leader, other))
    before = {host: boots(lab, host) for host in (leader, other, third)}
    code, said = job("patch_os", "-e", f"members={leader},{other}", "-e", "reboot=always")
    assert code == 0, said[-4000:]
    parts = said.split("TASK [Patch act | Reboot")[1:]
    turns = [next(line for line in part.splitlines() if line.startswith("changed: [")) for part in parts]
    assert [turn.split("[")[1].split("]")[0] for turn in turns] == [other, leader]
    after = {host: boots(lab, host) for host in before}
    assert {host for host in before if before[host] != after[host]} == {leader, other}
    wait_until("both are back", lambda: settled(lab, leader) and settled(lab, other))
    assert lab.primary() != leader
