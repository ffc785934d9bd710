"""A set of files on a member: predicted, validated, swapped, undone, and what its unit needs."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import file_set_apply, generations
from ansible_collections.rsp.platform.plugins.module_utils.file_node import FilesError, observe
from ansible_collections.rsp.platform.plugins.module_utils.file_set import Directory, File, FileSet
from ansible_collections.rsp.platform.plugins.module_utils.file_set_apply import Asked, Host, apply, go_back
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
CANARY = "CANARY-5e1f"
UNIT = "demo.service"


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


@dataclass
class Member:
    """A member with a tree of its own, a fake systemd and fake validators."""

    tmp: Path
    active: str = "inactive"
    started_us: int = 0
    installed: tuple[str, ...] = ("demo-check", "demo-test")
    refuse: dict[str, str] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    staged: dict[str, tuple[str, int]] = field(default_factory=dict)

    def run(self, argv):
        self.asked.append(list(argv))
        if argv[0] == "systemctl":
            shown = [f"LoadState=loaded\nActiveState={self.active}\nMainPID=7"]
            shown.append(f"ExecMainStartTimestampMonotonic={self.started_us}\n")
            return 0, "\n".join(shown), ""
        root = Path(argv[1])
        if "state" in root.parts:
            self.staged = {
                str(path.relative_to(root)): (path.read_text(), path.stat().st_mode & 0o777)
                for path in root.rglob("*")
                if path.is_file()
            }
        return (1, "", self.refuse[argv[0]]) if argv[0] in self.refuse else (0, "", "")

    def which(self, name):
        return name if name in self.installed else None

    @property
    def store(self):
        return Generations("demo", root=self.tmp / "state")

    @property
    def host(self):
        return Host(self.run, self.store, self.which)

    @property
    def etc(self):
        return self.tmp / "etc"

    def start(self):
        """The unit starts now, and so reads its files."""
        self.active, self.started_us = "active", time.monotonic_ns() // 1000

    def file(self, name, content=b"text\n", **fields):
        mode = 0o600 if fields.get("secret") else 0o644
        default = {"owner": ME, "group": MY_GROUP, "mode": mode, "need": "restart", "secret": False, "comment": None}
        return File(str(self.etc / name), content, **{**default, **fields})

    def wanted(self, *files):
        return FileSet("demo", (Directory(str(self.etc), ME, MY_GROUP, 0o755),), files)

    def asks(self, *files, validators=(("demo-check", "%s"),), unit=UNIT, check=False):
        return Asked(self.wanted(*files), validators, unit, check)

    def apply(self, *files, **fields):
        return apply(self.asks(*files, **fields), self.host)

    def go_back(self, check=False):
        return go_back(Asked(FileSet("demo", (), ()), unit=UNIT, check=check), self.host)

    def text(self, name):
        return (self.etc / name).read_text()

    def tree(self, state=False):
        roots = [self.etc, *([self.tmp / "state"] if state else [])]
        return {str(path): observe(str(path)) for root in roots for path in sorted(root.rglob("*"))}


@pytest.fixture
def member(tmp_path):
    return Member(tmp_path)


def changes(result):
    return {Path(item["dest"]).name: item["change"] for item in result["files"]}


def test_an_empty_host_gets_everything_and_the_second_run_nothing(member):
    files = member.file("a"), member.file("key", CANARY.encode(), secret=True)
    first = member.apply(*files)
    assert first["changed"]
    assert changes(first) == {"etc": "created", "a": "created", "key": "created"}
    assert first["generation"] == 1
    assert (member.etc / "key").stat().st_mode & 0o777 == 0o600
    before = member.tree(state=True)
    second = member.apply(*files)
    assert not second["changed"]
    assert (second["files"], second["diff"], second["needs"], second["generation"]) == ([], [], "none", 1)
    assert member.tree(state=True) == before


def test_check_mode_predicts_what_the_run_does_and_writes_nothing(member):
    (member.tmp / "state").mkdir()
    files = member.file("a"), member.file("key", CANARY.encode(), secret=True)
    before = sorted(member.tmp.rglob("*"))
    predicted = member.apply(*files, check=True)
    assert sorted(member.tmp.rglob("*")) == before
    real = member.apply(*files)
    assert predicted == real


def test_check_mode_on_a_host_without_state(member):
    assert member.apply(member.file("a"), check=True)["changed"]
    assert list(member.tmp.iterdir()) == []


def test_check_mode_of_a_later_change_writes_nothing(member):
    member.apply(member.file("a"), member.file("b"))
    member.start()
    before = member.tree(state=True)
    predicted = member.apply(member.file("a", b"new\n"), check=True)
    assert member.tree(state=True) == before
    real = member.apply(member.file("a", b"new\n"))
    assert predicted == real
    assert changes(real) == {"a": "updated", "b": "removed"}


def test_check_mode_takes_owners_that_are_not_there_yet(member):
    result = member.apply(member.file("a", owner="no-such", group="no-such"), check=True)
    assert changes(result) == {"etc": "created", "a": "created"}


def test_a_missing_owner_names_all_problems_and_changes_nothing(member):
    with pytest.raises(FilesError, match="no user no-such here → install the package") as caught:
        member.apply(member.file("a"), member.file("b", owner="no-such"), member.file("sub/c"))
    assert len(caught.value.result["problems"]) == 2
    assert not member.etc.exists()


def test_validators_see_the_whole_tree_with_secrets_private(member):
    files = member.file("a"), member.file("key", CANARY.encode(), secret=True)
    member.apply(*files)
    member.apply(member.file("a", b"new\n"), files[1])
    below = str(member.etc).lstrip("/")
    assert member.staged == {f"{below}/a": ("new\n", 0o644), f"{below}/key": (CANARY, 0o600)}
    assert not member.store.staging.exists()


def test_validators_are_not_asked_when_nothing_or_only_a_mode_changed(member):
    member.apply(member.file("a"))
    member.asked.clear()
    member.apply(member.file("a"))
    member.apply(member.file("a", mode=0o600))
    assert [argv for argv in member.asked if argv[0] == "demo-check"] == []


@pytest.mark.parametrize("check", [False, True])
def test_a_validator_that_refuses_changes_nothing(member, check):
    member.apply(member.file("a"), member.file("key", CANARY.encode(), secret=True))
    member.refuse["demo-check"] = f"line 3: unexpected {CANARY}\n"
    before = member.tree(state=True)
    with pytest.raises(FilesError) as caught:
        member.apply(member.file("a", b"bad\n"), member.file("key", CANARY.encode(), secret=True), check=check)
    message, result = str(caught.value), caught.value.result
    assert message.startswith("nothing was changed: validator demo-check ")
    assert "refused (rc 1): line 3: unexpected <secret>" in message
    assert CANARY not in json.dumps(result)
    assert (result["rc"], result["rolled_back"]) == (1, False)
    assert member.tree(state=True) == before
    assert not member.store.staging.exists()


def test_a_validator_without_the_tree_runs_after_the_swap_and_rolls_back(member):
    member.apply(member.file("a"), member.file("b"))
    member.refuse["demo-test"] = "cannot load"
    before = member.tree(state=True)
    with pytest.raises(FilesError, match="rolled back, the files are as they were before: validator") as caught:
        member.apply(member.file("a", b"bad\n"), member.file("new"), validators=(("demo-test", "/etc/a"),))
    assert caught.value.result["rolled_back"]
    assert member.tree(state=True) == before


def test_a_first_swap_that_is_refused_leaves_an_empty_host(member):
    member.refuse["demo-test"] = "cannot load"
    with pytest.raises(FilesError, match="rolled back"):
        member.apply(member.file("a"), validators=(("demo-test", "/etc/a"),))
    assert not member.etc.exists()


def test_a_missing_validator_is_skipped_in_check_mode_only(member):
    member.installed = ()
    validators = (("demo-check", "%s/etc"), ("demo-test", "-t"))
    skipped = member.apply(member.file("a"), validators=validators, check=True)["skipped_validators"]
    assert skipped == ["demo-check %s/etc", "demo-test -t"]
    with pytest.raises(FilesError, match="nothing was changed: validator demo-check is not installed → install it"):
        member.apply(member.file("a"), validators=validators)
    assert not member.etc.exists()


def test_a_validator_that_needs_the_files_in_place_is_named_in_check_mode(member):
    result = member.apply(member.file("a"), validators=(("demo-check", "%s"), ("demo-test", "-t")), check=True)
    assert result["skipped_validators"] == ["demo-test -t"]


def test_a_file_changed_by_hand_is_put_right_and_kept_for_going_back(member):
    member.apply(member.file("a"))
    (member.etc / "a").write_text("by hand\n")
    result = member.apply(member.file("a"))
    assert changes(result) == {"a": "updated"}
    assert member.text("a") == "text\n"
    member.go_back()
    assert member.text("a") == "by hand\n"


def test_a_removed_file_comes_back(member):
    member.apply(member.file("a"))
    (member.etc / "a").unlink()
    assert changes(member.apply(member.file("a"))) == {"a": "created"}
    assert member.text("a") == "text\n"


@pytest.mark.parametrize("drift", [lambda etc: (etc / "a").chmod(0o666), lambda etc: etc.chmod(0o700)])
def test_drift_of_attributes_is_put_right(member, drift):
    member.apply(member.file("a"))
    before = member.tree()
    drift(member.etc)
    member.start()
    result = member.apply(member.file("a"))
    assert list(changes(result).values()) == ["attributes"]
    assert result["needs"] in ("none", "reload")
    assert member.tree() == before


def test_an_orphan_is_removed_and_its_neighbour_is_not(member):
    member.apply(member.file("a"), member.file("b"))
    (member.etc / "theirs").write_text("x")
    result = member.apply(member.file("a"))
    assert changes(result) == {"b": "removed"}
    assert {path.name for path in member.etc.iterdir()} == {"a", "theirs"}
    assert not member.apply(member.file("a"))["changed"]


def test_a_file_that_equals_is_adopted_without_a_change(member):
    member.apply(member.file("a"))
    (member.etc / "b").write_text("text\n")
    (member.etc / "b").chmod(0o644)
    assert not member.apply(member.file("a"), member.file("b"))["changed"]
    assert changes(member.apply(member.file("a"))) == {"b": "removed"}


def interrupt(member, monkeypatch, number, *files):
    """Kill a run before its n-th change of the tree below etc."""
    real, seen = Path.replace, []

    def counted(path, target):
        if path.name.endswith(".rsp-new"):
            seen.append(path)
            if len(seen) > number:
                raise Killed
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted)
        # A killed process rolls nothing back by itself.
        patched.setattr(file_set_apply, "_roll_back", lambda store: False)
        with pytest.raises(Killed):
            member.apply(*files)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_run_killed_between_two_renames_is_undone_by_the_next(member, monkeypatch, number):
    old = [member.file(name, b"old\n") for name in ("a", "b", "c")]
    member.apply(*old)
    before = member.tree()
    interrupt(member, monkeypatch, number, *[replace(file, content=b"new\n") for file in old])
    assert sum(member.text(name) == "new\n" for name in ("a", "b", "c")) == number
    result = member.apply(*old)
    assert (result["changed"], result["rolled_back"], result["files"]) == (True, True, [])
    assert member.tree() == before
    assert not member.apply(*old)["changed"]


def test_a_unit_that_started_while_files_were_half_swapped_needs_what_they_needed(member, monkeypatch):
    old = member.file("a", b"old\n"), member.file("b", b"old\n")
    running(member, *old)
    interrupt(member, monkeypatch, 1, *[replace(file, content=b"new\n") for file in old])
    member.start()
    assert member.apply(*old, check=True)["needs"] == "restart"
    assert member.apply(*old)["needs"] == "restart"
    assert member.apply(*old)["needs"] == "restart"
    member.start()
    assert member.apply(*old)["needs"] == "none"


def test_a_unit_that_saw_nothing_of_a_killed_run_needs_nothing(member, monkeypatch):
    old = member.file("a", b"old\n"), member.file("b", b"old\n")
    running(member, *old)
    interrupt(member, monkeypatch, 1, *[replace(file, content=b"new\n") for file in old])
    assert member.apply(*old)["needs"] == "none"


def test_check_mode_after_a_killed_run_predicts_from_the_state_before(member, monkeypatch):
    old = member.file("a", b"old\n"), member.file("b", b"old\n")
    member.apply(*old)
    interrupt(member, monkeypatch, 1, *[replace(file, content=b"new\n") for file in old])
    half = member.tree(state=True)
    predicted = member.apply(*old, check=True)
    assert (predicted["changed"], predicted["rolled_back"], predicted["files"]) == (True, True, [])
    assert member.tree(state=True) == half


def test_a_run_killed_while_it_staged_leaves_the_next_one_clean(member, monkeypatch):
    def killed(argv):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(member, "run", killed)
        patched.setattr(file_set_apply.shutil, "rmtree", lambda path: None)
        with pytest.raises(Killed):
            member.apply(member.file("key", CANARY.encode(), secret=True), unit=None)
    assert member.store.staging.exists()
    assert not member.etc.exists()
    member.apply(member.file("a"))
    assert not member.store.staging.exists()


def test_a_raised_error_is_rolled_back_at_once(member, monkeypatch):
    member.apply(member.file("a"))
    before = member.tree()
    monkeypatch.setattr(Generations, "commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        member.apply(member.file("a", b"new\n"))
    assert member.tree() == before


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Generations, "begin"),
        (Generations, "_write_sibling"),
        (Generations, "commit"),
        (generations, "_write_json"),
        (generations, "sync_directory"),
    ],
)
def test_a_full_disk_says_that_nothing_was_changed(member, monkeypatch, place, name):
    member.apply(member.file("a"), member.file("b"))
    before = member.tree()
    with monkeypatch.context() as patched:
        patched.setattr(place, name, no_room)
        with pytest.raises(FilesError, match=r"nothing was changed: .*No space left"):
            member.apply(member.file("a", b"new\n"), member.file("b", b"new\n"))
    assert member.tree() == before
    assert not member.apply(member.file("a"), member.file("b"))["changed"]


def test_a_full_disk_while_staging_says_that_nothing_was_changed(member, monkeypatch):
    monkeypatch.setattr(file_set_apply, "stage", no_room)
    with pytest.raises(FilesError, match=r"nothing was changed: .*No space left"):
        member.apply(member.file("a"))
    assert not member.etc.exists()
    assert not member.store.staging.exists()


def test_a_roll_back_that_fails_too_keeps_the_journal_and_says_so(member, monkeypatch):
    member.apply(member.file("a"), member.file("b"))
    before = member.tree()
    with monkeypatch.context() as patched:
        patched.setattr(Generations, "commit", no_room)
        patched.setattr(Generations, "recover", lambda store: store.interrupted() and no_room())
        with pytest.raises(FilesError, match=r"the roll-back failed too: .*is kept"):
            member.apply(member.file("a", b"new\n"), member.file("b"))
    assert member.apply(member.file("a"), member.file("b"))["rolled_back"]
    assert member.tree() == before


def test_going_back_brings_contents_created_and_removed_files_back(member):
    member.apply(member.file("a", b"one\n"), member.file("b"))
    one = member.tree()
    member.apply(member.file("a", b"two\n"), member.file("c"))
    two = member.tree()
    predicted = member.go_back(check=True)
    assert member.tree() == two
    result = member.go_back()
    assert result == predicted
    assert changes(result) == {"a": "updated", "b": "created", "c": "removed"}
    assert (result["generation"], member.tree()) == (1, one)
    assert member.go_back()["generation"] == 2
    assert member.tree() == two


def test_after_going_back_the_listed_files_are_applied_again(member):
    member.apply(member.file("a", b"one\n"))
    member.apply(member.file("a", b"two\n"), member.file("b"))
    member.go_back()
    result = member.apply(member.file("a", b"two\n"), member.file("b"))
    assert changes(result) == {"a": "updated", "b": "created"}
    assert result["generation"] == 2


def test_going_back_hides_secrets(member):
    member.apply(member.file("key", f"{CANARY}-1".encode(), secret=True))
    member.apply(member.file("key", f"{CANARY}-2".encode(), secret=True))
    assert CANARY not in json.dumps(member.go_back())


def test_going_back_without_a_generation_is_refused(member):
    with pytest.raises(FilesError, match="demo has no previous generation on this member"):
        member.go_back()


def test_results_hold_no_secret(member):
    first = member.apply(member.file("key", f"{CANARY}-1\n".encode(), secret=True))
    second = member.apply(member.file("key", f"{CANARY}-2\n".encode(), secret=True))
    third = member.apply()
    assert CANARY not in json.dumps([first, second, third])
    assert changes(third) == {"key": "removed"}


# What the unit needs


def test_a_stopped_unit_needs_nothing_and_a_start_takes_all(member):
    assert member.apply(member.file("a"))["needs"] == "none"
    member.start()
    assert member.apply(member.file("a"))["needs"] == "none"


def running(member, *files):
    member.apply(*files)
    member.start()
    member.apply(*files)
    assert member.store.pending() is None


@pytest.mark.parametrize(("needs", "answer"), [(("reload", "none"), "reload"), (("reload", "restart"), "restart")])
def test_a_running_unit_needs_the_strongest(member, needs, answer):
    files = [member.file(f"f{number}", need=need) for number, need in enumerate(needs)]
    running(member, *files)
    assert member.apply(*[replace(file, content=b"new\n") for file in files])["needs"] == answer


def test_a_need_is_remembered_until_the_unit_restarted(member):
    running(member, member.file("a"))
    assert member.apply(member.file("a", b"new\n"))["needs"] == "restart"
    assert member.apply(member.file("a", b"new\n"))["needs"] == "restart"
    assert not member.apply(member.file("a", b"new\n"), check=True)["changed"]
    assert member.apply(member.file("a", b"new\n"), check=True)["needs"] == "restart"
    member.start()
    assert member.apply(member.file("a", b"new\n"))["needs"] == "none"
    assert member.store.pending() is None


def test_a_weaker_change_does_not_hide_a_stronger_one_that_waits(member):
    files = [member.file("a", need="restart"), member.file("b", need="reload")]
    running(member, *files)
    files[0] = replace(files[0], content=b"new\n")
    member.apply(*files)
    files[1] = replace(files[1], content=b"new\n")
    assert member.apply(*files)["needs"] == "restart"


def test_a_reload_that_was_done_is_not_asked_again(member):
    running(member, member.file("a", need="reload"))
    assert member.apply(member.file("a", b"new\n", need="reload"))["needs"] == "reload"
    member.store.taken("reload")
    assert member.apply(member.file("a", b"new\n", need="reload"))["needs"] == "none"


def test_a_change_of_comments_needs_nothing(member):
    running(member, member.file("a", b"# old\nport = 1\n", comment="#"))
    result = member.apply(member.file("a", b"# new\n\nport = 1\n", comment="#"))
    assert (result["changed"], result["needs"]) == (True, "none")
    assert member.store.pending() is None


def test_a_unit_that_stopped_meanwhile_keeps_the_need_for_nothing(member):
    running(member, member.file("a"))
    member.apply(member.file("a", b"new\n"))
    member.active = "failed"
    assert member.apply(member.file("a", b"new\n"))["needs"] == "none"


def test_without_a_unit_a_need_is_of_this_call_only(member):
    assert member.apply(member.file("a"), unit=None)["needs"] == "restart"
    assert member.apply(member.file("a"), unit=None)["needs"] == "none"


def test_an_unchanged_call_runs_no_command(member):
    running(member, member.file("a"))
    member.asked.clear()
    member.apply(member.file("a"))
    assert member.asked == []


def test_a_rolled_back_swap_brings_the_need_before_it_back(member):
    running(member, member.file("a", need="reload"))
    member.apply(member.file("a", b"new\n", need="reload"))
    member.refuse["demo-test"] = "no"
    with pytest.raises(FilesError):
        member.apply(member.file("a", b"bad\n"), validators=(("demo-test", "-t"),))
    assert member.apply(member.file("a", b"new\n", need="reload"))["needs"] == "reload"


@pytest.mark.parametrize("state", ["inactive", "active"])
def test_the_manifest_says_whether_the_unit_ran_before_the_change(member, state):
    member.active = state
    member.apply(member.file("a"))
    assert member.store.manifest()["unit_was_active"] == (state == "active")
