"""What tools say, as pgBackRest 2.55.1, PostgreSQL 17.12 and Consul 1.22.3 said it on real repositories."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import pgbackrest, pgbackrest_config, recovery, wal
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import datacentre, parse_snapshot
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import Target
from backup_data import FULL, HISTORY, IDENTITY, INCR, SEGMENTS, recorded, signed, snapshot

# --- info


def test_info_of_two_repositories():
    first, second = pgbackrest.parse_info(recorded("info.json"), "rsp")
    assert (first.name, second.name) == ("repo1", "repo2")
    assert [p.kind for p in first.points] == ["full", "diff", "incr"]
    assert first.points[-1].needs == (FULL, f"{FULL}_20261125-091522D")
    assert first.points[0].start == "000000010000000000000003"
    assert first.points[0].timeline == 1
    assert {p.identity for p in (*first.points, *second.points)} == {IDENTITY}
    assert first.newest == "000000020000000000000014"
    assert first.latest.label == INCR
    assert (first.problem, first.cipher, first.busy) == (None, "aes-256-cbc", False)


def changed(*path, value):
    data = json.loads(recorded("info.json"))
    place = data[0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "says nothing of stanza rsp"),
        ("{}", "says nothing of stanza rsp"),
        ("[]", "says nothing of stanza rsp"),
        ("null", "says nothing of stanza rsp"),
        ("[1]", "says nothing of stanza rsp"),
        ('[{"name": "rsp"}]', "says nothing of stanza rsp"),
        (changed("repo", value=None), "says nothing of stanza rsp"),
        (changed("backup", 0, "timestamp", value={}), "says nothing of stanza rsp"),
        (changed("backup", 0, "info", value={"size": "large"}), "says nothing of stanza rsp"),
    ],
)
def test_info_that_can_not_be_understood(text, said):
    with pytest.raises(BackupError, match=said):
        pgbackrest.parse_info(text, "rsp")


@pytest.mark.parametrize(
    ("code", "message", "problem"),
    [
        (0, "ok", None),
        (1, "missing stanza path", "1 missing stanza path"),
        (2, "no valid backups", "2 no valid backups"),
        (3, "missing stanza data", "3 missing stanza data"),
        (99, "other", "99 other"),
    ],
)
def test_the_status_of_a_repository(code, message, problem):
    text = changed("repo", 0, "status", value={"code": code, "message": message})
    assert pgbackrest.parse_info(text, "rsp")[0].problem == problem


def test_a_wrong_key_is_a_problem_without_the_bytes_that_it_could_not_read():
    """The real answer, with exit code 0: it prints what it could not decrypt."""
    [only] = pgbackrest.parse_info(recorded("info_wrong_key.json"), "rsp")
    assert "unable to load info file" in only.problem
    assert only.problem.isprintable()
    assert only.latest is None


@pytest.mark.parametrize(("error", "count"), [(True, 1), (False, 0), (None, 0)])
def test_pages_that_failed_while_the_backup_was_taken(error, count):
    found = pgbackrest.parse_info(changed("backup", 0, "error", value=error), "rsp")[0].point(FULL)
    assert len(found.errors) == count


def test_a_backup_that_runs():
    text = changed("status", "lock", "backup", "held", value=True)
    assert all(r.busy for r in pgbackrest.parse_info(text, "rsp"))


def test_a_point_that_is_not_there():
    first = pgbackrest.parse_info(recorded("info.json"), "rsp")[0]
    assert first.point("latest").label == INCR
    with pytest.raises(BackupError, match="has no point 20200101-000000F → it has"):
        first.point("20200101-000000F")


# --- verify: every text below came with exit code 0

CLEAN = f"""stanza: rsp
status: ok
  archiveId: 17-1, total WAL checked: 17, total valid WAL: 17
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {FULL}, status: valid, total files checked: 972, total valid files: 972
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {INCR}, status: valid, total files checked: 973, total valid files: 973
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""
WAL_FLIPPED = """stanza: rsp
status: error
  archiveId: 17-1, total WAL checked: 17, total valid WAL: 16
    other: 1
"""
DATA_FLIPPED = f"""stanza: rsp
status: error
  backup: {FULL}, status: invalid, total files checked: 972, total valid files: 971
    checksum invalid: 1
  backup: {INCR}, status: invalid, total files checked: 973, total valid files: 972
    checksum invalid: 1
"""
DATA_GONE = DATA_FLIPPED.replace("checksum invalid: 1", "missing: 1")
WRONG_KEY = """stanza: rsp
status: error
  No usable backup.info file
  No usable archive.info file
"""


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (CLEAN, []),
        (
            WAL_FLIPPED,
            ["WAL of 17-1: 1 of 17 segments are not valid", "WAL of 17-1: 1 other", f"verify did not look at {FULL}"],
        ),
        (
            DATA_FLIPPED,
            [
                f"backup {FULL} is invalid: 1 of 972 files",
                f"backup {FULL}: 1 checksum invalid",
                f"backup {INCR} is invalid: 1 of 973 files",
                f"backup {INCR}: 1 checksum invalid",
            ],
        ),
        (
            DATA_GONE,
            [
                f"backup {FULL} is invalid: 1 of 972 files",
                f"backup {FULL}: 1 missing",
                f"backup {INCR} is invalid: 1 of 973 files",
                f"backup {INCR}: 1 missing",
            ],
        ),
        (WRONG_KEY, ["No usable backup.info file", "No usable archive.info file", f"verify did not look at {FULL}"]),
        ("", ["verify ended with status unknown", f"verify did not look at {FULL}"]),
        ("stanza: rsp\nstatus: ok\n", [f"verify did not look at {FULL}"]),
        ("stanza: rsp\nstatus: error\n", ["verify ended with status error", f"verify did not look at {FULL}"]),
        (CLEAN.replace("status: ok", "status: error"), ["verify ended with status error"]),
        (CLEAN.replace("status: ok\n", ""), ["verify ended with status unknown"]),
        (
            CLEAN.replace("total valid files: 972", "total valid files: 900"),
            [f"backup {FULL} is valid: 72 of 972 files"],
        ),
        (CLEAN.replace("missing: 0", "missing: 3", 1), ["WAL of 17-1: 3 missing"]),
        (CLEAN.replace("size invalid: 0", "size invalid: 2", 1), ["WAL of 17-1: 2 size invalid"]),
        (
            "ERROR: [029]: cipher-pass=hunter2 is wrong\n" + CLEAN,
            ["ERROR: [029]: cipher-pass=<redacted> is wrong"],
        ),
    ],
)
def test_verify(text, reasons):
    assert pgbackrest.parse_verify(text).reasons(FULL) == reasons


