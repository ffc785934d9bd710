"""What backups of a large PostgreSQL cost and give, on the running lab: ratios within one run, on one disk.

    python tests/bench/backup_cost.py --mib 5120

Fills a database with text that compresses by half, writes 200 rows a second through the endpoint before and during a
full backup of both repositories (p99 of both), then restores it in a drill (fetch against a plain copy of the data
directory, both in MiB of the database a second) and verifies it at L2 (against reading the same files). The database is
dropped afterwards; the backups stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time

import psycopg
import yaml
from lab import Lab, run, wait_until
from ledger import prepare
from rolling import job

DATABASE, TABLE = "bench_backup", "backup_cost"
PERIOD_S = 1 / 200
# 30 hashes are 960 bytes: below what PostgreSQL would compress itself
FILL = (
    "INSERT INTO filler SELECT (SELECT string_agg(md5(random()::text || g || s), '') FROM generate_series(1, 30) s) "
    "FROM generate_series(1, {rows}) g"
)
ROWS_A_MIB = 1000


class Paced(threading.Thread):
    """Inserts a row every 5 ms and keeps how long each took, counted from when it was due: waiting is not left out."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(daemon=True)
        self.conninfo, self.took, self.done = conninfo, [], threading.Event()

    def run(self) -> None:
        """Until done is set; an error ends it and is seen by the caller as a thread that has ended."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            due, token = time.monotonic(), 0
            while not self.done.is_set():
                token += 1
                connection.execute(f"INSERT INTO {TABLE} (token) VALUES (%s)", (token,))
                self.took.append(time.monotonic() - due)
                due = max(due + PERIOD_S, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))


def p99_ms(seconds: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return round(statistics.quantiles(seconds, n=100)[98] * 1000, 2)


def fill(lab: Lab, mib: int) -> int:
    """Make the database; its MiB."""
    lab.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    lab.sql(f"CREATE DATABASE {DATABASE}")
    lab.sql("CREATE TABLE filler (text text)", DATABASE)
    for _ in range(max(1, mib // 256)):
        lab.sql(FILL.format(rows=min(mib, 256) * ROWS_A_MIB), DATABASE)
    lab.sql("VACUUM (FREEZE, ANALYZE) filler", DATABASE)  # else autovacuum does it beside the writer
    lab.sql("CHECKPOINT")
    wait_until("standbys have it", lab.whole, 600)
    return int(lab.sql(f"SELECT pg_database_size('{DATABASE}') / 1048576"))


def timed(lab: Lab, host: str, *argv: str) -> float:
    """Seconds of a command in a container, with the page cache of before dropped."""
    run("sh", "-c", "sync; echo 1 > /proc/sys/vm/drop_caches")
    begun = time.monotonic()
    lab.on(host, *argv)
    return time.monotonic() - begun


def slowed(lab: Lab) -> dict[str, float]:
    """p99 of a client alone, and of the same client while a full backup is made."""
    conninfo = lab.conninfo()
    prepare(conninfo, TABLE)
    writer = Paced(conninfo)
    writer.start()
    time.sleep(5)
    writer.took.clear()
    time.sleep(60)
    alone, begun = list(writer.took), time.monotonic()
    writer.took.clear()
    code, output = job("backup", "postgresql", "-e", "type=full", timeout_s=3600)
    took, during = time.monotonic() - begun, list(writer.took)
    if code or not writer.is_alive():
        raise RuntimeError(output[-3000:])
    writer.done.set()
    writer.join(10)
    return {"backup_s": round(took, 1), "p99_alone_ms": p99_ms(alone), "p99_during_ms": p99_ms(during),
            "p50_alone_ms": round(statistics.median(alone) * 1000, 2),
            "p50_during_ms": round(statistics.median(during) * 1000, 2),
            "writes_s_alone": round(len(alone) / 60), "writes_s_during": round(len(during) / took)}  # fmt: skip


def copied(lab: Lab) -> dict[str, float]:
    """MiB/s of a plain copy of the data directory to the same disk, written out to it."""
    host = next(name for name in lab.services["postgresql"]["members"] if name != lab.primary())
    data = "/var/lib/postgresql/17/rsp/base"
    mib = int(lab.on(host, "du", "-sm", data).split()[0])
    try:
        took = timed(lab, host, "sh", "-c", f"cp -r {data} /var/lib/postgresql/copied && sync -f /var/lib/postgresql")
    finally:
        lab.on(host, "rm", "-rf", "/var/lib/postgresql/copied")
    return {"copy_mib": mib, "copy_mib_s": round(mib / took, 1)}


def drilled(level: str) -> dict[str, object]:
    """Seconds of a drill's stages, and what its fetch brought a second."""
    code, output = job("restore_drill", "postgresql", "-e", f"level={level}", "-e", "copy_s=3600", timeout_s=3600)
    if code:
        raise RuntimeError(output[-3000:])
    said = output[output.rindex("    msg:") : output.rindex("PLAY RECAP")]
    stages = yaml.safe_load(said)["msg"]["stages"]
    return {"drill_s": stages["stages_s"], "drill_fetch_mib_s": stages["mib_per_s"]["fetch"]}


def main() -> int:
    """Run all of it and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=5120)
    given = parser.parse_args()
    lab = Lab.load()
    figures: dict[str, object] = {"database_mib": fill(lab, given.mib)}
    try:
        for part in (lambda: slowed(lab), lambda: copied(lab), lambda: drilled("L4")):
            figures |= part()
            print(json.dumps(figures), flush=True)
        size = int(lab.on("ops", "du", "-sm", "/srv/pgbackrest").split()[0])
        read = timed(lab, "ops", "sh", "-c", "find /srv/pgbackrest -type f -exec cat {} + > /dev/null")
        verify = timed(lab, "ops", "runuser", "-u", "postgres", "--", "pgbackrest",
                       "--stanza=rsp-local-postgresql", "--repo=1", "verify")  # fmt: skip
        figures |= {"repository_mib": size, "read_mib_s": round(size / read, 1)}
        print(json.dumps({**figures, "verify_mib_s": round(size / verify, 1)}))
    finally:
        lab.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
