"""A second run changes nothing, restarts nothing, and check mode agrees."""

from __future__ import annotations

import pytest


def test_nothing_changes_and_nothing_restarts(playbook, unit_times, lab):
    before, primary = unit_times(), lab.primary()
    assert len(before) == 6
    assert "patroni.service" in before[primary]
    _, changes = playbook("site")
    assert changes == []
    assert unit_times() == before
    assert lab.primary() == primary


def test_check_mode_on_a_converged_lab_promises_nothing(playbook):
    _, changes = playbook("site", "--diff", check=True)
    assert changes == []


def test_the_callback_would_have_seen_a_change(playbook, lab):
    """The planted violation: a file changed by hand is seen in check mode, and repaired by the real run."""
    lab.on("a1", "sh", "-c", "echo '# by hand' >> /etc/consul.d/consul.hcl")
    for check in (True, False):
        _, changes = playbook("site", "--tags", "consul", check=check)
        assert {(row["host"], row["action"]) for row in changes} == {("a1", "rsp.platform.files")}
    _, changes = playbook("site", "--tags", "consul")
    assert changes == []


@pytest.mark.parametrize("host", ["b1"])
def test_a_limited_run_is_safe(playbook, host):
    _, changes = playbook("site", "--limit", host)
    assert changes == []
