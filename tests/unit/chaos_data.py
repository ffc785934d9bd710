"""Data for the tests of chaos: states, places, an experiment, a fake host and fake machines of a run."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import experiment_from
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Clock
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import HostError, Setting
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import Place
from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState

ZONES = {"a1": "a", "b1": "b", "c1": "c", "ops": "m"}
PLACES = [Place(name, f"10.0.{n}.11", zone) for n, (name, zone) in enumerate(ZONES.items())]
SPAN = 10**9
LIMITS = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024      4096      files\n"

GOOD = {
    "title": "The leader's process is killed",
    "hypothesis": "Another server leads within seconds",
    "targets": {"role": "leader"},
    "faults": [{"kind": "process_kill", "lease_s": 30}],
    "hold_s": 10,
    "recover_s": 20,
    "load": {"writers": 1, "rate": 100},
    "abort": [{"kind": "no_writes_s", "above": 30}],
    "expect": {"lost": 0, "client_rto_s": 8, "redundancy_rto_s": 60},
    "control": {"without": "a majority", "faults": [{"kind": "unit_stop", "lease_s": 30, "targets": {"role": "all"}}]},
}


def experiment(control=False, **changes):
    return experiment_from("leader_killed", "consul", {**GOOD, **changes}, control)


def member(name, role="voter", **changes):
    defaults = {"zone": ZONES.get(name), "healthy": True, "lag": 0, "in_sync": True}
    return Member(name, f"10.0.0.{ord(name[0])}", role, **{**defaults, **changes})


def state(*members, leader="a1", **changes):
    members = members or (member("a1", "leader"), member("b1"), member("c1"))
    return ServiceState("consul", "rsp-test-dc1", tuple(members), leader, **changes)


def sick(name):
    whole = state()
    return replace(whole, members=tuple(replace(m, healthy=False) if m.name == name else m for m in whole.members))


def setting(**changes):
    defaults = {
        "places": PLACES,
        "members": ["a1", "b1", "c1"],
        "info": {"service": "consul", "connection": {"url": "https://{address}:8501"}},
        "client": "ops",
        "ledger": {"driver": "consul", "servers": ["10.0.0.11:8501"], "members": {}, "ca_path": "/ca", "token": "t"},
        "policy": Policy("local"),
        "unit": "consul.service",
        "fill": {"path": "/x.crt", "units": ["x.service"], "ca_path": "/ca.crt", "port": 8501, "protocol": "tls"},
        "issue": lambda host, kind: f"{kind} of {host}",
    }
    return Setting(**{**defaults, **changes})


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self):
        self.t = 100.0
        self.clock = Clock(lambda: self.t, self.sleep, lambda: f"2026-01-01T00:00:{self.t:06.2f}+00:00")

    def sleep(self, seconds):
        self.t += seconds


class Machines:
    """Hosts of a run. `fail` maps (module, state or host) to the error, or to a function of the arguments."""

    def __init__(self, time, **options):
        self.time, self.calls, self.began = time, [], time.t
        self.fail = options.pop("fail", {})
        self.states = options.pop("states", None) or [state()]
        self.effective = options.pop("effective", True)
        self.undone = options.pop("undone", {"undone": True, "wrong": []})
        self.lost = set(options.pop("lost", ()))
        self.silent = options.pop("silent", None)  # no acknowledgement between these moments
        self.stopped = options.pop("stopped", None)  # since when the key does not say go
        self.probe = options.pop("probe", {"holds": False})

    def call(self, host, module, arguments):
        self.calls.append((self.time.t, host, module, dict(arguments)))
        self.time.t += 0.01
        for key in ((module, arguments.get("state")), (module, host), (host,)):
            if key in self.fail:
                error = self.fail[key]
                error = error(arguments) if callable(error) else error
                if error:
                    raise HostError(error)
        return getattr(self, f"_{module}")(arguments)

    def verbs(self, module="chaos_fault"):
        return [(host, arguments.get("state")) for _t, host, name, arguments in self.calls if name == module]

    def _service_info(self, _arguments):
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"state": found.as_dict()}

    def _chaos_fault(self, arguments):
        if arguments["state"] == "proved":
            return {"effective": self.effective, "seen": ["somebody looked"]}
        if arguments["state"] == "undone":
            return {"changed": True, **self.undone}
        return {"changed": True, "plan": {"inject": [], "undo": []}}

    def _chaos_info(self, _arguments):
        return {"stopped": self.stopped and self.time.t >= self.stopped}

    def _chaos_probe(self, _arguments):
        return self.probe

    def _chaos_workload(self, arguments):
        if arguments["state"] == "started":
            self.began = self.time.t
        if arguments["state"] in ("started", "status"):
            acked = [end for _start, end in self._writes()]
            return {"running": True, "now": self.time.t, "last_ack": acked[-1] if acked else None}
        if arguments["state"] == "read":
            lines = [
                {"t": SPAN + n, "s": s, "e": e, "o": "ok", "c": ""} for n, (s, e) in enumerate(self._writes(), start=1)
            ]
            there = [line["t"] for line in lines if line["t"] not in self.lost]
            return {"operations": lines, "client": there, "members": {"a1": there}, "reads": [], "errors": {}}
        return {"changed": True}

    def _writes(self):
        moment, found = self.began, []
        while moment + 0.005 < self.time.t:
            if self.silent is None or not self.silent[0] <= moment < self.silent[1]:
                found.append((moment, moment + 0.004))
            moment += 0.05
        return found


def tree(root, files):
    """Files below a directory."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def stat(pid, start, comm="consul", parent=1, letter="S"):
    fields = [letter, str(parent), *["0"] * 17, str(start), "0"]
    return f"{pid} ({comm}) {' '.join(fields)}\n"


def host(root, run=None, **files):
    """A host with two processes of consul.service (one with a hard name), one of another unit, iptables and sshd."""
    tree(
        root,
        {
            "proc/10/stat": stat(10, 500),
            "proc/10/cgroup": "5:cpu,cpuacct:/\n1:name=systemd:/system.slice/consul.service\n",
            "proc/11/stat": stat(11, 600, "a) (b", parent=10),
            "proc/11/cgroup": "0::/system.slice/consul.service\n",
            "proc/20/stat": stat(20, 400, "sshd"),
            "proc/20/cgroup": "0::/system.slice/ssh.service\n",
            "proc/10/limits": LIMITS,
            "proc/11/limits": LIMITS,
            "proc/net/tcp": "  sl  local_address rem_address   st\n"
            "   0: 0B00000A:0016 0100000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 1\n"
            "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2\n",
            "proc/self/mountinfo": "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/x\n"
            "2 1 0:2 / /tmp rw - tmpfs tmpfs rw\n3 1 0:3 / /data rw - tmpfs tmpfs rw,size=65536k\n"
            "4 1 8:1 /sub /bind rw - ext4 /dev/sda1 rw\n5 1 8:2 / /disk rw - ext4 /dev/sdb1 rw\n",
            "usr/sbin/iptables": "",
            "usr/sbin/ip6tables": "",
            **files,
        },
    )
    for folder in ("data", "bind", "disk", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    return Look(run or (lambda _argv: (0, "", "")), root, lambda _pid: None)
