"""The module on a member, against a real server: install, link, keep the way back, and refuse."""

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import placement
from ansible_collections.rsp.platform.plugins.module_utils.placement import PlacementError, note_of
from ansible_collections.rsp.platform.plugins.module_utils.versions import linked, remove, superfluous, swap
from ansible_collections.rsp.platform.plugins.modules import artifact as module
from file_server import serving
from module_call import call

FIRST, SECOND, THIRD = (f"#!/bin/sh\necho version {number}\n".encode() for number in (1, 2, 3))


@pytest.fixture
def server():
    with serving() as files:
        yield files


def described(server, content, version):
    sha = hashlib.sha256(content).hexdigest()
    server.files[f"sha256/{sha}/tool"] = content
    return {
        "name": "tool",
        "version": version,
        "platform": "linux_amd64",
        "file": "tool",
        "url": f"{server.url}/sha256/{sha}/tool",
        "sha256": sha,
        "size": len(content),
        "licence": "MIT",
    }


@pytest.fixture
def member(tmp_path, capsys):
    """Calls the module on a member whose /opt/rsp and /usr/local/bin are in tmp_path."""
    (tmp_path / "bin").mkdir()

    def run(described, check=False, **arguments):
        options = {"root": str(tmp_path / "opt"), "link": str(tmp_path / "bin" / "tool"), "timeout": 2, **arguments}
        options = {key: value for key, value in options.items() if value is not None}
        return call(module.main, capsys, check=check, artifact=described, **options)

    return run


def tree(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_install_and_link(server, member, tmp_path):
    result = member(described(server, FIRST, "1.0"))
    path = tmp_path / "opt/tool/1.0/tool"
    assert (result["rc"], result["changed"], result["path"]) == (0, True, str(path))
    assert path.read_bytes() == FIRST
    assert path.stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "bin/tool").readlink() == path


def test_a_second_run_changes_nothing_and_asks_nobody(server, member):
    tool = described(server, FIRST, "1.0")
    member(tool)
    server.requests.clear()
    result = member(tool)
    assert result["changed"] is False
    assert result["downloaded"] is False
    assert sum(server.requests.values()) == 0


def test_check_mode_predicts_without_a_mirror(member, tmp_path, server):
    tool = {**described(server, FIRST, "1.0"), "url": "http://mirror.invalid/tool"}
    result = member(tool, check=True)
    assert (result["rc"], result["changed"], result["downloaded"], result["linked"]) == (0, True, True, True)
    assert tree(tmp_path) == ["bin"]


def test_check_mode_on_an_installed_version_is_quiet(server, member):
    tool = described(server, FIRST, "1.0")
    member(tool)
    assert member(tool, check=True)["changed"] is False


def test_a_staged_version_is_not_linked(server, member, tmp_path):
    member(described(server, FIRST, "1.0"))
    result = member(described(server, SECOND, "2.0"), link=None)
    assert (result["changed"], result["linked"]) == (True, False)
    assert (tmp_path / "bin/tool").read_bytes() == FIRST
    assert member(described(server, SECOND, "2.0"))["downloaded"] is False
    assert (tmp_path / "bin/tool").read_bytes() == SECOND


def test_diff_names_what_moves(server, member, tmp_path):
    member(described(server, FIRST, "1.0"))
    diff = member(described(server, SECOND, "2.0"))["diff"]
    assert diff["before"] == {"file": None, "link": str(tmp_path / "opt/tool/1.0/tool")}
    assert diff["after"] == {"file": str(tmp_path / "opt/tool/2.0/tool"), "link": str(tmp_path / "opt/tool/2.0/tool")}


def test_the_version_before_stays_and_the_one_before_it_goes(server, member, tmp_path):
    tools = [described(server, content, f"{n}.0") for n, content in enumerate((FIRST, SECOND, THIRD), start=1)]
    member(tools[0])
    member(tools[1])
    predicted = member(tools[2], check=True)
    result = member(tools[2])
    assert predicted["removed"] == result["removed"] == ["1.0"]
    assert sorted(path.name for path in (tmp_path / "opt/tool").iterdir()) == ["2.0", "3.0"]


def test_the_way_back_is_a_link(server, member, tmp_path):
    first, second = described(server, FIRST, "1.0"), described(server, SECOND, "2.0")
    member(first)
    member(second)
    server.requests.clear()
    assert member(first)["changed"] is True
    assert (tmp_path / "bin/tool").read_bytes() == FIRST
    assert sum(server.requests.values()) == 0


def test_a_byte_changed_on_the_member_is_repaired(server, member, tmp_path):
    tool = described(server, FIRST, "1.0")
    path = tmp_path / "opt/tool/1.0/tool"
    member(tool)
    path.write_bytes(b"X" + FIRST[1:])
    assert member(tool)["downloaded"] is True
    assert path.read_bytes() == FIRST


