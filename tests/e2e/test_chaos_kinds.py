"""Kinds of faults that no experiment of the library has, seen by somebody else, and whatever is left being found."""

from __future__ import annotations

import contextlib
import urllib.request
from pathlib import Path

import pytest
from breaking import left, module, recover
from lab import wait_until

pytestmark = pytest.mark.usefixtures("tools", "whole_before_and_clean_after")
PLACE = "/run/rsp-e2e-disk"
ANSWERS = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53))\n"
    "while True: s.sendto(b'here', s.recvfrom(99)[1])"
)
ASKS = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
    "try: s.sendto(b'who', (sys.argv[1], 53)); print(s.recv(9).decode())\nexcept OSError: print('nobody')"
)
# Version 1 of control groups has nothing that slows a unit down and could be proved
OLD_GROUPS = Path("/sys/fs/cgroup/memory").is_dir()


def states(name, kind, host="c1", **params):
    """Inject a fault by hand; gives its proof and takes it back when called the second and third time."""
    found = module(host, "chaos_fault", fault=name, state="injected", kind=kind, ttl_s=300, params=params)
    assert found.get("changed"), found
    yield found
    yield module(host, "chaos_fault", fault=name, state="proved")
    undone = module(host, "chaos_fault", fault=name, state="undone")
    assert undone["undone"], undone
    yield undone


def test_no_question_for_a_name_leaves_the_host(lab):
    """Whoever answers on port 53 of another host, a question of the victim's does not get there."""
    [server, *_] = lab.on("ops", "hostname", "-I").split()
    lab.on("ops", "systemd-run", "--unit=rsp-e2e-names", "-p", "RuntimeMaxSec=300", "python3", "-c", ANSWERS)
    try:

        def asked():
            return lab.on("c1", "python3", "-c", ASKS, server).strip()

        wait_until("somebody answers", lambda: asked() == "here", 20)
        fault = states("e2e-20", "dns_failure")
        next(fault)
        assert asked() == "nobody"
        assert next(fault)["effective"]
        next(fault)
        assert asked() == "here"
    finally:
        lab.on("ops", "systemctl", "stop", "rsp-e2e-names")


def test_a_server_that_may_open_no_file_takes_no_new_client(lab):
    """A server of root's: the lab's containers let nobody change the limits of another user's process."""
    [address, *_] = lab.on("c1", "hostname", "-I").split()
    serve = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "18098"]
    lab.on(
        "c1", "systemd-run", "--unit=rsp-e2e-files", "-p", "RuntimeMaxSec=600", "-p", "LimitNOFILE=1024:4096", *serve
    )

    def answers():
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{address}:18098/etc/hostname", timeout=3).close()
            return True
        return False

    def limit():
        pid = lab.on("c1", "systemctl", "show", "-P", "MainPID", "rsp-e2e-files").strip()
        return lab.on("c1", "grep", "open files", f"/proc/{pid}/limits").split()[3:5]

    try:
        wait_until("it answers", answers, 20)
        fault = states("e2e-21", "fd_exhaustion", unit="rsp-e2e-files.service", soft=3)
        next(fault)
        assert not answers()
        assert next(fault)["effective"]
        assert limit() == ["3", "4096"]
        next(fault)
        wait_until("it answers", answers, 30)
        assert limit() == ["1024", "4096"]
    finally:
        lab.on("c1", "systemctl", "stop", "rsp-e2e-files")


def test_limits_that_may_not_be_changed_are_refused_before_anything_is_armed(lab):
    params = {"unit": "consul.service", "soft": 8}
    found = module("c1", "chaos_fault", fault="e2e-27", state="injected", kind="fd_exhaustion", ttl_s=30, params=params)
    assert found["failed"]
    assert "CAP_SYS_RESOURCE" in found["msg"]
    assert left(lab, "c1") == []


def test_a_file_system_of_its_own_fills_up_to_the_floor_and_is_as_it_was(lab):
    lab.on("c1", "sh", "-c", f"mkdir -p {PLACE} && mount -t tmpfs -o size=64m none {PLACE} && echo kept > {PLACE}/kept")

    def free():
        return int(lab.on("c1", "stat", "-f", "-c", "%a * %S", PLACE).split()[0]) * 4096 >> 20

    try:
        before = free()
        fault = states("e2e-22", "disk_fill", path=PLACE, floor_mb=16)
        next(fault)
        assert free() == 16
        assert next(fault)["effective"]
        next(fault)
        assert (free(), lab.on("c1", "ls", "-A", PLACE).split()) == (before, ["kept"])
    finally:
        lab.on("c1", "sh", "-c", f"umount {PLACE}; rmdir {PLACE}")


@pytest.mark.skipif(not OLD_GROUPS, reason="this machine has version 2 of control groups")
@pytest.mark.parametrize(
    ("kind", "params"), [("memory_pressure", {"mb": 64}), ("io_pressure", {"device": "8:0", "kb_per_s": 64})]
)
def test_pressure_that_nobody_could_prove_is_refused(lab, kind, params):
    params = {"unit": "consul.service", **params}
    found = module("c1", "chaos_fault", fault="e2e-23", state="injected", kind=kind, ttl_s=30, params=params)
    assert found["failed"]
    assert "version 1 of control groups" in found["msg"]
    assert left(lab, "c1") == []


def test_whatever_is_left_on_any_host_is_found_and_undone_without_any_memory_of_it(lab):
    rules = {host: lab.on(host, "iptables", "-S") for host in ("b1", "c1")}
    for name, host, kind, params in (
        ("e2e-24", "c1", "unit_stop", {"unit": "consul.service"}),
        ("e2e-25", "c1", "partition", {"peers": ["192.0.2.7"]}),
        ("e2e-26", "b1", "packet_loss", {"peers": ["192.0.2.7"], "percent": 50}),
    ):
        found = module(host, "chaos_fault", fault=name, state="injected", kind=kind, ttl_s=900, params=params)
        assert found.get("changed"), found
    recover()
    assert [left(lab, host) for host in ("b1", "c1")] == [[], []]
    assert {host: lab.on(host, "iptables", "-S") for host in rules} == rules
    assert lab.on("c1", "systemctl", "is-active", "consul.service") == "active"
