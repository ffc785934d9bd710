"""Gates: pure questions about a ServiceState. An open gate is a promise, so the unknown closes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState, names
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened

NOBODY_EXPECTED = "no member is expected: an empty list proves nothing"
# Where another service elects, a stop leaves one member that leads and one that could
COPIES = 2


class NoOrderError(ValueError):
    """There is no order in which to stop the members. `reasons` says why, one sentence each."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def settled(state: ServiceState, expected: Collection[str], max_lag: int, current: Collection[str] = ()) -> Verdict:
    """Whether the service is whole: every expected member is there and healthy, a leader is known, nobody lags.

    Args:
        state: what the driver saw.
        expected: names of the members that must be there; empty closes the gate.
        max_lag: the largest lag that counts as caught up, in the driver's unit.
        current: names of the members that may wait for no restart, because they had one.
    """
    reasons: list[str] = list(state.problems)
    if not expected:
        reasons.append(NOBODY_EXPECTED)
    reasons.extend(_leaderless(state))
    for name in sorted(expected):
        member = state.member(name)
        if member is None:
            reasons.append(f"{name} is no member of {state.service}")
        elif member.healthy is not True:
            reasons.append(_unwell(member))
        elif member.lag is not None and member.lag > max_lag:
            reasons.append(_behind(member, max_lag))
        elif member.lag is None and member.voter and name != state.leader:
            reasons.append(f"the lag of {name} is unknown")
    for name in sorted(current):
        waits = member.pending_restart if (member := state.member(name)) else None
        if waits is not False:
            reasons.append(f"{name} still waits for a restart" if waits else f"whether {name} is current is unknown")
    return closed(*reasons, members=names(state.members)) if reasons else opened(leader=state.leader)


def may_stop(
    state: ServiceState,
    member: str,
    *,
    expected: Collection[str],
    max_lag: int,
    holder: str | None = None,
    owner: str | None = None,
) -> Verdict:
    """Whether `member` may be stopped: nothing is lost with it, and no second one is away.

    The member's own health, lag and problems are no reason: a restart may be their repair. All others must be well,
    agents of its own zone excepted. One of two members never may: the service would hang on the other.

    Args:
        state: what the driver saw.
        member: name of the member.
        expected: names of the members that must be there; empty closes the gate.
        max_lag: the largest lag that counts as caught up, in the driver's unit.
        holder: who holds the maintenance lock of the service; None when it is free.
        owner: who asks; a lock of its own is no reason.
    """
    found = state.member(member)
    reasons = [*_troubles(state, found), *_leaderless(state)]
    if not expected:
        reasons.append(NOBODY_EXPECTED)
    missing = {name for name in {member, *expected} if state.member(name) is None}
    reasons += [f"{name} is no member of {state.service}" for name in sorted(missing)]
    reasons += _ill_peers(state, member, max_lag)
    if found is not None:
        reasons += _degraded_zones(state, found)
        reasons += _voters_after(state, found, state.quorum) if state.elects else _copies_after(state, found)
    if holder and holder != owner:
        reasons.append(f"{holder} holds the maintenance lock of {state.service}")
    left = [name for name in names(state.voters) if name != member]
    return closed(*reasons, member=member, left=left) if reasons else opened(leader=state.leader, left=left)


def may_lead(state: ServiceState, member: str, max_lag: int) -> Verdict:
    """Whether `member` may take leadership now, by command: it loses no acknowledged write and leads at once.

    What is wrong with other members is no reason. The member that leads already may.
    """
    found = state.member(member)
    reasons = [*_troubles(state, *(other for other in state.members if other != found)), *_leaderless(state)]
    if found is None:
        reasons.append(f"{member} is no member of {state.service}")
        return closed(*reasons, members=names(state.members))
    reasons += _unable(state, found, max_lag) if found.voter else [f"{member} has no vote"]
    return closed(*reasons, member=member) if reasons else opened(leader=state.leader, lag=found.lag)


