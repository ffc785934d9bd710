"""Diffs and validators' words without secrets."""

from __future__ import annotations

import os

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.file_node import ABSENT, Node
from ansible_collections.rsp.platform.plugins.module_utils.file_set import Change, File, FileSet, kind_of
from ansible_collections.rsp.platform.plugins.module_utils.file_set_diff import DIFF_LIMIT, diff, mask

MINE = {"uid": os.getuid(), "gid": os.getgid()}
CANARY = "CANARY-9f3a"


def file(content, mode=0o644):
    return Node("file", content.encode() if isinstance(content, str) else content, **MINE, mode=mode)


def change(before, after, secret=False):
    return Change("/etc/a", kind_of(before, after), "none", before, after, secret)


def texts(*given, **fields):
    return [(entry["before"], entry["after"]) for entry in diff([change(*given, **fields)])]


def test_an_update_shows_both_sides_and_the_path():
    assert diff([change(file("old\n"), file("new\n"))]) == [
        {"before": "old\n", "after": "new\n", "before_header": "/etc/a", "after_header": "/etc/a"}
    ]


def test_created_and_removed_have_an_empty_side():
    assert texts(ABSENT, file("new\n")) == [("", "new\n")]
    assert texts(file("old\n"), ABSENT) == [("old\n", "")]


def test_secrets_are_digests_on_both_sides():
    shown = texts(file(f"old {CANARY}\n"), file(f"new {CANARY}\n"), secret=True)
    assert CANARY not in repr(shown)
    before, after = shown[0]
    assert before.startswith("<secret, sha256 ")
    assert before != after
    assert len(before) == len("<secret, sha256 12345678>\n")


def test_a_removed_secret_is_hidden():
    assert CANARY not in repr(texts(file(CANARY), ABSENT, secret=True))


def test_attributes_are_an_entry_of_their_own():
    content, attributes = texts(file("old\n", 0o644), file("new\n", 0o600))
    assert content == ("old\n", "new\n")
    assert "mode: 0644" in attributes[0]
    assert "mode: 0600" in attributes[1]


def test_attributes_alone_show_no_content():
    shown = texts(file(CANARY, 0o644), file(CANARY, 0o600), secret=True)
    assert len(shown) == 1
    assert CANARY not in repr(shown)


def test_an_owner_that_is_not_known_here_yet_is_said_so():
    after = Node("file", b"x", uid=-1, gid=-1, mode=0o600)
    assert "owner: not known here yet\ngroup: not known here yet" in texts(file("x", 0o600), after)[0][1]


def test_an_owner_without_a_name_is_a_number():
    assert "owner: 54321\ngroup: 54321" in texts(file("x"), Node("file", b"x", uid=54321, gid=54321))[0][1]


def test_a_new_directory_shows_its_attributes():
    before, after = texts(ABSENT, Node("directory", **MINE, mode=0o750))[0]
    assert before == ""
    assert after.endswith("mode: 0750\n")


def test_a_removed_directory_is_shown():
    assert texts(Node("directory", **MINE, mode=0o750), ABSENT)[0][1] == ""


@pytest.mark.parametrize("content", [b"\x7fELF\0\1", b"caf\xe9", b"x" * (DIFF_LIMIT + 1)])
def test_what_is_no_text_is_not_dumped(content):
    _, after = texts(ABSENT, file(content))[0]
    assert after.startswith(f"<{len(content)} bytes, sha256 ")


def test_a_link_is_shown_as_a_link():
    assert texts(Node("link", b"/elsewhere", **MINE), file("x\n"))[0][0] == "<link to /elsewhere>\n"


def wanted(*files):
    return FileSet("demo", (), tuple(files))


def managed(content, secret, dest="/etc/a"):
    return File(dest, content, "root", "root", 0o600, "none", secret, None)


SECRET = managed(f'password = "{CANARY}"\npassphrase: two words of it\n'.encode(), True)
OPEN = managed(b"password =\n", False, "/etc/b")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"line 1: bad value {CANARY}", "line 1: bad value <secret>"),
        (f'line 1: password = "{CANARY}"', "line 1: <secret>"),
        (f"[{CANARY}]{CANARY}", "[<secret>]<secret>"),
        ("passphrase: two words of it", "<secret>"),
        ("password is unknown", "password is unknown"),
        ("line 7 is bad", "line 7 is bad"),
    ],
)
def test_mask(said, shown):
    assert mask(said, wanted(SECRET, OPEN)) == shown


def test_nothing_is_masked_without_secrets():
    assert mask(f"see {CANARY}", wanted(OPEN)) == f"see {CANARY}"


def test_an_absent_secret_has_nothing_to_mask():
    assert mask("text", wanted(managed(None, True))) == "text"


def test_a_secret_that_an_open_file_repeats_is_masked_as_a_line():
    both = wanted(SECRET, managed(CANARY.encode(), False, "/etc/b"))
    assert mask(f'password = "{CANARY}"', both) == "<secret>"
