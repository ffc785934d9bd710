# SPDX-License-Identifier: Apache-2.0
"""A major upgrade with pg_upgrade, as far as it can be decided without touching anything: parsing, argv, problems."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

MODES = ("copy", "clone", "link")
MIB = 1 << 20
# Beside the data: catalogs of the new release, WAL, logs
SPARE_MB = 512
CLEAN_STOP = ("shut down", "shut down in recovery")
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# Since this release initdb makes checksums unless told otherwise
CHECKSUMS_BY_DEFAULT = 18
EXISTS = re.compile(r'ERROR:\s+role "[^"]+" already exists')
ERRORS = re.compile(r"\b(ERROR|FATAL|PANIC|error|fatal|failed|could not)\b")
VERSION = re.compile(r"\b(\d+)\.(\d+)\b")

# Patroni's own library writes the key: it knows both kinds of stores and the credentials of this member.
# The old cluster's control file has another name after a link upgrade that never started the new one.
CLAIM = """
import sys, pathlib
from patroni.config import Config
from patroni.dcs import get_dcs
directory, system_id, old_data = sys.argv[1:]
if old_data:
    control = pathlib.Path(old_data, "global", "pg_control")
    renamed = control.with_name("pg_control.old")
    if renamed.exists() and not control.exists():
        renamed.rename(control)
config = Config(directory, None).copy()
config.update(patronictl=True)
sys.exit(0 if get_dcs(config).initialize(create_new=False, sysid=system_id) else "the DCS did not take it")
"""

# What is asked of the servers
DATABASES = (
    "SELECT d.*, pg_encoding_to_char(d.encoding) AS encoding_name, pg_database_size(d.oid) AS size FROM pg_database d"
)
AS_JSON = "SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM (?) q"
OUTDATED = """
SELECT x.extname AS name, x.extversion AS version, a.default_version AS offered, n.nspname AS schema,
  EXISTS (SELECT FROM pg_extension_update_paths(x.extname) p
    WHERE p.source = x.extversion AND p.target = a.default_version AND p.path IS NOT NULL) AS path
FROM pg_extension x JOIN pg_available_extensions a ON a.name = x.extname JOIN pg_namespace n ON n.oid = x.extnamespace
WHERE a.default_version <> x.extversion"""


class UpgradeError(Exception):
    """The upgrade cannot go on. `result` are keys for the module result."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class Control:
    """What pg_controldata says about a data directory.

    Attributes:
        system_id: what makes this cluster another one than any other; initdb makes it.
        state: in production, shut down …
        checkpoint: where the latest checkpoint is in the WAL.
        checksums: whether pages have them.
        segment_mb: size of a WAL segment.
    """

    system_id: str
    state: str
    checkpoint: str
    checksums: bool
    segment_mb: int


@dataclass(frozen=True, slots=True)
class Locale:
    """Encoding and locale of template0, in the words of initdb."""

    encoding: str
    collate: str
    ctype: str
    provider: str = "libc"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on the member.

    Attributes:
        old_bin, new_bin: directories of both releases' programs.
        old_data, new_data: both data directories.
        socket_dir, port: where the old server listens.
    """

    old_bin: str
    new_bin: str
    old_data: str
    new_data: str
    socket_dir: str
    port: int

    @property
    def unfinished(self) -> Path:
        """A file that is there as long as the new data may be thrown away."""
        data = Path(self.new_data)
        return data.with_name(f"{data.name}.unfinished")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found on the primary. Sizes in MiB; None: could not be learnt.

    Attributes:
        extensions: database → name → version that is there.
        offered: name → version that the new release has.
        gone: settings of ours that the new release does not know.
        trial: what pg_upgrade --check and the trial of the schema complained of, one line each.
    """

    old_version: str
    new_version: str
    control: Control
    locale: Locale
    size_mb: int
    free_mb: int
    extensions: Mapping[str, Mapping[str, str]]
    offered: Mapping[str, str]
    gone: Sequence[str] = ()
    slots: Sequence[str] = ()
    trial: Sequence[str] = ()
    tried: Mapping[str, Any] = field(default_factory=dict)


def parse_control(text: str) -> Control:
    """Answer of pg_controldata in the C locale. Raises UpgradeError when it is something else."""
    fields = {key.strip(): value.strip() for key, _colon, value in (ln.partition(":") for ln in text.splitlines())}
    try:
        return Control(
            system_id=fields["Database system identifier"],
            state=fields["Database cluster state"],
            checkpoint=fields["Latest checkpoint location"],
            checksums=fields["Data page checksum version"] != "0",
            segment_mb=int(fields["Bytes per WAL segment"]) // MIB,
        )
    except (KeyError, ValueError) as err:
        raise UpgradeError(f"pg_controldata was not understood: {err}") from err


def locale_of(row: Mapping[str, Any]) -> Locale:
    """Locale of a row of pg_database, whose columns differ from release to release."""
    return Locale(
        encoding=row["encoding_name"],
        collate=row["datcollate"],
        ctype=row["datctype"],
        provider=PROVIDERS[row.get("datlocprovider", "c")],
        name=row.get("datlocale") or row.get("daticulocale") or "",
    )


def major(version: str) -> int:
    """17.12 (Debian 17.12-0+deb13u1) → 17. Raises UpgradeError for what is no version."""
    found = VERSION.search(version)
    if not found:
        raise UpgradeError(f"{version!r} names no version")
    return int(found[1])


