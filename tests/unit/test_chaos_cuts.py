"""Who can still talk to whom: the plans of cuts, run by a small model of iptables over the hosts of three zones.

The experiments of the library must leave a majority, and their negative controls must not: otherwise a control would
prove nothing but that its client was cut off.
"""

from __future__ import annotations

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import experiment_from
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, with_defaults
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import plan
from chaos_data import PLACES, experiment, host, setting, state

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = {place.name: place.address for place in PLACES}
NAME = {place.address: place.name for place in PLACES}
MEMBERS = ("a1", "b1", "c1")
CONTROLLER = "10.0.0.1"  # who has a connection with sshd in chaos_data.host
SERVICE_PORT = 8300
LIBRARY = {
    (service, name): data
    for service in ("consul", "postgresql")
    for name, data in yaml.safe_load((ROOT / f"roles/{service}/meta/chaos.yml").read_text(encoding="utf-8")).items()
}


class Network:
    """Packets between hosts, decided by the rules that faults put there."""

    def __init__(self):
        self.rules = {}  # host → chain of the kernel → rules in order

    def inject(self, target, found):
        """Take the rules of a plan."""
        for step in found.inject:
            assert step["do"] == "chain"
            for parent in step["parents"]:
                rules = [rule for table in step["tables"] for rule in step["rules"][table]]
                self.rules.setdefault(target, {}).setdefault(parent, []).extend(rules)

    def passes(self, source, target, port=SERVICE_PORT, *, answer=False):
        """Whether a packet from one address arrives at another; `answer`: the port is the source's."""
        packet = (source, target, port, answer)
        return self._chain(NAME.get(source), "OUTPUT", packet) and self._chain(NAME.get(target), "INPUT", packet)

    def talk(self, one, other, port=SERVICE_PORT):
        """Whether a connection can be made and answered, by name or address."""
        there, back = ADDRESS.get(one, one), ADDRESS.get(other, other)
        return self.passes(there, back, port) and self.passes(back, there, port, answer=True)

    def _chain(self, name, parent, packet):
        for rule in self.rules.get(name, {}).get(parent, []):
            if verdict := _verdict(rule, packet):
                return verdict == "RETURN"
        return True

    def largest_group(self, hosts=MEMBERS):
        """Size of the largest set of hosts that all talk with each other."""
        sizes = range(len(hosts), 0, -1)
        return next(
            size
            for size in sizes
            if any(all(self.talk(*pair) for pair in combinations(group, 2)) for group in combinations(hosts, size))
        )


def _verdict(rule, packet):
    """What a rule does to a packet; None: it does not match."""
    source, target, port, answer = packet
    words = iter(rule)
    verdict = None
    for word in words:
        if word == "-s" and ipaddress.ip_address(source) not in ipaddress.ip_network(next(words)):
            return None
        if word == "-d" and ipaddress.ip_address(target) not in ipaddress.ip_network(next(words)):
            return None
        if word == "--dport" and (answer or int(next(words)) != port):
            return None
        if word == "--sport" and (not answer or int(next(words)) != port):
            return None
        if word == "--probability" and float(next(words)) < 1:
            return None  # some packets pass: a bad line, but a line
        if word == "-j":
            verdict = next(words)
    return verdict


def cut(tmp_path, faults, targets=None, seen=None):
    """The network after the cuts of an experiment's faults."""
    made = experiment(faults=faults, **({"targets": targets} if targets else {}))
    return network_of(tmp_path, plan(made, setting(), seen or state(), "ab12cd34"))


def network_of(tmp_path, planned):
    """The network after the cuts among planned faults."""
    found = Network()
    for each in planned:
        kind = KINDS[each.arguments["kind"]]
        if kind.network and kind.name in ("partition", "packet_loss"):  # all others leave a line
            look = host(tmp_path / each.fault)
            found.inject(each.target, kind.plan(with_defaults(kind, each.arguments["params"]), look, each.fault))
    return found


