"""What is at a path of the member, and whose it is."""

from __future__ import annotations

import grp
import os
import pwd

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.file_node import (
    ABSENT,
    FilesError,
    Node,
    gid_of,
    observe,
    uid_of,
)

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name


def put(path, content, mode):
    path.write_bytes(content)
    path.chmod(mode)


def test_numbers_are_names_too():
    assert (uid_of("0"), gid_of("12")) == (0, 12)
    assert (uid_of(ME), gid_of(MY_GROUP)) == (os.getuid(), os.getgid())
    assert (uid_of("no-such-user"), gid_of("no-such-group")) == (-1, -1)


def test_observe_tells_kinds_apart(tmp_path):
    put(tmp_path / "file", b"x", 0o640)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "directory").mkdir(mode=0o750)
    mine = {"uid": os.getuid(), "gid": os.getgid()}
    assert observe(str(tmp_path / "file")) == Node("file", b"x", **mine, mode=0o640)
    assert observe(str(tmp_path / "link")).content == b"nowhere"
    assert observe(str(tmp_path / "directory")) == Node("directory", **mine, mode=0o750)
    assert observe(str(tmp_path / "nothing")) is ABSENT
    assert observe(str(tmp_path / "file" / "below")) is ABSENT


def test_observe_refuses_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FilesError, match="neither a file nor a directory"):
        observe(str(tmp_path / "pipe"))
