"""The drivers that read: what they ask, and that whatever can't be told stays unknown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import base, opening
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Expected
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import KEY as CONSUL_KEY
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import ConsulSnapshots
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError, Level, judge
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import PgBackRest
from backup_data import FULL, IDENTITY, INCR, KEY, NOW, SEGMENTS, Tool, build, command_of, snapshot

SOUND = Expected(NOW, Policy(), IDENTITY, {"repo1": KEY})


@pytest.fixture
def root(tmp_path):
    return build(tmp_path / "repo1")


class Deaf:
    """A tool that answers some commands and fails or babbles at others."""

    def __init__(self, root, **broken):
        self.tool, self.broken = Tool(root), broken

    def __call__(self, argv, env):
        command = command_of(argv)
        answer = self.broken.get(command.replace("-", "_"))
        return answer if answer is not None else self.tool(argv, env)


def read(run, level=Level.ESCROW, expected=SOUND, label="latest", **options):
    driver = PgBackRest(run, "rsp", **options)
    repository = driver.repositories()[0]
    return {f.check: f for f in driver.verify(repository, repository.point(label), level, expected)}, driver


# --- pgBackRest


def test_each_level_asks_only_what_it_needs(root):
    asked = {}
    for level in (Level.EXISTS, Level.CHAIN, Level.BYTES, Level.ESCROW):
        tool = Tool(root)
        read(tool, level)
        asked[level] = [command_of(words) for words in tool.calls]
    assert set(asked[Level.EXISTS]) == {"info", "repo-ls", "repo-get"}
    assert "verify" not in asked[Level.CHAIN]
    assert asked[Level.BYTES].count("verify") == 1
    assert len(asked[Level.ESCROW]) == len(asked[Level.BYTES]) + 1


def test_every_call_names_stanza_repository_and_configuration(root):
    tool = Tool(root)
    read(tool, config="/etc/x.conf", options=("--repo1-path=/copy",))
    for words in tool.calls:
        begin = words.index("pgbackrest")
        assert words[begin + 1 : begin + 3] == ["--config=/etc/x.conf", "--repo1-path=/copy"]
        command = command_of(words)
        assert ("--stanza=rsp" in words) == (not command.startswith("repo-"))
        assert command == "info" or "--repo=1" in words


@pytest.mark.parametrize(
    ("broken", "unknown"),
    [
        ({"repo_ls": (1, "", "ERROR: [103]: unable to list")}, {"advancing"}),
        ({"repo_ls": (0, "babble", "")}, {"advancing"}),
    ],
)
def test_an_archive_that_can_not_be_listed_is_unknown(root, broken, unknown):
    found, _driver = read(Deaf(root, **broken), Level.EXISTS)
    assert {name for name, f in found.items() if f.outcome == "unknown"} == unknown


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((0, "", ""), "verify ended with status unknown"),
        ((0, "status: ok\n", ""), f"verify did not look at {INCR}"),
        ((25, "", "ERROR: [025]: no such path"), "verify failed: [025] no such path"),
        ((127, "", "pgbackrest: No such file"), "verify failed: pgbackrest: No such file"),
        ((124, "", ""), "verify did not end within 1"),
    ],
)
def test_a_verification_that_says_nothing_proves_nothing(root, answer, said):
    found, _driver = read(Deaf(root, verify=answer), Level.BYTES)
    assert found["bytes_match"].outcome == "failed"
    assert said in found["bytes_match"].reason


def test_a_verification_that_is_content_but_ends_with_an_error(root):
    clean = Tool(root).verify()
    found, _driver = read(Deaf(root, verify=(1, clean, "ERROR: [099]: odd")), Level.BYTES)
    assert "verify failed: [099] odd" in found["bytes_match"].reason


@pytest.mark.parametrize("answer", [(1, "", "ERROR: [103]: unreachable"), (0, "", ""), (0, "[1]", "")])
def test_no_answer_about_what_there_is(root, answer):
    with pytest.raises(BackupError, match="pgbackrest info"):
        PgBackRest(Deaf(root, info=answer), "rsp").repositories()


def test_the_end_of_the_log_may_be_given(root):
    """A point in the past needs the log up to there, not up to now."""
    for path in root.rglob(f"{SEGMENTS[17]}-*"):
        path.unlink()
    found, _driver = read(Tool(root), Level.CHAIN)
    assert found["log_continuous"].outcome == "failed"
    until = Expected(NOW, Policy(), IDENTITY, {}, "000000010000000000000010")
    found, _driver = read(Tool(root), Level.CHAIN, until)
    assert found["log_continuous"].outcome == "passed"


def test_a_log_that_ends_before_the_point_does(root):
    for path in root.rglob("0000*-*.gz"):
        if path.name[:24] > "00000001000000000000000B":
            path.unlink()
    found, _driver = read(Tool(root), Level.CHAIN)
    assert "before the end of the point" in found["log_continuous"].reason
    assert found["right_timeline"].outcome == "unknown"


def test_an_archive_that_is_empty(root):
    for path in root.rglob("0000*-*.gz"):
        path.unlink()
    found, _driver = read(Tool(root), Level.CHAIN)
    assert found["advancing"].outcome == "unknown"
    assert found["log_continuous"].outcome == "failed"


def test_an_old_point_is_read_as_the_newest_is(root):
    found, driver = read(Tool(root), label=FULL)
    assert judge(Level.ESCROW, found.values(), driver.needed).reached == Level.ESCROW
    assert found["log_continuous"].evidence["start"] == "000000010000000000000003"


def test_a_stanza_that_was_upgraded_has_several_archives(root):
    """17-2 is newer than 17-1, and 9-10 than 9-9."""
    (root / "archive" / "rsp" / "9-9").mkdir()
    driver = PgBackRest(Tool(root), "rsp")
    assert driver.segments(driver.repositories()[0])[0] == "9-9"
    (root / "archive" / "rsp" / "18-10").mkdir()
    assert driver.segments(driver.repositories()[0])[0] == "18-10"


def test_the_inventory_holds_archive_and_backups(root):
    driver = PgBackRest(Tool(root), "rsp")
    before = driver.inventory("repo1")
    assert any(name.startswith("archive/17-1/") for name in before)
    assert f"backup/{INCR}/backup.manifest" in before
    (root / "archive" / "rsp" / "17-1" / "00000003.history").write_text("x", encoding="utf-8")
    assert driver.pushed(before, driver.inventory("repo1")) == ["archive/17-1/00000003.history is new"]


def test_a_repository_without_encryption_does_not_pass_the_escrow(root):
    driver = PgBackRest(Tool(root), "rsp")
    [only] = driver.repositories()
    plain = type(only)(only.name, only.points, cipher="none")
    found = {f.check: f for f in driver.verify(plain, plain.point("latest"), Level.ESCROW, SOUND)}
    assert (found["escrow_decrypts"].outcome, found["escrow_decrypts"].reason) == ("failed", "repo1 is not encrypted")


def test_the_escrows_key_goes_by_the_environment(root):
    seen = []

    def run(argv, env):
        seen.append(dict(env))
        return Tool(root)(argv, env)

    read(run)
    assert {"PGBACKREST_REPO1_CIPHER_PASS": KEY} in seen
    assert sum(1 for env in seen if env) == 1, "only the one question that is about it"


def test_a_repository_with_a_problem_is_asked_no_more(root):
    tool = Tool(root)
    driver = PgBackRest(tool, "rsp")
    [only] = driver.repositories()
    broken = type(only)(only.name, only.points, problem="99 other", cipher="aes-256-cbc")
    found = {f.check: f for f in driver.verify(broken, only.point("latest"), Level.BYTES, SOUND)}
    assert found["repository_answers"].outcome == "failed"
    assert "bytes_match" not in found
    assert judge(Level.BYTES, found.values(), driver.needed).reached is None


# --- Consul


@pytest.fixture
def snapshots(tmp_path):
    """Directories of snapshots with an age each, and the driver over them."""

    def make(*files, unseal=(), run=None, keys=None):
        folder = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for number, (index, age) in enumerate(files):
            path = folder / f"{number:02d}.snap"
            path.write_bytes(snapshot(index) if isinstance(index, int) else index)
            os.utime(path, (NOW - age, NOW - age))
        (folder / "notes.txt").write_text("none of ours", encoding="utf-8")
        driver = ConsulSnapshots(run or (lambda _argv, _env: (1, "", "x")), {"files": str(folder)}, unseal, keys or {})
        return driver, driver.repositories()[0]

    return make


def looked(driver, repository, level=Level.BYTES, identity="dc1", **escrow):
    expected = Expected(NOW, Policy(rpo_s=3600), identity, escrow)
    return {f.check: f for f in driver.verify(repository, repository.point("latest"), level, expected)}


@pytest.mark.parametrize(
    ("files", "check", "outcome"),
    [
        (((20, 100), (21, 50)), "advancing", "passed"),
        (((21, 100), (21, 50)), "advancing", "failed"),
        (((21, 100), (20, 50)), "advancing", "failed"),
        (((20, 50),), "advancing", "passed"),
        (((20, 7200),), "advancing", "failed"),
        (((20, 100), (b"rotten", 50)), "advancing", "unknown"),
        (((b"rotten", 100), (20, 50)), "advancing", "unknown"),
        (((20, 100), (21, 50)), "bytes_match", "passed"),
        (((20, 100), (b"rotten", 50)), "bytes_match", "failed"),
        (((20, 100), (b"", 50)), "bytes_match", "failed"),
        (((20, 100), (b"", 50)), "size_usual", "failed"),
        (((20, 100), (b"rotten", 50)), "same_cluster", "unknown"),
        (((20, 100), (21, 50)), "same_cluster", "passed"),
    ],
)
def test_snapshots(files, check, outcome, snapshots):
    assert looked(*snapshots(*files))[check].outcome == outcome


@pytest.mark.parametrize(("identity", "outcome"), [("dc1", "passed"), ("dc2", "failed"), (None, "unknown")])
def test_whose_snapshot_it_is(identity, outcome, snapshots):
    assert looked(*snapshots((20, 50)), identity=identity)["same_cluster"].outcome == outcome


def test_points_are_in_the_order_of_their_time(snapshots):
    _driver, repository = snapshots((20, 10), (21, 500))
    assert [p.label for p in repository.points] == ["01.snap", "00.snap"]


def test_a_directory_that_is_not_there():
    driver = ConsulSnapshots(lambda _argv, _env: (0, "", ""), {"files": "/none/x"})
    [repository] = driver.repositories()
    assert "No such file" in repository.problem
    assert repository.latest is None


UNSEAL = ("openssl", "enc", "-d", "-pass", f"env:{CONSUL_KEY}", "-in", "{file}")


def unsealing(argv, env):
    """openssl, as far as a snapshot needs it."""
    assert KEY not in " ".join(argv)
    if env.get(CONSUL_KEY) != KEY:
        return 1, "", "bad decrypt"
    return 0, Path(argv[-1]).read_bytes().decode("utf-8", "surrogateescape"), ""


@pytest.mark.parametrize(
    ("keys", "escrow", "bytes_match", "escrow_decrypts"),
    [
        ({"files": KEY}, {"files": KEY}, "passed", "passed"),
        ({"files": KEY}, {"files": "wrong"}, "passed", "failed"),
        ({"files": KEY}, {}, "passed", "unknown"),
        # This host has lost its key, the escrow has it: the bytes are not proved here, but nothing is lost
        ({}, {"files": KEY}, "failed", "passed"),
    ],
)
def test_sealed_snapshots(keys, escrow, bytes_match, escrow_decrypts, snapshots):
    driver, repository = snapshots((20, 100), (21, 50), unseal=UNSEAL, run=unsealing, keys=keys)
    found = looked(driver, repository, Level.ESCROW, **escrow)
    assert (found["bytes_match"].outcome, found["escrow_decrypts"].outcome) == (bytes_match, escrow_decrypts)
    assert repository.cipher == "sealed"


def test_what_is_not_sealed_does_not_pass_the_escrow(snapshots):
    assert looked(*snapshots((20, 50)), Level.ESCROW, files=KEY)["escrow_decrypts"].outcome == "failed"


def test_a_program_that_does_not_start(snapshots):
    def run(_argv, _env):
        raise FileNotFoundError(2, "No such file or directory")

    driver, repository = snapshots((20, 50), unseal=UNSEAL, run=run)
    assert "No such file" in looked(driver, repository)["bytes_match"].reason


def test_what_came_into_a_directory(snapshots):
    driver, _repository = snapshots((20, 50))
    before = driver.inventory("files")
    assert driver.pushed(before, before) == []
    assert driver.pushed(before, before | {"01.snap": 1}) == []
    assert driver.pushed(before, before | {"x": 1}) == ["x is new"]
    assert driver.pushed(before, {**before, "00.snap": 1}) == ["00.snap is gone or changed"]
    assert driver.pushed(before, {}) == ["00.snap is gone or changed", "notes.txt is gone or changed"]


# --- what all drivers keep


def drivers(tmp_path):
    config = tmp_path / "c.conf"
    config.write_text("[global]\nrepo1-path=/x\n", encoding="utf-8")
    params = {
        "stanza": "rsp",
        "config": str(config),
        "options": [],
        "directories": {"files": "/x"},
        "unseal": [],
        "keys": None,
    }
    return [opening.open_driver({**params, "service": name}, lambda _a, _e: (0, "", "")) for name in opening.DRIVERS]


def test_every_driver_has_the_protocols_methods(tmp_path):
    methods = [name for name in vars(base.Driver) if not name.startswith("_")]
    for driver in drivers(tmp_path):
        assert all(hasattr(driver, name) for name in methods)
        assert set(driver.needed) == set(Level), "each level has its checks"
        assert all(driver.needed[level] for level in Level)


def test_keys_are_in_no_text_of_a_driver(tmp_path):
    driver = ConsulSnapshots(lambda _a, _e: (0, "", ""), {"files": str(tmp_path)}, (), {"files": "hush-hush"})
    assert "hush-hush" not in repr(driver)
    assert "hush-hush" not in repr(Expected(NOW, escrow={"repo1": "hush-hush"}))