def test_verify_counts_what_it_looked_at():
    seen = pgbackrest.parse_verify(CLEAN)
    assert (seen.wal_checked, dict(seen.backups)) == (17, {FULL: True, INCR: True})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("P00  ERROR: [075]: no backup set found to restore\n", "[075] no backup set found to restore"),
        ("P00  ERROR: [029]: unable to load info file '/x'\n HINT: x", "[029] unable to load info file '/x'"),
        ("", "it said nothing"),
        ("something else", "something else"),
        ('ERROR: [031]: cipher-pass="geheim" x', '[031] cipher-pass="<redacted> x'),
    ],
)
def test_the_tools_own_error(text, error):
    assert pgbackrest.error_of(text) == error


def test_secrets_of_a_catalogue_are_never_said():
    text = '[cipher]\ncipher-pass="1AdRSr6d76mKhM2aNPDrEYfizCk"\n'
    assert "1AdRSr6d" not in pgbackrest.scrubbed(text)


# --- catalogues and their copies

GOOD = signed("[backrest]\nbackrest-format=5\n")


@pytest.mark.parametrize(
    ("first", "copy", "wrong"),
    [
        (GOOD, GOOD, []),
        (None, GOOD, ["f can't be read"]),
        (GOOD, None, ["f.copy can't be read"]),
        (None, None, ["f can't be read", "f.copy can't be read"]),
        (GOOD, signed("[backrest]\nbackrest-format=6\n"), ["f and its copy differ"]),
        (GOOD[:30], GOOD, ["f has no checksum at its end: it was cut off", "f and its copy differ"]),
        (GOOD, GOOD[:-30], ["f.copy has no checksum at its end: it was cut off", "f and its copy differ"]),
        (
            GOOD[:30],
            GOOD[:30],
            ["f has no checksum at its end: it was cut off", "f.copy has no checksum at its end: it was cut off"],
        ),
    ],
)
def test_both_copies_must_agree(first, copy, wrong):
    assert pgbackrest.differences("f", first, copy) == wrong


