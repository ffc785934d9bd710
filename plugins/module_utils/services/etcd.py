# SPDX-License-Identifier: Apache-2.0
"""etcd seen through the JSON gateway of its members. Status needs no user, only a client certificate."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.base import KnownMember
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, Member, ServiceState

MEMBER_TIMEOUT_S = 3.0
NO_LEADER = "0"
ALARM = re.compile(r"memberID:(?P<id>\d+) alarm:(?P<kind>\w+)")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one member answered: its /health and its /v3/maintenance/status."""

    health: Mapping[str, Any]
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the cluster answered.

    Attributes:
        listed: member/list of the member that was asked first, also without a quorum.
        seen: by member id, of the members that could be asked.
        unreachable: by member id, why the others could not, one sentence each.
    """

    listed: Mapping[str, Any]
    seen: dict[str, Seen] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)


class EtcdDriver:
    """Asks one member who belongs to the cluster, then each member how it is."""

    def __init__(
        self, connect: Callable[[str], JsonClient], url: str, known: tuple[KnownMember, ...] = (), cluster: str = "etcd"
    ) -> None:
        """`connect` opens a client for the URL of a member; `url` is the member that is asked first."""
        self._connect = connect
        self._url = url
        self._known = known
        self._cluster = cluster

    @classmethod
    def connect(cls, connection: Connection, known: tuple[KnownMember, ...], cluster: str) -> EtcdDriver:
        """A driver that uses the TLS settings of `connection` for every member; nothing is contacted yet."""
        timeout = min(connection.timeout_s, MEMBER_TIMEOUT_S)  # a dead host must not use up the gate's patience
        return cls(
            lambda url: JsonClient(replace(connection, url=url, timeout_s=timeout)), connection.url, known, cluster
        )

    def state(self) -> ServiceState:
        """The cluster at this moment; lag is in Raft log entries behind the most advanced member.

        Raises DriverError when the first member cannot be asked.
        """
        first = self._connect(self._url)
        try:
            answers = Answers(_post(first, "/v3/cluster/member/list"))
        finally:
            first.close()
        for entry in _entries(answers.listed):
            try:
                answers.seen[entry["ID"]] = self._ask(entry["clientURLs"][0])
            except (KeyError, IndexError):
                answers.unreachable[entry.get("ID", "")] = (
                    f"member {entry.get('ID')} has not published where it listens"
                )
            except DriverError as err:
                answers.unreachable[entry["ID"]] = str(err)
        return parse_state(answers, self._known, self._cluster, first.certificate_days())

    def transfer(self, state: ServiceState, to: str) -> None:
        """Raft's own transfer of leadership; only the leader takes the command.

        Raises:
            DriverError: a member is unknown or has not published where it listens, or etcd refuses.
        """
        first = self._connect(self._url)
        try:
            entries = {_name(entry, self._known): entry for entry in _entries(_post(first, "/v3/cluster/member/list"))}
        finally:
            first.close()
        try:
            target, leader_url = entries[to]["ID"], entries[state.leader or ""]["clientURLs"][0]
        except (KeyError, IndexError) as err:
            raise DriverError(f"etcd's members have no {err}: leadership cannot be handed to {to}") from err
        leader = self._connect(leader_url)
        try:
            leader.call("POST", "/v3/maintenance/transfer-leadership", json={"targetID": target})
        finally:
            leader.close()

    def _ask(self, url: str) -> Seen:
        client = self._connect(url)
        try:
            health = client.call("GET", "/health", accept=(200, 503)).data
            return Seen(health if isinstance(health, dict) else {}, _post(client, "/v3/maintenance/status"))
        finally:
            client.close()


def parse_state(
    answers: Answers, known: tuple[KnownMember, ...], cluster: str, certificate_days: float | None
) -> ServiceState:
    """State from recorded or fresh answers, members ordered by name. Raises DriverError when they make no sense."""
    seen = answers.seen
    try:
        entries = _entries(answers.listed)
        ids = {entry["ID"]: _name(entry, known) for entry in entries}
        leader, disagreement = _leader(seen.values())
        newest = max((int(s.status["raftIndex"]) for s in seen.values()), default=0)
        complaints = {i: tuple(_complaint(e, ids) for e in s.status.get("errors", ())) for i, s in seen.items()}
        own = {**{i: (why,) for i, why in answers.unreachable.items()}, **complaints}
        members = [
            replace(
                _member(e, ids[e["ID"]], seen.get(e["ID"]), leader=leader, newest=newest),
                problems=own.get(e["ID"], ()),
            )
            for e in entries
        ]
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise DriverError(f"etcd's answer was not understood: {type(err).__name__} {err}") from err
    zones = {k.name: k.zone for k in known}
    return ServiceState(
        service="etcd",
        cluster=cluster,
        members=tuple(replace(m, zone=zones.get(m.name)) for m in sorted(members, key=lambda m: m.name)),
        leader=ids.get(leader) if leader else None,
        certificate_days=certificate_days,
        problems=(*answers.unreachable.values(), *disagreement, *sorted(set().union(*complaints.values()))),
    )


def _leader(seen: Collection[Seen]) -> tuple[str | None, tuple[str, ...]]:
    """The leader's id of the newest term that has one, and a problem when members name two in that term."""
    named = {(int(s.status["raftTerm"]), str(s.status.get("leader", NO_LEADER))) for s in seen}
    named = {(term, leader) for term, leader in named if leader != NO_LEADER}
    term = max((term for term, _index in named), default=0)
    leaders = [leader for its_term, leader in named if its_term == term]
    if len(leaders) > 1:
        return None, (f"members of term {term} name {len(leaders)} leaders",)
    return next(iter(leaders), None), ()


def _member(entry: Mapping[str, Any], name: str, seen: Seen | None, *, leader: str | None, newest: int) -> Member:
    learner = bool(entry.get("isLearner", False))
    role = "leader" if entry["ID"] == leader else "learner" if learner else "follower"
    in_sync = False if learner else None
    member = Member(name=name, address=_address(entry), role=role, voter=not learner, in_sync=in_sync)
    if seen is None:
        return member
    healthy = seen.health.get("health") == "true" and not seen.status.get("errors")
    return replace(
        member,
        healthy=healthy,
        in_sync=healthy and not learner,  # Raft elects nobody who lacks an acknowledged write
        lag=max(0, newest - int(seen.status["raftAppliedIndex"])),
        version=seen.status.get("version"),
    )


def _name(entry: Mapping[str, Any], known: tuple[KnownMember, ...]) -> str:
    """A member that was added but never started has no name yet: its address tells who it will be."""
    by_address = next((k.name for k in known if k.address == _address(entry)), None)
    return entry.get("name") or by_address or str(entry["ID"])


def _address(entry: Mapping[str, Any]) -> str:
    return urlsplit(entry["peerURLs"][0]).hostname or ""


def _entries(listed: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The members; the gateway leaves out what is empty."""
    entries: Iterable[Mapping[str, Any]] = listed.get("members") or ()
    return entries


def _complaint(error: str, ids: Mapping[str, str]) -> str:
    """A member's own words; an alarm (`memberID:86 alarm:NOSPACE`) names the member as people know it."""
    alarm = ALARM.match(error)
    return f"alarm {alarm['kind']} on {ids.get(alarm['id'], alarm['id'])}" if alarm else error.strip()


def _post(client: JsonClient, path: str, **body: Any) -> Mapping[str, Any]:
    """POST of the gateway; anything but a JSON object raises DriverError."""
    answer = client.call("POST", path, json=body).data
    if not isinstance(answer, dict):
        raise DriverError(f"{path} answered no object")
    return answer
