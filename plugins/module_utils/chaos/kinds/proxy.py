# SPDX-License-Identifier: Apache-2.0
"""A slow, narrow or breaking line: toxiproxy in the path of a port of this host, proved by the bytes that it carried.

New connections of the peers are redirected to the proxy, old ones are reset once so that they come back through it. The
proxy itself speaks with the port from this host, so the rules never meet it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.network import PEERS, closed
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import SSH_PORT, Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import PREFIX
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

WHERE, PROGRAM, PORTS = "opt/rsp/toxiproxy", "toxiproxy-server", range(21000, 21200)
IPV4 = 4
STREAMS = {"both": ("upstream", "downstream"), "upstream": ("upstream",), "downstream": ("downstream",)}
Toxic = Callable[[Mapping[str, Any]], dict[str, int]]


def _plan(toxic: str, attributes: Toxic) -> Any:
    def plan(params: Mapping[str, Any], look: Look, fault: str) -> FaultPlan:
        program = _program(look)
        port, address = params.get("port"), params.get("address")
        if not port or not address:
            raise UnavailableError("this service does not say where it listens")
        if port == SSH_PORT:
            raise ChaosError("the port of sshd is Ansible's way in: refused")
        if ipaddress.ip_address(address).version != IPV4:
            raise UnavailableError("a proxy is put in the path of IPv4 only")
        peers = [str(ipaddress.ip_network(peer)) for peer in params.get("peers") or ()]
        if any(ipaddress.ip_network(peer).version != IPV4 for peer in peers):
            raise UnavailableError("a proxy is put in the path of IPv4 only")
        listen, api = _free(look)
        unit, chain = f"rsp-chaos-{fault}.service", f"{PREFIX}{fault}"
        toxics = [
            {"name": f"{toxic}_{stream}", "type": toxic, "stream": stream, "toxicity": 1.0,
             "attributes": attributes(params)}
            for stream in STREAMS[params["stream"]]
        ]  # fmt: skip
        proxy = {"unit": unit, "api": api, "name": fault}
        rules = [
            ["-s", peer, "-d", address, "-p", "tcp", "--dport", str(port), "-j", "REDIRECT", "--to-ports", str(listen)]
            for peer in peers
        ]
        cut = closed(peers, port, look, fault)
        argv = [program, "-host", "127.0.0.1", "-port", str(api), "-proxy-metrics"]
        return FaultPlan(
            inject=(
                {"do": "proxy", **proxy, "argv": argv, "listen": f"0.0.0.0:{listen}", "upstream": f"{address}:{port}",
                 "toxics": toxics},
                {"do": "redirect", "chain": chain, "rules": rules},
                *cut.inject,
            ),
            # The proxy first: connections that go through it are told that they end while the kernel still knows them.
            undo=({"do": "no_proxy", "unit": unit}, {"do": "no_redirect", "chain": chain}, *cut.undo),
            fingerprint=(*cut.fingerprint, {"see": "redirected", "chain": chain}, {"see": "unit", "unit": unit}),
            effect=({"see": "proxied", "api": api, "listen": listen, "name": fault,
                     "toxics": [each["name"] for each in toxics]},),
            notes=(f"port {port} goes through {listen}; connections of the peers are reset once, and at the undo",),
        )  # fmt: skip

    return plan


def _program(look: Look) -> str:
    found = sorted((look.root / WHERE).glob(f"*/{PROGRAM}"))
    missing = [name for name in ("iptables", "systemd-run", "ss") if not look.has(name)]
    if not found:
        raise UnavailableError("toxiproxy is not on this host → run playbooks/chaos_tools.yml")
    if missing:
        raise UnavailableError(f"{', '.join(missing)} is not installed on this host")
    return "/" + str(found[-1].relative_to(look.root))


def _free(look: Look) -> tuple[int, int]:
    """Two ports on which nobody listens."""
    taken = look.listening()
    free = [port for port in PORTS if port not in taken][:2]
    if len(free) <= 1:
        raise ChaosError(f"no two ports of {PORTS.start} to {PORTS.stop - 1} are free")
    return free[0], free[1]


def _options(**own: Option) -> dict[str, Option]:
    return {
        **own,
        "stream": Option(choices=tuple(STREAMS), default="both"),
        "port": Option(type="int", minimum=1, maximum=65535),
        "address": Option(),
        "peers": PEERS,
    }


FILLED = ("address", "port")
KINDS = (
    Kind("latency", "Makes every packet of peers to a port late, through a proxy.",
         _options(ms=Option(type="int", minimum=1, maximum=60000, required=True),
                  jitter_ms=Option(type="int", minimum=0, maximum=60000, default=0)),
         _plan("latency", lambda p: {"latency": p["ms"], "jitter": p["jitter_ms"]}), network=True, filled=FILLED),
    Kind("bandwidth", "Lets only so many bytes a second pass between peers and a port, through a proxy.",
         _options(kb_per_s=Option(type="int", minimum=1, maximum=10485760, required=True)),
         _plan("bandwidth", lambda p: {"rate": p["kb_per_s"]}), network=True, filled=FILLED),
    Kind("reset", "Resets connections of peers to a port after some time, through a proxy.",
         _options(after_ms=Option(type="int", minimum=0, maximum=60000, default=0)),
         _plan("reset_peer", lambda p: {"timeout": p["after_ms"]}), network=True, filled=FILLED),
)  # fmt: skip
