"""The controller's side of plans: the recording callback, runs inside a run, plan files, and what files tells."""

from __future__ import annotations

import json
import os
import stat
import sys
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.rsp.platform.plugins.action import plan as plan_action
from ansible_collections.rsp.platform.plugins.action import plan_step
from ansible_collections.rsp.platform.plugins.callback import record
from ansible_collections.rsp.platform.plugins.module_utils.plan.document import hash_of
from ansible_collections.rsp.platform.plugins.modules import plan as plan_documented
from ansible_collections.rsp.platform.plugins.modules import plan_step as step_documented
from ansible_collections.rsp.platform.plugins.plugin_utils import nested_run, planning, recording
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import placeholder
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError
from test_plan import CONTEXT, change, file, live_rows, planned

# callback


def test_the_callback_keeps_what_tasks_say(monkeypatch, tmp_path):
    path = tmp_path / "record.json"
    callback = record.CallbackModule()
    monkeypatch.setattr(callback, "get_option", {"path": str(path)}.__getitem__)
    task = SimpleNamespace(
        _role=SimpleNamespace(get_name=lambda include_role_fqcn: "consul"),
        get_name=lambda: "rsp.platform.consul : T",
        action="unit",
        resolved_action="rsp.platform.unit",
    )
    host = SimpleNamespace(get_name=lambda: "a1")
    callback.v2_runner_on_ok(SimpleNamespace(_host=host, _task=task, _result={"changed": True, "actions": ["x"]}))
    callback.v2_runner_on_failed(SimpleNamespace(_host=host, _task=task, _result={"failed": True}))
    callback.v2_playbook_on_stats(None)
    found = json.loads(path.read_text())
    assert [row["kind"] for row in found] == ["change", "unknown"]
    assert found[0] == change(task="rsp.platform.consul : T", actions=["x"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_callback_writes_nothing_without_a_path(monkeypatch, tmp_path):
    callback = record.CallbackModule()
    monkeypatch.setattr(callback, "get_option", {"path": None}.__getitem__)
    callback.v2_playbook_on_stats(None)
    assert list(tmp_path.iterdir()) == []


# runs inside a run


def controller(**given):
    given = {"cli": {}, "extra": {}, "environment": {"PATH": os.environ["PATH"]}, "show": lambda line: None, **given}
    return nested_run.Controller(**given)


def test_a_run_inherits_how_the_job_was_called(tmp_path):
    cli = {
        "inventory": ("inventories/x", "more"),
        "vault_ids": ["rsp@file"],
        "remote_user": "admin",
        "become": True,
        "forks": 7,
        "ask_vault_pass": False,
        "check": False,
    }
    asked = nested_run.Wanted(playbooks=["site.yml", "b.yml"], tags=["consul"], extra={"service": "etcd"}, check=True)
    passwords = {"connection": None, "become": "CANARY"}
    argv = nested_run.arguments(asked, controller(cli=cli, extra={"x": "{{ y }}"}, passwords=passwords), tmp_path)
    assert argv[:6] == [sys.executable, "-m", "ansible", "playbook", "site.yml", "b.yml"]
    assert argv[6:] == [
        "--inventory", "inventories/x", "--inventory", "more", "--vault-id", "rsp@file", "--user=admin", "--forks=7",
        "--become", f"--become-password-file={tmp_path}/become", f"--extra-vars=@{tmp_path}/extra.json",
        "--tags=consul", "--check",
    ]  # fmt: skip
    assert json.loads((tmp_path / "extra.json").read_text()) == {"x": "{{ y }}", "service": "etcd"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("cli", [{"ask_vault_pass": True}, {"vault_ids": ["x@prompt"]}])
def test_a_password_that_was_typed_once_is_not_asked_for_twice(cli, tmp_path):
    with pytest.raises(nested_run.NestedRunError, match="give it as a file"):
        nested_run.arguments(nested_run.Wanted(playbooks=[]), controller(cli=cli), tmp_path)


def test_a_run_is_recorded_on_its_own(tmp_path):
    given = controller(environment={"RSP_CHANGES_FILE": "x", "HOME": "/h"}, callbacks=["rsp.platform.changes"])
    env = nested_run.environment(nested_run.Wanted(playbooks=[], owner="me"), given, tmp_path)
    assert env["ANSIBLE_CALLBACKS_ENABLED"] == "rsp.platform.changes,rsp.platform.record"
    assert (env["HOME"], env[nested_run.LOCK_OWNER], env[recording.RECORD_FILE]) == ("/h", "me", str(tmp_path))
    assert "RSP_CHANGES_FILE" not in env
    assert nested_run.LOCK_OWNER not in nested_run.environment(nested_run.Wanted(playbooks=[]), given, tmp_path)


@pytest.fixture
def program(monkeypatch):
    """Replaces ansible-playbook by a program."""

    def use(text):
        monkeypatch.setattr(nested_run, "arguments", lambda wanted, given, folder: [sys.executable, "-c", text])
        return nested_run.Wanted(playbooks=[SimpleNamespace(name="site.yml")], check=True)

    return use


def test_what_was_recorded_comes_back_and_lines_are_shown(program):
    shown = []
    wanted = program(f"import os; print('PLAY x'); open(os.environ['{recording.RECORD_FILE}'], 'w').write('[{{}}]')")
    assert nested_run.run(wanted, controller(show=shown.append)) == [{}]
    assert shown == ["PLAY x"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("print('fatal: x'); raise SystemExit(2)", r"site.yml --check failed \(rc 2\):\nfatal: x"),
        ("pass", "rsp.platform.record wrote nothing"),
    ],
)
def test_a_run_that_failed_says_why(program, text, sentence):
    with pytest.raises(nested_run.NestedRunError, match=sentence):
        nested_run.run(program(text), controller())


# plan files


def test_a_plan_is_kept_privately_under_its_hash(tmp_path):
    plan = planned(change(files=[file()]))
    path = planning.keep(plan, tmp_path / "plans", {"at": "now"})
    assert path.name == f"{hash_of(plan)}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert planning.read(hash_of(plan), path.parent) == plan
    assert planning.keep(plan, path.parent, planning.made_now("me")) == path
    assert planning.read("0" * 64, path.parent) is None


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda text: text.replace("0640", "0644"), "was changed after it was written"),
        (lambda text: text[:40], "can't be read"),
        (lambda text: "[]", "can't be read"),
    ],
)
def test_a_plan_that_was_edited_is_refused(tmp_path, edit, sentence):
    plan = planned(change(files=[file()]))
    path = planning.keep(plan, tmp_path, {})
    path.write_text(edit(path.read_text()))
    with pytest.raises(planning.PlanError, match=sentence):
        planning.read(hash_of(plan), tmp_path)