def lsn(text: str) -> int:
    """0/55199F8 as a number."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def initdb_argv(bin_dir: str, data: str, release: int, control: Control, locale: Locale) -> list[str]:
    """A new, empty cluster that pg_upgrade takes: checksums, WAL segments and locale of the old one."""
    argv = [f"{bin_dir}/initdb", "-D", data, "--username=postgres", "--auth-local=peer", "--auth-host=scram-sha-256"]
    argv += [f"--encoding={locale.encoding}", f"--lc-collate={locale.collate}", f"--lc-ctype={locale.ctype}"]
    argv += [f"--wal-segsize={control.segment_mb}"]
    if locale.provider != "libc":
        argv += [f"--locale-provider={locale.provider}", f"--{locale.provider}-locale={locale.name}"]
    if control.checksums:
        argv.append("--data-checksums")
    elif release >= CHECKSUMS_BY_DEFAULT:
        argv.append("--no-data-checksums")
    return argv


def upgrade_argv(places: Places, mode: str, preload: str, jobs: int, *, check: bool) -> list[str]:
    """pg_upgrade. Libraries that refuse to be loaded late are preloaded in both servers."""
    argv = [f"{places.new_bin}/pg_upgrade", "--username=postgres", f"--jobs={jobs}"]
    argv += [f"--old-bindir={places.old_bin}", f"--new-bindir={places.new_bin}"]
    argv += [f"--old-datadir={places.old_data}", f"--new-datadir={places.new_data}", f"--old-port={places.port}"]
    if preload:
        argv.append(f"--new-options=-c shared_preload_libraries={preload}")
    if mode != "copy":
        argv.append(f"--{mode}")
    return [*argv, "--check"] if check else argv


def claim_argv(patroni_dir: str, system_id: str, old_data: str = "") -> list[str]:
    """Tell Patroni's store which cluster is the one: only members with its data may join. It may run twice."""
    return ["/usr/bin/python3", "-c", CLAIM, patroni_dir, system_id, old_data]


def control_file(text: str) -> str:
    """default_version of an extension's control file."""
    found = re.search(r"^\s*default_version\s*=\s*'([^']*)'", text, re.MULTILINE)
    return found[1] if found else ""


def share_dir(bin_dir: str) -> str:
    """Debian's directory of what belongs to a release's programs: …/lib/postgresql/17/bin → …/share/postgresql/17."""
    place = PurePosixPath(bin_dir)
    return str(place.parents[3] / "share" / "postgresql" / place.parent.name)


def settings_of(described: str) -> set[str]:
    """Names in the answer of `postgres --describe-config`."""
    return {line.partition("\t")[0] for line in described.splitlines() if "\t" in line}


def settings_gone(wanted: Collection[str], old: Collection[str], new: Collection[str]) -> list[str]:
    """Settings of ours that the old release knows and the new one does not."""
    return sorted(set(wanted) & set(old) - set(new))


def schema_errors(text: str) -> list[str]:
    """What the new release refused of the schema; that the superuser exists already is no error."""
    found = [line for line in text.splitlines() if "ERROR:" in line and not EXISTS.search(line)]
    return [line[line.index("ERROR:") :] for line in found]


def telling(text: str, most: int = 20) -> list[str]:
    """The lines of a log that say what went wrong, the last ones."""
    return [line.strip() for line in text.splitlines() if ERRORS.search(line)][-most:]


def updates(facts: Facts) -> dict[str, str]:
    """database.extension → old → new version, of those that the new release has in another version."""
    return {
        f"{database}.{name}": f"{version} → {facts.offered[name]}"
        for database, there in sorted(facts.extensions.items())
        for name, version in sorted(there.items())
        if facts.offered.get(name) not in (None, "", version)
    }


def problems(facts: Facts, target: int, mode: str) -> list[str]:
    """Why the upgrade must not begin, one sentence each with what to do; empty when it may."""
    found = []
    if major(facts.old_version) >= target:
        found.append(f"the cluster runs {facts.old_version}: {target} is not newer")
    if facts.new_version and major(facts.new_version) != target:
        found.append(f"the new programs are of {facts.new_version}, {target} is asked for")
    needed = SPARE_MB + (facts.size_mb if mode == "copy" else 0)
    if facts.free_mb < needed:
        found.append(f"{facts.free_mb} MiB are free, {needed} are needed → free space, or postgresql_upgrade_mode=link")
    missing = {name for there in facts.extensions.values() for name in there if name not in facts.offered}
    for name in sorted(missing):
        where = ", ".join(sorted(db for db, there in facts.extensions.items() if name in there))
        found.append(f"{target} has no extension {name} ({where}) → install its package, or drop it")
    if facts.slots:
        found.append(f"logical slots are lost: {', '.join(facts.slots)} → drop them, and make them anew afterwards")
    return [*found, *facts.trial]


def report(facts: Facts, target: int, mode: str) -> dict[str, Any]:
    """The report of a dry run; keys of the module's result."""
    return {
        "old_version": facts.old_version,
        "new_version": facts.new_version,
        "mode": mode,
        "size_mb": facts.size_mb,
        "free_mb": facts.free_mb,
        # What a standby needs for its copy of the new primary, whatever the mode
        "copy_mb": facts.size_mb + SPARE_MB,
        "checksums": facts.control.checksums,
        "system_id": facts.control.system_id,
        "locale": asdict(facts.locale),
        "extensions": {database: dict(there) for database, there in sorted(facts.extensions.items())},
        "extension_updates": updates(facts),
        "settings_gone": list(facts.gone),
        "tried": dict(facts.tried),
        "problems": problems(facts, target, mode),
    }
