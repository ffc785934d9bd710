"""A major upgrade as far as it is decided without touching anything."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import upgrade
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade import (
    Control,
    Facts,
    Locale,
    Places,
    UpgradeError,
)
from postgresql_data import CONTROLDATA

CONTROL = Control("7711924345757294104", "shut down", "0/55199F8", checksums=True, segment_mb=16)
LIBC = Locale("UTF8", "C.UTF-8", "C.UTF-8")
PLACES = Places("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin", "/pg/15/rsp", "/pg/17/rsp", "/run/pg", 5432)
SOUND = Facts(
    old_version="15.18 (Debian 15.18-0+deb12u1)",
    new_version="postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1)",
    control=CONTROL,
    locale=LIBC,
    size_mb=100,
    free_mb=10_000,
    extensions={"postgres": {"plpgsql": "1.0", "pgaudit": "1.7"}, "shop": {"pg_trgm": "1.6"}},
    offered={"plpgsql": "1.0", "pgaudit": "17.1", "pg_trgm": "1.6", "citext": "1.6"},
)


def test_controldata_is_understood():
    assert upgrade.parse_control(CONTROLDATA) == replace(CONTROL, state="in archive recovery")


@pytest.mark.parametrize(
    "text", ["", "pg_controldata: error: could not open file", CONTROLDATA.replace("16777216", "many")]
)
def test_anything_else_is_an_error(text):
    with pytest.raises(UpgradeError, match="pg_controldata was not understood"):
        upgrade.parse_control(text)


@pytest.mark.parametrize(
    ("row", "locale"),
    [
        ({}, LIBC),  # 14 and before
        ({"datlocprovider": "c", "daticulocale": None}, LIBC),
        ({"datlocprovider": "i", "daticulocale": "ru-RU"}, replace(LIBC, provider="icu", name="ru-RU")),
        ({"datlocprovider": "b", "datlocale": "C.UTF-8"}, replace(LIBC, provider="builtin", name="C.UTF-8")),
    ],
)
def test_locale_of_every_release(row, locale):
    found = upgrade.locale_of({"encoding_name": "UTF8", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", **row})
    assert found == locale


@pytest.mark.parametrize(
    ("text", "number"), [("17.12 (Debian 17.12-0+deb13u1)", 17), ("postgres (PostgreSQL) 15.18", 15), ("18.0", 18)]
)
def test_major(text, number):
    assert upgrade.major(text) == number


@pytest.mark.parametrize("text", ["", "seventeen", "17"])
def test_what_is_no_version(text):
    with pytest.raises(UpgradeError, match="names no version"):
        upgrade.major(text)


@pytest.mark.parametrize(
    ("text", "number"), [("0/0", 0), ("0/55199F8", 0x55199F8), ("1/0", 1 << 32), ("A/B", (10 << 32) + 11)]
)
def test_lsn(text, number):
    assert upgrade.lsn(text) == number


def test_a_position_later_in_the_log_is_larger():
    assert upgrade.lsn("1/0") > upgrade.lsn("0/FFFFFFFF")


@pytest.mark.parametrize(
    ("release", "control", "locale", "has", "lacks"),
    [
        (
            17,
            CONTROL,
            LIBC,
            ["--data-checksums", "--wal-segsize=16", "--lc-collate=C.UTF-8"],
            ["--locale-provider=libc"],
        ),
        (17, replace(CONTROL, checksums=False), LIBC, [], ["--data-checksums", "--no-data-checksums"]),
        (18, replace(CONTROL, checksums=False), LIBC, ["--no-data-checksums"], ["--data-checksums"]),
        (18, replace(CONTROL, segment_mb=64), LIBC, ["--wal-segsize=64"], ["--wal-segsize=16"]),
        (17, CONTROL, replace(LIBC, provider="icu", name="ru-RU"), ["--locale-provider=icu", "--icu-locale=ru-RU"], []),
        (
            18,
            CONTROL,
            replace(LIBC, provider="builtin", name="C"),
            ["--locale-provider=builtin", "--builtin-locale=C"],
            [],
        ),
    ],
)
def test_initdb_makes_what_the_old_cluster_is(release, control, locale, has, lacks):
    argv = upgrade.initdb_argv("/new/bin", "/new/data", release, control, locale)
    assert argv[:3] == ["/new/bin/initdb", "-D", "/new/data"]
    assert "--auth-local=peer" in argv
    assert set(has) <= set(argv)
    assert not set(lacks) & set(argv)


@pytest.mark.parametrize(
    ("mode", "preload", "check", "has", "lacks"),
    [
        ("copy", "", False, ["--jobs=3", "--old-datadir=/pg/15/rsp"], ["--copy", "--link", "--check"]),
        ("link", "", True, ["--link", "--check"], []),
        ("clone", "pgaudit", False, ["--clone", "--new-options=-c shared_preload_libraries=pgaudit"], ["--check"]),
    ],
)
def test_pg_upgrade(mode, preload, check, has, lacks):
    argv = upgrade.upgrade_argv(PLACES, mode, preload, 3, check=check)
    assert argv[0] == "/usr/lib/postgresql/17/bin/pg_upgrade"
    assert set(has) <= set(argv)
    assert not set(lacks) & set(argv)


def test_the_claim_gives_no_secret_to_the_command_line():
    argv = upgrade.claim_argv("/etc/patroni/rsp", "77", "/pg/15/rsp")
    assert argv[0] == "/usr/bin/python3"
    assert argv[-3:] == ["/etc/patroni/rsp", "77", "/pg/15/rsp"]


PATRONI = {
    "patroni/__init__.py": "",
    "patroni/config.py": (
        "class Config:\n"
        "    def __init__(self, path, validator): self.path = path\n"
        "    def copy(self): return {'path': self.path}\n"
    ),
    "patroni/dcs.py": (
        "class Dcs:\n"
        "    def __init__(self, config): self.config = config\n"
        "    def initialize(self, create_new, sysid):\n"
        "        print(self.config, create_new, sysid)\n"
        "        return sysid != 'refused'\n"
        "get_dcs = Dcs\n"
    ),
}


@pytest.fixture
def claim(tmp_path):
    """Runs the claim against a Patroni library of our own."""
    for name, text in PATRONI.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(system_id, old_data=""):
        argv = [sys.executable, *upgrade.claim_argv("/etc/patroni", system_id, str(old_data))[1:]]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)})

    return run


def test_the_claim_writes_as_patronictl_does(claim):
    done = claim("77")
    assert done.returncode == 0
    assert done.stdout == "{'path': '/etc/patroni', 'patronictl': True} False 77\n"


def test_a_store_that_refuses_is_a_failure(claim):
    done = claim("refused")
    assert done.returncode == 1
    assert "the DCS did not take it" in done.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_linked_data_get_their_control_file_back(claim, tmp_path, times):
    (tmp_path / "old" / "global").mkdir(parents=True)
    (tmp_path / "old" / "global" / "pg_control.old").write_text("control")
    for _ in range(times):
        assert claim("77", tmp_path / "old").returncode == 0
    assert (tmp_path / "old" / "global" / "pg_control").read_text() == "control"


def test_a_control_file_that_is_there_is_never_replaced(claim, tmp_path):
    (tmp_path / "old" / "global").mkdir(parents=True)
    for name in ("pg_control", "pg_control.old"):
        (tmp_path / "old" / "global" / name).write_text(name)
    assert claim("77", tmp_path / "old").returncode == 0
    assert (tmp_path / "old" / "global" / "pg_control").read_text() == "pg_control"


def test_control_files_of_extensions():
    assert upgrade.control_file("# x\ncomment = 'y'\ndefault_version = '17.1'\n") == "17.1"
    assert upgrade.control_file("comment = 'no version'\n") == ""


def test_where_debian_keeps_extensions():
    assert upgrade.share_dir("/usr/lib/postgresql/17/bin") == "/usr/share/postgresql/17"
    assert upgrade.share_dir("/tmp/x/tree/usr/lib/postgresql/17/bin") == "/tmp/x/tree/usr/share/postgresql/17"


def test_settings_that_are_gone():
    old = upgrade.settings_of("work_mem\tuser\t…\nold_snapshot_threshold\tpostmaster\t…\nno tab\n")
    assert old == {"work_mem", "old_snapshot_threshold"}
    wanted = ["work_mem", "old_snapshot_threshold", "pgaudit.log"]
    assert upgrade.settings_gone(wanted, old, {"work_mem", "new_one"}) == ["old_snapshot_threshold"]


def test_what_the_schema_trial_counts():
    text = (
        'psql:s.sql:14: ERROR:  role "postgres" already exists\n'
        "psql:s.sql:90: NOTICE:  something\n"
        'psql:s.sql:99: ERROR:  column "buffers_backend" does not exist\n'
    )
    assert upgrade.schema_errors(text) == ['ERROR:  column "buffers_backend" does not exist']


def test_the_telling_lines_of_a_log():
    text = "fine\nERROR:  one\n  could not open two\n" + "FATAL: three\n" * 30
    assert upgrade.telling(text, 2) == ["FATAL: three"] * 2
    assert upgrade.telling("fine\nERROR:  one\n  could not open two\n") == ["ERROR:  one", "could not open two"]


def test_a_sound_report_has_no_problem():
    found = upgrade.report(SOUND, 17, "copy")
    assert found["problems"] == []
    assert found["extension_updates"] == {"postgres.pgaudit": "1.7 → 17.1"}
    assert found["system_id"] == CONTROL.system_id
    assert Locale(**found["locale"]) == LIBC


@pytest.mark.parametrize(
    ("facts", "target", "mode", "problem"),
    [
        (replace(SOUND, old_version="17.2"), 17, "copy", "the cluster runs 17.2: 17 is not newer"),
        (
            SOUND,
            18,
            "copy",
            "the new programs are of postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1), 18 is asked for",
        ),
        (
            replace(SOUND, free_mb=611),
            17,
            "copy",
            "611 MiB are free, 612 are needed → free space, or postgresql_upgrade_mode=link",
        ),
        (replace(SOUND, free_mb=611), 17, "link", None),
        (replace(SOUND, free_mb=612), 17, "copy", None),
        (
            replace(SOUND, free_mb=100),
            17,
            "link",
            "100 MiB are free, 512 are needed → free space, or postgresql_upgrade_mode=link",
        ),
        (
            replace(SOUND, extensions={"shop": {"postgis": "3.3"}, "geo": {"postgis": "3.3"}}),
            17,
            "copy",
            "17 has no extension postgis (geo, shop) → install its package, or drop it",
        ),
        (
            replace(SOUND, slots=["cdc"]),
            17,
            "copy",
            "logical slots are lost: cdc → drop them, and make them anew afterwards",
        ),
        (replace(SOUND, trial=["the schema does not load: x"]), 17, "copy", "the schema does not load: x"),
        (replace(SOUND, gone=["old_snapshot_threshold"]), 17, "copy", None),
    ],
)
def test_problems(facts, target, mode, problem):
    assert upgrade.problems(facts, target, mode) == ([problem] if problem else [])
