"""May a service go to another release?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates_upgrade import may_upgrade, release, runs
from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState


def state(*versions, leader="m1", problems=()):
    members = tuple(Member(f"m{i}", f"10.0.0.{i}", "voter", version=v) for i, v in enumerate(versions, 1))
    return ServiceState("consul", "dc1", members, leader, problems=problems)


@pytest.mark.parametrize(
    ("seen", "version", "reason"),
    [
        (state("1.22.3", "1.22.3", "1.22.3"), "1.22.5", None),
        (state("1.22.5", "1.22.3", "1.22.3"), "1.22.5", None),
        (state("1.22.5", "1.22.5"), "1.22.5", None),
        (state("1.21.9", "1.22.0"), "1.22.5", None),
        (state("1.20.9"), "1.22.5", "m1 runs 1.20.9: 1.22.5 skips a minor release → go one by one"),
        (state("0.22.3"), "1.22.5", "m1 runs 0.22.3: 1.22.5 skips a minor release → go one by one"),
        (state("1.22.5", "1.22.9"), "1.22.5", "m2 runs 1.22.9: 1.22.5 is older, and going back is no upgrade"),
        (state("2.0.0"), "1.22.5", "m1 runs 2.0.0: 1.22.5 is older, and going back is no upgrade"),
        (state("1.22.3", None), "1.22.5", "what m2 runs is unknown"),
        (state("1.22.3", "1.22.x"), "1.22.5", "what m2 runs is unknown"),
        (state("1.22.3"), "newest", "'newest' is no release → name one like 1.22.5"),
        (state("1.22.3", leader=None), "1.22.5", "no leader of consul is known"),
        (state(), "1.22.5", "consul has no members: an empty list proves nothing"),
        (state("1.22.3", problems=("m9 is silent",)), "1.22.5", "m9 is silent"),
        (state("1.22.9", None), "1.22.5",
         "m1 runs 1.22.9: 1.22.5 is older, and going back is no upgrade; what m2 runs is unknown"),
    ],
)  # fmt: skip
def test_may_upgrade(seen, version, reason):
    verdict = may_upgrade(seen, version)
    assert (verdict.open, verdict.reason) == (reason is None, reason)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (state("1.22.5", "1.22.5"), None),
        (state("1.22.5", "1.22.3"), "m2 runs 1.22.3, not 1.22.5"),
        (state("1.22.5", None), "m2 runs an unknown release, not 1.22.5"),
        (state(), "consul has no members: an empty list proves nothing"),
    ],
)
def test_runs(seen, reason):
    assert runs(seen, "1.22.5").reason == reason


def test_releases_are_compared_as_numbers():
    assert release("1.9.0") < release("1.22.0")
    assert release("v1.22.5") == (1, 22, 5)
    assert release(None) is None
    assert release(replace(state("").members[0]).version) is None
