# SPDX-License-Identifier: Apache-2.0
"""Starts, watches, stops and reads back the ledger's writer on a client host."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import writer
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.script import source
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import process_state, save

HOME = Path("/var/lib/rsp/chaos-ledger")
TAIL_BYTES = 16384
AGREE_S = 20.0


@dataclass(frozen=True)
class Workload:
    """The ledger of one run.

    Attributes:
        run: its id, small letters and digits.
        home: directory of all ledgers.
        drivers: constructors of drivers by service.
    """

    run: str
    home: Path = HOME
    drivers: Mapping[str, Callable[..., Any]] | None = None

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.home / self.run

    def start(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Make its place in the service and start writing. The configuration holds a secret: it goes through a pipe."""
        if self.folder.exists():
            raise ChaosError(f"ledger {self.run} is there already: every run has its own")
        ways = writer.DRIVERS[config["driver"]].READS
        if other := sorted(set(config["reads"]) - set(ways)):
            raise ChaosError(f"{config['driver']} has no reads of kind {', '.join(other)} → use {', '.join(ways)}")
        if config["driver"] == "postgresql" and importlib.util.find_spec("psycopg2") is None:
            raise ChaosError("python3-psycopg2 is missing on the client host → run playbooks/site.yml")
        try:
            self._driver(config).prepare()
        except Exception as err:
            raise ChaosError(f"the ledger cannot be prepared: {writer.error_class(err)}") from err
        self.folder.mkdir(parents=True, mode=0o700)
        script = self.folder / "writer.py"
        save(script, source(writer), 0o700)
        with (self.folder / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, str(script), str(self.folder)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True, cwd="/",
            )  # fmt: skip
        if process.stdin:
            process.stdin.write(json.dumps({**config, "run": self.run}).encode())
            process.stdin.close()
        start = (Path("/proc") / str(process.pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        save(self.folder / "process.json", json.dumps({"pid": process.pid, "start": int(start)}))
        return self.status()

    def status(self) -> dict[str, Any]:
        """Whether it runs, its clock now, and when the newest write was acknowledged (monotonic; or None)."""
        acked = [end for file in self._ledgers() if (end := _last_ack(file)) is not None]
        return {"running": self._alive(), "now": time.monotonic(), "last_ack": max(acked, default=None)}

    def stop(self, wait_s: float = 30) -> None:
        """Tell the writers to end after their current write, and wait. Raises ChaosError when they don't."""
        (self.folder / writer.STOP).touch()
        end = time.monotonic() + wait_s
        while self._alive():
            if time.monotonic() >= end:
                os.kill(json.loads((self.folder / "process.json").read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
                raise ChaosError(f"the writer of {self.run} did not end in {wait_s:g} s and was killed")
            time.sleep(0.1)

    def read(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that was written down, and every token that is there: by the client path, and by each member.

        A member gets some seconds to agree with the client path; one that cannot be read has None and an error.
        """
        config = {**config, "run": self.run}
        client = _all(self.drivers_or_default[config["driver"]](config))
        members: dict[str, list[int] | None] = {}
        errors: dict[str, str] = {}
        for name, server in config["members"].items():
            members[name] = None
            end = time.monotonic() + AGREE_S
            while True:
                try:
                    members[name] = _all(self.drivers_or_default[config["driver"]](config, server))
                    errors.pop(name, None)
                except Exception as err:  # whatever a client library raises: it cannot be read
                    errors[name] = writer.error_class(err)
                if members[name] == client or time.monotonic() >= end:
                    break
                time.sleep(0.5)
        return {
            "operations": [line for file in self._ledgers() for line in _lines(file)],
            "reads": list(_lines(self.folder / "reads.jsonl")),
            "client": client, "members": members, "errors": errors,
        }  # fmt: skip

    def clean(self, config: Mapping[str, Any]) -> bool:
        """Take the run's data out of the service, and its files away; whether there were any."""
        if not self.folder.exists():
            return False
        self._driver(config).clean()
        shutil.rmtree(self.folder)
        return True

    @property
    def drivers_or_default(self) -> Mapping[str, Callable[..., Any]]:
        """The drivers."""
        return self.drivers or writer.DRIVERS

    def _driver(self, config: Mapping[str, Any]) -> Any:
        return self.drivers_or_default[config["driver"]]({**config, "run": self.run})

    def _ledgers(self) -> list[Path]:
        return sorted(self.folder.glob("ledger-*.jsonl"))

    def _alive(self) -> bool:
        try:
            known = json.loads((self.folder / "process.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        return process_state(known["pid"], known["start"]) not in ("", "Z")


def end_all(home: Path = HOME, check: bool = False) -> list[dict[str, Any]]:
    """End every writer that a dead run left on this host, and take its files away; one result for each, as of a fault.

    Its rows or keys stay in the service, because its secret was never on the disk: the next run takes them away.
    """
    found = []
    for folder in sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []:
        wrong: list[str] = []
        if not check:
            try:
                Workload(folder.name, home).stop()
                shutil.rmtree(folder)
            except (ChaosError, OSError, ValueError, KeyError) as err:
                wrong = [f"{type(err).__name__}: {err}"]
        said = {"changed": True, "undone": not wrong, "wrong": wrong, "by": "recover"}
        found.append({"fault": f"ledger {folder.name}", **said})
    return found


def _all(driver: Any) -> list[int]:
    driver.connect()
    try:
        return list(driver.all())
    finally:
        driver.close()


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """Whole lines; the last one is cut when the writer was killed, its token's outcome is unknown then."""
    if path.exists():
        for line in path.read_text(encoding="ascii").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def _last_ack(path: Path) -> float | None:
    """When the newest write of a ledger was acknowledged; None: none was. Read from its end, as far back as needed:
    a writer that fails at once fills a ledger in a minute of outage.
    """
    with path.open("rb") as file:
        left, rest = path.stat().st_size, b""
        while left > 0:
            size = min(TAIL_BYTES, left)
            left -= size
            file.seek(left)
            lines = (file.read(size) + rest).splitlines(keepends=True)
            # The first line may begin before this block; the last one may still be written.
            rest = lines.pop(0) if left else b""
            for line in reversed([json.loads(line) for line in lines if line.endswith(b"\n")]):
                if line["o"] == "ok":
                    return float(line["e"])
    return None
