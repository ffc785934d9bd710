# SPDX-License-Identifier: Apache-2.0
"""One run of a backup job on its host: ask the gates, back up, check what came of it, leave a record and metrics.

Role backup puts this file and what it imports on the host; systemd's timers and the job `backup` call it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup_job import consul, gate, postgresql
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.bucket import BucketStore
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.record import (
    EXIT,
    FAILED,
    POSTPONED,
    Copy,
    Record,
    publish,
    verdict,
)
from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import Lock
from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.lock_consul import ConsulLocks
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.services import open_driver
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError, ServiceState
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened

CONFIG_DIR = Path("/etc/rsp-backup")
KINDS = {"postgresql": ("auto", "full", "diff", "incr"), "consul": ("auto", "full")}
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that is outside: commands, time, the lock, the service. Tests hand in their own."""

    run: Run
    clock: Callable[[], float]
    lock: Callable[[Config], Lock | None]
    state: Callable[[Config], ServiceState]
    copies: Callable[[Config, str, str, Ports], tuple[Copy, ...]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: kind of the backup, who asks (timer, or a job's run), and the owner of a lock that is its own."""

    kind: str = "auto"
    by: str = "timer"
    owner: str = ""


def run(config: Config, asked: Asked, ports: Ports) -> Record:
    """One run. It raises nothing: whatever goes wrong is in the record."""
    started, kind = ports.clock(), asked.kind
    copies: tuple[Copy, ...] = ()
    try:
        gate_now = may_run(config, asked, ports)
        if gate_now.open:
            copies = ports.copies(config, kind, asked.by, ports)
        state, reason = verdict(copies) if gate_now.open else (POSTPONED, str(gate_now.reason))
    except (DriverError, OSError, ValueError, KeyError) as err:
        state, reason = FAILED, str(err) or type(err).__name__
    host = socket.gethostname()
    names = (config["service"], config["cluster"], host)
    return Record(*names, asked.by, kind, started, ports.clock(), state, reason, tuple(copies))


def may_run(config: Config, asked: Asked, ports: Ports) -> Verdict:
    """The lock's and the service's answer. A lock or a service that can't be asked closes the gate."""
    try:
        free = gate.nobody_works(ports.lock(config), asked.owner) if config.get("lock") else opened(lock="none is kept")
        if config["service"] != "postgresql":
            return free
        state = ports.state(config["gate"])
    except DriverError as err:
        return closed(f"can't be asked: {err}")
    return gate.both(free, gate.may_back_up(state, config["standby"], int(config["max_lag"])))


def copies_of(config: Config, kind: str, by: str, ports: Ports) -> tuple[Copy, ...]:
    """The backup itself."""
    if kind not in KINDS[config["service"]]:
        raise DriverError(f"{config['service']} has no backup of kind {kind}")
    if config["service"] == "postgresql":
        return postgresql.back_up(Pgbackrest(ports.run, config["stanza"]), config, kind, by, ports.clock)
    raw = consul.fetch(config["servers"], config["ca_path"], config["token"])
    snapshot = consul.take(raw, ports.run, config["consul"], config["pass_file"], ports.clock())
    made = [consul.keep_file(snapshot, Path(config["directory"]), config["retention"], ports.clock)]
    if config.get("s3"):
        store = BucketStore.connect(config["s3"])
        made.append(consul.keep_object(snapshot, store, config["retention"], ports.clock))
    return tuple(made)


def command(argv: Sequence[str]) -> tuple[int, str, str]:
    """Runs an argv list with a plain environment; 127 when there is no such program."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL
        )
    except OSError as err:
        return 127, "", f"{argv[0]}: {err.strerror}"
    return done.returncode, done.stdout, done.stderr


def held(config: Config) -> Lock | None:
    """Who holds the cluster. Raises DriverError when no server of the store answers."""
    said = []
    for url in config["lock"]["urls"]:
        connection = {"url": url, "ca_path": config["lock"]["ca_path"], "token": config["lock"]["token"]}
        try:
            seen = ConsulLocks.connect(connection).read(config["cluster"])
        except DriverError as err:
            said.append(str(err))
            continue
        return seen.held.lock if seen.held else None
    raise DriverError("; ".join(said) or "no server of the locks is known")


def seen(config: Config) -> ServiceState:
    """The service, from the first member that answers. Raises DriverError when none does."""
    said = []
    for url in config["urls"]:
        options = {"connection": {"url": url, "ca_path": config["ca_path"]}, "members": config["members"]}
        try:
            return open_driver("postgresql", {**options, "cluster": config["cluster"]}).state()
        except DriverError as err:
            said.append(str(err))
    raise DriverError("; ".join(said) or "no member is known")


REAL = Ports(command, time.time, held, seen, copies_of)


def perform(service: str, asked: Asked, config_dir: Path = CONFIG_DIR, ports: Ports = REAL) -> Record:
    """One run by the configuration on this host, and its record. Raises OSError, ValueError, TypeError without."""
    config = json.loads((config_dir / f"{service}.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise TypeError(f"{config_dir}/{service}.json holds no configuration")
    record = run(config, asked, ports)
    metrics = config.get("metrics_dir")
    publish(record, Path(config["state_dir"]), Path(metrics) if metrics else None)
    return record


def main(argv: Sequence[str] | None = None, config_dir: Path = CONFIG_DIR, ports: Ports = REAL) -> int:
    """The program `rsp-backup`: 0 done, 75 postponed, 1 failed."""
    parser = argparse.ArgumentParser(prog="rsp-backup", description="Back up one service of the platform.")
    parser.add_argument("service", choices=sorted(KINDS))
    parser.add_argument("--type", default="auto", help="auto, full, diff or incr")
    parser.add_argument("--by", default="timer", help="who asks, for the record")
    asked = parser.parse_args(argv)
    try:
        record = perform(asked.service, Asked(asked.type, asked.by), config_dir, ports)
    except (OSError, ValueError, TypeError) as err:
        sys.stderr.write(f"rsp-backup {asked.service}: {err}\n")
        return EXIT[FAILED]
    sys.stdout.write(f"{json.dumps(record.as_dict(), sort_keys=True)}\n")
    return EXIT[record.state]


if __name__ == "__main__":
    raise SystemExit(main())
