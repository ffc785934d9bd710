"""What a member has, read from trees of its own."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import host
from ansible_collections.rsp.platform.plugins.module_utils.host import HostError, Roots

MIB = 1 << 20
DPKG = "postgresql-17\t17.6-0+deb13u1\tinstalled\nlibpq5\t17.6-0+deb13u1\tinstalled\npatroni\t4.0.7-1\tconfig-files\n"


def runner(dpkg=DPKG, error="dpkg-query: no packages found matching nope\n"):
    def run(argv):
        assert argv[0] == "dpkg-query"
        return 1, dpkg, error

    return run


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def roots(tmp_path):
    """A host of 4 GiB without control groups' limits, that listens nowhere."""
    put(tmp_path / "proc" / "meminfo", f"MemTotal: {4096 * 1024} kB\nMemFree: 1 kB\n")
    put(tmp_path / "os-release", 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n')
    put(tmp_path / "proc" / "1" / "cgroup", "0::/\n")
    return Roots(tmp_path / "proc", tmp_path / "cgroup", tmp_path / "os-release")


def test_os_name(roots):
    assert host.os_name(roots) == "debian-13"


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["postgresql-17", "libpq5"], []),
        (["nope"], ["nope"]),
        (["patroni"], ["patroni"]),
        (["postgresql-17=17.6-0+deb13u1"], []),
        (["postgresql-17=17.6*"], []),
        (["postgresql-17=17.5*"], ["postgresql-17=17.5*"]),
    ],
)
def test_missing_packages(wanted, missing):
    found, versions = host.packages(runner(), wanted)
    assert found == missing
    assert versions == {"postgresql-17": "17.6-0+deb13u1", "libpq5": "17.6-0+deb13u1"}


def test_no_package_is_no_question():
    assert host.packages(lambda argv: pytest.fail("asked"), []) == ([], {})


def test_nothing_installed_is_an_answer():
    assert host.packages(runner(dpkg=""), ["nope"]) == (["nope"], {})


def test_a_package_manager_that_does_not_answer_is_an_error():
    with pytest.raises(HostError, match="database is locked"):
        host.packages(runner(dpkg="", error="dpkg-query: error: database is locked"), ["nope"])


V1 = "12:memory:/docker/abc/init.scope\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"
NONE_V1 = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("group", "files", "megabytes"),
    [
        ("0::/\n", {}, 4096),
        ("0::/docker/abc\n", {"docker/abc/memory.max": f"{512 * MIB}\n"}, 512),
        ("0::/docker/abc/init.scope\n", {"docker/abc/memory.max": f"{512 * MIB}\n"}, 512),
        ("0::/docker/abc\n", {"docker/abc/memory.max": "max\n"}, 4096),
        ("0::/a/b\n", {"a/memory.max": f"{256 * MIB}\n", "a/b/memory.max": f"{512 * MIB}\n"}, 256),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": f"{768 * MIB}\n"}, 768),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": NONE_V1, "memory/memory.limit_in_bytes": NONE_V1}, 4096),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": f"{8192 * MIB}\n"}, 4096),
    ],
)
def test_memory_is_the_smallest_limit_around_the_host(roots, group, files, megabytes):
    put(roots.proc / "1" / "cgroup", group)
    for name, text in files.items():
        put(roots.cgroup / name, text)
    assert host.memory_mb(roots) == megabytes


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"docker/abc/cpu.max": "150000 100000\n"}, 1),
        ({"docker/abc/cpu.max": "20000 100000\n"}, 1),
        ({"docker/abc/cpu.max": "400000 100000\n"}, 4),
        ({"docker/abc/cpu.max": "max 100000\n"}, 8),
        ({"docker/cpu.max": "200000 100000\n", "docker/abc/cpu.max": "400000 100000\n"}, 2),
        (
            {
                "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"},
            8,
        ),
    ],
)
def test_cpus_are_a_quota_rounded_down(roots, monkeypatch, files, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    put(roots.proc / "1" / "cgroup", V1)
    for name, text in files.items():
        put(roots.cgroup / name, text)
    assert host.cpus(roots) == cpus


def test_free_space_of_a_path_that_does_not_exist_yet(tmp_path):
    assert host.free_mb(str(tmp_path / "not" / "yet")) == host.free_mb(str(tmp_path)) > 0


def listening(roots, port, inode, table="tcp", state="0A"):
    row = f"   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
    put(roots.proc / "net" / table, "  sl  local_address rem_address st\n" + row)


def process(roots, pid, command, group, inode):
    put(roots.proc / str(pid) / "comm", f"{command}\n")
    put(roots.proc / str(pid) / "cgroup", group)
    (roots.proc / str(pid) / "fd").mkdir()
    (roots.proc / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
    (roots.proc / str(pid) / "fd" / "4").symlink_to("/dev/null")


@pytest.mark.parametrize("table", ["tcp", "tcp6"])
def test_the_holder_of_a_port_is_known_with_its_unit(roots, table):
    listening(roots, 8501, 4711, table)
    process(roots, 90, "consul", "1:name=systemd:/docker/abc/system.slice/consul.service\n0::/docker/abc\n", 4711)
    holder = host.listeners(roots, [8500, 8501])[8501]
    assert (holder.pid, holder.command, "consul.service" in holder.units) == (90, "consul", True)


def test_a_connection_from_a_port_is_no_listener(roots):
    listening(roots, 8501, 4711, state="01")
    assert host.listeners(roots, [8501]) == {}


def test_a_holder_that_is_not_visible_is_still_a_holder(roots):
    listening(roots, 8501, 4711)
    assert host.listeners(roots, [8501])[8501].pid == 0


def test_a_real_listener_of_this_process_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert host.listeners(Roots(), [port])[port].pid == os.getpid()


def test_unreachable_peers_are_named_and_reachable_ones_are_not():
    assert [peer for peer, _ in host.unreachable(["127.0.0.1", "no-such-host.invalid"])] == ["no-such-host.invalid"]
