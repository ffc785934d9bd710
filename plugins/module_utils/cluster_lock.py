# SPDX-License-Identifier: Apache-2.0
"""A lock per cluster with owner, reason and lease, and beside it the record of the roll that it protects.

The lease frees the lock of a dead controller. The record has no lease: it tells the next run where to go on.
Decisions are pure; a store (lock_consul, lock_etcd) reads and compares-and-sets.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

LOCKS = "rsp/locks/"
ROLLS = "rsp/rolls/"
CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LEASE_S = (10, 86400)  # the bounds of a session of Consul
TEXT_LIMIT = 500
ARGUMENTS_LIMIT = 4096
# Who loses a race reads anew; then either the winner holds the lock, or it is free again.
ATTEMPTS = 5
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a cluster.

    Attributes:
        since: when this owner got it, epoch seconds.
        renewed: when it was renewed last, epoch seconds.
        lease_s: how long it lasts without a renewal.
    """

    owner: str
    reason: str
    job: str
    since: float
    renewed: float
    lease_s: int


@dataclass(frozen=True, slots=True)
class Roll:
    """A job that goes over a cluster's members, perhaps in several runs.

    Attributes:
        since: when its first run got the lock, epoch seconds; members that were served later are done.
        owner: the run that held the lock for it last.
        finished: whether it came to its end.
    """

    job: str
    arguments: Mapping[str, Any]
    since: float
    owner: str
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A lock as its store has it.

    Attributes:
        handle: session or lease that keeps it.
        version: changes with each write of the key.
        expires_in_s: the longest that it lasts without a renewal.
    """

    lock: Lock
    handle: str
    version: int
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """Lock and roll record of a cluster at one moment; version 0 means that there is no record."""

    held: Held | None = None
    roll: Roll | None = None
    roll_version: int = 0


class LockStore(Protocol):
    """Where locks are kept. Everything raises DriverError when the store cannot be asked: unknown is not free."""

    def read(self, cluster: str) -> Seen:
        """Lock and record, as a quorum of the store has them."""

    def write(self, cluster: str, lock: Lock | None, roll: Roll | None, seen: Seen) -> bool:
        """Take or renew the lock, or with None give it up, and write the record (None: there is none): both or none.

        False when either is no longer as `seen`: somebody else was faster, or the lease ended.
        """


class AnyMember:
    """A store by its members: the first that answers is asked from then on, so that one that is away stops no job."""

    def __init__(self, first: LockStore, others: Iterable[LockStore]) -> None:
        """Nothing is contacted yet."""
        self._asked, self._untried = first, iter(others)

    def read(self, cluster: str) -> Seen:
        """See LockStore. Raises DriverError with every reason when no member can be asked."""
        reasons = []
        while True:
            try:
                return self._asked.read(cluster)
            except DriverError as err:
                reasons.append(str(err))
            following = next(self._untried, None)
            if following is None:
                raise DriverError(f"nobody can be asked for the lock of {cluster}: {'; '.join(reasons)}")
            self._asked = following

    def write(self, cluster: str, lock: Lock | None, roll: Roll | None, seen: Seen) -> bool:
        """See LockStore. The member that was read is written to."""
        return self._asked.write(cluster, lock, roll, seen)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; the fields are the module's options.

    Attributes:
        must_hold: renew only, do not take.
        resume_within_s: an unfinished record that is older is not resumed.
    """

    cluster: str
    state: str
    owner: str = ""
    reason: str = ""
    job: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    lease_s: int = 300
    finished: bool = False
    must_hold: bool = False
    resume_within_s: int = 86400

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Request:
        """From a module's options. Raises DriverError for what a store could not keep."""
        wanted = cls(**{f.name: params[f.name] for f in fields(cls) if params.get(f.name) is not None})
        if not CLUSTER.fullmatch(wanted.cluster):
            raise DriverError(f"cluster {wanted.cluster!r} is no name: letters, digits, dots, - and _ only")
        if not LEASE_S[0] <= wanted.lease_s <= LEASE_S[1]:
            raise DriverError(f"lease_s is {wanted.lease_s}, it must be within {LEASE_S[0]} and {LEASE_S[1]}")
        needed = {"held": ("owner", "reason", "job"), "released": ("owner",)}.get(wanted.state, ())
        for name in needed:
            text = getattr(wanted, name)
            if not text.strip() or len(text) > TEXT_LIMIT or not text.isprintable():
                raise DriverError(f"{name} must be one line of 1 to {TEXT_LIMIT} characters, not {text[:80]!r}")
        if len(encode(wanted.arguments)) > ARGUMENTS_LIMIT:
            raise DriverError(f"arguments take more than {ARGUMENTS_LIMIT} bytes: name what tells two jobs apart only")
        return wanted


