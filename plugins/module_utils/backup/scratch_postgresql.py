# SPDX-License-Identifier: Apache-2.0
"""One point of PostgreSQL restored into a sandbox: pgBackRest brings it, the engine runs on it with no network at all.

All WAL that the target needs is fetched first, so that the engine's restore_command is a copy within the sandbox.
It reads its settings from a file of ours: the cluster's own would archive, load libraries and name certificates.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import content, pgbackrest, recovery, wal
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
from ansible_collections.rsp.platform.plugins.module_utils.backup.pgbackrest_config import settings as configuration
from ansible_collections.rsp.platform.plugins.module_utils.backup.plant import PLANTS
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import NEEDED, PgBackRest
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import Target
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Sandbox

PORT = 5432
CORRUPT = 2  # exit code of pg_amcheck that found something
POLL_S = 0.5
EVENT_TRIGGERS_SINCE = 17
# pg_control's name → setting that a standby must not have less of
ENOUGH = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
STATE = (
    "select pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn()::text, ''),"
    " case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() = 'paused' else false end"
)
COLLATIONS = (
    "select 'database ' || datname from pg_database where datcollversion is distinct from"
    " pg_database_collation_actual_version(oid) and datallowconn union all select 'collation ' || collname from"
    " pg_collation where collprovider <> 'd' and collversion is distinct from pg_collation_actual_version(oid)"
)
CONFLICT = re.compile(
    r"^(?:heap table|btree index|heap|index) .*$|ERROR: .*|WARNING: .*page verification failed.*", re.MULTILINE
)
TREES = re.compile(r"btree index|index \"|heap tuple .* lacks matching index tuple|posting list|high key|item order")


@dataclass
class PostgresqlScratch:
    """A copy under trial.

    Attributes:
        source: reads the repository's catalogue.
        escrow: key of the repository from the escrow; the host's own is not used.
        settings, secrets: configuration of pgBackRest for this drill, and its environment.
        binaries: directory of the server's programs.
        plant: a fault that is made in the copy, to see the check trip.
    """

    sandbox: Sandbox
    source: PgBackRest
    repository: Repository
    point: Point
    target: Target
    binaries: str
    identity: str | None = None
    escrow: str | None = field(default=None, repr=False)
    settings: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    plant: str | None = None
    questions: Mapping[str, Any] = field(default_factory=dict, repr=False)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    needed: Mapping[Level, Sequence[str]] = field(default_factory=lambda: NEEDED)
    directories: tuple[str, ...] = ("data", "wal", "run", "tablespaces")

    def fetch(self) -> int:
        """The backup, then the WAL behind it. Bytes of both."""
        arguments = [f"--set={self.point.label}", *self.target.arguments(), "--archive-mode=off",
                     f"--tablespace-map-all={self.sandbox.root}/tablespaces"]  # fmt: skip
        self._write("pgbackrest.conf", self.settings)
        self._pgbackrest("fetch", *arguments, "restore")
        return self.point.size + self._fetch_wal()

    def start(self) -> None:
        """Start the engine."""
        code, out, err = self._step("control", f"{self.binaries}/pg_controldata", "-D", self._data)
        if code != 0:
            raise BackupError(f"the copy has no readable pg_control: {err.strip()[-300:]}")
        control = recovery.parse_controldata(out)
        lines = dict(re.split(r": *", line, maxsplit=1) for line in out.splitlines() if ":" in line)
        settings = {setting: lines[label].strip() for label, setting in ENOUGH.items() if label in lines}
        self._control = control
        text = "".join(f"{name} = '{value}'\n" for name, value in {**self._settings(), **settings}.items())
        self._write("postgresql.conf", text)
        self._write("hba.conf", "local all all trust\n")
        self._begin()

    def recover(self, timeout_s: float) -> list[Finding]:
        """Wait for the end of recovery, then let the copy go on as a primary of its own."""
        answer, end = None, self.clock() + timeout_s
        while self.clock() < end and (answer is None or not self._ended(answer)):
            answer = self._state()
            if self.sandbox.main_pid("engine") == 0:
                answer = None
                break
            self.sleep(POLL_S)
        log = self.sandbox.said("engine")
        findings = [recovery.target_reached(self.target, log, answer), self._same_cluster()]
        if answer is None or not self._ended(answer):
            why = "the engine ended" if answer is None else f"recovery did not end within {timeout_s:g} s"
            return [failed("restored", f"{why}: {_last_words(log)}"), *findings]
        if answer["recovering"]:
            self.sql("postgres", "select pg_wal_replay_resume()")
            while self._recovering() and self.clock() < end:
                self.sleep(POLL_S)
        return [passed("restored", replayed=answer["replayed"]), *findings]

    def damage(self) -> None:
        """Make the planted fault, where there is one."""
        if self.plant:
            PLANTS[self.plant](self, self.questions)

    def engine(self) -> list[Finding]:
        """amcheck of every heap and index, then checksums of every page of the stopped engine."""
        options = ["--all", "--heapallindexed", "--rootdescend", "--install-missing", "--no-password"]
        code, out, err = self._step("amcheck", f"{self.binaries}/pg_amcheck", *self._reached, *options)
        wrong = [line.strip() for line in CONFLICT.findall(out + err)]
        if code not in (0, CORRUPT) or (code == CORRUPT and not wrong):
            return [
                unknown(c, f"pg_amcheck: {err.strip()[-300:]}")
                for c in ("pages_whole", "indexes_whole", "collations_same")
            ]
        trees = [line for line in wrong if TREES.search(line)]
        heaps = [line for line in wrong if not TREES.search(line)]
        if not trees:
            heaps = wrong
        other = [line for line in self.sql("postgres", COLLATIONS).splitlines() if line]
        return [
            found("indexes_whole", trees[:5]),
            found("collations_same", [f"{each} was built with another version" for each in other]),
            self._checksums(heaps if not trees else []),
        ]

    def content(self, questions: Mapping[str, Any]) -> list[Finding]:
        """Canaries, expected content, the application's own question."""
        return content.ask(self.sql, questions)

    def stop(self) -> None:
        """End the engine."""
        self.sandbox.end("engine")

    def sql(self, database: str, text: str) -> str:
        """Answer of a query in psql's unaligned form; the text goes by a pipe. Raises BackupError."""
        argv = [f"{self.binaries}/psql", *self._reached, "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        code, out, err = self.sandbox.step("ask", argv, stdin=text)
        if code != 0:
            raise BackupError(f"{database}: {err.strip()[-300:]}")
        return out

    def restart(self, between: Callable[[], None]) -> None:
        """Stop the engine, do something to its files, start it again."""
        self.stop()
        between()
        self._begin()
        end = self.clock() + 60
        while self._state() is None and self.clock() < end:
            self.sleep(POLL_S)

    @property
    def _data(self) -> str:
        return str(self.sandbox.root / "data")

    @property
    def _reached(self) -> list[str]:
        return ["-h", str(self.sandbox.root / "run"), "-p", str(PORT), "-U", "postgres"]

    def _checksums(self, heaps: list[str]) -> Finding:
        """Pages of the stopped engine: the running one would write between two reads."""
        self.stop()
        if not self._control["checksums"]:
            return found("pages_whole", heaps, note="the cluster has no checksums: only heaps and indexes were read")
        code, out, err = self._step("checksums", f"{self.binaries}/pg_checksums", "--check", "-D", self._data)
        bad = re.search(r"Bad checksums: +(\d+)", out)
        if bad is None or (code != 0 and bad[1] == "0"):
            return unknown("pages_whole", f"pg_checksums: {(err or out).strip()[-300:]}")
        return found("pages_whole", [*heaps[:5], *([f"{bad[1]} pages fail their checksum"] if bad[1] != "0" else [])])

    def _fetch_wal(self) -> int:
        _root, inside, histories = self.source.segments(self.repository)
        present, timelines = wal.archived(inside)
        size = self.source.segment_size
        until, end = wal.newest(present, size) or self.point.stop, last_number(self.target, self.point, size)
        names = [name for name in wal.needed(self.point.start, until, histories, size)
                 if end is None or wal.Segment.parse(name, size).number <= end]  # fmt: skip
        wanted = [*(f"{timeline:08X}.history" for timeline in sorted(timelines)), *(n for n in names if n in present)]
        if wanted:
            self._pgbackrest("wal", "archive-get", "{}", f"{self.sandbox.root}/wal/{{}}", each=wanted)
        return sum(self.source.segment_size for name in wanted if name in present)

    def _pgbackrest(self, step: str, *arguments: str, each: Sequence[str] = ()) -> None:
        """Run a command, or one for each name in place of {}: as many at a time as pgBackRest has processes."""
        env = {**self.secrets, **({"PGBACKREST_REPO1_CIPHER_PASS": self.escrow} if self.escrow else {})}
        many = []
        if each:
            processes = configuration(self.settings).get("process-max", "1")
            many = ["xargs", "-I{}", f"--max-procs={processes}"]
        argv = [
            *many, "pgbackrest", f"--config={self.sandbox.root}/pgbackrest.conf", *self.source.options,
            f"--stanza={self.source.stanza}", "--repo=1", f"--lock-path={self.sandbox.root}/run",
            "--log-level-file=off", "--log-level-console=warn", *arguments,
        ]  # fmt: skip
        code, out, err = self.sandbox.step(step, argv, network=True, env=env, stdin="".join(f"{n}\n" for n in each))
        if code != 0:
            raise BackupError(f"pgbackrest {step}: {pgbackrest.error_of(out + err)}")

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.sandbox.root / "run"),
            "hba_file": str(self.sandbox.root / "hba.conf"),
            "log_destination": "stderr",
            "log_line_prefix": "%m [%p] ",
            "lc_messages": "C",
            "shared_buffers": "64MB",
            "max_logical_replication_workers": "0",
            "autovacuum": "off",
            "hot_standby": "on",
        }

    def _begin(self) -> None:
        """Whatever the copy's own files say: nothing is archived, sent, loaded or followed."""
        firm = {
            "archive_mode": "off", "archive_command": "", "archive_library": "", "primary_conninfo": "",
            "primary_slot_name": "", "shared_preload_libraries": "", "ssl": "off", "logging_collector": "off",
            "restore_command": f'cp "{self.sandbox.root}/wal/%f" "%p"', "archive_cleanup_command": "",
            "recovery_end_command": "", "synchronous_standby_names": "", "listen_addresses": "",
        }  # fmt: skip
        # What the copy's event triggers call may not be installed here. Older servers have no such switch.
        major = re.search(r"/(\d+)/bin$", self.binaries)
        firm |= {"event_triggers": "off"} if major and int(major[1]) >= EVENT_TRIGGERS_SINCE else {}
        settings = [f"-c{name}={value}" for name, value in firm.items()]
        conf = f"-cconfig_file={self.sandbox.root}/postgresql.conf"
        self.sandbox.begin("engine", [f"{self.binaries}/postgres", "-D", self._data, conf, *settings])

    def _recovering(self) -> bool:
        return self.sql("postgres", "select pg_is_in_recovery()").strip() == "t"

    def _state(self) -> dict[str, Any] | None:
        try:
            recovering, replayed, paused = self.sql("postgres", STATE).strip().split("|")
        except (BackupError, ValueError):
            return None
        return {"recovering": recovering == "t", "replayed": replayed, "paused": paused == "t"}

    def _ended(self, answer: Mapping[str, Any]) -> bool:
        return bool(answer["paused"]) or not answer["recovering"]

    def _same_cluster(self) -> Finding:
        own = self._control["identity"]
        if self.identity is None:
            return unknown("same_cluster", "which cluster it must be of was not said", identity=own)
        wrong = [] if own == self.identity else [f"pg_control says that this is {own}, not {self.identity}"]
        return found("same_cluster", wrong, identity=own, timeline=self._control["timeline"])

    def _step(self, step: str, *argv: str) -> tuple[int, str, str]:
        return self.sandbox.step(step, argv)

    def _write(self, name: str, text: str) -> None:
        (self.sandbox.root / name).write_text(text, encoding="utf-8")
        (self.sandbox.root / name).chmod(0o644)


def last_number(target: Target, point: Point, size: int) -> int | None:
    """Number of the last segment that a target can need; None: all of them.

    When a segment was archived says little about what is in it: archiving may have stood still for hours.
    """
    if target.kind == "immediate":
        return wal.Segment.parse(point.stop, size).number
    return wal.lsn(target.value) // size + 1 if target.kind == "lsn" else None


def _last_words(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it left no log"
