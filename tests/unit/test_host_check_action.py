"""The controller's side of host_check: two looks at the clock."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from ansible_collections.rsp.platform.plugins.action.host_check import ActionModule


def run(member, arguments=None, **result):
    """The action's result when the member's clock answers `member(time when asked)`."""
    seen = []
    task = SimpleNamespace(args={"service": "demo", **(arguments or {})}, check_mode=False, async_val=0)
    plugin = ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=SimpleNamespace(),
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )

    def execute(name, module_args, task_vars):
        seen.append((name, module_args))
        epoch = member(module_args["controller_epoch"])
        return {"changed": False, "problems": [], **({"epoch": epoch} if epoch else {}), **result}

    plugin._execute_module = execute
    answer = plugin.run(task_vars={})
    assert [name for name, _ in seen] == ["rsp.platform.host_check"]
    assert seen[0][1]["controller_epoch"] == pytest.approx(time.time(), abs=3600)
    return answer


def test_a_clock_that_agrees_is_no_problem():
    result = run(lambda asked: time.time())
    assert (result["problems"], result.get("failed")) == ([], None)


def test_a_slow_connection_is_no_skew():
    assert not run(lambda asked: time.time(), {"controller_epoch": time.time() - 600}).get("failed")


def test_a_clock_ahead_fails_next_to_the_other_problems():
    other = {"what": "too small", "variable": "demo_x", "fix": "grow it"}
    result = run(lambda asked: time.time() + 60, problems=[other], failed=True, msg="old")
    assert result["failed"]
    assert len(result["problems"]) == 2
    assert "demo_x  too small → grow it" in result["msg"]
    assert "ahead of the controller" in result["msg"]


@pytest.mark.parametrize(("allowed", "failed"), [(100, None), ("100", None), (5, True)])
def test_how_much_is_allowed(allowed, failed):
    assert run(lambda asked: time.time() + 60, {"max_skew_s": allowed}).get("failed") is failed


def test_a_clock_behind_is_the_modules_finding_and_comes_once():
    behind = {"what": "behind", "variable": "", "fix": "synchronise"}
    result = run(lambda asked: asked - 60, problems=[behind], failed=True, msg="from the module")
    assert (result["problems"], result["msg"]) == ([behind], "from the module")


def test_a_module_that_failed_without_a_clock_is_passed_on():
    result = run(lambda asked: None, failed=True, msg="no bus")
    assert (result["failed"], result["msg"]) == (True, "no bus")