@dataclass(frozen=True, slots=True)
class Outcome:
    """Lock and record afterwards.

    Attributes:
        resumed: the roll began before this owner got the lock.
        abandoned: the unfinished record of another job that was found.
    """

    lock: Lock | None
    roll: Roll | None
    changed: bool = False
    resumed: bool = False
    abandoned: Roll | None = None

    def as_result(self) -> dict[str, Any]:
        """Keys of the module result."""
        return asdict(self)


def read(seen: Seen) -> Outcome:
    """What is there."""
    return Outcome(seen.held.lock if seen.held else None, seen.roll)


def hold(request: Request, seen: Seen, now: float) -> Outcome:
    """Lock and record when `request` gets or renews them. Raises DriverError when another one holds the lock."""
    _refuse_others(request, seen)
    held = seen.held
    if held is None and request.must_hold:
        raise DriverError(
            f"{request.cluster} is not locked by {request.owner} any more: the lease ended "
            "→ stop here; another run may have worked on it. Run the job again, it goes on where it stopped",
            **read(seen).as_result(),
        )
    now = round(now, 3)
    lock = Lock(
        owner=request.owner,
        reason=request.reason,
        job=request.job,
        since=held.lock.since if held else now,
        renewed=now,
        lease_s=held.lock.lease_s if held else request.lease_s,
    )
    roll = Roll(request.job, request.arguments, now, request.owner)
    found = seen.roll if seen.roll and not seen.roll.finished else None
    # A lock that was kept keeps its roll, however long that takes.
    fresh = held is not None or found is None or now - found.since <= request.resume_within_s
    going_on = found is not None and fresh and _task(found) == _task(roll)
    if found and going_on:
        roll, found = replace(found, owner=request.owner), None
    same = held is not None and lock == replace(held.lock, renewed=now) and roll == seen.roll
    resumed = going_on and (held is None or roll.since < lock.since)
    return Outcome(lock, roll, changed=not same, resumed=resumed, abandoned=found)


def release(request: Request, seen: Seen) -> Outcome:
    """Lock and record after the release. Raises DriverError when another one holds the lock."""
    _refuse_others(request, seen)
    roll = seen.roll
    if roll and request.finished and roll.owner == request.owner:
        roll = replace(roll, finished=True)
    return Outcome(None, roll, changed=seen.held is not None or roll != seen.roll)


def apply(
    request: Request,
    store: LockStore,
    check: bool = False,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Carry `request` out, or in check mode predict it.

    Raises:
        DriverError: the lock is another one's, or the store could not be asked or understood.
    """
    for _attempt in range(ATTEMPTS):
        seen = store.read(request.cluster)
        if request.state == "read":
            return read(seen)
        outcome = hold(request, seen, clock()) if request.state == "held" else release(request, seen)
        idle = request.state == "released" and not outcome.changed
        if check or idle or store.write(request.cluster, outcome.lock, outcome.roll, seen):
            return outcome
        sleep(PAUSE_S)
    raise DriverError(f"the lock of {request.cluster} changed hands {ATTEMPTS} times meanwhile → run again")


def _refuse_others(request: Request, seen: Seen) -> None:
    if seen.held is None or seen.held.lock.owner == request.owner:
        return
    lock = seen.held.lock
    since = datetime.fromtimestamp(lock.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    raise DriverError(
        f"{request.cluster} is locked by {lock.owner} (job {lock.job}) since {since}: {lock.reason}. Without a renewal "
        f"it is free in at most about {seen.held.expires_in_s:.0f} s → wait, or when that run is dead: "
        f"playbooks/unlock.yml -e owner={lock.owner!r}",
        **read(seen).as_result(),
    )


def _task(roll: Roll) -> tuple[str, bytes]:
    return roll.job, encode(roll.arguments)


def encode(data: Lock | Roll | Mapping[str, Any]) -> bytes:
    """The one JSON form of something, as it is kept."""
    plain = data if isinstance(data, Mapping) else asdict(data)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


Kept = TypeVar("Kept", Lock, Roll)


def decode(kind: type[Kept], key: str, value: bytes) -> Kept:
    """What `encode` made. Anything else raises DriverError: somebody else's key is neither free nor ours."""
    try:
        data = json.loads(value)
        kept = kind(**{f.name: data[f.name] for f in fields(kind)})
        numbers = (kept.since, kept.renewed, kept.lease_s) if isinstance(kept, Lock) else (kept.since,)
        sane = all(isinstance(n, int | float) for n in numbers) and isinstance(kept.owner, str)
    except (ValueError, TypeError, KeyError):
        sane = False
    if not sane:
        text = value[:80].decode("utf-8", "replace")
        raise DriverError(f"{key} holds {text!r}, which is none of ours → look who wrote it, then delete the key")
    return kept
