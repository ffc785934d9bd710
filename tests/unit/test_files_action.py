"""The controller's side: renders, reads, and hands contents over in one masked argument."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.rsp.platform.plugins.action.files import ActionModule

CANARY = "CANARY-77aa"


@pytest.fixture
def role(tmp_path):
    """A role's directory with a template, a part that it includes, and a file."""
    for folder in ("templates", "files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "templates" / "demo.conf.j2").write_text(
        "# {{ ansible_managed }}\n{% for port in ports %}\nport {{ port }}\n{% endfor %}\n"
        "{% include 'part.j2' %}\n\n# {{ template_path }} {{ template_destpath }}\n"
    )
    (tmp_path / "templates" / "part.j2").write_text("back\\slash {{ name }}\n")
    (tmp_path / "templates" / "empty.j2").write_text("")
    (tmp_path / "files" / "raw.bin").write_bytes(b"\0\xff{{ not_rendered }}")
    return tmp_path


def action(role, arguments, result=None, diff=True):
    """The plugin with a task of these arguments; `sent` collects what the module would get."""
    sent = []
    loader = DataLoader()
    loader.set_basedir(str(role))
    task = SimpleNamespace(
        args=arguments,
        diff=diff,
        check_mode=False,
        async_val=0,
        get_search_path=lambda: [str(role)],
    )
    plugin = ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), has_pipelining=True),
        play_context=SimpleNamespace(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )

    def execute(name, module_args, task_vars):
        sent.append((name, module_args))
        return dict(result or {"changed": False, "diff": []})

    plugin._execute_module = execute
    variables = {"ansible_search_path": [str(role)], "ports": [1, 2], "name": "x"}
    return plugin, sent, variables


def sent_by(role, entries, **fields):
    plugin, sent, variables = action(role, {"service": "demo", "files": entries, **fields})
    plugin.run(task_vars=variables)
    assert len(sent) == 1, "one round trip"
    name, arguments = sent[0]
    assert name == "rsp.platform.files"
    contents = {dest: base64.b64decode(text) for dest, text in json.loads(arguments.get("payload", "{}")).items()}
    return arguments, contents


def test_everything_goes_over_in_one_call(role):
    arguments, contents = sent_by(
        role,
        [
            {"dest": "/etc/a", "template": "demo.conf.j2", "needs": "restart"},
            {"dest": "/etc/b", "content": f"password={CANARY}\n", "secret": True},
            {"dest": "/etc/c", "src": "raw.bin"},
            {"dest": "/etc/d", "state": "absent"},
            {"dest": "/etc/e", "template": "empty.j2"},
            {"dest": "/etc/f", "content": ""},
        ],
    )
    assert contents == {
        "/etc/a": b"# Ansible managed\nport 1\nport 2\nback\\slash x\n# demo.conf.j2 /etc/a\n",
        "/etc/b": f"password={CANARY}\n".encode(),
        "/etc/c": b"\0\xff{{ not_rendered }}",
        "/etc/e": b"",
        "/etc/f": b"",
    }
    assert [entry["dest"] for entry in arguments["files"]] == [f"/etc/{name}" for name in "abcdef"]


def test_contents_are_only_in_the_masked_argument(role):
    arguments, _ = sent_by(role, [{"dest": "/etc/b", "content": CANARY}])
    arguments.pop("payload")
    assert CANARY not in json.dumps(arguments)
    assert "content" not in arguments["files"][0]


def test_the_task_keeps_its_arguments(role):
    given = {"service": "demo", "files": [{"dest": "/etc/b", "content": "x"}]}
    plugin, _, variables = action(role, given)
    before = json.dumps(given)
    plugin.run(task_vars=variables)
    plugin.run(task_vars=variables)
    assert json.dumps(given) == before
    assert variables["ansible_search_path"] == [str(role)]


def test_ansible_managed_of_the_user_wins(role):
    plugin, sent, variables = action(role, {"files": [{"dest": "/etc/a", "template": "demo.conf.j2"}]})
    plugin.run(task_vars={**variables, "ansible_managed": "ours"})
    assert base64.b64decode(json.loads(sent[0][1]["payload"])["/etc/a"]).startswith(b"# ours\n")


@pytest.mark.parametrize("entries", [[], None, [{"dest": "/etc/d", "state": "absent"}]])
def test_without_contents_there_is_no_payload_to_mask(role, entries):
    assert "payload" not in sent_by(role, entries)[0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dest": "/etc/a"}, "/etc/a: give one of template, content and src; found none"),
        ({"dest": "/etc/a", "content": "x", "src": "raw.bin"}, "found content and src"),
        ({"content": "x"}, "an entry of files has no dest"),
        ({"dest": "/etc/a", "content": {"a": 1}}, "/etc/a: content is a dict, not text → use a filter like to_json"),
        ({"dest": "/etc/a", "content": "x", "mode": 416}, '/etc/a: mode is a number → write it in quotes, "0640"'),
        ({"dest": "/etc/a", "template": "none.j2"}, "Could not find or access 'none.j2'"),
    ],
)
def test_a_senseless_entry_is_refused_on_the_controller(role, entry, message):
    plugin, sent, variables = action(role, {"service": "demo", "files": [entry]})
    with pytest.raises(AnsibleError) as caught:
        plugin.run(task_vars=variables)
    assert message in str(caught.value)
    assert sent == []


def test_a_bare_mode_of_a_directory_is_refused(role):
    plugin, _, variables = action(role, {"directories": [{"path": "/etc/a", "mode": 493}]})
    with pytest.raises(AnsibleError, match="/etc/a: mode is a number"):
        plugin.run(task_vars=variables)


def test_nobody_else_sets_the_payload(role):
    plugin, _, variables = action(role, {"payload": "{}"})
    with pytest.raises(AnsibleError, match="payload is set by the action plugin itself"):
        plugin.run(task_vars=variables)


def test_a_variable_that_is_missing_names_itself(role):
    (role / "templates" / "bad.j2").write_text("{{ no_such_variable }}")
    plugin, sent, variables = action(role, {"files": [{"dest": "/etc/a", "template": "bad.j2"}]})
    with pytest.raises(AnsibleError, match="no_such_variable"):
        plugin.run(task_vars=variables)
    assert sent == []


@pytest.mark.parametrize(("diff", "kept"), [(True, True), (False, False)])
def test_a_diff_is_returned_when_it_was_asked_for(role, diff, kept):
    plugin, _, variables = action(role, {"files": []}, {"changed": True, "diff": [{"before": ""}]}, diff=diff)
    assert ("diff" in plugin.run(task_vars=variables)) is kept