def archive(*names):
    return {f"archive/17-1/{name[:16]}/{name}-{'a' * 40}.gz": 100 for name in names}


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        ({}, {}, []),
        (archive(SEGMENTS[0]), archive(*SEGMENTS[:3]), []),
        (archive(SEGMENTS[0]), archive(SEGMENTS[0]) | {"backup/x": 1}, ["backup/x is new"]),
        (
            archive(SEGMENTS[0]),
            archive(SEGMENTS[0]) | {"archive/17-1/00000003.history": 1},
            ["archive/17-1/00000003.history is new"],
        ),
        (archive(SEGMENTS[0]), {}, [f"archive/17-1/{SEGMENTS[0][:16]}/{SEGMENTS[0]}-{'a' * 40}.gz is gone"]),
        ({"backup/backup.info": 1}, {"backup/backup.info": 2}, ["backup/backup.info changed"]),
    ],
)
def test_what_a_copy_under_trial_pushed(before, after, wrong):
    assert pgbackrest.pushed(before, after) == wrong


def test_a_segment_of_a_new_timeline_is_the_copys():
    """A copy that was promoted and archives makes a timeline that production does not have."""
    new = "00000003000000000000000F"
    [said] = pgbackrest.pushed(archive(*SEGMENTS), archive(*SEGMENTS, new))
    assert new in said


def test_listing():
    text = '{".":{"type":"path"},"17-1":{"type":"path"},"17-1/x":{"type":"file","size":3,"time":1}}'
    assert pgbackrest.parse_listing(text) == {
        "17-1": {"type": "path"},
        "17-1/x": {"type": "file", "size": 3, "time": 1},
    }
    for bad in ("", "[]", "1", '{"a": 1}'):
        with pytest.raises(BackupError, match="repo-ls can't be understood"):
            pgbackrest.parse_listing(bad)


# --- the configuration of a drill

HOST = """[global]
process-max=2
compress-type=zst
log-path=/var/log/pgbackrest
repo1-path=/srv/pgbackrest
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=host-key-1
repo1-retention-full=2
repo2-type=s3
repo2-path=/pgbackrest
repo2-s3-key=access
repo2-s3-key-secret=very-secret
repo2-cipher-type=aes-256-cbc
repo2-cipher-pass=host-key-2
tls-server-address=10.0.0.1

[rsp]
pg1-host=10.0.0.11
pg1-path=/var/lib/postgresql/17/rsp
"""


@pytest.mark.parametrize("repository", ["repo1", "repo2"])
def test_a_drill_has_no_key_of_the_host_and_no_cluster(repository):
    text, env = pgbackrest_config.for_drill(HOST, repository, "rsp", "/scratch/data")
    for word in ("host-key", "very-secret", "10.0.0.11", "retention", "tls-server", "/var/lib/postgresql"):
        assert word not in text
    assert "host-key" not in str(env)
    assert text.endswith("[rsp]\npg1-path=/scratch/data\n")
    assert "repo1-path=" in text
    assert "repo2" not in text


def test_the_secrets_of_a_store_come_by_the_environment():
    _text, env = pgbackrest_config.for_drill(HOST, "repo2", "rsp", "/d")
    assert env == {"PGBACKREST_REPO1_S3_KEY": "access", "PGBACKREST_REPO1_S3_KEY_SECRET": "very-secret"}


@pytest.mark.parametrize(
    ("text", "said"), [("", "can't be read"), ("x=1", "can't be read"), ("[global]\nprocess-max=1\n", "has no repo1")]
)
def test_a_configuration_that_does_not_do(text, said):
    with pytest.raises(BackupError, match=said):
        pgbackrest_config.for_drill(text, "repo1", "rsp", "/d")


