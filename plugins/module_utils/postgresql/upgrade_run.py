# SPDX-License-Identifier: Apache-2.0
"""Carrying out a major upgrade on one member. Whatever runs is an argv list given to an injected runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.host import free_mb
from ansible_collections.rsp.platform.plugins.module_utils.packages import to_install
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import upgrade as pure
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.upgrade import Facts, Places, UpgradeError

# A unit of its own: systemd ends it with all its servers when the upgrade is undone, whatever became of the controller
UNIT = "rsp-pg-upgrade"
POLL_S = 0.5
# What we write ourselves must not wait for a standby that is not there yet
ALONE = {"PGOPTIONS": "-c synchronous_commit=local -c lock_timeout=30s"}
ROUGH = {"PGOPTIONS": "-c synchronous_commit=local -c default_statistics_target=1 -c vacuum_cost_delay=0"}


class Run(Protocol):
    """Runs an argv list on the member: return code, stdout, stderr."""

    def __call__(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]: ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, so that tests need none."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The upgrade of one member.

    Attributes:
        run: runs argv lists.
        places: where both clusters are.
        mode: how pg_upgrade takes the files over.
        preload: libraries that both servers load at their start, by comma.
        jobs: how many databases and files at once.
        libraries: directories of libraries that are not installed, by colon.
    """

    run: Run
    places: Places
    mode: str = "copy"
    preload: str = ""
    jobs: int = 1
    libraries: str = ""

    def control(self, *, new: bool = False) -> pure.Control:
        """What the control file of a data directory says."""
        binary, data = (
            (self.places.new_bin, self.places.new_data) if new else (self.places.old_bin, self.places.old_data)
        )
        return pure.parse_control(self._as_postgres([f"{binary}/pg_controldata", "-D", data], env={"LC_ALL": "C"}))

    def checkpoint(self) -> None:
        """Write everything out while clients still work, so that the stop is short."""
        self._psql("postgres", "CHECKPOINT")

    def wait_replayed(self, lsn: str, wait_s: float, clock: Clock) -> None:
        """Wait until this standby has replayed the primary's last checkpoint. Raises UpgradeError after `wait_s`."""
        end, seen = clock.now() + wait_s, "nothing"
        while True:
            rows = self._query("postgres", "SELECT pg_last_wal_replay_lsn()::text AS lsn")
            seen = rows[0]["lsn"] or seen
            # The position is where the next record begins: behind the start of the checkpoint's record.
            if seen != "nothing" and pure.lsn(seen) > pure.lsn(lsn):
                return
            if clock.now() >= end:
                raise UpgradeError(f"this standby has replayed {seen}, the primary stopped at {lsn}")
            clock.sleep(POLL_S)

    def facts(self, settings: Sequence[str], packages: Sequence[str], target: int) -> Facts:
        """Everything a report needs, from the running old server; what is tried is removed again.

        `packages` are those of the new release that are not installed: they are only unpacked, for the trial.
        """
        with self._workplace(Path(self.places.old_data).parent) as work:
            there = self._unpacked(packages, work)
            places = replace(there.places, new_data=f"{work}/trial")
            return replace(there, places=places)._look(settings, target, work, self.places.new_data)

    def upgrade(self, claim: Callable[[str], Sequence[str]], target: int, locale: pure.Locale) -> dict[str, Any]:
        """initdb, tell the store of locks who the cluster is now, pg_upgrade. The old server must be stopped.

        Raises:
            UpgradeError: a step failed; the old data are as they were, or what `claim` of the old one makes them again.
        """
        old = self.control()
        if old.state not in pure.CLEAN_STOP:
            raise UpgradeError(f"the old cluster was not stopped cleanly: {old.state}")
        data = Path(self.places.new_data)
        if (data / "PG_VERSION").exists() and not self.places.unfinished.exists():
            raise UpgradeError(f"{data} has a cluster already → move it away when nobody needs it")
        self._as_postgres(["mkdir", "-p", str(data.parent)])
        self._as_postgres(["touch", str(self.places.unfinished)])
        self._as_postgres(["rm", "-rf", str(data)])
        self._as_postgres(pure.initdb_argv(self.places.new_bin, str(data), target, old, locale))
        new = self.control(new=True)
        self._as_postgres(claim(new.system_id))
        with self._workplace(data.parent) as work:
            argv = pure.upgrade_argv(self.places, self.mode, self.preload, self.jobs, check=False)
            code, out, err = self.run(
                ["systemd-run", f"--unit={UNIT}", "--quiet", "--wait", "--pipe", "--collect", "--uid=postgres",
                 "--service-type=exec", "--setenv=LC_ALL=C", f"--working-directory={work}", "--", *argv],
            )  # fmt: skip
        if code != 0:
            raise UpgradeError(
                f"pg_upgrade failed: {'; '.join(self._last_words(data) or pure.telling(out + err)) or code}",
                output=out.splitlines()[-30:],
            )
        return {"system_id": new.system_id, "output": out.splitlines()[-30:]}

    def finished(self) -> bool:
        """The new data are the data: nothing throws them away any more, and the old ones get another name."""
        old = Path(self.places.old_data)
        kept = old.with_name(f"{old.name}.before-{Path(self.places.new_bin).parent.name}")
        changed = old.exists()
        if changed:
            self._as_postgres(["mv", "--no-target-directory", str(old), str(kept)])
        self._as_postgres(["rm", "-f", str(self.places.unfinished)])
        return changed

    def discarded(self) -> bool:
        """Throw away what an attempt that was undone has left at the new place: it is another cluster.

        Raises:
            UpgradeError: a server runs on it.
        """
        data = Path(self.places.new_data)
        if not self.places.unfinished.exists():
            return False
        if (data / "postmaster.pid").exists():
            says = f"{data} is unfinished, says {self.places.unfinished}"
            raise UpgradeError(f"{says}, but a server runs on it → look who started it")
        self._as_postgres(["rm", "-rf", str(data)])
        self._as_postgres(["rm", "-f", str(self.places.unfinished)])
        return True

    def extensions(self) -> dict[str, str]:
        """Bring extensions to the new release's version; database.extension → what was done."""
        done = {}
        for database in self._databases():
            for row in self._query(database, pure.OUTDATED):
                name, schema = _quoted(row["name"]), _quoted(row["schema"])
                steps = [f"ALTER EXTENSION {name} UPDATE"]
                if not row["path"]:
                    # Nothing that depends on it is dropped: that would fail.
                    steps = [f"DROP EXTENSION {name}", f"CREATE EXTENSION {name} SCHEMA {schema}"]
                self._psql(database, *steps)
                how = "" if row["path"] else ", made anew"
                done[f"{database}.{row['name']}"] = f"{row['version']} → {row['offered']}{how}"
        return done

    def statistics(self, *, rough: bool) -> None:
        """Rough statistics in one quick pass, or in stages all of those that pg_upgrade did not bring along."""
        argv = [f"{self.places.new_bin}/vacuumdb", "--all", f"--jobs={self.jobs}", "--username=postgres"]
        argv += [f"--host={self.places.socket_dir}", f"--port={self.places.port}"]
        argv += ["--analyze-only"] if rough else ["--analyze-in-stages"]
        if not rough and int(Path(self.places.new_bin).parent.name) >= pure.CHECKSUMS_BY_DEFAULT:
            argv.append("--missing-stats-only")
        self._as_postgres(argv, env=ROUGH if rough else ALONE)

    def _look(self, settings: Sequence[str], target: int, work: str, new_data: str) -> Facts:
        places = self.places
        databases = self._query("postgres", pure.DATABASES)
        extensions = {
            row["datname"]: {x["extname"]: x["extversion"] for x in self._query(row["datname"], "TABLE pg_extension")}
            for row in databases
            if row["datallowconn"]
        }
        offered = {
            file.stem: pure.control_file(file.read_text(encoding="utf-8"))
            for file in Path(pure.share_dir(places.new_bin), "extension").glob("*.control")
        }
        known = [
            pure.settings_of(self._as_postgres([f"{binary}/postgres", "--describe-config"]))
            for binary in (places.old_bin, places.new_bin)
        ]
        control = self.control()
        locale = pure.locale_of(next(row for row in databases if row["datname"] == "template0"))
        slots = self._query("postgres", "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'")
        self._as_postgres(pure.initdb_argv(places.new_bin, places.new_data, target, control, locale))
        check = pure.upgrade_argv(places, self.mode, self.preload, self.jobs, check=True)
        code, out, err = self._try(check, cwd=work, env={"LC_ALL": "C"})
        trial = [] if code == 0 else [f"pg_upgrade --check: {line}" for line in pure.telling(out + err) or [str(code)]]
        refused = self._try_schema(work)
        return Facts(
            old_version=self._query("postgres", "SELECT current_setting('server_version') AS v")[0]["v"],
            new_version=self._as_postgres([f"{places.new_bin}/postgres", "--version"]).strip(),
            control=control,
            locale=locale,
            size_mb=sum(row["size"] for row in databases) // pure.MIB,
            free_mb=free_mb(new_data),
            extensions=extensions,
            offered=offered,
            gone=pure.settings_gone(settings, *known),
            slots=[row["slot_name"] for row in slots],
            trial=[*trial, *(f"the schema does not load: {line}" for line in refused)],
            tried={"pg_upgrade_check": out.splitlines(), "schema_errors": refused},
        )

    def _try_schema(self, work: str) -> list[str]:
        """Load the schema of all databases into the trial cluster; what the new release refuses of it."""
        new, data = self.places.new_bin, self.places.new_data
        options = f"-c listen_addresses= -c unix_socket_directories={work} -c port={self.places.port} -c fsync=off"
        options += f" -c shared_preload_libraries={self.preload}" if self.preload else ""
        control = [f"{new}/pg_ctl", "-D", data, "-w", "-l", f"{work}/trial.log", "-o", options]
        dump, to = f"{work}/schema.sql", f"--port={self.places.port}"
        # Tablespaces would be made in the directories of the real ones.
        what = ["--schema-only", "--no-tablespaces", "--no-subscriptions", "--no-role-passwords", f"--file={dump}"]
        user = "--username=postgres"
        self._as_postgres([f"{new}/pg_dumpall", *what, f"--host={self.places.socket_dir}", to, user])
        self._as_postgres([*control, "start"])
        try:
            load = [f"{new}/psql", "--no-psqlrc", "--quiet", f"--host={work}", to, user, "--dbname=postgres"]
            _code, _out, err = self._try([*load, f"--file={dump}"], env={"LC_ALL": "C"})
        finally:
            self._try([*control, "-m", "immediate", "stop"])
        return pure.schema_errors(err)

    def _unpacked(self, packages: Sequence[str], work: str) -> Upgrade:
        """This upgrade with the new release's programs from packages that are not installed."""
        if not packages:
            return self
        # With what they depend on, as far as this member lacks it.
        lacking = to_install(
            self._as_postgres(["apt-get", "--simulate", "--no-install-recommends", "install", *packages])
        )
        self._as_postgres(["apt-get", "--quiet", "download", *lacking], cwd=work)
        for file in sorted(Path(work).glob("*.deb")):
            self._as_postgres(["dpkg-deb", "-x", str(file), f"{work}/tree"])
        libraries = ":".join(map(str, sorted(Path(work, "tree", "usr", "lib").glob("*-linux-*"))))
        return replace(
            self, places=replace(self.places, new_bin=f"{work}/tree{self.places.new_bin}"), libraries=libraries
        )

    def _last_words(self, data: Path) -> list[str]:
        """What the newest logs of pg_upgrade complain of."""
        logs = sorted(data.glob("pg_upgrade_output.d/*/log/*.log"), key=lambda file: file.stat().st_mtime)
        found = [line for file in logs for line in pure.telling(file.read_text(encoding="utf-8", errors="replace"))]
        causes = [line for line in found if "ERROR" in line or "error:" in line] or found
        return [line.partition("; command:")[0] for line in dict.fromkeys(causes)][:3]

    def _databases(self) -> list[str]:
        rows = self._query("postgres", "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")
        return [row["datname"] for row in rows]

    def _query(self, database: str, question: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self._psql(database, pure.AS_JSON.replace("?", question)))
        return rows

    def _psql(self, database: str, *statements: str) -> str:
        argv = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", self.places.socket_dir]
        argv += ["-p", str(self.places.port), "-U", "postgres", "-d", database]
        argv += ["--single-transaction"] if len(statements) > 1 else []
        return self._as_postgres([*argv, *(word for text in statements for word in ("-c", text))], env=ALONE)

    def _try(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        more = {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}
        return self.run(["runuser", "-u", "postgres", "--", *argv], cwd=cwd or "/", env={**(env or {}), **more})

    def _as_postgres(self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> str:
        code, out, err = self._try(argv, cwd=cwd, env=env)
        if code != 0:
            told = err.strip() or out.strip() or f"exit code {code}"
            raise UpgradeError(f"{Path(argv[0]).name} failed: {'; '.join(pure.telling(told, 3)) or told}")
        return out

    @contextmanager
    def _workplace(self, parent: Path) -> Iterator[str]:
        """A directory of postgres, removed afterwards."""
        work = self._as_postgres(["mktemp", "--directory", f"{parent}/.rsp-major-XXXXXX"]).strip()
        try:
            yield work
        finally:
            self._try(["rm", "-rf", work])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
