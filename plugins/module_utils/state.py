"""What a driver sees of a service: members, leader, quorum. Plain data, the same for all services."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


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
    """

    service: str
    cluster: str
    members: tuple[Member, ...]
    leader: str | None
    certificate_days: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def voters(self) -> tuple[Member, ...]:
        """Members that count for quorum."""
        return tuple(member for member in self.members if member.voter)

    @property
    def quorum(self) -> int:
        """How many voters must be healthy for the service to accept writes."""
        return len(self.voters) // 2 + 1

    def member(self, name: str) -> Member | None:
        """The member of that name, or None."""
        return next((member for member in self.members if member.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form with the derived quorum."""
        return {**asdict(self), "members": [asdict(m) for m in self.members], "quorum": self.quorum}


def names(members: Iterable[Member]) -> list[str]:
    """Names of members, in order."""
    return [member.name for member in members]