def test_repositories_that_another_host_decrypts():
    member = HOST.replace("repo1-path=/srv/pgbackrest", "repo1-host=10.0.0.9")
    assert pgbackrest_config.remote(member) == {"repo1"}
    assert pgbackrest_config.remote(HOST) == frozenset()


# --- WAL


@pytest.mark.parametrize(
    ("name", "size", "number"),
    [
        ("000000010000000000000001", wal.MIB16, 1),
        ("0000000100000000000000FF", wal.MIB16, 255),
        ("000000010000000100000000", wal.MIB16, 256),
        ("00000002000000A0000000FE", wal.MIB16, 0xA0 * 256 + 0xFE),
        ("000000010000000100000000", 64 * 1024 * 1024, 64),
    ],
)
def test_names_of_segments(name, size, number):
    segment = wal.Segment.parse(name, size)
    assert segment.number == number
    assert segment.name(size) == name


@pytest.mark.parametrize(
    "name", ["", "0", "00000001000000000000000G", "000000010000000000000001.gz", "00000002.history"]
)
def test_what_is_no_segment(name):
    with pytest.raises(BackupError, match="is no name of a WAL segment"):
        wal.Segment.parse(name)


def test_a_listing_of_the_archive():
    names = [
        f"x/{SEGMENTS[0]}-{'a' * 40}.gz",
        f"x/{SEGMENTS[1]}-{'b' * 40}.zst",
        f"{SEGMENTS[2]}-{'c' * 40}",
        "00000002.history",
        f"x/{SEGMENTS[3]}.00000028.backup",
        f"x/{SEGMENTS[4]}.partial-{'d' * 40}.gz",
        "x",
    ]
    assert wal.archived(names) == (set(SEGMENTS[:3]), {2})


HISTORIES = {2: wal.parse_history(HISTORY)}


@pytest.mark.parametrize(
    ("start", "until", "gone", "missing"),
    [
        (3, SEGMENTS[-1], [], []),
        (3, SEGMENTS[-1], [SEGMENTS[5]], [SEGMENTS[5]]),
        (3, SEGMENTS[-1], [SEGMENTS[0]], []),
        (3, SEGMENTS[-1], SEGMENTS[-2:], SEGMENTS[-2:]),
        (0x12, SEGMENTS[-1], [SEGMENTS[17]], [SEGMENTS[17]]),
        (0x12, SEGMENTS[-1], [], []),
        (3, "000000010000000000000008", [SEGMENTS[9]], []),
        (3, "000000010000000000000008", [SEGMENTS[7]], [SEGMENTS[7]]),
    ],
)
def test_holes(start, until, gone, missing):
    present = set(SEGMENTS) - set(gone)
    assert wal.holes(f"00000001000000000000{start:04X}", until, present, HISTORIES) == missing


@pytest.mark.parametrize(
    ("start", "until", "histories", "said"),
    [
        ("000000010000000000000003", "000000020000000000000014", {}, "timeline 2 has no history file"),
        ("000000030000000000000003", "000000020000000000000014", HISTORIES, "does not descend from timeline 3"),
        (
            "000000010000000000000020",
            "000000020000000000000030",
            HISTORIES,
            "before the point was taken: it is another branch",
        ),
        (
            "000000010000000000000003",
            "000000050000000000000014",
            {5: wal.parse_history("4\t0/1000000\tx\n")},
            "does not descend",
        ),
    ],
)
def test_another_branch(start, until, histories, said):
    with pytest.raises(BackupError, match=said):
        wal.holes(start, until, set(SEGMENTS), histories)


def test_three_timelines():
    """The point is on timeline 2, the end on 3: ancestors before the point do not matter."""
    histories = {3: wal.parse_history("1\t0/5000000\tx\n\n2\t0/9000000\ty\n")}
    names = wal.needed("000000020000000000000006", "00000003000000000000000A", histories)
    assert names == [f"000000020000000000000{n:03X}" for n in (6, 7, 8)] + [
        f"000000030000000000000{n:03X}" for n in (9, 10)
    ]


@pytest.mark.parametrize("text", ["1", "x\t0/1\t", "1\tnowhere\t", "one two"])
def test_a_broken_history(text):
    with pytest.raises(BackupError, match=r"no line of a timeline|is no LSN"):
        wal.parse_history(text)


