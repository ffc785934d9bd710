"""The journalled swap: every crash is undone, a full disk changes nothing, one generation is kept."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.file_node import ABSENT, FilesError, Node, observe
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations, sibling
from ansible_collections.rsp.platform.plugins.module_utils.pending import Pending, pending_now

MINE = {"uid": os.getuid(), "gid": os.getgid()}
ARMED = Pending("restart", "BOOT", 5, "")
FIRST = {"generation": 1, "files": {"a": "first"}}
SECOND = {"generation": 2, "files": {"a": "second"}}


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def node(content, mode=0o644):
    return Node("file", content, **MINE, mode=mode)


def directory(mode=0o755):
    return Node("directory", **MINE, mode=mode)


@pytest.fixture
def store(tmp_path):
    return Generations("demo", root=tmp_path / "state")


@pytest.fixture
def etc(tmp_path):
    """Two files and a link, as an earlier generation left them."""
    home = tmp_path / "etc"
    home.mkdir()
    for name in ("a", "b"):
        (home / name).write_bytes(f"old {name}".encode())
        (home / name).chmod(0o640)
    (home / "link").symlink_to("a")
    return home


def tree(*roots):
    """Every path below, with its node: to compare a tree before and after."""
    return {str(path): observe(str(path)) for root in roots for path in sorted(root.rglob("*"))}


def forward(etc):
    """A change of everything: update, create, remove, replace a link, new directory with a file."""
    return {
        str(etc / "a"): node(b"new a", 0o600),
        str(etc / "b"): ABSENT,
        str(etc / "link"): node(b"no link"),
        str(etc / "new"): directory(0o750),
        str(etc / "new" / "c"): node(b"c"),
    }


def begin(store, nodes):
    store.begin({path: observe(path) for path in nodes}, ARMED)


def swap(store, nodes, manifest, pending=None):
    begin(store, nodes)
    store.write(nodes)
    store.commit(manifest, pending)


def leftovers(*roots):
    return [path for root in roots for path in root.rglob("*") if path.name.endswith(".rsp-new")]


def test_a_swap_brings_every_path_to_its_node(store, etc):
    nodes = forward(etc)
    with store.locked():
        swap(store, nodes, FIRST)
    assert {path: observe(path) for path in nodes} == nodes
    assert store.manifest() == FIRST
    assert store.interrupted() is None
    assert leftovers(etc) == []


def test_state_is_private(store, etc):
    with store.locked():
        swap(store, {str(etc / "a"): node(b"secret", 0o600)}, FIRST, pending_now("reload"))
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [store.home, *store.home.rglob("*")]}
    assert modes == {0}


def test_the_previous_generation_is_what_was_there(store, etc):
    before = {path: observe(path) for path in forward(etc)}
    with store.locked():
        swap(store, forward(etc), FIRST)
    record = store.previous()
    assert record.nodes == before
    assert record.manifest == {"generation": 0, "files": {}}


def test_an_interrupted_swap_tells_what_it_was_about(store, etc):
    with store.locked():
        begin(store, forward(etc))
        assert store.recover().armed == ARMED


def test_one_previous_generation_is_kept(store, etc):
    with store.locked():
        for number in (1, 2, 3):
            swap(store, {str(etc / "a"): node(f"{number}".encode())}, {"generation": number, "files": {}})
    assert store.previous().nodes[str(etc / "a")].content == b"2"
    assert store.previous().manifest["generation"] == 2
    assert sorted(path.name for path in store.home.iterdir()) == ["manifest.json", "previous"]


def crash_before_call(monkeypatch, target, name, number, error):
    """Let `number` calls of a function through, then raise."""
    real, calls = getattr(target, name), []

    def counted(*given, **named):
        calls.append(given)
        if len(calls) > number:
            raise error
        return real(*given, **named)

    monkeypatch.setattr(target, name, counted)


def run_into_a_crash(store, etc, monkeypatch, number):
    """Kill the run at its n-th rename; whether it got that far."""
    with monkeypatch.context() as patched:
        crash_before_call(patched, Path, "replace", number, Killed())
        try:
            with store.locked():
                swap(store, forward(etc), SECOND, pending_now("restart"))
        except Killed:
            return True
    return False


@pytest.mark.parametrize("number", range(7))
def test_a_crash_at_any_replace_is_undone_by_the_next_call(store, etc, monkeypatch, number):
    with store.locked():
        swap(store, {str(etc / "a"): node(b"first")}, FIRST, pending_now("reload"))
    before, manifest, pending = tree(etc), store.manifest(), store.pending()
    crashed = run_into_a_crash(store, etc, monkeypatch, number)
    assert crashed == (number < 6)
    if not crashed:
        return
    with store.locked():
        # Only a crash before the journal was armed leaves nothing to undo.
        assert bool(store.recover()) == (number > 0)
        assert not store.recover()
    assert (tree(etc), store.manifest(), store.pending()) == (before, manifest, pending)
    assert store.interrupted() is None
    assert store.previous().nodes[str(etc / "a")].content == b"old a"


@pytest.mark.parametrize("number", range(4))
def test_a_crash_while_the_commit_renames_loses_no_generation(store, etc, monkeypatch, number):
    with store.locked():
        swap(store, {str(etc / "a"): node(b"first")}, FIRST)
    before = tree(etc)
    committed = number == 3
    with monkeypatch.context() as patched, nullcontext() if committed else pytest.raises(Killed), store.locked():
        crash_before_call(patched, Path, "rename", number, Killed())
        swap(store, forward(etc), SECOND)
    with store.locked():
        undone = store.recover()
    assert bool(undone) == (number in (1, 2))
    assert (tree(etc) == before) is not committed
    assert store.manifest() == (SECOND if committed else FIRST)
    assert store.previous().manifest["generation"] == (1 if committed else 0)
    assert {path.name for path in store.home.iterdir()} <= {"manifest.json", "previous"}


def test_a_crash_while_recovering_is_recovered(store, etc, monkeypatch):
    before = tree(etc)
    assert run_into_a_crash(store, etc, monkeypatch, 3)
    with monkeypatch.context() as patched, store.locked():
        crash_before_call(patched, Path, "replace", 0, Killed())
        with pytest.raises(Killed):
            store.recover()
    with store.locked():
        assert store.recover()
    assert tree(etc) == before


def test_staging_and_drafts_of_a_crash_are_removed(store):
    with store.locked():
        for name in ("staging", "swap.new", "swap.done"):
            (store.home / name).mkdir()
            (store.home / name / "secret").write_text("x")
        assert not store.recover()
    assert list(store.home.iterdir()) == []


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("number", range(13))
def test_a_full_disk_leaves_no_half_written_file(store, etc, monkeypatch, number):
    before = tree(etc)
    with store.locked():
        with monkeypatch.context() as patched:
            crash_before_call(patched, os, "fsync", number, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(OSError, match="No space left"):
                swap(store, forward(etc), FIRST)
        store.recover()
    assert tree(etc) == before
    assert leftovers(etc, store.home) == []


def test_undoing_needs_no_room_when_nothing_was_renamed(store, etc, monkeypatch):
    before = tree(etc)
    with store.locked():
        begin(store, forward(etc))
        with monkeypatch.context() as patched:
            patched.setattr(Generations, "_write_sibling", full)
            with pytest.raises(OSError, match="No space left"):
                store.write({str(etc / "a"): node(b"new")})
            assert store.recover()
    assert tree(etc) == before


def test_a_second_run_at_the_same_time_is_refused(store, tmp_path):
    with (
        store.locked(),
        pytest.raises(FilesError, match="another run is changing"),
        Generations("demo", root=tmp_path / "state").locked(),
    ):
        pass


def test_the_lock_ends_with_its_holder(store):
    with pytest.raises(Killed), store.locked():
        raise Killed
    with store.locked():
        pass


def test_a_planted_link_is_not_followed(store, etc, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    sibling(str(etc / "a")).symlink_to(victim)
    with store.locked():
        swap(store, {str(etc / "a"): node(b"new")}, FIRST)
    assert victim.read_text() == "precious"
    assert (etc / "a").read_bytes() == b"new"


def test_a_file_is_never_visible_with_a_wider_mode(store, etc, monkeypatch):
    seen, real = [], Path.replace

    def spying(path, target):
        if path.name.endswith(".rsp-new"):
            seen.append(stat.S_IMODE(path.stat().st_mode))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", spying)
    with store.locked():
        swap(store, {str(etc / "a"): node(b"secret", 0o600)}, FIRST)
    assert seen == [0o600]


def test_siblings_get_the_context_of_their_destination(tmp_path, etc):
    seen = []
    store = Generations("demo", root=tmp_path / "state", relabel=lambda new, dest: seen.append((Path(new).name, dest)))
    with store.locked():
        swap(store, {str(etc / "a"): node(b"new")}, FIRST)
    assert seen == [(".a.rsp-new", str(etc / "a"))]


def test_a_directory_that_was_filled_since_stays(store, etc):
    with store.locked():
        swap(store, {str(etc / "d"): directory()}, FIRST)
        (etc / "d" / "theirs").write_text("x")
        swap(store, {str(etc / "d"): ABSENT}, SECOND)
    assert (etc / "d" / "theirs").exists()


def test_a_broken_manifest_names_itself_and_the_fix(store):
    with store.locked():
        (store.home / "manifest.json").write_text("{")
    with pytest.raises(FilesError, match=r"manifest.json is not JSON .* → remove it"):
        store.manifest()


@pytest.mark.parametrize(
    ("pending", "took", "left"),
    [
        ("reload", "reload", None),
        ("restart", "reload", "restart"),
        ("restart", "restart", None),
        ("reload", "restart", None),
    ],
)
def test_taken(store, pending, took, left):
    with store.locked():
        store.keep_pending(pending_now(pending))
        store.taken(took)
    assert (store.pending().need if store.pending() else None) == left


def test_taken_without_a_pending_need_writes_nothing(store):
    store.taken("restart")
    assert not store.home.exists()