def partition(**more):
    return [{"kind": "partition", "lease_s": 60, **more}]


def test_without_a_cut_everybody_talks():
    assert Network().largest_group() == 3


CUTS = {
    "the leader from the members": (partition(**{"from": "members"}), {"a1": {"ops"}}, 2),
    "one way, hears nothing": (partition(**{"from": "members", "direction": "in"}), {"a1": {"ops"}}, 2),
    "one way, says nothing": (partition(**{"from": "members", "direction": "out"}), {"a1": {"ops"}}, 2),
    "refused": (partition(**{"from": "members", "action": "REJECT"}), {"a1": {"ops"}}, 2),
    "the leader from everybody": (partition(**{"from": "others"}), {"a1": set()}, 2),
    "the leader's zone": (partition(**{"from": "other_zones"}), {"a1": set()}, 2),
    "only from clients": (partition(**{"from": "clients"}), {"a1": {"b1", "c1"}}, 3),
    "each for itself": (
        partition(**{"from": "each_other", "targets": {"role": "all"}}),
        {"a1": {"ops"}, "b1": {"ops"}, "c1": {"ops"}},
        1,
    ),
    "each for itself, one way": (
        partition(**{"from": "each_other", "direction": "in", "targets": {"role": "all"}}),
        {"a1": {"ops"}, "b1": {"ops"}, "c1": {"ops"}},
        1,
    ),
    "everything is lost between them": (
        [{"kind": "packet_loss", "percent": 100, "from": "each_other", "lease_s": 60, "targets": {"role": "all"}}],
        {"a1": {"ops"}, "b1": {"ops"}, "c1": {"ops"}},
        1,
    ),
    "a fifth is lost": (
        [{"kind": "packet_loss", "percent": 20, "from": "members", "lease_s": 60}],
        {"a1": {"b1", "c1", "ops"}},
        3,
    ),
    "two members on one side": (
        partition(**{"from": "members", "targets": {"role": "all", "count": 2}}),
        {"a1": {"b1", "ops"}, "b1": {"a1", "ops"}, "c1": {"ops"}},
        2,
    ),
    "a bridge: only the leader hears both": (
        partition(**{"from": "each_other", "targets": {"role": "replica"}}),
        {"a1": {"ops"}, "b1": {"ops"}},
        1,
    ),
}


@pytest.mark.parametrize("case", CUTS)
def test_who_can_still_talk(tmp_path, case):
    faults, expected, group = CUTS[case]
    network = cut(tmp_path, faults)
    if "bridge" in case:
        assert not network.talk("b1", "c1")
        assert network.talk("a1", "c1")
        return
    for name, friends in expected.items():
        assert {other for other in ADDRESS if other != name and network.talk(name, other)} == friends
    assert network.largest_group() == group


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_one_way_means_one_way(tmp_path, direction):
    network = cut(tmp_path, partition(**{"from": "members", "direction": direction}))
    arrives = network.passes(ADDRESS["b1"], ADDRESS["a1"])
    leaves = network.passes(ADDRESS["a1"], ADDRESS["b1"])
    assert (arrives, leaves) == {"in": (False, True), "out": (True, False), "both": (False, False)}[direction]
    assert network.passes(ADDRESS["b1"], ADDRESS["c1"])


@pytest.mark.parametrize("case", CUTS)
def test_ansible_keeps_its_way_in(tmp_path, case):
    network = cut(tmp_path, CUTS[case][0])
    for name in ADDRESS:
        assert network.talk(CONTROLLER, name, port=22), name


def test_a_controller_among_the_peers_keeps_only_ssh(tmp_path):
    """Who runs Ansible may be a host of the inventory: its ssh is spared, all else of it is cut."""
    kind = KINDS["partition"]
    found = kind.plan(with_defaults(kind, {"peers": [CONTROLLER]}), host(tmp_path), "x")
    network = Network()
    network.inject("a1", found)
    assert network.talk(CONTROLLER, "a1", port=22)
    assert not network.talk(CONTROLLER, "a1")


