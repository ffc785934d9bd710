# SPDX-License-Identifier: Apache-2.0
"""Consul seen through the HTTPS API of one of its agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, Member, ServiceState

AUTH_HEADER = "X-Consul-Token"
SERF_ALIVE = 1
SERF_LEFT = 3
ZONE_META = "zone"


class ConsulDriver:
    """Members from gossip and Raft, health and lag of the servers from autopilot."""

    def __init__(self, client: JsonClient, known: tuple[KnownMember, ...] = (), cluster: str = "consul") -> None:
        """The client's token needs operator:read, node:read and agent:read."""
        self._client = client
        self._known = known
        self._cluster = cluster

    @classmethod
    def connect(cls, connection: Connection, known: tuple[KnownMember, ...], cluster: str) -> ConsulDriver:
        """A driver for an API at `connection`; nothing is contacted yet."""
        return cls(consul_client(connection), known, cluster)

    def state(self) -> ServiceState:
        """The cluster as this agent sees it; lag is in Raft log entries behind the leader."""
        health, problems = self._health()
        members = parse_members(
            self._client.get("/v1/agent/members"),
            self._client.get("/v1/operator/raft/configuration?stale"),
            health,
            self._client.get("/v1/catalog/nodes?stale"),
            self._known,
        )
        return ServiceState(
            service="consul",
            cluster=self._cluster,
            members=members,
            leader=next((m.name for m in members if m.role == "leader"), None),
            certificate_days=self._client.certificate_days(),
            problems=problems,
        )

    def transfer(self, state: ServiceState, to: str) -> None:
        """Raft's own transfer of leadership. Needs operator:write.

        Raises:
            DriverError: Raft does not know the member, or Consul refuses.
        """
        member = state.member(to)
        servers = self._client.get("/v1/operator/raft/configuration")["Servers"]
        address = member.address if member else ""
        ids = [server["ID"] for server in servers if _host(server["Address"]) == address]
        if len(ids) != 1:
            raise DriverError(f"Raft knows {len(ids)} servers at {address or to}, one is needed")
        self._client.call("POST", f"/v1/operator/raft/transfer-leader?id={ids[0]}")

    def _health(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Autopilot's view. It answers 429 while a server is unhealthy; without a leader 500, or nothing in time."""
        try:
            answer = self._client.call("GET", "/v1/operator/autopilot/health", accept=(200, 429, 500))
        except DriverError as err:
            return {}, (f"autopilot does not judge the servers: {err}",)
        if isinstance(answer.data, dict):
            return answer.data, ()
        return {}, (f"autopilot does not judge the servers: {answer.data}",)


def consul_client(connection: Connection) -> JsonClient:
    """A client that sends the connection's token as Consul wants it."""
    headers = {AUTH_HEADER: connection.token} if connection.token else {}
    return JsonClient(replace(connection, headers=headers))


def parse_members(
    gossip: Iterable[Mapping[str, Any]],
    raft: Mapping[str, Any],
    health: Mapping[str, Any],
    catalog: Iterable[Mapping[str, Any]],
    known: tuple[KnownMember, ...],
) -> tuple[Member, ...]:
    """Members from the answers of agent/members, operator/raft, operator/autopilot and catalog/nodes, by name.

    A server that Raft counts and gossip lost is still a member, of unknown health: quorum counts it.
    A member takes its inventory name from its address, its zone from its own node_meta, else from the inventory.
    """
    try:
        voters = {s["ID"]: s for s in raft["Servers"]}
        judged = {s["ID"]: s for s in health.get("Servers") or ()}
        head = next((s["LastIndex"] for s in judged.values() if s["Leader"]), None)
        members = [
            _member(node, voters.pop(node["Tags"]["id"], None), judged.get(node["Tags"]["id"]), head)
            for node in gossip
            if node["Status"] != SERF_LEFT
        ]
        members += [_lost_server(server) for server in voters.values()]
        zones = {node["Node"]: node["Meta"][ZONE_META] for node in catalog if ZONE_META in (node["Meta"] or {})}
    except (KeyError, TypeError, AttributeError) as err:
        raise DriverError(f"Consul's answer was not understood: {type(err).__name__} {err}") from err
    hosts = {k.address: k for k in known}
    named = [_known_as(replace(m, zone=zones.get(m.name)), hosts.get(m.address)) for m in members]
    return tuple(sorted(named, key=lambda member: member.name))


def _member(
    node: Mapping[str, Any], raft: Mapping[str, Any] | None, judged: Mapping[str, Any] | None, head: int | None
) -> Member:
    alive = node["Status"] == SERF_ALIVE
    healthy: bool | None = alive
    if raft is not None:  # a server: autopilot judges, gossip alone proves nothing
        healthy = bool(judged["Healthy"]) if judged else None
    voter = bool(raft and raft["Voter"])
    return Member(
        name=node["Name"],
        address=node["Addr"],
        role=_role(raft),
        voter=voter,
        healthy=healthy,
        lag=max(0, head - judged["LastIndex"]) if judged and head is not None else None,
        version=str(node["Tags"].get("build", "")).split(":", maxsplit=1)[0] or None,
        in_sync=healthy if voter else False,  # Raft elects nobody who lacks an acknowledged write
    )


def _lost_server(raft: Mapping[str, Any]) -> Member:
    voter = bool(raft["Voter"])
    in_sync = None if voter else False
    return Member(raft["Node"], _host(raft["Address"]), _role(raft), voter=voter, in_sync=in_sync)


def _host(address: str) -> str:
    """The host of host:port."""
    return address.rsplit(":", 1)[0].strip("[]")


def _role(raft: Mapping[str, Any] | None) -> str:
    if raft is None:
        return "agent"
    if raft["Leader"]:
        return "leader"
    return "voter" if raft["Voter"] else "nonvoter"


def _known_as(member: Member, host: KnownMember | None) -> Member:
    if host is None:
        return member
    return replace(member, name=host.name, zone=member.zone or host.zone)
