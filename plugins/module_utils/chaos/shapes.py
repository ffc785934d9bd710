# SPDX-License-Identifier: Apache-2.0
"""Shapes of a partition over groups of hosts: who is cut off from whom. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError

SHAPES = ("bridge", "ring")
FEWEST = {"bridge": 3, "ring": 4}


def cut_from(shape: str, groups: Collection[str], bridge: str | None = None) -> dict[str, tuple[str, ...]]:
    """For each group those that it can't talk with; nobody for the bridge.

    Args:
        shape: bridge: two halves that only one group hears both of; ring: each hears its two neighbours by name.
        groups: names of zones or members.
        bridge: the group in the middle of a bridge.

    Raises:
        ChaosError: there are too few groups for the shape, or the bridge is none of them.
    """
    ordered = sorted(set(groups))
    if len(ordered) < FEWEST[shape]:
        raise ChaosError(f"a {shape} needs {FEWEST[shape]} groups, here are {len(ordered)}: {', '.join(ordered)}")
    if shape == "ring":
        return {group: _far(ordered, index) for index, group in enumerate(ordered)}
    if bridge not in ordered:
        raise ChaosError(f"the bridge {bridge} is none of {', '.join(ordered)}")
    ends = [group for group in ordered if group != bridge]
    left, right = ends[: len(ends) // 2], ends[len(ends) // 2 :]
    return {bridge: (), **{group: tuple(right) for group in left}, **{group: tuple(left) for group in right}}


def _far(ordered: Sequence[str], index: int) -> tuple[str, ...]:
    near = {(index - 1) % len(ordered), index, (index + 1) % len(ordered)}
    return tuple(group for at, group in enumerate(ordered) if at not in near)