def test_the_newest_segment_and_how_names_are_shown():
    assert wal.newest(SEGMENTS) == SEGMENTS[-1]
    assert wal.newest([]) is None
    assert wal.shown(SEGMENTS[:2]) == ", ".join(SEGMENTS[:2])
    assert wal.shown(SEGMENTS).endswith(f"and {len(SEGMENTS) - 5} more")


# --- targets and where recovery ended

UP = {"recovering": True, "paused": True, "replayed": "0/F000308"}
TIME = "2026-11-25 09:15:34.534749+00"


@pytest.mark.parametrize(
    ("target", "log", "answer", "reason"),
    [
        (Target("time", TIME), "time", UP, None),
        (Target("name", "before_sale"), "name", UP, None),
        (Target("lsn", "0/F000280"), "lsn", UP, None),
        (Target("name", "never"), "never", None, "recovery ended before configured recovery target was reached"),
        (Target("time", "2027-01-01 00:00:00+00"), "future", None, "did not come up and did not say why"),
        (
            Target("time", "2026-11-25 09:15:37.477995+00"),
            "gap",
            None,
            "the last segment that it read was 00000001000000000000000E",
        ),
        # Logs of other targets: what stopped it is not what was asked for
        (Target("name", "after_sale"), "name", UP, "it stopped at before_sale, not at after_sale"),
        (Target("lsn", "0/F000999"), "lsn", UP, "it stopped at 0/F000280, before 0/F000999"),
        (Target("time", "2026-11-25 09:15:40+00"), "time", UP, "before 2026-11-25 09:15:40+00"),
        (Target("xid", "748"), "time", UP, None),
        (Target("xid", "749"), "time", UP, "it stopped at 748, not at 749"),
        (Target("lsn", "0/F000280"), "name", UP, "the log does not say that it stopped at lsn 0/F000280"),
        (Target("time", TIME), "time", {**UP, "paused": False}, "recovery does not wait at its target"),
        (Target("time", TIME), "time", None, "the server did not come up and did not say why"),
        (Target("latest"), "lsn", {**UP, "recovering": False}, None),
        (Target("latest"), "lsn", UP, "recovery of all the log has not ended"),
        (Target("latest"), "time", {**UP, "recovering": False}, "recovery of all the log has not ended"),
    ],
)
def test_where_recovery_ended(target, log, answer, reason):
    found = recovery.target_reached(target, recorded(f"recovery_{log}.log"), answer)
    assert found.check == "target_reached"
    if reason is None:
        assert found.outcome == "passed", found.reason
    else:
        assert found.outcome in ("failed", "unknown")
        assert reason in found.reason


def test_a_client_that_came_too_early_is_no_failure():
    """Seen: a question before the copy is open is answered with FATAL, and recovery is well."""
    early = "2026-11-25 09:19:01 UTC [1] FATAL:  the database system is not yet accepting connections\n"
    assert recovery.target_reached(Target("time", TIME), early + recorded("recovery_time.log"), UP).outcome == "passed"


def test_recovery_that_dies():
    log = recorded("recovery_gap.log").replace(recovery.NOT_REACHED, "could not locate a valid checkpoint record")
    found = recovery.target_reached(Target("time", TIME), log, None)
    assert "recovery died: could not locate a valid checkpoint record" in found.reason


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("moon", "x", "is none"),
        ("time", "", "needs a value"),
        ("latest", "x", "takes no value"),
        ("immediate", "x", "takes no value"),
        ("time", "yesterday", "is no time"),
        ("time", "2026-11-25 09:15:34", "has no time zone"),
        ("lsn", "F000280", "is no LSN"),
        ("lsn", "0/XYZ", "is no LSN"),
        ("xid", "0", "is no transaction"),
        ("xid", "-1", "is no transaction"),
        ("xid", "12a", "is no transaction"),
        ("name", "a b", "is no name"),
        ("name", "x'; drop table", "is no name"),
        ("name", "n" * 64, "is no name"),
    ],
)
def test_targets_that_no_recovery_reaches(kind, value, said):
    with pytest.raises(BackupError, match=said):
        Target(kind, value)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (Target("latest"), ["--type=default"]),
        (Target("immediate"), ["--type=immediate", "--target-action=pause"]),
        (Target("name", "x"), ["--type=name", "--target=x", "--target-action=pause"]),
        (Target("lsn", "0/F000280"), ["--type=lsn", "--target=0/F000280", "--target-action=pause"]),
    ],
)
def test_arguments_of_a_target(target, arguments):
    assert target.arguments() == arguments


