"""May a lost member be forgotten, and is one gone for good?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.gates_membership import gone, may_forget
from fixtures.gates.builders import but, consul, down, etcd, led_by, less_known, postgresql, silent, unknown, without

NO_LEADER = "no leader of consul is known"


@pytest.mark.parametrize(
    ("state", "member", "reason"),
    [
        (down(consul(3), "s3"), "s3", None),
        (down(consul(5), "s4 s5"), "s5", None),
        (down(consul(3, agents=2), "x2"), "x2", None),
        (without(consul(3), "s3"), "s3", None),
        (consul(3), "s9", None),
        (consul(3), "s3", "s3 is healthy: a member that is not lost is removed, not replaced"),
        (consul(3, agents=2), "x2", "x2 is healthy: a member that is not lost is removed, not replaced"),
        (unknown(consul(3), "s3"), "s3", "s3 is of unknown health: it may be well"),
        (silent(etcd(3), "s3"), "s3", "s3 is of unknown health: it may be well"),
        (down(consul(3), "s2 s3"), "s3", "1 of 3 voters are healthy without it, 2 are needed"),
        (down(consul(5), "s3 s4 s5"), "s5", "2 of 5 voters are healthy without it, 3 are needed"),
        (down(unknown(consul(3), "s2"), "s3"), "s3", "1 of 3 voters are healthy without it, 2 are needed"),
        (led_by(down(consul(3), "s3"), None), "s3", NO_LEADER),
        (led_by(without(consul(3), "s3"), None), "s3", NO_LEADER),
        (down(consul(3), "s1"), "s1", "s1 leads consul"),
        # one that Patroni still lists is waited for: its entry ends by itself
        (unknown(postgresql(3), "p3"), "p3", "p3 is of unknown health: it may be well"),
        (down(postgresql(3), "p3"), "p3", None),
        (without(postgresql(3), "p3"), "p3", None),
        (down(postgresql(2), "p2"), "p2", "1 of 2 voters are healthy without it, 2 are needed"),
        (without(postgresql(2), "p2"), "p2", None),
        (but(down(postgresql(3), "p3"), "p3", problems=("p3 did not answer",)), "p3", None),
    ],
)
def test_may_forget(state, member, reason):
    verdict = may_forget(state, member)
    assert (verdict.open, verdict.reason) == (reason is None, reason)
    if not verdict.open:
        assert not any(may_forget(less, member).open for less in less_known(state))


@pytest.mark.parametrize(
    ("state", "member", "reason"),
    [
        (without(consul(3), "s3"), "s3", None),
        (consul(3), "s3", "s3 is still a member of consul"),
        (unknown(consul(3), "s3"), "s3", "s3 is still a member of consul"),
        (consul(3, agents=1), "x1", "x1 is still a member of consul"),
        (led_by(without(consul(3), "s3"), None), "s3", NO_LEADER),
        (replace(consul(3), members=()), "s3", NO_LEADER),
        (without(postgresql(3), "p3"), "p3", None),
    ],
)
def test_gone(state, member, reason):
    verdict = gone(state, member)
    assert (verdict.open, verdict.reason) == (reason is None, reason)