def test_a_changed_mode_is_put_right_without_a_download(server, member, tmp_path):
    tool = described(server, FIRST, "1.0")
    path = tmp_path / "opt/tool/1.0/tool"
    member(tool)
    path.chmod(0o600)
    assert member(tool, check=True)["changed"] is True
    result = member(tool)
    assert (result["changed"], result["downloaded"]) == (True, False)
    assert path.stat().st_mode & 0o777 == 0o755
    assert member(tool)["changed"] is False


# --- refused: nothing is installed, nothing is left


def planted(server, tool, content):
    server.files[tool["url"].removeprefix(f"{server.url}/")] = content


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lambda server, tool: planted(server, tool, b"X" + FIRST[1:]), "has sha256"),
        (lambda server, tool: planted(server, tool, FIRST[:-1]), "has 24 bytes, 25 are pinned"),
        (lambda server, tool: planted(server, tool, FIRST + b"x"), "is larger than the 25 bytes that are pinned"),
        (lambda server, tool: server.files.clear(), "is not there: HTTP 404"),
        (lambda server, tool: server.truncated.update(server.files), "truncated: 25 of 35 bytes"),
    ],
)
def test_what_is_not_the_pinned_file_is_refused(server, member, tmp_path, plant, says):
    tool = described(server, FIRST, "1.0")
    plant(server, tool)
    result = member(tool, timeout=1)
    assert result["rc"] == 1
    assert result["msg"].startswith(f"tool 1.0 (linux_amd64) was not installed: {tool['url']} ")
    assert says in result["msg"]
    assert result["msg"].endswith("→ run playbooks/mirror.yml, which fills and checks the mirror")
    assert tree(tmp_path) == ["bin"]


def test_a_refused_version_leaves_the_running_one_linked(server, member, tmp_path):
    member(described(server, FIRST, "1.0"))
    tool = described(server, SECOND, "2.0")
    planted(server, tool, b"X" + SECOND[1:])
    assert member(tool)["rc"] == 1
    assert (tmp_path / "bin/tool").read_bytes() == FIRST
    assert sorted(path.name for path in (tmp_path / "opt/tool").iterdir()) == ["1.0"]


def test_a_full_disk_blames_the_disk(server, member, tmp_path, monkeypatch):
    usage = placement.shutil._ntuple_diskusage(100, 99, 1)
    monkeypatch.setattr(placement.shutil, "disk_usage", lambda directory: usage)
    result = member(described(server, FIRST, "1.0"))
    assert result["rc"] == 1
    assert "free some space and run again" in result["msg"]
    assert "mirror.yml" not in result["msg"]
    assert tree(tmp_path) == ["bin"]
    assert sum(server.requests.values()) == 0


def test_a_file_in_the_links_place_is_not_overwritten(server, member, tmp_path):
    (tmp_path / "bin/tool").write_text("somebody's own")
    result = member(described(server, FIRST, "1.0"))
    assert result["rc"] == 1
    assert "is a file, not a link of this module → move it away" in result["msg"]
    assert tree(tmp_path) == ["bin", "bin/tool"]


# --- versions side by side


def test_swap_is_one_step_and_repeats_after_a_crash(tmp_path):
    link = tmp_path / "tool"
    (tmp_path / ".tool.new").symlink_to("left over")
    swap(link, tmp_path / "1")
    swap(link, tmp_path / "2")
    assert linked(link) == tmp_path / "2"
    assert tree(tmp_path) == ["tool"]


def test_linked_of_nothing_is_none(tmp_path):
    assert linked(tmp_path / "tool") is None


def test_linked_refuses_a_file(tmp_path):
    (tmp_path / "tool").touch()
    with pytest.raises(PlacementError, match="is a file"):
        linked(tmp_path / "tool")


@pytest.fixture
def versions(tmp_path):
    """Directories 1 to 4, placed in this order, and one that this module did not make."""
    for number in range(1, 5):
        path = tmp_path / str(number) / "tool"
        path.parent.mkdir()
        note_of(path).touch()
        os.utime(note_of(path), (number, number))
    (tmp_path / "manual").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("previous", "keep", "gone"),
    [
        (None, 2, ["2", "1"]),
        ("1", 2, ["3", "2"]),
        ("2", 3, ["1"]),
        ("1", 9, []),
        ("1", 1, ["1", "3", "2"]),
        (None, 0, ["3", "2", "1"]),
    ],
)
def test_superfluous(versions, previous, keep, gone):
    before = versions / previous / "tool" if previous else None
    assert [path.name for path in superfluous(versions / "4" / "tool", before, keep)] == gone


def test_remove(versions):
    remove(versions / "1")
    assert not (versions / "1").exists()