def after_removal(state: ServiceState, member: str, removing: Collection[str] = ()) -> Verdict:
    """Whether `member` may leave the service for good, as one step of a job that removes all of `removing`.

    The number of voters that is left in the end must be odd where members vote, and those that are left must be a
    quorum of themselves after this step. Names that are no members any more are steps that are done.
    Where another service elects, the member must be drained first.
    """
    found = state.member(member)
    reasons = [*_troubles(state, found), *_leaderless(state)]
    if found is None:
        return closed(*reasons, f"{member} is no member of {state.service}", members=names(state.members))
    if member == state.leader:
        reasons.append(f"{member} leads {state.service}: hand leadership over first")
    final = [name for name in names(state.voters) if name not in {member, *removing}]
    if not state.elects:
        reasons += _copies_after(state, found)
        if not found.drained or (state.synchronous and found.in_sync is not False):
            reasons.append(f"{member} is not drained")
    elif found.voter:
        reasons += _voters_after(state, found, (len(state.voters) - 1) // 2 + 1)
        if final and len(final) % 2 == 0:
            reasons.append(f"{_count(len(final), 'voter')} would be left in the end, an odd number is needed")
        elif not final and len(state.voters) > 1:
            reasons.append(f"no voter of {state.service} would be left in the end")
    return closed(*reasons, member=member, final=final) if reasons else opened(leader=state.leader, final=final)


def rolling_order(state: ServiceState, members: Collection[str]) -> tuple[str, ...]:
    """The order in which to stop `members`: zone by zone, in each zone agents before voters, all by name.

    The leader's zone comes last, also when the leader is not named, and the leader is the last of all.

    Raises:
        NoOrderError: no leader is known, or a name is no member.
    """
    leader = state.member(state.leader or "")
    found = {name: state.member(name) for name in set(members)}
    strangers = [f"{name} is no member of {state.service}" for name in sorted(found) if found[name] is None]
    if leader is None:
        raise NoOrderError(f"no leader of {state.service} is known", *strangers)
    if strangers:
        raise NoOrderError(*strangers)

    def place(member: Member) -> tuple[bool, str, bool, bool, str]:
        is_leader = member.name == leader.name
        return (member.zone == leader.zone, member.zone or "", is_leader, member.voter, member.name)

    return tuple(names(sorted((member for member in found.values() if member is not None), key=place)))


def _troubles(state: ServiceState, *excused: Member | None) -> list[str]:
    """The driver's problems, without those that are about the excused members alone."""
    pardoned = {problem for member in excused if member is not None for problem in member.problems}
    return [problem for problem in state.problems if problem not in pardoned]


def _leaderless(state: ServiceState) -> list[str]:
    return [] if state.member(state.leader or "") else [f"no leader of {state.service} is known"]


def _ill_peers(state: ServiceState, member: str, max_lag: int) -> Iterator[str]:
    """What is wrong with any other member that holds data, expected or not."""
    for peer in state.members:
        if peer.name != member and not peer.agent:
            yield from _unfit(state, peer, max_lag)


def _unfit(state: ServiceState, member: Member, max_lag: int) -> Iterator[str]:
    """Why a member that holds data is not well. A leader that another service elected has no lag."""
    if member.healthy is not True:
        yield _unwell(member)
    elif not state.elects and member.name == state.leader:
        return
    elif member.lag is None:
        yield f"the lag of {member.name} is unknown"
    elif member.lag > max_lag:
        yield _behind(member, max_lag)


def _unable(state: ServiceState, member: Member, max_lag: int) -> Iterator[str]:
    """Why a voter may not lead."""
    if "nofailover" in member.tags:
        yield f"{member.name} is tagged nofailover"
    yield from _unfit(state, member, max_lag)
    if member.healthy is True and member.in_sync is None:
        yield f"whether {member.name} is in sync is unknown"
    elif member.healthy is True and not member.in_sync:
        yield f"{member.name} is not in sync"


def _degraded_zones(state: ServiceState, member: Member) -> Iterator[str]:
    """One sentence for each zone whose agents are not well, the member's own excepted: a zone is one failure."""
    ill = [peer for peer in state.members if peer.agent and peer.name != member.name and peer.healthy is not True]
    for zone in sorted({peer.zone or "" for peer in ill}):
        if zone and zone == member.zone:
            continue
        where = f"zone {zone}" if zone else "an unknown zone"
        unplaced = "" if member.zone else f", and the zone of {member.name} is unknown"
        yield f"{where} is degraded: {', '.join(_unwell(p) for p in ill if (p.zone or '') == zone)}{unplaced}"


def _voters_after(state: ServiceState, member: Member, needed: int) -> Iterator[str]:
    """Whether the voters that are left when the member is gone are enough to elect and to write."""
    left = _healthy(state, member)
    if names(state.voters) == [member.name]:
        yield f"{member.name} is the last voter of {state.service}"
    elif len(left) < needed:
        yield f"{_count(len(left), 'healthy voter')} would be left, {needed} are needed"


def _copies_after(state: ServiceState, member: Member) -> Iterator[str]:
    """Whether a leader and a healthy copy are left when the member is gone, and nothing acknowledged goes with it.

    A synchronous standby may go when another standby can take its place: Patroni picks that one by itself.
    """
    barred = {"nofailover", "nosync"} if state.synchronous else {"nofailover"}
    left = [m for m in _healthy(state, member) if m.name == state.leader or barred.isdisjoint(m.tags)]
    if names(state.voters) == [member.name]:
        yield f"{member.name} is the last member of {state.service}"
        return
    if len(left) < COPIES:
        yield f"{_count(len(left), 'healthy copy', 'healthy copies')} that may lead would be left, {COPIES} are needed"
    if member.name == state.leader and not any(m.in_sync for m in left):
        yield f"no healthy standby in sync may take over from {member.name}"
    standbys = [m for m in state.voters if m.name != state.leader]
    if state.synchronous and member.name != state.leader and not any(m.in_sync for m in standbys):
        yield f"no standby of {state.service} is in sync"


def _healthy(state: ServiceState, without: Member) -> list[Member]:
    return [member for member in state.voters if member.healthy is True and member.name != without.name]


def _unwell(member: Member) -> str:
    return f"{member.name} is {'of unknown health' if member.healthy is None else 'not healthy'}"


def _behind(member: Member, max_lag: int) -> str:
    return f"{member.name} lags by {member.lag}, {max_lag} is allowed"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
