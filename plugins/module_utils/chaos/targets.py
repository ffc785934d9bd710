# SPDX-License-Identifier: Apache-2.0
"""Who is meant: hosts by role and zone from live state, and the addresses they are cut off from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.shapes import cut_from
from ansible_collections.rsp.platform.plugins.module_utils.state import AGENT, Member, ServiceState


@dataclass(frozen=True, slots=True)
class Place:
    """A host of the inventory."""

    name: str
    address: str
    zone: str


def state_from(data: Mapping[str, Any]) -> ServiceState:
    """The `state` of rsp.platform.service_info as an object again."""
    members = tuple(
        Member(**{**entry, "tags": tuple(entry.get("tags") or ()), "problems": tuple(entry.get("problems") or ())})
        for entry in data["members"]
    )
    keys = ("service", "cluster", "leader", "certificate_days", "elects", "synchronous")
    return ServiceState(**{k: data[k] for k in keys if k in data}, members=members, problems=tuple(data["problems"]))


def resolve(state: ServiceState, wanted: Mapping[str, Any], places: Sequence[Place]) -> tuple[str, ...]:
    """Names of the hosts that are meant, by name; the choice is the same for the same state.

    Raises:
        ChaosError: nobody is meant, or fewer than asked for. An experiment on nobody would prove nothing.
    """
    zones = {place.name: place.zone for place in places}
    leads = zones.get(state.leader or "")
    if wanted.get("hosts") == "everything":
        names = sorted(zones)
    else:
        names = sorted(member.name for member in state.members if _fits(member, state, wanted.get("role") or "any"))
    zone = wanted.get("zone")
    if zone in ("leader", "other") and leads is None:
        raise ChaosError(f"zone {zone} was asked for, but no leader of {state.service} is known")
    if zone == "other":
        zone = min((zones[name] for name in names if zones.get(name) not in (None, leads)), default=None)
    elif zone == "leader":
        zone = leads
    if wanted.get("zone"):
        names = [name for name in names if zones.get(name) == zone]
    strangers = [name for name in names if name not in zones]
    if strangers:
        raise ChaosError(f"{', '.join(strangers)} of {state.service} is no host of this inventory")
    whole = wanted.get("role") == "all" or wanted.get("hosts") == "everything"
    count = wanted.get("count") or (len(names) if whole else 1)
    if not names or len(names) < count:
        raise ChaosError(f"{len(names)} hosts fit {_text(wanted)}, {max(count, 1)} are needed: nothing was armed")
    return tuple(names[:count])


def peers(
    kind: str,
    target: str,
    targets: Collection[str],
    places: Sequence[Place],
    *,
    clients: Collection[str],
    members: Collection[str],
) -> list[str]:
    """Addresses that a target is cut off from. Other targets are on its side of the cut, but for each_other.

    Raises:
        ChaosError: nobody is on the other side.
    """
    own = {place.name: place.zone for place in places}[target]
    others = [place for place in places if place.name not in targets]
    chosen = {
        "members": [place for place in others if place.name in members],
        "each_other": [place for place in places if place.name in members and place.name != target],
        "others": others,
        "other_zones": [place for place in places if place.zone != own],
        "clients": [place for place in others if place.name in clients],
    }[kind]
    if not chosen:
        raise ChaosError(f"{target}: nobody is on the other side of a cut from {kind}")
    return [place.address for place in chosen]


def shaped(
    spec: Mapping[str, Any], state: ServiceState, places: Sequence[Place], members: Collection[str]
) -> dict[str, list[str]]:
    """Member → addresses that it is cut off from in a shape; nobody for the bridge itself.

    Args:
        spec: `shape`; `over`: zones (those of the members), all_zones or members; `bridge`: leader or other.

    Raises:
        ChaosError: there are too few groups, or no leader is known.
    """
    group = {place.name: place.name if spec["over"] == "members" else place.zone for place in places}
    inside = [place for place in places if place.name in members]
    names = {group[place.name] for place in (places if spec["over"] == "all_zones" else inside)}
    leads = group.get(state.leader or "")
    if spec["shape"] == "bridge" and leads is None:
        raise ChaosError(f"a bridge is put beside the leader, and no leader of {state.service} is known")
    bridge = leads if spec["bridge"] == "leader" else max((name for name in names if name != leads), default=None)
    cut = cut_from(spec["shape"], names, bridge)
    others = inside if spec["over"] == "members" else places
    return {
        place.name: [other.address for other in others if group[other.name] in cut[group[place.name]]]
        for place in inside
    }


def _fits(member: Member, state: ServiceState, role: str) -> bool:
    if member.role == AGENT or not member.voter:
        return False
    if role == "leader":
        return member.name == state.leader
    if role == "replica":
        return member.name != state.leader
    if role == "sync_standby":
        return member.name != state.leader and member.in_sync is True
    return True


def _text(wanted: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in wanted.items() if value is not None)
