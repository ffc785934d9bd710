"""Gates over a table of states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates import settled
from ansible_collections.rsp.platform.plugins.module_utils.state import Member, ServiceState

C1 = Member("c1", "10.0.0.1", "leader", "a", healthy=True, lag=0)
C2 = Member("c2", "10.0.1.1", "voter", "b", healthy=True, lag=0)
C3 = Member("c3", "10.0.2.1", "voter", "c", healthy=True, lag=3)
WHOLE = ServiceState("consul", "dc1", (C1, C2, C3), "c1")
ALL = ("c1", "c2", "c3")


def changed(**fields: object) -> ServiceState:
    """WHOLE with fields of the last member replaced."""
    return replace(WHOLE, members=(C1, C2, replace(C3, **fields)))


@pytest.mark.parametrize(
    ("state", "expected", "reason"),
    [
        (WHOLE, ALL, None),
        (WHOLE, (), "no member is expected: an empty list proves nothing"),
        (replace(WHOLE, leader=None), ALL, "no leader of consul is known"),
        (replace(WHOLE, members=(C1, C2)), ALL, "c3 is no member of consul"),
        (changed(healthy=False), ALL, "c3 is not healthy"),
        (changed(healthy=None), ALL, "c3 is of unknown health"),
        (changed(lag=11), ALL, "c3 lags by 11, 10 is allowed"),
        (changed(lag=None), ALL, "the lag of c3 is unknown"),
        (changed(lag=None, voter=False), ALL, None),
        (replace(WHOLE, problems=("port closed",)), ALL, "port closed"),
    ],
)
def test_settled(state, expected, reason):
    verdict = settled(state, expected, max_lag=10)
    assert verdict.reason == reason
    assert verdict.open is (reason is None)
