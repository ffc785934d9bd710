"""The whole lab is destroyed but for the repository of one zone: both stores come back, and the ledgers say how much.

It is a file of its own, to be run after the others, because what it leaves is another lab.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time

from consul_ledger import ConsulWriter
from lab import ROOT, run, secret, wait_until
from ledger import Writer, prepare, present

TABLE = "recovery_ledger"
ESCROW = ("secrets.yml", "secrets.key")
PLATFORM = "rsp-local"
# Longer than a segment of WAL waits before it is archived (postgresql_archive_timeout_s)
AFTER_S = 75


def make(*words):
    done = subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def written(lab, conninfo, job):
    """Backups of both services under clients; the clients' ledgers, and when the backups began."""
    prepare(conninfo, TABLE)
    consul = lab.services["consul"]
    rows = Writer(conninfo, TABLE, 0.05)
    keys = ConsulWriter(consul["rw"], secret(consul["password"]["secret"]), lab.ca, 0.02)
    for each in (rows, keys):
        each.start()
    try:
        wait_until("both write", lambda: min(len(rows.ledger.acked), len(keys.ledger.acked)) > 100, 60)
        begun = time.monotonic()
        for service in ("postgresql", "consul"):
            code, output = job("backup", "-e", f"service={service}")
            assert code == 0, output[-3000:]
        time.sleep(AFTER_S)
    finally:
        for each in (rows, keys):
            each.stop()
            each.join(30)
    assert rows.ledger.errors == keys.ledger.errors == []
    return rows.ledger, keys, begun


def test_a_platform_that_is_lost_comes_back_from_one_repository(lab, conninfo, job, tmp_path):
    wait_until("the cluster is whole", lab.whole)
    rows, keys, begun = written(lab, conninfo, job)
    for name in ESCROW:
        shutil.copy(ROOT / ".lab" / name, tmp_path)

    make("down", "KEEP=repositories")
    lost = time.monotonic()
    assert run("docker", "ps", "--all", "--quiet", "--filter", f"label=rsp.lab={lab.id}") == ""
    assert [path.name for path in (ROOT / ".lab").iterdir()] == ["s3"]

    for name in ESCROW:
        shutil.copy(tmp_path / name, ROOT / ".lab" / name)
    make("up", "TO=mirror")
    fresh = time.monotonic()
    code, output = job("disaster_recovery", "-e", "repository=2", "--check")
    assert code == 0, output[-4000:]
    code, output = job("disaster_recovery", "-e", "repository=2", "-e", f"confirm={PLATFORM}")
    assert code == 0, output[-6000:]
    back = time.monotonic()
    make("up", "FROM=endpoints")
    again = lab.load()

    wait_until("the cluster is whole", again.whole)
    there = present(again.conninfo(), TABLE)
    kept = {token: moment for token, moment in rows.acked.items() if token in there}
    keys_there = set(keys.present().values())
    keys_kept = {token: moment for token, moment in keys.ledger.acked.items() if token in keys_there}
    print(json.dumps({
        "fresh_hosts_s": round(fresh - lost), "recovery_s": round(back - fresh),
        "rows_acknowledged": len(rows.acked), "rows_back": len(kept),
        "rows_rpo_s": round(max(rows.acked.values()) - max(kept.values()), 1),
        "keys_rpo_s": round(max(keys.ledger.acked.values()) - max(keys_kept.values()), 1),
    }))  # fmt: skip
    assert {token for token, moment in rows.acked.items() if moment < begun} <= there
    assert keys.lost(until=begun) == set()
    # The log goes on after the backup, the snapshot does not
    assert max(kept.values()) > max(keys_kept.values())
    assert there <= set(rows.acked), "rows that were never acknowledged"
    assert sorted(there) == list(range(1, max(there) + 1)), "a hole in what came back"
    assert again.consul_put("a1", "rsp/smoke/recovered", "yes")