@pytest.mark.parametrize(
    ("target", "first", "reason"),
    [
        (Target("latest"), None, None),
        (Target("name", "x"), None, None),
        (Target("time", "2026-11-25 09:00:00+00"), 0.0, None),
        (Target("time", "2027-11-25 09:00:00+00"), 0.0, "is in the future"),
        (Target("time", "2026-11-25 09:00:00+00"), None, "there is no point"),
        (Target("time", "2026-11-25 09:00:00+00"), 1795598000.0 + 9999, "the first point ended at"),
        (Target("time", "2026-11-25T12:00:00+03:00"), 0.0, None),
    ],
)
def test_targets_in_reach(target, first, reason):
    said = recovery.in_reach(target, first, 1795598700.0)
    assert (said is None) if reason is None else (reason in said)


def test_pg_control():
    found = recovery.parse_controldata(recorded("controldata.txt"))
    assert found == {
        "identity": IDENTITY,
        "state": "in archive recovery",
        "timeline": 1,
        "checkpoint": "0/C000080",
        "minimum": "0/C000120",
        "checksums": 1,
        "segment_size": wal.MIB16,
    }
    for cut in ("", recorded("controldata.txt").replace("Database system identifier", "x")):
        with pytest.raises(BackupError, match="pg_controldata does not tell"):
            recovery.parse_controldata(cut)


# --- snapshots of Consul


def test_a_snapshot_that_consul_made():
    found = parse_snapshot(snapshot(20))
    assert (found.index, found.term, found.datacentre, found.size) == (20, 2, "dc1", 6212)
    assert found.servers == ("127.0.0.1:18300",)
    assert parse_snapshot(snapshot(21)).index == 21


def rebuilt(**changes):
    """The recorded snapshot with parts replaced; None leaves one out."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(snapshot(20)))) as archive:
        parts = {m.name: archive.extractfile(m).read() for m in archive}
    parts |= changes
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in parts.items():
            if data is not None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize("place", [0, 12, 100, 900, 1600, 2500, 3200])
def test_a_flipped_byte_anywhere_is_seen(place):
    with pytest.raises(BackupError):
        parse_snapshot(flipped(snapshot(20), place))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "can't be read"),
        (b"not a snapshot", "can't be read"),
        (snapshot(20)[:1000], "can't be read"),
        (snapshot(20)[:-1], "can't be read"),
        (rebuilt(**{"SHA256SUMS": None}), "lacks SHA256SUMS"),
        (rebuilt(**{"state.bin": None}), "lacks state.bin"),
        (rebuilt(**{"meta.json": None}), "lacks meta.json"),
        (rebuilt(**{"state.bin": b"half of it"}), "does not have the checksum"),
        (rebuilt(**{"SHA256SUMS": b""}), "does not have the checksum"),
        (rebuilt(**{"SHA256SUMS": b"x"}), "can't be read"),
        (gzip.compress(b"no archive", mtime=0), "can't be read"),
    ],
)
def test_snapshots_that_are_broken(data, said):
    with pytest.raises(BackupError, match=said):
        parse_snapshot(data)


def test_a_rebuilt_snapshot_is_whole():
    assert parse_snapshot(rebuilt()).index == 20


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (b"", None),
        (b"\xaaDatacenter", None),
        (b"\x01\xaaDatacenter\xa3dc1\x02", "dc1"),
        (b"\xaaDatacenter\xd9\x24" + b"d" * 36, "d" * 36),
        (b"\xaaDatacenter\xa0\xaaDatacenter\xa4msk1", "msk1"),
        (b"\xaaDatacenter\xa3\xff\xfe\xfd\xaaDatacenter\xa3spb", "spb"),
    ],
)
def test_whose_state_it_is(state, name):
    assert datacentre(state) == name
