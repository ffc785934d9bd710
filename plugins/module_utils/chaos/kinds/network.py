# SPDX-License-Identifier: Apache-2.0
"""Partition, packet loss and DNS failure, in a chain of their own: foreign rules are neither changed nor reordered.

Connections with this host's sshd return from the chain before anything else, so Ansible's way in is never cut.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import SSH_PORT, Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import PREFIX
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

PARENTS = {"both": ("INPUT", "OUTPUT"), "in": ("INPUT",), "out": ("OUTPUT",)}
TABLES = {4: "iptables", 6: "ip6tables"}
RESET = ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]
Rules = dict[str, list[list[str]]]


def partition(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
    """Nothing passes between this host and the peers: silently (DROP), or refused at once (REJECT)."""
    rules: Rules = {}
    for table, option, peer in _ends(params):
        verdicts = [["-j", "DROP"]] if params["action"] == "DROP" else [RESET, ["-j", "REJECT"]]
        rules.setdefault(table, []).extend([option, peer, *verdict] for verdict in verdicts)
    return _chain(rules, PARENTS[params["direction"]], look, fault)


def loss(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
    """A share of the packets is dropped, at random."""
    chance = ["-m", "statistic", "--mode", "random", "--probability", f"{params['percent'] / 100:.4f}", "-j", "DROP"]
    rules: Rules = {}
    for table, option, peer in _ends(params):
        rules.setdefault(table, []).append([option, peer, *chance])
    return _chain(rules, PARENTS[params["direction"]], look, fault)


def dns(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
    """No question for a name leaves this host."""
    rules: Rules = {table: [] for table in TABLES.values()}
    for own in rules.values():
        for port in params["ports"]:
            for protocol in ("udp", "tcp"):
                own.append(["-p", protocol, "--dport", str(port), "-j", params["action"]])
    return _chain(rules, ("OUTPUT",), look, fault)


def _ends(params: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(table, -s or -d, address) of each rule. Raises ChaosError for no peers or for what is no address."""
    if not params.get("peers"):
        raise ChaosError("there is no peer to be cut off from: a fault on nothing proves nothing")
    found = []
    for peer in params["peers"]:
        try:
            network = ipaddress.ip_network(peer, strict=True)
        except ValueError as err:
            raise ChaosError(f"peer {peer!r} is no address or network: {err}") from err
        if network.prefixlen == 0 or network.is_loopback:
            raise ChaosError(f"peer {peer} is everybody or this host itself")
        for option, way in (("-s", "in"), ("-d", "out")):
            if params["direction"] in (way, "both"):
                found.append((TABLES[network.version], option, str(network)))
    return found


def closed(peers: Sequence[str], port: int, look: Look, fault: str) -> FaultPlan:
    """Connections of the peers with a port of this host are reset; the reset that they answer with gets through."""
    rule = ["-p", "tcp", "--dport", str(port), "!", "--tcp-flags", "RST", "RST", *RESET[2:]]
    ends = _ends({"peers": peers, "direction": "in"})
    rules: Rules = {}
    for table, option, peer in ends:
        rules.setdefault(table, []).append([option, peer, *rule])
    return _chain(rules, PARENTS["in"], look, fault)


def _chain(rules: Rules, parents: Sequence[str], look: Look, fault: str) -> FaultPlan:
    tables = sorted(rules)
    missing = [table for table in tables if not look.has(table)]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} is not installed on this host")
    chain = f"{PREFIX}{fault}"
    clients = look.ssh_clients()
    spared = {table: [rule for client in clients for rule in _spare(table, client)] for table in tables}
    own = {"chain": chain, "tables": tables}
    return FaultPlan(
        inject=({"do": "chain", **own, "parents": list(parents), "rules": {t: spared[t] + rules[t] for t in tables}},),
        undo=({"do": "no_chain", **own},),
        fingerprint=({"see": "rules", **own},),
        effect=({"see": "packets", **own},),
        notes=(f"connections of {', '.join(clients) or 'nobody'} with port {SSH_PORT} are spared",),
    )


def _spare(table: str, client: str) -> list[list[str]]:
    if TABLES[ipaddress.ip_address(client).version] != table:
        return []
    port = str(SSH_PORT)
    return [
        ["-s", client, "-p", "tcp", "--dport", port, "-j", "RETURN"],
        ["-d", client, "-p", "tcp", "--sport", port, "-j", "RETURN"],
    ]


DIRECTION = Option(choices=tuple(PARENTS), default="both")
ACTION = Option(choices=("DROP", "REJECT"), default="DROP")
PEERS = Option(type="list", elements="str")
KINDS = (
    Kind(
        "partition",
        "Cuts a host off from peers.",
        {"direction": DIRECTION, "action": ACTION, "peers": PEERS},
        partition,
        network=True,
    ),
    Kind(
        "packet_loss",
        "Drops a share of the packets from and to peers.",
        {
            "direction": DIRECTION,
            "percent": Option(type="float", minimum=1, maximum=100, required=True),
            "peers": PEERS,
        },
        loss,
        network=True,
    ),
    Kind(
        "dns_failure",
        "Lets no question for a name leave the host.",
        {"action": ACTION, "ports": Option(type="list", elements="int", minimum=1, maximum=65535, default=[53])},
        dns,
    ),
)
