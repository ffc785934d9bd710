"""What a driver sees of a service: members, leader, quorum. Plain data, the same for all services."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

AGENT = "agent"  # role of a member that holds no data: its failure says something about its zone only
DRAINED = frozenset({"nofailover", "noloadbalance", "nosync"})


class DriverError(Exception):
    """The service could not be asked or understood. Carries keys for the module result; never green."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class Member:
    """One member as its service reports it. None means unknown, and unknown is never healthy.

    Attributes:
        name: the host's inventory name.
        address: IP address or host name that peers use.
        role: leader, replica, sync_standby, voter, agent … in the service's own words.
        zone: failure domain, if known.
        voter: whether the member counts for quorum.
        healthy: as the service itself judges it.
        lag: how far behind the leader: bytes (PostgreSQL) or log entries (Consul, etcd).
        version: version of the running server.
        pending_restart: a changed setting waits for a restart.
        in_sync: whether it could lead at once and lose no acknowledged write.
        tags: what it is kept from, in Patroni's words: nofailover, noloadbalance, nosync.
        problems: those of the service's problems that are about this member alone; stopping it may be their repair.
    """

    name: str
    address: str
    role: str
    zone: str | None = None
    voter: bool = True
    healthy: bool | None = None
    lag: int | None = None
    version: str | None = None
    pending_restart: bool | None = None
    in_sync: bool | None = None
    tags: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def agent(self) -> bool:
        """Whether it holds no data and has no vote."""
        return self.role == AGENT and not self.voter

    @property
    def drained(self) -> bool:
        """Whether it is kept from leading, from reads and from confirming writes."""
        return frozenset(self.tags) >= DRAINED


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service at one moment, seen from one of its members.

    Attributes:
        service: consul, etcd, postgresql …
        cluster: name of the cluster.
        members: every member that the service or the inventory knows.
        leader: name of the leader, None when none is known.
        certificate_days: days until the served certificate expires, None when it could not be read.
        problems: what the driver could not learn, one sentence each.
        elects: members vote among themselves. False: another service elects one of them, as with Patroni.
        synchronous: a write is acknowledged when a second member has it. Said by services with elects=False.
    """

    service: str
    cluster: str
    members: tuple[Member, ...]
    leader: str | None
    certificate_days: float | None = None
    problems: tuple[str, ...] = ()
    elects: bool = True
    synchronous: bool = False

    @property
    def voters(self) -> tuple[Member, ...]:
        """Members that count for quorum."""
        return tuple(member for member in self.members if member.voter)

    @property
    def quorum(self) -> int:
        """How many voters must be healthy for the service to accept writes and keep its promise about them.

        Members that vote need a majority. Members that another service elects need a leader, and one copy
        besides it when writes are synchronous. A cluster of one never has that copy. How many standbys must confirm
        (synchronous_node_count) doesn't count: Patroni lowers it by itself, down to one.
        """
        if self.elects:
            return len(self.voters) // 2 + 1
        return 2 if self.synchronous and len(self.voters) > 1 else 1

    def member(self, name: str) -> Member | None:
        """The member of that name, or None."""
        return next((member for member in self.members if member.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form with the derived quorum."""
        return {**asdict(self), "members": [asdict(m) for m in self.members], "quorum": self.quorum}


def names(members: Iterable[Member]) -> list[str]:
    """Names of members, in order."""
    return [member.name for member in members]
