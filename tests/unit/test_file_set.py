"""What shall be on a member, what is there, and what differs."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.file_node import ABSENT, FilesError, Node, observe
from ansible_collections.rsp.platform.plugins.module_utils.file_set import (
    compare,
    file_set,
    kind_of,
    manifest_files,
    parse_mode,
    unknown_names,
)

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
ENTRY = {
    "state": "present",
    "owner": None,
    "group": None,
    "mode": None,
    "needs": "none",
    "secret": False,
    "comment": None,
}


def entry(dest, **fields):
    return {**ENTRY, "dest": str(dest), **fields}


def described(files=(), directories=(), contents=None, **fields):
    """A set of files as the module would describe it."""
    params = {"service": "demo", "owner": ME, "group": MY_GROUP, "mode": None, "files": files, **fields}
    params["directories"] = [{"owner": None, "group": None, "mode": "0755", **given} for given in directories]
    given = {item["dest"]: b"text\n" for item in files if item["state"] == "present"}
    return file_set(params, {**given, **(contents or {})})


def put(path, content, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(("mode", "bits"), [("0644", 0o644), ("600", 0o600), ("2750", 0o2750)])
def test_mode(mode, bits):
    assert parse_mode(mode, "/etc/x") == bits


@pytest.mark.parametrize("mode", ["", "64", "0o644", "u=rw", "06444", "0689"])
def test_mode_that_is_not_octal_names_the_path_and_the_fix(mode):
    with pytest.raises(FilesError, match=r"/etc/x: mode .* is not octal → write three or four digits in quotes"):
        parse_mode(mode, "/etc/x")


def test_defaults_flow_from_the_set_to_its_entries():
    files = described(
        [
            entry("/etc/demo/a"),
            entry("/etc/demo/b", secret=True),
            entry("/etc/demo/c", mode="0755", owner="nobody"),
            entry("/etc/demo/d", group="nogroup"),
        ],
        mode="0640",
    ).files
    assert [(file.owner, file.group, oct(file.mode)) for file in files] == [
        (ME, MY_GROUP, "0o640"),
        (ME, MY_GROUP, "0o600"),
        ("nobody", "nobody", "0o755"),
        (ME, "nogroup", "0o640"),
    ]


def test_group_defaults_to_owner():
    assert described([entry("/etc/demo/a")], owner="consul", group=None).files[0].group == "consul"


@pytest.mark.parametrize(
    ("files", "directories", "message"),
    [
        ([entry("etc/a")], (), "etc/a: not a plain absolute path"),
        ([entry("/etc/../a")], (), "not a plain absolute path"),
        ([entry("/etc/a/")], (), "not a plain absolute path"),
        ([entry("/etc/a"), entry("/etc/a")], (), "listed twice: /etc/a → keep one entry a path"),
        ([entry("/etc/a")], [{"path": "/etc/a"}], "listed twice: /etc/a"),
        ((), [{"path": "/etc/a", "mode": "rwx"}], "/etc/a: mode 'rwx' is not octal"),
    ],
)
def test_a_senseless_set_is_refused(files, directories, message):
    with pytest.raises(FilesError, match=message):
        described(files, directories)


def test_content_that_never_came_says_how_to_call():
    params = {"service": "demo", "owner": ME, "group": None, "mode": None, "directories": [], "files": [entry("/a")]}
    with pytest.raises(FilesError, match="as an action, not a module"):
        file_set(params, {})


def changes_of(wanted, managed=None):
    return [(Path(c.dest).name, c.kind, c.need) for c in compare(wanted, managed or {}, observe)]


def test_an_equal_tree_has_no_changes(tmp_path):
    put(tmp_path / "etc" / "a", b"text\n")
    (tmp_path / "etc").chmod(0o755)
    wanted = described([entry(tmp_path / "etc" / "a", needs="restart")], [{"path": str(tmp_path / "etc")}])
    assert compare(wanted, {}, observe) == []


@pytest.mark.parametrize(
    ("before", "mode", "fields", "change"),
    [
        (None, 0, {"needs": "restart"}, ("a", "created", "restart")),
        (b"other\n", 0o644, {"needs": "restart"}, ("a", "updated", "restart")),
        (b"text\n", 0o600, {"needs": "restart"}, ("a", "attributes", "reload")),
        (b"text\n", 0o600, {"needs": "none"}, ("a", "attributes", "none")),
        (b"# old\ntext\n\n", 0o644, {"needs": "restart", "comment": "#"}, ("a", "updated", "none")),
        (b"# old\ntext\n\n", 0o644, {"needs": "restart"}, ("a", "updated", "restart")),
        (b"# old\nother\n", 0o644, {"needs": "reload", "comment": "#"}, ("a", "updated", "reload")),
        (b"  // x\ntext  \n", 0o644, {"needs": "reload", "comment": "//"}, ("a", "updated", "none")),
        (b"  text\n", 0o644, {"needs": "reload", "comment": "#"}, ("a", "updated", "reload")),
        (None, 0, {"needs": "reload", "comment": "#"}, ("a", "created", "reload")),
        (b"x", 0o644, {"needs": "reload", "state": "absent"}, ("a", "removed", "reload")),
    ],
)
def test_one_file(tmp_path, before, mode, fields, change):
    path = tmp_path / "a"
    if before is not None:
        put(path, before, mode)
    assert changes_of(described([entry(path, **fields)])) == [change]


def test_absent_that_is_absent_is_no_change(tmp_path):
    assert changes_of(described([entry(tmp_path / "a", state="absent")])) == []


def test_a_link_in_a_files_place_is_replaced(tmp_path):
    put(tmp_path / "target", b"text\n")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    assert changes_of(described([entry(tmp_path / "a", needs="reload")])) == [("a", "updated", "reload")]


def test_what_is_no_longer_listed_is_removed_once(tmp_path):
    put(tmp_path / "old", b"x")
    managed = {
        str(tmp_path / "old"): {"need": "reload", "secret": True},
        str(tmp_path / "gone"): {"need": "restart", "secret": False},
    }
    found = compare(described(), managed, observe)
    assert [(c.dest, c.kind, c.need, c.secret) for c in found] == [(str(tmp_path / "old"), "removed", "reload", True)]


def test_a_managed_file_that_became_a_directory_of_the_set_is_not_removed_as_an_orphan(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    wanted = described(directories=[{"path": str(tmp_path / "d")}])
    assert compare(wanted, {str(tmp_path / "d"): {"need": "none", "secret": False}}, observe) == []


@pytest.mark.parametrize(
    ("mode", "change"), [("0755", []), ("0700", [("d", "attributes", "none")]), ("1777", [("d", "attributes", "none")])]
)
def test_a_directory_has_attributes(tmp_path, mode, change):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    assert changes_of(described(directories=[{"path": str(tmp_path / "d"), "mode": mode}])) == change


def test_a_directory_in_a_files_place_is_not_touched(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FilesError, match="is a directory, not a file → remove it by hand"):
        changes_of(described([entry(tmp_path / "a")]))


def test_a_file_in_a_directorys_place_is_not_touched(tmp_path):
    put(tmp_path / "d", b"")
    with pytest.raises(FilesError, match="is a file, not a directory"):
        changes_of(described(directories=[{"path": str(tmp_path / "d")}]))


def test_an_unknown_owner_is_a_predicted_change_and_a_named_problem(tmp_path):
    put(tmp_path / "a", b"text\n")
    wanted = described([entry(tmp_path / "a", owner="consul", group="consul")])
    assert changes_of(wanted) == [("a", "attributes", "none")]
    assert unknown_names(wanted) == [
        f"{tmp_path}/a: no user consul here → install the package that makes it, or change `owner`",
        f"{tmp_path}/a: no group consul here → install the package that makes it, or change `group`",
    ]


def test_a_missing_parent_is_a_problem_unless_it_is_listed(tmp_path):
    path = tmp_path / "etc" / "demo" / "a"
    assert unknown_names(described([entry(path)])) == [
        f"{path}: {path.parent} is not a directory here → list it under `directories`"
    ]
    listed = described([entry(path)], [{"path": str(tmp_path / "etc")}, {"path": str(path.parent)}])
    assert unknown_names(listed) == []


def test_an_absent_file_needs_neither_parent_nor_owner(tmp_path):
    assert unknown_names(described([entry(tmp_path / "no" / "a", state="absent", owner="consul")])) == []


def test_what_was_private_and_unmanaged_is_hidden_when_it_is_removed(tmp_path):
    put(tmp_path / "private", b"x", 0o600)
    put(tmp_path / "open", b"x", 0o644)
    wanted = described([entry(tmp_path / name, state="absent") for name in ("private", "open")])
    assert [change.secret for change in compare(wanted, {}, observe)] == [True, False]


def test_a_file_that_was_secret_stays_hidden_when_the_entry_forgets_it(tmp_path):
    put(tmp_path / "a", b"old\n")
    managed = {str(tmp_path / "a"): {"need": "none", "secret": True}}
    assert compare(described([entry(tmp_path / "a")]), managed, observe)[0].secret


def test_the_manifest_holds_digests_not_contents():
    wanted = described([entry("/etc/a", secret=True, needs="reload"), entry("/etc/b", state="absent")])
    assert manifest_files(wanted) == {
        "/etc/a": {
            "sha256": "b9e68e1bea3e5b19ca6b2f98b73a54b73daafaa250484902e09982e07a12e733",
            "mode": "0600",
            "owner": ME,
            "group": MY_GROUP,
            "need": "reload",
            "secret": True,
        }
    }


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (ABSENT, Node("file", b"x"), "created"),
        (Node("file", b"x"), ABSENT, "removed"),
        (Node("file", b"x"), Node("file", b"y"), "updated"),
        (Node("link", b"x"), Node("file", b"x"), "updated"),
        (Node("file", b"x"), Node("file", b"x", mode=0o600), "attributes"),
    ],
)
def test_kind_of(before, after, kind):
    assert kind_of(before, after) == kind
