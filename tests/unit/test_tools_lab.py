"""The lab's commands: they touch what carries this checkout's id, and say in one line why they can't go on."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path

import lab
import pytest
from lab import LabError, Stage
from stages import Journal, Record

ROOT = Path(lab.__file__).resolve().parent.parent


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "STATE", tmp_path / ".lab")
    return tmp_path / ".lab"


@pytest.fixture
def docker(monkeypatch):
    """Stands in for the engine; keeps the calls."""
    calls, answers = [], {}

    def answer(*argv):
        calls.append(argv)
        return answers.get(argv[0], [])

    monkeypatch.setattr(lab, "docker", answer)
    monkeypatch.setattr(lab.shutil, "which", lambda name: f"/usr/bin/{name}")
    answer.calls, answer.answers = calls, answers
    return answer


@pytest.fixture
def two_stages(monkeypatch):
    monkeypatch.setattr(lab, "STAGES", (Stage("one", "first", ("true",)), Stage("two", "second", ("false",))))


def test_the_id_is_the_checkouts():
    assert lab.lab_id(Path("/a/b")) == hashlib.sha256(b"/a/b").hexdigest()[:6]
    assert lab.lab_id(Path("/a/b")) != lab.lab_id(Path("/a/c"))


def test_the_stages_name_playbooks_that_exist():
    playbooks = [word for stage in lab.STAGES for word in stage.argv if word.startswith("playbooks/")]
    assert len(playbooks) == 6
    assert all((ROOT / playbook).is_file() for playbook in playbooks)


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [(None, None, ["one", "two"]), ("two", None, ["two"]), (None, "one", ["one"]), ("two", "two", ["two"])],
)
def test_chosen_stages(two_stages, first, last, names):
    assert [stage.name for stage in lab.chosen(first, last)] == names


def test_an_unknown_stage_is_named_with_the_known(two_stages, state):
    with pytest.raises(LabError, match="no stage three: take one of one, two"):
        lab.up("three", None)
    assert not state.exists()


def test_up_stops_at_the_stage_that_fails(two_stages, state, capsys, monkeypatch):
    monkeypatch.setattr(lab, "STAGES", (*lab.STAGES, Stage("three", "never", ("true",))))
    assert lab.up(None, None) == 1
    assert {name: record.state for name, record in Journal(state / "stages.json").read().items()} == {
        "one": "done",
        "two": "failed",
    }
    assert f"stage two failed; everything it said is in {state}/log/two.log" in capsys.readouterr().out
    assert (state / "id").read_text() == f"{lab.lab_id()}\n"
    assert state.stat().st_mode & 0o777 == 0o700


def test_up_again_says_where_it_was_cut_off(two_stages, state, capsys):
    state.mkdir()
    Journal(state / "stages.json").write("one", Record("interrupted", "t"))
    assert lab.up("one", "one") == 0
    out = capsys.readouterr().out
    assert "cut off in stage one" in out
    assert "one" in out.splitlines()[-2]


def test_two_runs_at_once_are_refused(state):
    state.mkdir()
    with (state / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="another run is at work"), lab.alone(patience_s=0.3):
            pytest.fail("both are at work")
    with lab.alone() as lock:
        assert lock > 2


def test_down_removes_what_carries_the_checkouts_id_and_nothing_else(state, docker, capsys):
    state.mkdir()
    (state / "secrets.key").write_text("x")
    docker.answers.update(ps=["c1", "c2"], network=["n1"])
    assert lab.down() == 0
    asked, removed = docker.calls[:2], docker.calls[2:]
    assert all(f"label=rsp.lab.checkout={lab.lab_id()}" in call for call in asked)
    assert removed == [("rm", "--force", "--volumes", "c1", "c2"), ("network", "rm", "n1")]
    assert "removed 2 containers and 1 networks" in capsys.readouterr().out
    assert not state.exists()


def test_down_may_leave_the_repositories_of_one_zone_and_no_key(state, docker, capsys):
    (state / "s3" / "objects").mkdir(parents=True)
    (state / "secrets.key").write_text("x")
    assert lab.down("repositories") == 0
    assert [path.name for path in state.iterdir()] == ["s3"]
    assert (state / "s3" / "objects").is_dir()
    assert "the keys to them are not kept" in capsys.readouterr().out


def test_down_where_nothing_is_left(state, docker):
    assert lab.down() == 0
    assert [call[0] for call in docker.calls] == ["ps", "network"]
    assert not state.exists()


def test_down_without_an_engine(state, monkeypatch):
    monkeypatch.setattr(lab.shutil, "which", lambda name: None)
    assert lab.down() == 0
    assert not state.exists()


def test_status(state, docker, capsys):
    docker.answers["ps"] = ["abc\trsp-x-a1\tUp 1 second"]
    assert lab.status() == 0
    assert "rsp-x-a1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "line"),
    [("memory/docker/abc", "total_rss 7340032"), ("system.slice/docker-abc.scope", "anon 7340032")],
)
def test_memory_of_a_container(tmp_path, path, line):
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / path / "memory.stat").write_text(f"cache 1\n{line}\n")
    assert lab.memory_mib("abc", tmp_path) == 7
    assert lab.memory_mib("other", tmp_path) is None


def test_shell_runs_in_the_hosts_container(monkeypatch):
    calls = []
    monkeypatch.setattr(
        lab.subprocess, "run", lambda argv, check: calls.append(argv) or subprocess.CompletedProcess(argv, 4)
    )
    assert lab.shell("a1") == 4
    assert calls[0][-3:] == [f"rsp-{lab.lab_id()}-a1", "bash", "--login"]


@pytest.mark.parametrize(("command", "hint"), [(lab.shell, "HOST=a1"), (lab.secret, "NAME=")])
def test_a_missing_name_is_asked_for(command, hint):
    with pytest.raises(LabError, match=hint):
        command(None)


@pytest.mark.parametrize(
    ("done", "printed"),
    [
        (subprocess.CompletedProcess([], 0, 'ops | SUCCESS => {"changed": false, "msg": "a => b"}\n', ""), "a => b\n"),
        (subprocess.CompletedProcess([], 2, "", "no such secret"), None),
    ],
)
def test_secret(monkeypatch, capsys, done, printed):
    monkeypatch.setattr(lab.subprocess, "run", lambda *args, **more: done)
    if printed is None:
        with pytest.raises(LabError, match="postgresql/app can't be read: no such secret"):
            lab.secret("postgresql/app")
    else:
        assert lab.secret("postgresql/app") == 0
        assert capsys.readouterr().out == printed


def test_the_cache_is_not_removed_under_a_running_lab(docker, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "CACHE", tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    docker.answers["ps"] = ["c1"]
    with pytest.raises(LabError, match="make down first"):
        lab.clean_cache()
    docker.answers.update(ps=[], image=["i1"])
    assert lab.clean_cache() == 0
    assert not (tmp_path / "cache").exists()
    assert docker.calls[-1] == ("image", "rm", "--force", "i1")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(FileNotFoundError(), "make up"), (subprocess.CompletedProcess([], 1, "", "denied"), "denied")],
)
def test_an_engine_that_refuses(monkeypatch, outcome, said):
    def run(*args, **more):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(lab.subprocess, "run", run)
    with pytest.raises(LabError, match=said):
        lab.docker("ps")


@pytest.mark.parametrize(("error", "code"), [(LabError("do this"), 1), (KeyboardInterrupt(), 130), (None, 0)])
def test_main_ends_with_one_line(monkeypatch, capsys, error, code):
    def command():
        if error:
            raise error
        return 0

    monkeypatch.setattr(lab.sys, "argv", ["lab.py", "status"])
    monkeypatch.setitem(lab.COMMANDS, "status", command)
    monkeypatch.chdir(ROOT)
    assert lab.main() == code
    assert len(capsys.readouterr().err.splitlines()) == (error is not None)


def test_playbooks_get_the_callers_settings_but_not_those_that_the_log_depends_on(monkeypatch):
    """ANSIBLE_VERBOSITY=3 ANSIBLE_DIFF_ALWAYS=1 make up: a full log."""
    for name, value in {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_DIFF_ALWAYS": "1", "ANSIBLE_NOCOLOR": "0"}.items():
        monkeypatch.setenv(name, value)
    given = lab.environment()
    assert (given["ANSIBLE_VERBOSITY"], given["ANSIBLE_DIFF_ALWAYS"], given["ANSIBLE_NOCOLOR"]) == ("3", "1", "1")
