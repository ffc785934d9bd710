"""Every fault of the matrix that a copy of a repository can have, made by the module's own kinds, trips its check."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import tamper
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Expected
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import ConsulSnapshots
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import CHECKS, BackupError, Level, judge
from ansible_collections.rsp.platform.plugins.module_utils.backup.opening import read_point
from ansible_collections.rsp.platform.plugins.module_utils.backup.plant import PLANTS
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy, enough_points, not_too_old
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import PgBackRest
from backup_data import IDENTITY, INCR, KEY, NOW, Tool, build, snapshot

COPY_KINDS = {name: kind for name, kind in tamper.KINDS.items() if kind.stage == "copy"}
READ = {n: k for n, k in COPY_KINDS.items() if k.service == "postgresql" and CHECKS[k.trips][0] <= Level.ESCROW}
POLICY_CHECKS = ("enough_points", "not_too_old")


@pytest.fixture
def live(tmp_path):
    return build(tmp_path / "live" / "repo1")


@pytest.fixture
def broken(live, tmp_path):
    """A copy of the repository with a fault in it; the repository itself must be as it was."""
    before = {str(p.relative_to(live)): p.read_bytes() for p in live.rglob("*") if p.is_file()}

    def make(kind):
        copy = tmp_path / "copies" / kind
        copy.parent.mkdir(exist_ok=True)
        tamper.copy_of(live, copy, [str(live)])
        tamper.apply(copy, kind, tamper.chosen(copy, kind, [str(live)]))
        return copy

    yield make
    assert {str(p.relative_to(live)): p.read_bytes() for p in live.rglob("*") if p.is_file()} == before


def findings(root, level=Level.ESCROW, asks=None, label="latest"):
    asks = asks or {}
    expected = Expected(
        NOW + asks.get("later_s", 0),
        Policy(**{"min_span_s": 0, **asks.get("policy", {})}),
        asks.get("identity", IDENTITY),
        {"repo1": asks.get("escrow", KEY)},
    )
    driver = PgBackRest(Tool(root), "rsp")
    repository = driver.repositories()[0]
    _point, found = read_point(driver, repository, label, level, expected)
    found += [check(repository.points, expected.policy, expected.now) for check in (enough_points, not_too_old)]
    return found


def tripped(found):
    return {f.check for f in found if f.outcome == "failed"}


def test_the_clean_twin_passes_up_to_the_escrow(live):
    found = findings(live)
    assert tripped(found) == set()
    proof = judge(Level.ESCROW, found, PgBackRest(Tool(live), "rsp").needed)
    assert proof.reached == Level.ESCROW
    assert proof.verdict.open


def test_a_copy_without_a_fault_passes_as_well(live, tmp_path):
    copy = tmp_path / "copy"
    tamper.copy_of(live, copy, [str(live)])
    assert tripped(findings(copy)) == set()


@pytest.mark.parametrize("kind", sorted(n for n, k in READ.items() if k.trips not in ("object_lock",)))
def test_each_fault_trips_its_named_check(kind, broken):
    assert READ[kind].trips in tripped(findings(broken(kind), asks=READ[kind].asks))


@pytest.mark.parametrize("kind", sorted(n for n, k in READ.items() if k.trips not in ("object_lock", *POLICY_CHECKS)))
def test_no_fault_leaves_the_point_proved(kind, broken):
    driver = PgBackRest(Tool(broken(kind)), "rsp")
    proof = judge(Level.ESCROW, findings(broken_path(driver), asks=READ[kind].asks), driver.needed)
    assert not proof.verdict.open
    assert proof.reached is None or proof.reached < Level.ESCROW


def broken_path(driver):
    return driver.run.root


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        ("data_flipped", set()),
        ("data_truncated", set()),
        ("data_missing", set()),
        ("wal_flipped", set()),
        ("wal_truncated", set()),
        ("wal_missing", set()),
        ("manifest_flipped", set()),
        ("manifest_copy_flipped", set()),
        ("catalogue_flipped", set()),
        ("catalogue_missing", set()),
        ("key_wrong", set()),
        ("wrong_cluster", set()),
        ("frozen", set()),
        ("expired_early", set()),
        ("stale", {"advancing"}),
        ("not_expired", {"advancing", "fresh"}),
    ],
)
def test_a_fault_trips_no_other_check(kind, others, broken):
    assert tripped(findings(broken(kind), asks=READ[kind].asks)) == {READ[kind].trips} | others


def test_the_tool_itself_does_not_see_a_missing_segment(broken):
    """Why we count segments ourselves: the real 2.55.1 said `status: ok` here."""
    assert "status: ok" in Tool(broken("wal_missing")).verify()


def test_wal_that_ends_behind_the_backup_reads_well_and_is_found_by_the_restore_only(broken):
    kind = tamper.KINDS["wal_missing_before_target"]
    assert kind.trips == "target_reached"
    assert tripped(findings(broken("wal_missing_before_target"))) == set()


def test_a_rotten_base_spoils_every_point_of_its_chain(broken):
    copy = broken("base_missing")
    for label in (INCR, "latest"):
        assert "chain_complete" in tripped(findings(copy, label=label))


# --- snapshots


def snapshots(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, index in ((1, 20), (2, 21)):
        path = folder / f"2026112{number}T000000Z.snap"
        path.write_bytes(snapshot(index))
        os.utime(path, (NOW - 100 / number, NOW - 100 / number))
    return folder


def read_snapshots(folder, asks):
    unseal = ("reader", "{file}")

    def run(argv, env):
        if env["RSP_BACKUP_KEY"] != KEY:
            return 1, "", "bad decrypt"
        return 0, Path(argv[1]).read_bytes().decode("utf-8", "surrogateescape"), ""

    driver = ConsulSnapshots(run, {"files": str(folder)}, unseal, {"files": KEY})
    expected = Expected(
        NOW + asks.get("later_s", 0),
        Policy(rpo_s=3600),
        asks.get("identity", "dc1"),
        {"files": asks.get("escrow", KEY)},
    )
    repository = driver.repositories()[0]
    return driver, driver.verify(repository, repository.point("latest"), Level.ESCROW, expected)


CONSUL = {name: kind for name, kind in COPY_KINDS.items() if kind.service == "consul"}


@pytest.mark.parametrize("kind", [None, *sorted(CONSUL)])
def test_faults_of_snapshots(kind, tmp_path):
    live = snapshots(tmp_path / "live" / "consul")
    copy = tmp_path / "copies" / "consul"
    copy.parent.mkdir()
    tamper.copy_of(live, copy, [str(live)])
    for path in copy.glob("*.snap"):
        shutil.copystat(live / path.name, path)
    if kind is None:
        driver, found = read_snapshots(copy, {})
        assert tripped(found) == set()
        assert judge(Level.ESCROW, found, driver.needed).reached == Level.ESCROW
        return
    names = tamper.chosen(copy, kind, [str(live)])
    tamper.apply(copy, kind, names)
    for path in copy.glob("*.snap"):
        os.utime(path, (live / path.name).stat()[7:9])
    assert CONSUL[kind].trips in tripped(read_snapshots(copy, CONSUL[kind].asks)[1])


# --- the table of faults itself


def test_every_fault_names_a_check_that_is_there():
    assert tamper.unknown_checks() == []


def test_every_planted_fault_is_in_the_table():
    assert {name for name, kind in tamper.KINDS.items() if kind.stage == "restored"} == set(PLANTS)


def test_every_check_up_to_the_content_has_a_fault_that_trips_it():
    covered = {kind.trips for kind in tamper.KINDS.values()}
    # The drill's own tests plant these: they are about the drill, not about the backup.
    of_the_drill = {"restored", "isolated", "removed", "within_rto", "application_answers", "copies_apart"}
    of_the_policy = {"size_usual", "exists"}
    assert set(CHECKS) - covered == of_the_drill | of_the_policy


# The matrix of the research, row by row
MATRIX = {
    "bit flip in data": "data_flipped",
    "bit flip in manifest": "manifest_flipped",
    "bit flip in catalogue": "catalogue_flipped",
    "truncated file": "data_truncated",
    "WAL missing in the middle": "wal_missing",
    "WAL missing between the end of the backup and the target": "wal_missing_before_target",
    "wrong, rotated or lost key": "key_wrong",
    "stale backup": "stale",
    "frozen job that succeeds": "frozen",
    "valid backup of the wrong cluster": "wrong_cluster",
    "wrong timeline": "wrong_timeline",
    "empty or half-empty dump": "table_emptied",
    "torn or rotten source page": "page_torn",
    "index corrupt, heap good": "index_broken",
    "collation change on the restore host": "collation_changed",
    "retention expired too early": "expired_early",
    "retention not expired": "not_expired",
    "object lock off": "lock_off",
    "destroyed subjects are back": "destroyed_is_back",
    "snapshot: hash": "snapshot_flipped",
    "snapshot: truncated": "snapshot_truncated",
    "snapshot: revision does not advance": "snapshot_frozen",
    "snapshot: cluster id": "snapshot_wrong_cluster",
    "object gone": "object_missing",
}


@pytest.mark.parametrize("row", MATRIX)
def test_every_row_of_the_matrix_has_a_kind(row):
    kind = tamper.kind_of(MATRIX[row])
    assert kind.about
    assert kind.stage in ("copy", "restored")
    assert (kind.files is None) == (kind.hurt is None)
    assert kind.stage == "restored" or kind.files is not None or kind.asks


# --- copies only


@pytest.fixture
def places(tmp_path, live):
    link = tmp_path / "link"
    link.symlink_to(live)
    inside = live / "backup"
    marked = tmp_path / "marked"
    tamper.copy_of(live, marked, [])
    return {"live": live, "link": link, "inside": inside, "above": live.parent, "root": Path("/"), "marked": marked}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("live", "is the live repository"),
        ("link", "is the live repository"),
        ("inside", "lies in it"),
        ("above", "or holds it"),
        ("root", "is no place for a copy"),
    ],
)
def test_a_live_repository_is_never_touched(place, said, places, live):
    before = {p: p.read_bytes() for p in live.rglob("*") if p.is_file()}
    for act in (
        lambda: tamper.chosen(places[place], "data_flipped", [str(live)]),
        lambda: tamper.copy_of(live, places[place], [str(live)]),
        lambda: tamper.refuse_unmarked(places[place], [str(live)]),
    ):
        with pytest.raises(BackupError, match=said):
            act()
    assert {p: p.read_bytes() for p in live.rglob("*") if p.is_file()} == before


def test_what_was_not_copied_by_the_module_is_refused(live, tmp_path):
    """Somebody forgot to name a live repository: its mark is missing."""
    with pytest.raises(BackupError, match="was not made by this module"):
        tamper.chosen(live, "data_flipped", [])
    shutil.copytree(live, tmp_path / "by_hand")
    with pytest.raises(BackupError, match="was not made by this module"):
        tamper.chosen(tmp_path / "by_hand", "data_flipped", [str(live)])


def test_a_mark_that_is_a_link_is_no_mark(live, tmp_path, places):
    (live / tamper.MARK).symlink_to(places["marked"] / tamper.MARK)
    with pytest.raises(BackupError, match="was not made by this module"):
        tamper.chosen(live, "data_flipped", [])
    (live / tamper.MARK).unlink()


def test_a_hard_link_to_a_live_file_is_broken_first(live, tmp_path):
    copy = tmp_path / "linked"
    shutil.copytree(live, copy, copy_function=os.link)
    (copy / tamper.MARK).write_text(tamper.MARK_TEXT, encoding="utf-8")
    before = {p.relative_to(live): p.read_bytes() for p in live.rglob("*") if p.is_file()}
    for kind in ("data_flipped", "data_truncated", "wal_flipped"):
        tamper.apply(copy, kind, tamper.chosen(copy, kind, [str(live)]))
    assert {p.relative_to(live): p.read_bytes() for p in live.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda live, tmp: tamper.copy_of(live, tmp, [str(live)]), "is there already|or holds it"),
        (lambda live, tmp: tamper.copy_of(tmp / "none", tmp / "c", [str(live)]), "is no directory"),
        (lambda live, tmp: tamper.kind_of("meteor"), "there is no fault meteor"),
    ],
)
def test_refusals(act, said, live, tmp_path):
    with pytest.raises(BackupError, match=said):
        act(live, tmp_path)


def test_a_fault_that_hurts_nothing_proves_nothing(tmp_path):
    empty = tmp_path / "x" / "empty"
    empty.mkdir(parents=True)
    (empty / tamper.MARK).write_text(tamper.MARK_TEXT, encoding="utf-8")
    with pytest.raises(BackupError, match="would prove nothing"):
        tamper.chosen(empty, "data_flipped", [])
    assert tamper.chosen(empty, "key_wrong", []) == []


def test_one_snapshot_can_not_be_repeated(tmp_path):
    path = tmp_path / "only.snap"
    path.write_bytes(snapshot(20))
    with pytest.raises(BackupError, match="one snapshot only"):
        tamper.repeat(path)


# --- how a file is hurt ---


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 4096, 100_000])
def test_flipped_bytes_are_others_and_the_size_is_the_same(size, tmp_path):
    path = tmp_path / "f"
    data = bytes(n % 251 for n in range(size))
    path.write_bytes(data)
    tamper.flip(path)
    after = path.read_bytes()
    assert len(after) == size
    assert after != data
    assert sum(a != b for a, b in zip(data, after, strict=True)) <= tamper.FLIPPED
    tamper.flip(path)
    assert path.read_bytes() == data, "twice is as it was"


@pytest.mark.parametrize(("size", "left"), [(0, 0), (1, 0), (2, 1), (4096, 2048), (4097, 2048)])
def test_a_truncated_file_has_its_first_half(size, left, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(range(256)) * (size // 256 + 1))
    os.truncate(path, size)
    before = path.read_bytes()
    tamper.truncate(path)
    assert path.read_bytes() == before[:left]


def test_files_and_directories_are_removed(tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "f").write_text("x", encoding="utf-8")
    tamper.remove(tmp_path / "d")
    tamper.remove(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_a_frozen_job_saves_the_same_again(tmp_path):
    for name, index in (("1.snap", 20), ("2.snap", 21), ("3.snap.enc", 21)):
        (tmp_path / name).write_bytes(snapshot(index))
    tamper.repeat(tmp_path / "2.snap")
    assert (tmp_path / "2.snap").read_bytes() == snapshot(20)
    tamper.repeat(tmp_path / "3.snap.enc")
    assert (tmp_path / "3.snap.enc").read_bytes() == snapshot(20)


def test_the_newest_point_is_hurt(live, tmp_path):
    """A fault in an old point would not be seen by whoever asks for the latest."""
    copy = tmp_path / "c"
    tamper.copy_of(live, copy, [str(live)])
    for kind in ("data_flipped", "manifest_flipped"):
        [name] = tamper.chosen(copy, kind, [str(live)])
        assert f"/{INCR}/" in name


def test_only_wal_behind_the_last_backup_goes(live, tmp_path):
    copy = tmp_path / "c"
    tamper.copy_of(live, copy, [str(live)])
    names = tamper.chosen(copy, "wal_missing_before_target", [str(live)])
    kept = {p.name[:24] for p in copy.rglob("0000*-*.gz")} - {Path(name).name[:24] for name in names}
    assert max(kept) == "00000001000000000000000D"
    assert len(names) + len(kept) == len(list(live.rglob("0000*-*.gz")))


@pytest.mark.parametrize("kind", sorted(COPY_KINDS))
def test_what_would_be_hurt_is_told_before_it_is(kind, live, tmp_path):
    if COPY_KINDS[kind].service == "consul":
        live = snapshots(tmp_path / "live" / "consul")
    copy = tmp_path / "c"
    tamper.copy_of(live, copy, [str(live)])
    first = tamper.chosen(copy, kind, [str(live)])
    assert first == tamper.chosen(copy, kind, [str(live)]), "a prediction touches nothing"
    assert bool(first) == (COPY_KINDS[kind].files is not None)
