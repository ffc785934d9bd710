# SPDX-License-Identifier: Apache-2.0
"""What became of a backup: a record for people and programs, and metrics. Written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
DONE, POSTPONED, FAILED = "done", "postponed", "failed"
# EX_TEMPFAIL: systemd tries again later, and a failed one is told from a postponed one
EXIT = {DONE: 0, POSTPONED: 75, FAILED: 1}
HISTORY_LINES = 1000


@dataclass(frozen=True, slots=True)
class Copy:
    """What one repository got.

    Attributes:
        repository: number of a repository of pgBackRest, files, or s3.
        label: name of the backup there.
        size: bytes of the data; stored: bytes that it added there, None when nobody says.
        removed: labels that went because of their age.
        kept_too_long: labels that are past their term and could not go.
    """

    repository: str
    state: str
    label: str = ""
    reason: str = ""
    size: int | None = None
    stored: int | None = None
    seconds: float = 0.0
    removed: tuple[str, ...] = ()
    kept_too_long: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One run of a backup job. Times are seconds since the epoch."""

    service: str
    cluster: str
    host: str
    by: str
    kind: str
    started: float
    ended: float
    state: str
    reason: str = ""
    copies: tuple[Copy, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As it is kept."""
        return {"schema": SCHEMA, **asdict(self), "seconds": round(self.ended - self.started, 3)}


def verdict(copies: Sequence[Copy]) -> tuple[str, str]:
    """State and reason over all repositories: done when there is one, all are, and nothing outstays its term."""
    if not copies:
        return FAILED, "no repository was asked"
    bad = [f"repository {copy.repository}: {copy.reason or copy.state}" for copy in copies if copy.state != DONE]
    bad += [
        f"repository {copy.repository}: {label} is past its term and must stay, as too few are left"
        for copy in copies
        for label in copy.kept_too_long
    ]
    return (FAILED, "; ".join(bad)) if bad else (DONE, "")


def publish(record: Record, state_dir: Path, metrics_dir: Path | None) -> None:
    """Keep the record: last.json, done.json when it is done, a line of the history, and the metrics."""
    directory = state_dir / record.service
    text = json.dumps(record.as_dict(), sort_keys=True)
    write(directory / "last.json", f"{text}\n")
    if record.state == DONE:
        write(directory / "done.json", f"{text}\n")
    history = directory / "history.jsonl"
    old = history.read_text(encoding="utf-8").splitlines() if history.exists() else []
    write(history, "\n".join([*old[1 - HISTORY_LINES :], text]) + "\n")
    if metrics_dir is not None and metrics_dir.is_dir():
        write(metrics_dir / f"rsp_backup_{record.service}.prom", metrics(record, last_done(directory)))


def last_done(directory: Path) -> dict[str, float]:
    """Repository → when the last copy there was made, over the whole history."""
    found: dict[str, float] = {}
    history = directory / "history.jsonl"
    for line in history.read_text(encoding="utf-8").splitlines() if history.exists() else ():
        entry = json.loads(line)
        for copy in entry["copies"]:
            if copy["state"] == DONE:
                found[copy["repository"]] = max(entry["ended"], found.get(copy["repository"], 0))
    return found


def metrics(record: Record, done: Mapping[str, float]) -> str:
    """The record as Prometheus reads it."""
    return "\n".join(_metrics(record, done)) + "\n"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once: who reads it sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _metrics(record: Record, done: Mapping[str, float]) -> Iterator[str]:
    service = f'service="{record.service}",cluster="{record.cluster}"'
    yield "# HELP rsp_backup_last_run_state What became of the last run: 1 for the one state that it has."
    yield "# TYPE rsp_backup_last_run_state gauge"
    for state in EXIT:
        yield f'rsp_backup_last_run_state{{{service},state="{state}"}} {int(state == record.state)}'
    yield "# TYPE rsp_backup_last_run_timestamp_seconds gauge"
    yield f"rsp_backup_last_run_timestamp_seconds{{{service}}} {record.ended:.3f}"
    yield "# HELP rsp_backup_last_done_timestamp_seconds When a repository got its last complete backup."
    yield "# TYPE rsp_backup_last_done_timestamp_seconds gauge"
    for repository, at in sorted(done.items()):
        yield f'rsp_backup_last_done_timestamp_seconds{{{service},repository="{repository}"}} {at:.3f}'
    yield "# TYPE rsp_backup_size_bytes gauge"
    for copy in record.copies:
        if copy.size is not None:
            yield f'rsp_backup_size_bytes{{{service},repository="{copy.repository}"}} {copy.size}'
    yield "# HELP rsp_backup_past_term Backups that are kept longer than personal data may be."
    yield "# TYPE rsp_backup_past_term gauge"
    for copy in record.copies:
        yield f'rsp_backup_past_term{{{service},repository="{copy.repository}"}} {len(copy.kept_too_long)}'
