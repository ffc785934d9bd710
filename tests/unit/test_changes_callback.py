"""The callback that writes the set of changed tasks."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.utils.context_objects import CLIArgs
from ansible_collections.rsp.platform.plugins.callback import changes


def result(host="a1", task="Files | Apply", action="rsp.platform.files", resolved=None, **answer):
    """What Ansible hands to a callback for one task on one host."""
    return SimpleNamespace(
        _host=SimpleNamespace(get_name=lambda: host),
        _task=SimpleNamespace(get_name=lambda: task, action=action, resolved_action=resolved),
        _result=answer,
    )


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Feeds results to a callback and returns the rows of the file that it wrote, None when there is none."""

    def feed(*results, check=False, path=tmp_path / "changes.json"):
        monkeypatch.setattr(changes.context, "CLIARGS", CLIArgs({"check": check}))
        callback = changes.CallbackModule()
        monkeypatch.setattr(callback, "get_option", {"path": path and str(path)}.__getitem__)
        for item in results:
            callback.v2_runner_on_ok(item)
        callback.v2_playbook_on_stats(None)
        written = sorted(tmp_path.iterdir())
        assert len(written) <= 1
        return (written[0].name, json.loads(written[0].read_text(encoding="utf-8"))) if written else None

    return feed


def row(host="a1", task="Files | Apply", action="rsp.platform.files"):
    return {"host": host, "task": task, "action": action}


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        ({"changed": True}, True),
        ({"changed": False}, False),
        ({}, False),
        ({"results": [{"changed": False}, {"changed": True}]}, True),
        ({"results": [{"changed": False}, {"skipped": True}]}, False),
        ({"changed": False, "results": []}, False),
    ],
)
def test_a_task_changed_when_it_or_an_item_says_so(answer, changed):
    assert changes.changed_items(answer) is changed


@pytest.mark.parametrize(
    ("results", "rows"),
    [
        pytest.param([], [], id="nothing ran"),
        pytest.param([result(changed=False)], [], id="an idempotent run writes an empty list"),
        pytest.param([result(changed=True)], [row()], id="one"),
        pytest.param([result(changed=True), result(changed=True)], [row()], id="a set: the same task once"),
        pytest.param(
            [result("b1", changed=True), result("a1", changed=True), result("c1", changed=False)],
            [row("a1"), row("b1")],
            id="sorted, without the host that did not change",
        ),
        pytest.param(
            [result(action="files", resolved="rsp.platform.files", changed=True)], [row()], id="by its full name"
        ),
    ],
)
def test_rows(run, results, rows):
    assert run(*results) == ("changes.json", rows)


def test_a_check_run_does_not_overwrite_the_real_one(run):
    assert run(result(changed=True), check=True) == ("changes.json.check", [row()])


def test_nothing_is_written_without_a_path(run):
    assert run(result(changed=True), path=None) is None