# what the action rsp.platform.files tells


def test_only_a_recorded_run_has_a_key(monkeypatch, tmp_path):
    settings = {"backend": "file", "path": str(tmp_path / "s.yml"), "key_file": str(tmp_path / "s.key")}
    monkeypatch.delenv(recording.RECORD_FILE, raising=False)
    assert recording.key_of(settings, "a1") is None
    monkeypatch.setenv(recording.RECORD_FILE, "x")
    with pytest.raises(SecretError, match="plan/digest is missing"):
        recording.key_of(settings, "a1")
    recording.open_store(settings).put({"plan/digest": "k"})
    assert recording.key_of(settings, "a1") == recording.key_of(settings, "a1") != recording.key_of(settings, "b1")


def test_what_check_mode_cannot_know():
    issued = placeholder()["cert"].encode()
    first = {"/same": b"1", "/random": b"2", "/certificate": b"x" + issued}
    assert recording.unforeseen(first, {**first, "/random": b"3"}) == {"/random", "/certificate"}


def test_diffs_of_what_is_open_only():
    hidden = {"owner": "0:0", "mode": "0600", "digest": "hmac-sha256:1"}
    result = {
        "files": [
            file("/open"),
            file("/secret", after=hidden),
            file("/later"),
            {"dest": "/mode", "change": "attributes"},
        ],
        "diff": [
            {"before_header": "/open", "before": "a\nb\n", "after": "a\nc\n"},
            {"before_header": "/open", "before": "mode: 1\n", "after": "mode: 2\n"},
            {"before_header": "/secret", "before": "<secret, sha256 1>\n", "after": "<secret, sha256 2>\n"},
        ],
    }
    found = {entry["dest"]: entry for entry in recording.told(result, {"/later"})}
    assert found["/open"]["diff"] == ["--- ", "+++ ", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert "diff" not in found["/secret"]
    assert found["/later"]["after"] is None
    assert "diff" not in found["/mode"]


# actions

JOB = {
    "service": "consul", "services": ["consul"], "clusters": {"consul": "rsp-local-dc1"},
    "reason": "why", "wait_s": None,
    "lock_arguments": {"owner": "me"},
}  # fmt: skip
TAGS = {"consul": ["consul"], "postgresql": ["postgresql", "haproxy"]}


def plugin(kind, check=False):
    task = SimpleNamespace(check_mode=check, args={}, async_val=0, diff=False)
    made = kind.__new__(kind)
    made._task = task
    made._play_context = SimpleNamespace()
    made._loader = None
    return made


def planning_action(monkeypatch, rows, check=False):
    """The action with a recorded run of these rows."""
    made = plugin(plan_action.ActionModule, check)
    monkeypatch.setattr(plan_action, "controller_of", lambda *given: controller())
    monkeypatch.setattr(plan_action.nested_run, "run", lambda wanted, given: rows)
    monkeypatch.setattr(plan_action.digests, "code", lambda root: {"playbooks": "1"})
    monkeypatch.setattr(made, "_variables", lambda *given: {}, raising=False)
    return made


def test_a_plan_is_written_then_found_the_same_then_moved(monkeypatch, tmp_path):
    rows = [change(files=[file()]), *live_rows()]
    args = {"job": JOB, "tags": TAGS, "directory": str(tmp_path), "hash": None}
    first = planning_action(monkeypatch, rows)._act(args, {})
    assert first["path"] == str(tmp_path / f"{first['hash']}.json")
    args["hash"] = first["hash"]
    assert "failed" not in planning_action(monkeypatch, rows)._act(args, {})
    moved = planning_action(monkeypatch, [change(files=[file()]), *live_rows(leader="b1")])._act(args, {})
    assert moved["failed"]
    assert "consul: a1 led, now b1 leads" in moved["msg"]
    assert "nothing was changed" in moved["msg"]
    assert [path.name for path in tmp_path.iterdir()] == [f"{first['hash']}.json"]


def test_a_plan_of_another_controller_is_refused(monkeypatch, tmp_path):
    args = {"job": JOB, "tags": TAGS, "directory": str(tmp_path), "hash": "0" * 64}
    found = planning_action(monkeypatch, live_rows())._act(args, {})
    assert "has no such plan to compare with" in found["msg"]


def test_a_closed_gate_refuses_what_would_restart(monkeypatch, tmp_path):
    waits = {"kind": "pending", "host": "c1", "service": "consul", "value": ["x"]}
    rows = [waits, *live_rows(closed={"c1": "b1 is not healthy"})]
    args = {"job": JOB, "tags": TAGS, "directory": str(tmp_path), "hash": None}
    made = planning_action(monkeypatch, rows)._act(args, {})
    assert "apply would refuse now" in made["summary"][-1]
    found = planning_action(monkeypatch, rows)._act({**args, "hash": made["hash"]}, {})
    assert found["failed"]
    assert "consul: c1: b1 is not healthy" in found["msg"]


def test_check_mode_writes_no_plan(monkeypatch, tmp_path):
    args = {"job": JOB, "tags": TAGS, "directory": str(tmp_path), "hash": None}
    planning_action(monkeypatch, live_rows(), check=True)._act(args, {})
    assert list(tmp_path.iterdir()) == []


def test_all_services_are_all_plays():
    assert plan_action.tags_of({**JOB, "service": "all"}, TAGS) == []
    assert plan_action.tags_of({"service": "postgresql", "services": ["postgresql"]}, TAGS) == ["postgresql", "haproxy"]


def stepping(monkeypatch, *recorded):
    """The step's plugin; `asked` collects what it runs."""
    asked, answers = [], list(recorded)
    monkeypatch.setattr(plan_step, "controller_of", lambda *given: controller())

    def run(wanted, given):
        asked.append(wanted)
        return answers.pop(0)

    monkeypatch.setattr(plan_step.nested_run, "run", run)
    return plugin(plan_step.ActionModule), asked


PENDING = {"kind": "pending", "host": "a1", "service": "consul", "value": ["files changed"]}


@pytest.mark.parametrize(
    ("done", "found"),
    [
        ([change(files=[file()]), PENDING], []),
        ([change(files=[file()])], ["a1: a restart of consul was planned, but nothing asks for it"]),
        ([PENDING], ["a1: /etc/consul.d/consul.hcl: planned, but not changed"]),
        ([change(files=[file()]), PENDING, {**PENDING, "host": "b1"}], ["b1: a restart of consul was not planned"]),
    ],
)
def test_what_was_done_is_compared(monkeypatch, done, found):
    plan = planned(change(files=[file()]), {"kind": "needs_restart", "host": "a1", "service": "consul"})
    made, asked = stepping(monkeypatch, done)
    assert made._change(plan, {"job": JOB, "tags": TAGS}) == found
    assert ([path.name for path in asked[0].playbooks], asked[0].tags) == (["site.yml", "plan_state.yml"], ["consul"])
    assert (asked[0].check, asked[0].owner, asked[0].extra) == (False, "me", {})


@pytest.mark.parametrize(
    ("done", "found"),
    [([PENDING, {**PENDING, "value": []}], []), ([PENDING], ["a1: was restarted and still waits: files changed"])],
)
def test_planned_members_are_restarted_and_nobody_waits(monkeypatch, done, found):
    plan = planned(PENDING)
    made, asked = stepping(monkeypatch, done)
    assert made._restart("consul", plan, {"job": JOB, "tags": TAGS}) == found
    assert asked[0].extra == {"service": "consul", "members": "a1", "reason": "why"}
    assert asked[0].playbooks[0].name == "restart.yml"


def test_a_step_that_fails_says_that_the_plan_is_not_done(monkeypatch):
    made, _asked = stepping(monkeypatch)
    monkeypatch.setattr(plan_step.ActionBase, "run", lambda *given, **named: {})
    monkeypatch.setattr(made, "validate_argument_spec", lambda argument_spec: (None, args), raising=False)
    args = {"job": JOB, "tags": TAGS, "plan": planned(), "restart": None}

    def fails(wanted, given):
        raise nested_run.NestedRunError("site.yml failed")

    monkeypatch.setattr(plan_step.nested_run, "run", fails)
    with pytest.raises(AnsibleActionFail, match=r"not carried out to its end: site\.yml failed"):
        made.run()
    made._task.check_mode = True
    assert made.run() == {"changed": True, "deviations": []}


def test_the_documentation_names_every_argument():
    for documented, kind in ((plan_documented, plan_action), (step_documented, plan_step)):
        assert all(f"  {name}:\n" in documented.DOCUMENTATION for name in kind.ARGUMENTS)
    assert CONTEXT["service"] == "consul"
