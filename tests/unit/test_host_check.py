"""Preflight on a member: what is read of it, and each problem planted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.host import Holder, Roots
from ansible_collections.rsp.platform.plugins.module_utils.host_check import (
    Demand,
    Problem,
    clock_problems,
    disk_problems,
    examine,
    memory_problems,
    os_problems,
    peer_problems,
    port_problems,
    refusal,
)

ACTIVE = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nMainPID=7\n"
STOPPED = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nMainPID=0\n"
DPKG = "postgresql-17\t17.6-0+deb13u1\tinstalled\nlibpq5\t17.6-0+deb13u1\tinstalled\npatroni\t4.0.7-1\tconfig-files\n"


def runner(units=STOPPED, dpkg=DPKG):
    def run(argv):
        if argv[0] == "dpkg-query":
            return 1, dpkg, "dpkg-query: no packages found matching nope\n"
        assert argv[:2] == ["systemctl", "show"]
        return 0, units, ""

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


def listening(roots, port, inode, table="tcp", state="0A"):
    row = f"   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
    put(roots.proc / "net" / table, "  sl  local_address rem_address st\n" + row)


def process(roots, pid, command, group, inode):
    put(roots.proc / str(pid) / "comm", f"{command}\n")
    put(roots.proc / str(pid) / "cgroup", group)
    (roots.proc / str(pid) / "fd").mkdir()
    (roots.proc / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
    (roots.proc / str(pid) / "fd" / "4").symlink_to("/dev/null")


# What is a problem


@pytest.mark.parametrize(("supported", "count"), [((), 0), (("debian-12", "debian-13"), 0), (("debian-12",), 1)])
def test_os_problems(supported, count):
    assert len(os_problems("debian-13", supported)) == count


@pytest.mark.parametrize(("minimum", "count"), [(0, 0), (1024, 0), (1025, 1)])
def test_memory_problems(minimum, count):
    problems = memory_problems(1024, minimum, "consul")
    assert len(problems) == count
    assert all(problem.variable == "consul_memory_min_mb" for problem in problems)


def test_disk_problems_name_the_path():
    problems = disk_problems({"/a": 10, "/b": 10}, {"/a": 10, "/b": 11}, "consul")
    assert [problem.what for problem in problems] == ["/b has 10 MiB free, 11 are needed"]


PORT = {"port": 8501, "unit": None, "variable": "consul_https_port"}
DEMAND = Demand("consul", units=("consul.service",), ports=(PORT,))
CONSUL = Holder(90, "consul", frozenset({"consul.service"}))
NGINX = Holder(91, "nginx", frozenset({"nginx.service"}))


@pytest.mark.parametrize(
    ("demand", "holders", "what"),
    [
        (DEMAND, {}, None),
        (DEMAND, {8501: CONSUL}, None),
        (DEMAND, {8501: NGINX}, "port 8501 is held by nginx (pid 91), not by consul.service"),
        (DEMAND, {8501: Holder(0, "somebody")}, "port 8501 is held by somebody, not by consul.service"),
        (replace(DEMAND, ports=({**PORT, "unit": "nginx.service"},)), {8501: NGINX}, None),
        (replace(DEMAND, ports=({**PORT, "unit": "nginx.service"},)), {8501: CONSUL}, "not by nginx.service"),
        (replace(DEMAND, units=()), {8501: CONSUL}, "not by this service"),
    ],
)
def test_port_problems(demand, holders, what):
    problems = port_problems(demand, holders)
    if what is None:
        assert problems == []
    else:
        assert what in problems[0].what
        assert problems[0].variable == "consul_https_port"


@pytest.mark.parametrize(
    ("holder", "running", "problems"),
    [
        (Holder(0, "hidden"), {"consul.service"}, 0),
        (Holder(0, "hidden"), {"nginx.service"}, 1),
        (Holder(0, "hidden"), set(), 1),
        (NGINX, {"consul.service"}, 1),
    ],
)
def test_a_hidden_holder_is_the_unit_that_runs(holder, running, problems):
    assert len(port_problems(DEMAND, {8501: holder}, running)) == problems


@pytest.mark.parametrize(
    ("member", "asked", "answered", "what"),
    [
        (100, 100, 100, None),
        (95, 100, 101, None),
        (106, 100, 101, None),
        (150, 100, 158, None),
        (94, 100, 101, "at least 6 s behind the controller's, 5 s are allowed"),
        (107, 100, 101, "at least 6 s ahead of the controller's, 5 s are allowed"),
    ],
)
def test_clock_problems_know_a_slow_connection_from_a_skew(member, asked, answered, what):
    problems = clock_problems(member, asked, answered, allowed_s=5)
    assert len(problems) == (what is not None)
    assert all(what in problem.what for problem in problems)


def test_peer_problems():
    assert peer_problems([("10.0.0.9", "Network is unreachable")], "consul")[0].variable == "consul_members"


def test_a_problem_is_one_line_with_variable_and_fix():
    assert str(Problem("too small", "x_mb", "grow it")) == "x_mb  too small → grow it"
    assert str(Problem("too small", "", "grow it")) == "too small → grow it"


# All of it


def test_a_host_that_can_carry_the_service(roots, tmp_path):
    demand = Demand(
        "postgresql",
        packages=("postgresql-17", "patroni"),
        units=("patroni.service",),
        paths=(str(tmp_path), str(tmp_path / "nothing")),
        ports=({"port": 5432, "unit": None, "variable": None},),
        memory_min_mb=4096,
        disk_min_mb={str(tmp_path): 1},
        peers=("127.0.0.1",),
        controller_epoch=1000.0,
        os_supported=("debian-13",),
    )
    result = examine(demand, runner(), roots, now=1001.0)
    assert result.pop("cpus") >= 1
    assert result.pop("disk_free_mb")[str(tmp_path)] >= 1
    assert result == {
        "missing_packages": ["patroni"],
        "versions": {"postgresql-17": "17.6-0+deb13u1", "libpq5": "17.6-0+deb13u1"},
        "units": {"patroni.service": {"active": False, "enabled": False}},
        "paths": {str(tmp_path): True, str(tmp_path / "nothing"): False},
        "memory_mb": 4096,
        "os": "debian-13",
        "fresh": True,
        "problems": [],
        "epoch": 1001.0,
    }


def test_a_host_with_a_running_unit_is_not_fresh(roots):
    assert not examine(DEMAND, runner(units=ACTIVE), roots, now=0)["fresh"]


def test_all_problems_come_at_once(roots, tmp_path):
    listening(roots, 8501, 4711)
    process(roots, 91, "nginx", "0::/system.slice/nginx.service\n", 4711)
    demand = replace(
        DEMAND,
        memory_min_mb=9999,
        disk_min_mb={str(tmp_path): 1 << 40},
        peers=("no-such-host.invalid",),
        controller_epoch=9999.0,
        os_supported=("debian-12",),
    )
    result = examine(demand, runner(), roots, now=0)
    assert len(result["problems"]) == 6
    first, *lines = refusal("consul", result["problems"]).splitlines()
    assert first == "consul: this host cannot carry it, nothing was changed"
    assert len(lines) == 6
    assert all(line.startswith("  ") and "→" in line for line in lines)
    assert all(set(problem) == {"what", "variable", "fix"} for problem in result["problems"])


def test_it_only_reads(roots, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    examine(replace(DEMAND, paths=("/x",), disk_min_mb={str(tmp_path / "new"): 1}), runner(), roots, now=0)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path(tmp_path / "new").exists()
