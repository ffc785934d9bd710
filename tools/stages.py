"""Stages of `make up`: run one after the other, each with its log, its time and its CPU seconds on record."""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from progress import Condenser

HEARTBEAT_S = 30.0


@dataclass(frozen=True)
class Stage:
    """One step of `make up`.

    Attributes:
        name: how it is called in the record and on the command line.
        about: what it does, shown while it runs.
        argv: the command; it must be safe to repeat.
    """

    name: str
    about: str
    argv: tuple[str, ...]

    @property
    def playbook(self) -> bool:
        """Whether Ansible runs, whose output can be condensed."""
        return Path(self.argv[0]).name == "ansible-playbook"


@dataclass(frozen=True)
class Record:
    """How a stage went the last time.

    Attributes:
        state: running, done, failed or interrupted. `running` of an earlier run means that it was cut off.
        started: ISO 8601, UTC.
        seconds: wall time.
        cpu_s: CPU time of the controller's processes.
        changed: how many tasks changed something, summed over hosts.
    """

    state: str
    started: str
    seconds: float = 0.0
    cpu_s: float = 0.0
    changed: int = 0


class Journal:
    """The records of all stages in a file that is complete at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Record]:
        """Records by stage; a file that is missing or torn has none."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: Record(**record) for name, record in content.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    def write(self, name: str, record: Record) -> None:
        """Keep the record of a stage."""
        content = {stage: asdict(kept) for stage, kept in (self.read() | {name: record}).items()}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        new.replace(self.path)


def run_stage(stage: Stage, journal: Journal, logs: Path, environment: Mapping[str, str], lock: int) -> bool:
    """Run a stage, show its progress, keep its whole output in `logs`; whether it succeeded.

    A playbook inherits the descriptor `lock`, so that it is held while a playbook outlives a killed parent. The
    bootstrap does not: it starts a daemon.

    Raises:
        KeyboardInterrupt: it was interrupted; the record says so.
    """
    started, clock, cpu = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic(), _children_cpu_s()
    condenser = Condenser()

    def record(state: str) -> Record:
        took, used = time.monotonic() - clock, _children_cpu_s() - cpu
        return Record(state, started, round(took, 1), round(used, 1), condenser.changed)

    journal.write(stage.name, record("running"))
    state = "interrupted"
    try:
        with (logs / f"{stage.name}.log").open("w", encoding="utf-8") as log:
            process = _start(stage, environment, (lock,) if stage.playbook else ())
            code = _stream(process, stage, condenser, log)
        state = "done" if code == 0 else "failed"
    finally:
        journal.write(stage.name, record(state))
    return state == "done"


def _start(stage: Stage, environment: Mapping[str, str], keep_open: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        stage.argv,
        env=environment,
        pass_fds=keep_open,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _stream(process: subprocess.Popen[bytes], stage: Stage, condenser: Condenser, log: IO[str]) -> int:
    """Show what the condenser makes of the command's lines, and a sign of life when it is silent for long."""
    begun = time.monotonic()
    with process, _ended_with_us(process):
        for line in _lines(process.stdout):
            if line is None:
                _show(f"  {time.monotonic() - begun:5.0f} s  still at it: {condenser.current or stage.about}")
                continue
            log.write(f"{line}\n")
            for shown in condenser.feed(line) if stage.playbook else [f"  {line}"]:
                _show(shown)
        for shown in condenser.flush():
            _show(shown)
        return process.wait()


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """An interruption ends the command too; its own cleaning up is waited for."""
    try:
        yield
    except KeyboardInterrupt:
        process.terminate()
        process.communicate()
        raise


def _lines(stream: IO[bytes] | None) -> Iterator[str | None]:
    """Lines of a pipe; None whenever it was silent for HEARTBEAT_S."""
    if stream is None:
        return
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(HEARTBEAT_S):
                yield None
                continue
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                break
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _show(line: str) -> None:
    """Print at once, so that progress is seen through pipes too."""
    print(line, flush=True)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
