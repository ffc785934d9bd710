# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL under Patroni, seen through Patroni's REST API. Reading it needs no user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.state import DRAINED, DriverError, Member, ServiceState

MEMBER_TIMEOUT_S = 3.0
SWITCHOVER_TIMEOUT_S = 60.0
LEADER_ROLES = ("leader", "standby_leader")
SYNC_ROLES = ("sync_standby", "quorum_standby")
PRIORITY = {"nofailover": "failover_priority", "nosync": "sync_priority"}
MAX_LAG_ON_FAILOVER = 1048576  # Patroni's own default
# What a member's Patroni answers as the status of its own member: 503 when PostgreSQL does not run.
STATUS_CODES = (200, 503)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the cluster answered.

    Attributes:
        cluster: /cluster of the member that was asked first.
        config: its /config, the dynamic configuration.
        status: /patroni by member name, of the members that could be asked.
        unreachable: by member name, why the others could not, one sentence each.
    """

    cluster: Mapping[str, Any]
    config: Mapping[str, Any]
    status: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)


class PostgresqlDriver:
    """Asks one member who belongs to the cluster, then each member how it is."""

    def __init__(
        self,
        connect: Callable[[str], JsonClient],
        url: str,
        known: tuple[KnownMember, ...] = (),
        cluster: str = "postgresql",
        switch: Callable[[str], JsonClient] | None = None,
    ) -> None:
        """`connect` opens a client for the URL of a member's API; `url` is the member that is asked first.

        `switch` opens one that waits as long as a switchover takes.
        """
        self._connect = connect
        self._switch = switch or connect
        self._url = url
        self._known = known
        self._cluster = cluster

    @classmethod
    def connect(cls, connection: Connection, known: tuple[KnownMember, ...], cluster: str) -> PostgresqlDriver:
        """A driver that uses the TLS settings of `connection` for every member; nothing is contacted yet."""
        timeout = min(connection.timeout_s, MEMBER_TIMEOUT_S)  # a dead host must not use up the gate's patience
        return cls(
            lambda url: JsonClient(replace(connection, url=url, timeout_s=timeout)),
            connection.url,
            known,
            cluster,
            lambda url: JsonClient(replace(connection, url=url, timeout_s=SWITCHOVER_TIMEOUT_S)),
        )

    def state(self) -> ServiceState:
        """The cluster at this moment; lag is in bytes of WAL that a standby has not replayed.

        Raises DriverError when the first member cannot be asked.
        """
        first = self._connect(self._url)
        try:
            answers = Answers(_object(first, "/cluster"), _object(first, "/config"))
        finally:
            first.close()
        for entry in _members(answers.cluster):
            try:
                answers.status[entry["name"]] = self._ask(entry["api_url"])
            except KeyError:
                answers.unreachable[entry.get("name", "")] = (
                    f"{entry.get('name')} has not published where its API listens"
                )
            except DriverError as err:
                answers.unreachable[entry["name"]] = str(err)
        return parse_state(answers, self._known, self._cluster, first.certificate_days())

    def transfer(self, state: ServiceState, to: str) -> None:
        """Patroni's switchover. Needs the API's user; Patroni answers when it is over.

        Raises:
            DriverError: Patroni refuses; its words are in the message.
        """
        client = self._switch(self._url)
        try:
            client.call("POST", "/switchover", json={"leader": state.leader, "candidate": to})
        finally:
            client.close()

    def _ask(self, api_url: str) -> Mapping[str, Any]:
        client = self._connect(api_url.removesuffix("/patroni"))
        try:
            return _object(client, "/patroni")
        finally:
            client.close()


def parse_state(
    answers: Answers, known: tuple[KnownMember, ...], cluster: str, certificate_days: float | None
) -> ServiceState:
    """State from recorded or fresh answers, members ordered by name. Raises DriverError when they make no sense."""
    zones = {member.name: member.zone for member in known}
    try:
        entries = sorted(_members(answers.cluster), key=lambda entry: str(entry["name"]))
        leader = next((entry for entry in entries if entry["role"] in LEADER_ROLES), None)
        timeline = leader.get("timeline") if leader else None
        seen = (_member(entry, answers.status.get(entry["name"]), timeline) for entry in entries)
        members = tuple(
            replace(
                member,
                zone=zones.get(member.name),
                in_sync=_in_sync(member, answers.config),
                problems=tuple(why for name, why in answers.unreachable.items() if name == member.name),
            )
            for member in seen
        )
    except (KeyError, TypeError, ValueError) as err:
        raise DriverError(f"Patroni's answer was not understood: {type(err).__name__} {err}") from err
    return ServiceState(
        service="postgresql",
        cluster=cluster,
        members=members,
        leader=str(leader["name"]) if leader else None,
        certificate_days=certificate_days,
        problems=(*answers.unreachable.values(), *_complaints(answers, members, cluster)),
        elects=False,
        synchronous=bool(answers.config.get("synchronous_mode")),
    )


def _member(entry: Mapping[str, Any], status: Mapping[str, Any] | None, timeline: int | None) -> Member:
    """One entry of /cluster with what the member itself says; one that could not be asked is of unknown health."""
    role = str(entry["role"])
    lag = entry.get("lag")
    member = Member(
        name=str(entry["name"]),
        address=str(entry.get("host", "")),
        role=role,
        lag=lag if isinstance(lag, int) else None,
        pending_restart=bool(entry.get("pending_restart", False)),
        tags=_tags(entry.get("tags") or {}),
    )
    if status is None:
        return member
    state = "running" if role in LEADER_ROLES else "streaming"
    # A standby that streams another timeline than the leader's has history that the leader lacks
    same_history = entry.get("timeline") == timeline
    return replace(
        member,
        healthy=entry.get("state") == state and status.get("state") == "running" and same_history,
        version=_version(status.get("server_version")),
    )


def _in_sync(member: Member, config: Mapping[str, Any]) -> bool | None:
    """Whether a member could lead at once and lose nothing; unknown when its health is.

    Without synchronous mode no standby can promise that. A switchover by command loses nothing all the same: the
    primary stops when its standbys have everything. So one counts that Patroni would let lead.
    """
    if member.healthy is not True or member.role in LEADER_ROLES:
        return member.healthy
    if "nofailover" in member.tags:
        return False
    if config.get("synchronous_mode"):
        return member.role in SYNC_ROLES
    return None if member.lag is None else member.lag <= int(config.get("maximum_lag_on_failover", MAX_LAG_ON_FAILOVER))


def _tags(tags: Mapping[str, Any]) -> tuple[str, ...]:
    """What a member is kept from: by the tag itself, else by a priority of zero."""
    priorities = {tag: tags.get(PRIORITY.get(tag, ""), 1) for tag in DRAINED}
    return tuple(tag for tag in sorted(DRAINED) if (tags[tag] if tag in tags else int(priorities[tag]) <= 0))


def _complaints(answers: Answers, members: Iterable[Member], cluster: str) -> Iterable[str]:
    """What is wrong with the cluster though each member may be well."""
    scope = answers.cluster.get("scope", cluster)
    if scope != cluster:
        yield f"Patroni's cluster is {scope}, not {cluster}"
    if answers.cluster.get("pause"):
        yield "automatic failover is paused"
    by_role = {member.role: member for member in members}
    leader = next((by_role[role] for role in LEADER_ROLES if role in by_role), None)
    if not answers.config.get("synchronous_mode") or leader is None:
        return
    standbys = [member for member in members if member.role in SYNC_ROLES]
    if not standbys and len(by_role) > 1:
        yield "no standby is synchronous"
    for standby in standbys:
        if standby.zone is not None and standby.zone == leader.zone:
            yield f"the synchronous standby {standby.name} is in zone {leader.zone}, like its primary"


def _version(number: object) -> str | None:
    """170011 → 17.11."""
    return f"{number // 10000}.{number % 10000}" if isinstance(number, int) else None


def _members(cluster: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    entries = cluster.get("members")
    if not isinstance(entries, list):
        raise DriverError("Patroni's answer was not understood: /cluster has no members")
    return entries


def _object(client: JsonClient, path: str) -> Mapping[str, Any]:
    """GET; anything but a JSON object raises DriverError."""
    answer = client.call("GET", path, accept=STATUS_CODES).data
    if not isinstance(answer, dict):
        raise DriverError(f"{client.connection.url}{path} answered no object")
    return answer
