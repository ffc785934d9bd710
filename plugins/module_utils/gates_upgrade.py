# SPDX-License-Identifier: Apache-2.0
"""May a service go to another release? No step is skipped, and nobody goes back."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened

Release = tuple[int, ...]


def may_upgrade(state: ServiceState, version: str) -> Verdict:
    """Whether the service may go to `version`: all members run it, or a release at most one minor release before it.

    Args:
        state: what the driver saw; every member must say what it runs.
        version: the release to go to, such as 1.22.5.
    """
    target = release(version)
    if target is None:
        return closed(f"{version!r} is no release → name one like 1.22.5")
    reasons = list(state.problems)
    if state.leader is None:
        reasons.append(f"no leader of {state.service} is known")
    if not state.members:
        reasons.append(f"{state.service} has no members: an empty list proves nothing")
    reasons += _steps(state, version, target)
    running = {member.name: member.version for member in state.members}
    return closed(*reasons, running=running) if reasons else opened(running=running)


def runs(state: ServiceState, version: str) -> Verdict:
    """Whether every member runs `version`."""
    others = [m for m in state.members if m.version is None or release(m.version) != release(version)]
    reasons = [f"{m.name} runs {m.version or 'an unknown release'}, not {version}" for m in others]
    if not state.members:
        reasons.append(f"{state.service} has no members: an empty list proves nothing")
    return closed(*reasons) if reasons else opened(members=len(state.members))


def release(version: str | None) -> Release | None:
    """1.22.5 → (1, 22, 5); None for what is no release."""
    parts = (version or "").removeprefix("v").split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else None


def _steps(state: ServiceState, version: str, target: Release) -> Iterator[str]:
    for member in state.members:
        live = release(member.version)
        if live is None:
            yield f"what {member.name} runs is unknown"
        elif live > target:
            yield f"{member.name} runs {member.version}: {version} is older, and going back is no upgrade"
        elif live[:1] != target[:1] or target[1] - live[1] > 1:
            yield f"{member.name} runs {member.version}: {version} skips a minor release → go one by one"
