# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's backups as pgBackRest keeps them: L0 to L3 of the ladder, from parsed answers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import pgbackrest, policy, wal
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Expected, Run
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    Point,
    Repository,
    failed,
    found,
    passed,
    unknown,
)

NEEDED: Mapping[Level, Sequence[str]] = {
    Level.EXISTS: ("repository_answers", "exists", "fresh", "advancing", "size_usual"),
    Level.CHAIN: ("copies_agree", "chain_complete", "log_continuous", "same_cluster", "right_timeline"),
    Level.BYTES: ("bytes_match",),
    Level.ESCROW: ("escrow_decrypts",),
    Level.RESTORED: ("restored", "target_reached", "isolated", "removed"),
    Level.ENGINE: ("pages_whole", "indexes_whole", "collations_same"),
    Level.CONTENT: ("canaries_exact", "content_expected"),
    Level.APPLICATION: ("application_answers", "within_rto"),
}
# verify reads everything that the stanza has; slower than this nobody reads
VERIFY_LEAST_S, VERIFY_BYTES_S, OUT_OF_TIME = 120, 5_000_000, 124


@dataclass(frozen=True)
class PgBackRest:
    """One stanza, as a host with a configuration sees it.

    Attributes:
        run: runs commands as the user whose configuration it is.
        options: more options for each call, for example `--repo1-path` of a copy.
        remote: repositories that another host decrypts for this one, so that no key of ours is tried here.
    """

    run: Run
    stanza: str
    config: str = "/etc/pgbackrest/pgbackrest.conf"
    options: tuple[str, ...] = ()
    segment_size: int = wal.MIB16
    remote: frozenset[str] = frozenset()
    needed: Mapping[Level, Sequence[str]] = field(default_factory=lambda: NEEDED)

    def repositories(self) -> tuple[Repository, ...]:
        """Every repository of the configuration."""
        return pgbackrest.parse_info(self._asked("info", "--output=json"), self.stanza)

    def verify(self, repository: Repository, point: Point, level: Level, expected: Expected) -> list[Finding]:
        """Findings up to `level`."""
        findings = self._exists(repository, point, expected)
        if level >= Level.CHAIN and repository.problem is None:
            findings += self._chain(repository, point, expected)
        if level >= Level.BYTES and repository.problem is None:
            findings.append(self._bytes(repository, point))
        if level >= Level.ESCROW:
            findings.append(self._escrow(repository, point, expected))
        return findings

    def inventory(self, repository: str) -> dict[str, Any]:
        """Every file of archive and backups with its size."""
        listings = {part: self._listing(repository, f"{part}/{self.stanza}") for part in ("archive", "backup")}
        return {f"{part}/{n}": e.get("size") for part, listing in listings.items() for n, e in listing.items()}

    def pushed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """What production does not explain of the difference."""
        return pgbackrest.pushed(before, after)

    def segments(
        self, repository: Repository
    ) -> tuple[str, dict[str, dict[str, Any]], dict[int, tuple[wal.Switch, ...]]]:
        """Directory of the newest archive, what lies in it, and the histories of its timelines."""
        listing = self._listing(repository.name, f"archive/{self.stanza}")
        roots = sorted((n for n, e in listing.items() if e.get("type") == "path" and "/" not in n), key=_archive_key)
        if not roots:
            raise BackupError(f"{repository.name} has no archive of {self.stanza}")
        root = roots[-1]
        inside = {n.removeprefix(f"{root}/"): e for n, e in listing.items() if n.startswith(f"{root}/")}
        _segments, timelines = wal.archived(inside)
        histories = {}
        for timeline in sorted(timelines):
            name = f"archive/{self.stanza}/{root}/{timeline:08X}.history"
            histories[timeline] = wal.parse_history(self._asked("repo-get", name, repository=repository.name))
        return root, inside, histories

    def _exists(self, repository: Repository, point: Point, expected: Expected) -> list[Finding]:
        promised, now = expected.policy, expected.now
        asked = [f"{repository.name} says: {repository.problem}"] if repository.problem else []
        findings = [
            found("repository_answers", asked, repository=repository.name),
            found("exists", [f"{point.label}: {error}" for error in point.errors], label=point.label, kind=point.kind),
            policy.fresh(repository.latest, promised, now),
            policy.size_usual(point, repository.points, promised),
        ]
        try:
            _root, inside, _histories = self.segments(repository)
        except BackupError as err:
            return [*findings, unknown("advancing", str(err))]
        present, _timelines = wal.archived(inside)
        times = [float(e["time"]) for n, e in inside.items() if "time" in e and wal.ARCHIVED.fullmatch(n)]
        newest = max(times, default=None) if present else None
        return [*findings, policy.advancing(newest, promised, now)]

    def _chain(self, repository: Repository, point: Point, expected: Expected) -> list[Finding]:
        labels = {p.label for p in repository.points}
        lost = [f"{point.label} builds upon {name}, which is gone" for name in point.needs if name not in labels]
        listed = self._listing(repository.name, f"backup/{self.stanza}")
        gone = [f"{name} is in the catalogue, but not in the repository" for name in (*point.needs, point.label)
                if name not in listed]  # fmt: skip
        return [
            self._copies(repository.name, point),
            found("chain_complete", [*lost, *gone], needs=list(point.needs)),
            *self._log(repository, point, expected),
            _identity(repository, point, expected),
        ]

    def _copies(self, repository: str, point: Point) -> Finding:
        names = [f"archive/{self.stanza}/archive.info", f"backup/{self.stanza}/backup.info"]
        names += [f"backup/{self.stanza}/{label}/backup.manifest" for label in (*point.needs, point.label)]
        wrong = []
        for name in names:
            first, copy = (self._text(repository, each) for each in (name, f"{name}.copy"))
            wrong += pgbackrest.differences(name, first, copy)
        return found("copies_agree", wrong, files=len(names))

    def _log(self, repository: Repository, point: Point, expected: Expected) -> list[Finding]:
        """Continuity of the log, and whether its newest timeline descends from the point's."""
        try:
            _root, inside, histories = self.segments(repository)
            present, _timelines = wal.archived(inside)
            until = expected.until or wal.newest(present, self.segment_size)
            if not until or not point.start:
                return [failed("log_continuous", "there is no log"), unknown("right_timeline", "there is no log")]
            if (
                wal.Segment.parse(until, self.segment_size).number
                < wal.Segment.parse(point.stop, self.segment_size).number
            ):
                reason = f"the log ends with {until}, before the end of the point, {point.stop}"
                return [failed("log_continuous", reason), unknown("right_timeline", reason)]
            missing = wal.holes(point.start, until, present, histories, self.segment_size)
        except BackupError as err:
            return [unknown("log_continuous", str(err)), failed("right_timeline", str(err))]
        hole = [f"{len(missing)} segments are missing: {wal.shown(missing)}"] if missing else []
        return [
            found("log_continuous", hole, start=point.start, until=until),
            passed("right_timeline", timeline=int(until[:8], 16)),
        ]

    def _bytes(self, repository: Repository, point: Point) -> Finding:
        options = ("--output=text", "--verbose", "--log-level-console=off")
        within_s = VERIFY_LEAST_S + point.size // VERIFY_BYTES_S
        code, out, err = self._call("verify", *options, repository=repository.name, within_s=within_s)
        verified = pgbackrest.parse_verify(out)
        wrong = verified.reasons(point.label)
        if code == OUT_OF_TIME:
            wrong.append(f"verify did not end within {within_s} s: on some damages it waits for itself")
        elif code != 0:
            wrong.append(f"verify failed: {pgbackrest.error_of(out + err)}")
        return found("bytes_match", wrong, wal_checked=verified.wal_checked, backups=len(verified.backups))

    def _escrow(self, repository: Repository, point: Point, expected: Expected) -> Finding:
        """Read the manifest with the escrow's key: it needs that, and the key that lies in the catalogue."""
        if repository.cipher == "none" and repository.problem is None:
            return failed("escrow_decrypts", f"{repository.name} is not encrypted")
        if repository.name in self.remote:
            return unknown("escrow_decrypts", f"another host decrypts {repository.name} for this one → ask there")
        key = expected.escrow.get(repository.name)
        if not key:
            return unknown("escrow_decrypts", f"no key of {repository.name} came from the escrow")
        name = f"backup/{self.stanza}/{point.label}/backup.manifest"
        number, said = repository.name.removeprefix("repo"), ""
        for each in (name, f"{name}.copy"):
            # It outranks the configuration, so the host's own key has no part in this.
            code, out, err = self._call("repo-get", each, repository=repository.name, env={_cipher(number): key})
            if code == 0 and f'backup-label="{point.label}"' in out:
                return passed("escrow_decrypts", file=each)
            said = said or pgbackrest.error_of(err)
        return failed("escrow_decrypts", f"the escrowed key does not open {name}: {said}")

    def _text(self, repository: str, name: str) -> str | None:
        code, out, _err = self._call("repo-get", name, repository=repository)
        return out if code == 0 and out.startswith("[backrest]") else None

    def _listing(self, repository: str, path: str) -> dict[str, dict[str, Any]]:
        return pgbackrest.parse_listing(
            self._asked("repo-ls", "--recurse", "--output=json", path, repository=repository)
        )

    def _asked(self, command: str, *options: str, repository: str | None = None) -> str:
        code, out, err = self._call(command, *options, repository=repository)
        if code != 0:
            raise BackupError(f"pgbackrest {command}: {pgbackrest.error_of(out + err)}")
        return out

    def _call(
        self,
        command: str,
        *options: str,
        repository: str | None = None,
        within_s: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        only = [f"--repo={repository.removeprefix('repo')}"] if repository else []
        stanza = [] if command.startswith("repo-") else [f"--stanza={self.stanza}"]
        log = () if any(o.startswith("--log-level-console") for o in options) else ("--log-level-console=off",)
        ends = ["timeout", "--kill-after=5", str(within_s)] if within_s else []
        argv = [*ends, "pgbackrest", f"--config={self.config}", *self.options, *only, *stanza]
        argv.append("--log-level-stderr=error")
        return self.run([*argv, *log, *[o for o in options if o.startswith("--")], command,
                         *[o for o in options if not o.startswith("--")]], env or {})  # fmt: skip


def _identity(repository: Repository, point: Point, expected: Expected) -> Finding:
    if expected.identity is None:
        return unknown("same_cluster", "which cluster it must be of was not said", identity=point.identity)
    if point.identity != expected.identity:
        reason = f"{point.label} is of the cluster {point.identity}, not of {expected.identity}"
        return failed("same_cluster", reason, all=list(repository.identities))
    return passed("same_cluster", identity=point.identity)


def _archive_key(name: str) -> tuple[int, str]:
    """`17-2` by its number: a stanza that was upgraded has several archives."""
    tail = name.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else -1, name)


def _cipher(number: str) -> str:
    return f"PGBACKREST_REPO{number}_CIPHER_PASS"
