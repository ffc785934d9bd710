"""The doorways of files, unit and host_check: options in, results out, no secret in either."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.pending import pending_now
from ansible_collections.rsp.platform.plugins.modules import files, host_check, unit

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
CANARY = "CANARY-c0de"


def run(module, capsys, arguments, check=False):
    with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as end:
        module.main()
    out = capsys.readouterr().out
    return end.value.code, json.loads(out), out


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Generations.__init__, "__defaults__", (tmp_path / "state", None))
    return tmp_path


def demo(home, **contents):
    given = {str(home / "etc" / name): text for name, text in contents.items()}
    return {
        "service": "demo",
        "owner": ME,
        "group": MY_GROUP,
        "directories": [{"path": str(home / "etc")}],
        "files": [{"dest": dest, "template": "x.j2", "needs": "reload", "secret": True} for dest in given],
        "payload": json.dumps({dest: base64.b64encode(text.encode()).decode() for dest, text in given.items()}),
    }


def test_files_are_put_and_nothing_shows_their_contents(home, capsys):
    arguments = demo(home, key=CANARY)
    code, predicted, _ = run(files, capsys, arguments, check=True)
    assert (code, predicted["changed"]) == (0, True)
    assert not (home / "etc").exists()
    code, result, out = run(files, capsys, arguments)
    assert (code, result["changed"], result["needs"]) == (0, True, "reload")
    assert (home / "etc" / "key").read_text() == CANARY
    assert CANARY not in out
    assert base64.b64encode(CANARY.encode()).decode() not in out
    assert not run(files, capsys, arguments)[1]["changed"]


def test_files_go_back(home, capsys):
    run(files, capsys, demo(home, key="one"))
    run(files, capsys, demo(home, key="two"))
    code, result, _ = run(files, capsys, {"service": "demo", "state": "previous"})
    assert (code, result["generation"]) == (0, 1)
    assert (home / "etc" / "key").read_text() == "one"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validate": [["false", "%s"]]}, "nothing was changed: validator false"),
        ({"validate": [["no-such-validator", "%s"]]}, "validator no-such-validator is not installed"),
        ({"owner": "no-such-user"}, "no user no-such-user here"),
        ({"payload": None}, "the controller sent no content"),
    ],
)
def test_files_that_are_refused(home, capsys, fields, message):
    code, result, out = run(files, capsys, {**demo(home, key=CANARY), **fields})
    assert code == 1
    assert message in result["msg"]
    assert CANARY not in out
    assert not (home / "etc").exists()


def test_a_validator_sees_the_staged_tree(home, capsys):
    below = f"%s{home}/etc/key"
    code, _, _ = run(files, capsys, {**demo(home, key=CANARY), "validate": [["grep", "-q", CANARY, below]]})
    assert code == 0


def test_a_missing_systemd_is_an_error_not_a_traceback(home, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(home))
    code, result, _ = run(files, capsys, {**demo(home, key="x"), "unit": "demo.service"})
    assert code == 1
    assert "systemctl" in result["msg"]


def fake_command(home, monkeypatch, name, script):
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


SHOWN = r"printf 'LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nMainPID=7\n'"


def test_a_unit_that_runs_needs_nothing(home, capsys, monkeypatch):
    fake_command(home, monkeypatch, "systemctl", SHOWN)
    arguments = {"units": [{"name": "demo.service", "state": "started", "enabled": True}], "service": "demo"}
    code, result, _ = run(unit, capsys, arguments)
    assert (code, result["changed"], result["pending_restart"]) == (0, False, False)
    assert result["units"]["demo.service"]["main_pid"] == 7
    _, result, _ = run(unit, capsys, {**arguments, "needs": "restart"}, check=True)
    assert result["pending_restart"]


@pytest.mark.parametrize(("rollback", "told"), [(True, True), (False, False)])
def test_a_unit_that_fails_says_whether_going_back_helps(home, capsys, monkeypatch, rollback, told):
    store = Generations("demo", home / "state")
    with store.locked():
        store.begin({}, pending_now("none"))
        store.commit({"generation": 1, "files": {}, "unit_was_active": True}, pending_now("reload"))
    fake_command(home, monkeypatch, "systemctl", f'test "$1" = show || {{ echo broken >&2; exit 1; }}\n{SHOWN}')
    arguments = {"units": [{"name": "demo.service", "restart": True}], "service": "demo", "rollback": rollback}
    code, result, _ = run(unit, capsys, arguments)
    assert (code, result["rollback"]) == (1, told)
    assert "broken" in result["msg"]
    assert ("state=previous" in result["msg"]) is told


def test_host_check_reads_this_host(home, capsys, monkeypatch):
    fake_command(home, monkeypatch, "systemctl", SHOWN)
    fake_command(home, monkeypatch, "dpkg-query", r"printf 'bash\t5.2\tinstalled\n'")
    arguments = {
        "service": "demo",
        "packages": ["bash"],
        "units": ["demo.service"],
        "paths": [str(home), str(home / "no")],
        "disk_min_mb": {str(home): "1"},
    }
    code, result, _ = run(host_check, capsys, arguments)
    assert (code, result["changed"], result["fresh"], result["versions"]) == (0, False, False, {"bash": "5.2"})
    assert result["paths"] == {str(home): True, str(home / "no"): False}
    assert result["epoch"] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("check", [False, True])
def test_host_check_fails_with_all_problems(home, capsys, check):
    arguments = {"service": "demo", "memory_min_mb": 1 << 40, "os_supported": ["plan9-4"]}
    code, result, _ = run(host_check, capsys, arguments, check=check)
    assert code == 1
    assert len(result["problems"]) == 2
    assert "demo_memory_min_mb" in result["msg"]
    assert "supported are plan9-4 →" in result["msg"]


def test_host_check_says_when_it_cannot_read(home, capsys, monkeypatch):
    fake_command(home, monkeypatch, "systemctl", "echo no bus >&2; exit 1")
    code, result, _ = run(host_check, capsys, {"service": "demo", "units": ["demo.service"]})
    assert code == 1
    assert "no bus" in result["msg"]
