"""A running Patroni follows a link to the role's files: real files, a Patroni in memory."""

from __future__ import annotations

import signal

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.adoption.take import KEPT, put_back, replaced, reread
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


@pytest.fixture
def place(tmp_path):
    """The file that is read, and the role's directory."""
    directory = tmp_path / "rsp"
    directory.mkdir()
    path = tmp_path / "config.yml"
    path.write_text("scope: shop\n")
    path.chmod(0o644)
    return str(path), str(directory), tmp_path


def test_a_link_takes_the_place_of_the_file_which_is_kept(place):
    path, directory, folder = place
    assert replaced(path, directory, check=False) is True
    assert (folder / "config.yml").readlink() == folder / "rsp"
    kept = folder / f"config.yml{KEPT}"
    assert kept.read_text() == "scope: shop\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in folder.iterdir()) == ["config.yml", f"config.yml{KEPT}", "rsp"]


def test_a_second_time_changes_nothing(place):
    path, directory, _folder = place
    assert replaced(path, directory, check=False) is True
    assert replaced(path, directory, check=False) is False
    assert replaced(directory, directory, check=False) is False


def test_check_mode_predicts_and_changes_nothing(place):
    path, directory, folder = place
    assert replaced(path, directory, check=True) is True
    assert sorted(entry.name for entry in folder.iterdir()) == ["config.yml", "rsp"]


def test_what_a_run_that_was_cut_off_left_is_no_hindrance(place):
    path, directory, folder = place
    (folder / "config.yml.rsp").symlink_to("/nowhere")
    assert replaced(path, directory, check=False) is True


def test_an_older_copy_is_never_lost(place):
    path, directory, folder = place
    (folder / f"config.yml{KEPT}").write_text("older\n")
    with pytest.raises(DriverError, match="is in the way"):
        replaced(path, directory, check=False)
    assert (folder / f"config.yml{KEPT}").read_text() == "older\n"
    assert not (folder / "config.yml").is_symlink()


def test_a_directory_is_not_replaced(place):
    _path, directory, folder = place
    other = folder / "other"
    other.mkdir()
    with pytest.raises(DriverError, match="only a single file can be replaced"):
        replaced(str(other), directory, check=False)


def test_the_old_file_comes_back(place):
    path, directory, folder = place
    replaced(path, directory, check=False)
    put_back(path)
    assert (folder / "config.yml").read_text() == "scope: shop\n"
    assert not (folder / "config.yml").is_symlink()
    put_back(path)  # nothing left to put back
    assert (folder / "config.yml").exists()


class Patroni:
    """Answers one after the other, the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def call(self, method, path, *, accept):
        assert (method, path, accept) == ("GET", "/patroni", (200, 503))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Answer(200, answer, {})


SILENT = DriverError("refused")
STANDBY = {"state": "running", "role": "replica", "replication_state": "streaming"}
PRIMARY = {"state": "running", "role": "primary"}


def again(*answers, wait_s=3):
    killed, slept = [], []
    reread(
        42,
        Patroni(*answers) if answers else None,
        wait_s,
        kill=lambda pid, number: killed.append((pid, number)),
        sleep=slept.append,
    )
    return killed, slept


@pytest.mark.parametrize(
    ("answers", "polls"),
    [
        ((PRIMARY,), 1),
        ((STANDBY,), 1),
        ((SILENT, SILENT, STANDBY), 3),
        (({**STANDBY, "replication_state": "in archive recovery"}, STANDBY), 2),
        (({**STANDBY, "state": "starting"}, STANDBY), 2),
        (({"state": "running", "role": "master"},), 1),
    ],
)
def test_it_is_told_once_and_waited_for(answers, polls):
    killed, slept = again(*answers)
    assert killed == [(42, signal.SIGHUP)]
    assert len(slept) == polls


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(SILENT, "refused"), ({**STANDBY, "replication_state": None}, "running, None"), ({}, "None, None")],
)
def test_one_that_does_not_take_them_is_an_error(answer, reason):
    with pytest.raises(DriverError, match=f"within 3 s, the old ones are back: {reason}"):
        again(answer)


def test_without_an_api_it_is_only_told():
    killed, slept = again()
    assert killed == [(42, signal.SIGHUP)]
    assert slept == []
