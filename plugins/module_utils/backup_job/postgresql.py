# SPDX-License-Identifier: Apache-2.0
"""One backup of PostgreSQL into each repository. The verdict is what pgBackRest lists afterwards, not its exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup_job.record import DONE, FAILED, Copy
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import Stanza, latest, next_kind, too_old
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

AUTO = "auto"


def back_up(
    tool: Pgbackrest, config: Mapping[str, Any], kind: str, by: str, clock: Callable[[], float]
) -> tuple[Copy, ...]:
    """One backup a repository; a repository that fails does not keep the others from theirs.

    Args:
        config: repositories (number, full, max_days), full_every_d, diff_every_d, standby.
        kind: full, diff, incr, or auto for what is due.
    """
    made = []
    for repository in config["repositories"]:
        started = clock()
        try:
            copy = _one(tool, {**config, "repositories": [repository]}, kind, by, clock)
        except DriverError as err:
            copy = Copy(str(repository["number"]), FAILED, reason=str(err))
        made.append(replace(copy, seconds=round(clock() - started, 3)))
    return tuple(made)


def due(stanza: Stanza, config: Mapping[str, Any], kind: str, now: float) -> dict[int, str]:
    """Repository → kind of the backup that it gets."""
    numbers: Sequence[int] = [int(each["number"]) for each in config["repositories"]]
    wanted = {n: next_kind(stanza.of(n), now, config["full_every_d"], config["diff_every_d"]) for n in numbers}
    return {n: found if kind == AUTO else kind for n, found in wanted.items()}


def _one(tool: Pgbackrest, config: Mapping[str, Any], kind: str, by: str, clock: Callable[[], float]) -> Copy:
    [repository] = config["repositories"]
    number = int(repository["number"])
    before = tool.info()
    known = {backup.label for backup in before.of(number)}
    tool.backup(number, due(before, config, kind, clock())[number], config["standby"], {"by": by})
    after = tool.info()
    made = latest(backup for backup in after.of(number) if backup.label not in known)
    if made is None:
        raise DriverError("pgbackrest ended well, and its repository has no new backup")
    if made.error:
        raise DriverError(f"{made.label}: page checksums failed while it was made: the database itself is damaged")
    removed, stuck = _expired(tool, after, repository, clock())
    detail = {"kind": made.kind, "needs": list(made.needs), "lsn_start": made.lsn_start, "lsn_stop": made.lsn_stop}
    return Copy(str(number), DONE, made.label, "", made.size, made.stored, 0.0, tuple(removed), tuple(stuck), detail)


def _expired(
    tool: Pgbackrest, stanza: Stanza, repository: Mapping[str, Any], now: float
) -> tuple[list[str], list[str]]:
    """Take away what is past its term, as long as enough stay."""
    number = int(repository["number"])
    going, stuck = too_old(stanza.of(number), now, float(repository["max_days"]), int(repository["full"]))
    for label in going:
        tool.expire(number, label)
    return going, stuck