def test_the_planted_violation_without_the_spared_connection_ansible_is_cut_off(tmp_path):
    """The model would see it: rules without those of sshd's connections lock Ansible out."""
    kind = KINDS["partition"]
    alone = Look(lambda _argv: (0, "", ""), host(tmp_path).root)
    (tmp_path / "proc/net/tcp").write_text("  sl  local_address rem_address   st\n")
    network = Network()
    network.inject("a1", kind.plan(with_defaults(kind, {"peers": [CONTROLLER]}), alone, "x"))
    assert not network.talk(CONTROLLER, "a1", port=22)


@pytest.mark.parametrize("peers", [["0.0.0.0/0"], ["::/0"], ["127.0.0.1"], ["127.0.0.0/8"], ["::1"], [], ["b1"]])
def test_nobody_is_cut_off_from_everybody_or_from_itself(tmp_path, peers):
    kind = KINDS["partition"]
    with pytest.raises(ChaosError):
        kind.plan(with_defaults(kind, {"peers": peers}), host(tmp_path), "x")


# --- the library -------------------------------------------------------------------------------------------------


def gone(planned):
    """Members that a planned fault takes away whole, whatever the network does."""
    kinds = ("unit_stop", "process_kill", "process_pause", "host_kill", "host_pause")
    return {each.target for each in planned if each.arguments["kind"] in kinds}


def planned_of(service, name, control):
    containers = {place.name: f"rsp-x-{place.name}" for place in PLACES}
    where = setting(engine="localhost", containers=containers, unit="x.service")
    made = experiment_from(name, service, LIBRARY[service, name], control)
    return plan(made, where, state(), "ab12cd34")


def left_together(tmp_path, planned):
    """Size of the largest group of members that live and talk with each other."""
    network, dead = network_of(tmp_path, planned), gone(planned)
    alive = [name for name in MEMBERS if name not in dead]
    return network.largest_group(alive) if alive else 0


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_an_experiment_leaves_a_majority(tmp_path, service, name):
    assert left_together(tmp_path, planned_of(service, name, control=False)) >= 2


@pytest.mark.parametrize(("service", "name"), LIBRARY)
def test_its_control_leaves_none_or_switches_the_protection_off(tmp_path, service, name):
    planned = planned_of(service, name, control=True)
    settings = [each for each in planned if each.arguments["kind"] == "patroni_setting"]
    assert settings or left_together(tmp_path, planned) < 2


@pytest.mark.parametrize(("service", "name"), LIBRARY)
@pytest.mark.parametrize("control", [False, True])
def test_a_client_is_never_cut_off_from_all_members_alone(tmp_path, service, name, control):
    """An outage must come from the service, not from the client's own line."""
    planned = planned_of(service, name, control)
    network, dead = network_of(tmp_path, planned), gone(planned)
    alive = [member for member in MEMBERS if member not in dead]
    assert not alive or any(network.talk("ops", member) for member in alive)


def test_the_setting_that_protects_is_switched_off_where_somebody_can_switch_it_on_again():
    planned = planned_of("postgresql", "postgresql_primary_cut_from_standbys", control=True)
    [setting_fault] = [each for each in planned if each.arguments["kind"] == "patroni_setting"]
    broken = {each.target for each in planned if each is not setting_fault}
    assert setting_fault.target not in broken
    assert setting_fault.at_s == 0
    cut_off = next(each for each in planned if each.arguments["kind"] == "partition")
    dies = next(each for each in planned if each.arguments["kind"] == "host_kill")
    # Patroni looks every two seconds, and writes that nobody else has need some time to be made
    assert 0 < cut_off.at_s < dies.at_s
    assert cut_off.at_s >= 4
    assert dies.at_s - cut_off.at_s >= 5
    assert setting_fault.lease_s >= max(cut_off.lease_s, dies.lease_s)
