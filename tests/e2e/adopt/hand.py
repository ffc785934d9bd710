"""A Patroni cluster that was made by hand, in a lab of its own: what tests/e2e/test_adopt.py takes over."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent.parent
INVENTORY = Path(__file__).resolve().parent / "inventory"
STATE = (ROOT / ".lab" / "e2e" / "adopt").resolve()
WRITTEN = INVENTORY / "group_vars" / "all" / "written.yml"
SCRIPT = Path(__file__).resolve().parent / "by_hand.sh"
MEMBERS = ("a1", "b1", "c1")
WAIT_S = 240


@dataclass(frozen=True)
class Ran:
    """A playbook's end: exit code, output, and the tasks that changed something."""

    code: int
    output: str
    changes: list[dict[str, Any]]

    def messages(self) -> list[Any]:
        """What debug tasks said, as data."""
        found, decoder = [], json.JSONDecoder()
        for part in self.output.split("=> {")[1:]:
            try:
                found.append(decoder.raw_decode("{" + part)[0].get("msg"))
            except ValueError:
                continue
        return found

    def plan(self) -> dict[str, Any]:
        """The plan of a take-over that was printed."""
        return next(said for said in self.messages() if isinstance(said, dict) and "1_cluster" in said)


def play(name: str, *arguments: str) -> Ran:
    """Run a playbook of the collection on the scenario's inventory."""
    changes = STATE / "changes.json"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "rsp.platform.changes",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "RSP_CHANGES_FILE": str(changes),
    }
    argv = [".venv/bin/ansible-playbook", "-i", str(INVENTORY), f"playbooks/{name}.yml", *arguments]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    seen = Path(f"{changes}{'.check' if '--check' in arguments else ''}")
    rows = json.loads(seen.read_text()) if seen.exists() else []
    seen.unlink(missing_ok=True)
    return Ran(done.returncode, done.stdout + done.stderr, rows)


def good(ran: Ran) -> Ran:
    """The run itself; an error with its end when it failed."""
    assert ran.code == 0, ran.output[-6000:]
    return ran


def container(host: str) -> str:
    """Name of a host's container."""
    return f"rsp-{hashlib.sha256(str(STATE).encode()).hexdigest()[:6]}-{host}"


def on(host: str, *argv: str, stdin: str | None = None) -> str:
    """Output of a command on a host."""
    done = subprocess.run(
        ["docker", "exec", "-i", container(host), *argv], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{host}: {' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


def by_hand(host: str, *words: str) -> str:
    """A part of by_hand.sh on a host."""
    return on(host, "sh", "-s", "--", *words, stdin=SCRIPT.read_text())


def secret(name: str) -> str:
    """A secret of the scenario's store."""
    message = json.dumps({"msg": f"{{{{ lookup('rsp.platform.secret', '{name}') }}}}"})
    argv = [".venv/bin/ansible", "ops", "-i", str(INVENTORY), "-o", "-m", "ansible.builtin.debug", "-a", message]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout.split("=>", 1)[1])["msg"])


def sql(host: str, text: str, database: str = "postgres") -> str:
    """Answer of a member's own PostgreSQL."""
    return on(host, "runuser", "-u", "postgres", "--", "psql", "-XAtc", text, "-d", database)


def make() -> None:
    """A fresh lab with etcd by the collection, and on it a Patroni cluster by hand, led by b1."""
    WRITTEN.unlink(missing_ok=True)
    good(play("lab_down"))
    STATE.mkdir(parents=True, exist_ok=True)
    good(play("lab"))
    good(play("site", "--tags", "etcd"))
    installing = [subprocess.Popen(
        ["docker", "exec", "-i", container(host), "sh", "-s", "--", "packages"],
        stdin=SCRIPT.open(), stdout=subprocess.DEVNULL,
    ) for host in MEMBERS]  # fmt: skip
    assert [process.wait() for process in installing] == [0, 0, 0]
    prefix = (STATE / "prefix").read_text().strip()
    addresses = {name: f"{prefix}.{zone}.11" for zone, name in enumerate(MEMBERS)}
    urls = ",".join(f"{address}:2379" for address in addresses.values())
    by_hand("a1", "store", secret("etcd/root"))
    for host in ("b1", "a1", "c1"):
        by_hand(host, "start", host, addresses[host], urls)
        wait(host)
    by_hand("b1", "fill")
    until("two standbys stream", lambda: sql("b1", "SELECT count(*) FROM pg_stat_replication") == "2")


def until(what: str, question: Any, timeout_s: float = WAIT_S) -> None:
    """Wait until `question` is true."""
    end = time.monotonic() + timeout_s
    while not question():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(1)


def wait(host: str) -> None:
    """Wait until a member's PostgreSQL answers."""

    def answers() -> bool:
        try:
            return sql(host, "SELECT 1") == "1"
        except AssertionError:
            return False

    until(f"PostgreSQL of {host} answers", answers)


def processes() -> dict[str, tuple[str, str]]:
    """By member: when its postmaster started, and the process of its Patroni with the moment at which it started."""
    return {
        host: (
            sql(host, "SELECT pg_postmaster_start_time()"),
            on(host, "systemctl", "show", "--property", "MainPID,ExecMainStartTimestamp,NRestarts", "patroni.service"),
        )
        for host in MEMBERS
    }


def digests() -> set[str]:
    """Of the application's rows, on every member; one when all are equal."""
    question = "SELECT count(*), md5(string_agg(n || what, ',' ORDER BY n)) FROM orders"
    return {sql(host, question, "shop") for host in MEMBERS}


class Writer(threading.Thread):
    """The application: a new connection by password and network for each row, from c1 to b1, which leads."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        super().__init__(daemon=True)
        self.acknowledged: set[int] = set()
        self.failures: list[str] = []
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until it is stopped."""
        address = f"{(STATE / 'prefix').read_text().strip()}.1.11"
        n = 0
        while not self._stopping.wait(0.2):
            n += 1
            try:
                insert = f"INSERT INTO ledger VALUES ({n})"
                on("c1", "env", "PGPASSWORD=by-hand-app", "PGCONNECT_TIMEOUT=5",
                   "psql", "-XAtqc", insert, "-h", address, "-U", "app", "-d", "shop")  # fmt: skip
                self.acknowledged.add(n)
            except AssertionError as err:
                self.failures.append(str(err))

    def stop(self) -> None:
        """Let the last row end."""
        self._stopping.set()
        self.join(30)

    def missing(self) -> set[int]:
        """Acknowledged rows that are not there."""
        return self.acknowledged - {int(row) for row in sql("b1", "SELECT n FROM ledger", "shop").split()}
