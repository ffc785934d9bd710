"""Stages: their record is complete at any moment, and a stage that was cut off is seen as such."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest
import stages
from stages import Journal, Record, Stage, run_stage


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "stages.json")


def python(code, name="mirror"):
    return Stage(name, "does something", (sys.executable, "-c", code))


def run(stage, journal, tmp_path, lock=0):
    return run_stage(stage, journal, tmp_path, dict(os.environ), lock)


def test_records_are_kept_by_stage_in_order(journal):
    journal.write("image", Record("running", "now"))
    journal.write("lab", Record("done", "now", 2.0, 1.0, 3))
    journal.write("image", Record("done", "now", 9.0))
    assert list(journal.read()) == ["image", "lab"]
    assert journal.read()["image"].seconds == 9.0
    assert [path.name for path in journal.path.parent.iterdir()] == ["stages.json"]


@pytest.mark.parametrize("content", [None, "", "{", '{"lab": {"unknown": 1}}', '["lab"]'])
def test_a_torn_record_is_no_record(journal, content):
    if content is not None:
        journal.path.write_text(content)
    assert journal.read() == {}


@pytest.mark.parametrize(
    ("code", "state", "shown"), [("print('hello')", "done", "hello\n"), ("raise SystemExit(3)", "failed", "")]
)
def test_a_stage_ends_with_its_record_and_log(journal, tmp_path, code, state, shown):
    assert run(python(code), journal, tmp_path) is (state == "done")
    record = journal.read()["mirror"]
    assert record.state == state
    assert record.seconds >= 0
    assert (tmp_path / "mirror.log").read_text() == shown


def test_the_record_says_running_while_it_runs(journal, tmp_path):
    code = f"import json; print(json.load(open({str(journal.path)!r}))['mirror']['state'])"
    run(python(code), journal, tmp_path)
    assert (tmp_path / "mirror.log").read_text() == "running\n"


def test_cpu_of_the_command_is_counted(journal, tmp_path):
    run(python("sum(range(10**7))"), journal, tmp_path)
    assert journal.read()["mirror"].cpu_s > 0


def test_output_without_a_last_newline_and_with_bad_bytes_is_not_lost(journal, tmp_path):
    run(python("import sys; sys.stdout.buffer.write(b'a\\xff\\nb')"), journal, tmp_path)
    assert (tmp_path / "mirror.log").read_text() == "a\ufffd\nb\n"


def test_a_silent_command_shows_a_sign_of_life(journal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stages, "HEARTBEAT_S", 0.05)
    run(python("import time; time.sleep(0.4)"), journal, tmp_path)
    assert "still at it: does something" in capsys.readouterr().out


def test_an_interruption_ends_the_command_and_is_on_record(journal, tmp_path, monkeypatch):
    marker = tmp_path / "pid"
    code = (
        f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); print('up', flush=True); time.sleep(60)"
    )

    def interrupt(line):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "_show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(python(code), journal, tmp_path)
    assert journal.read()["mirror"].state == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_a_playbooks_output_is_condensed_and_its_changes_counted(journal, tmp_path, capsys):
    recap = "a1 : ok=2 changed=2 unreachable=0 failed=0 skipped=0"
    script = tmp_path / "ansible-playbook"
    script.write_text(f"#!/bin/sh\nprintf 'TASK [x] ***\\nchanged: [a1]\\nPLAY RECAP ****\\n{recap}\\n'\n")
    script.chmod(0o755)
    assert run(Stage("converge", "", (str(script),)), journal, tmp_path)
    assert capsys.readouterr().out.endswith(" s  x: 1 changed\n")
    assert json.loads(journal.path.read_text())["converge"]["changed"] == 2


@pytest.mark.parametrize(("name", "inherited"), [("ansible-playbook", True), ("bootstrap.sh", False)])
def test_only_playbooks_hold_the_lock(journal, tmp_path, name, inherited):
    script = tmp_path / name
    read, write = os.pipe()
    script.write_text(f"#!/bin/sh\n[ -e /proc/self/fd/{write} ]\n")
    script.chmod(0o755)
    try:
        assert run(Stage("any", "", (str(script),)), journal, tmp_path, lock=write) is inherited
    finally:
        os.close(read)
        os.close(write)


def test_lines_come_as_they_are_written():
    with subprocess.Popen(
        [sys.executable, "-c", "print('first', flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        lines = stages._lines(process.stdout)
        guard = threading.Timer(30, process.kill)
        guard.start()
        assert next(lines) == "first"
        guard.cancel()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert list(lines) == []
