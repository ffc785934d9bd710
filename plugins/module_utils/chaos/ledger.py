# SPDX-License-Identifier: Apache-2.0
"""What became of every write: pure arithmetic over what a client was told and what is there afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

SPAN = 10**9  # tokens of one writer, as in writer.py
EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Operation:
    """One write: its token, begun and ended in seconds of the client's monotonic clock, its outcome and error class."""

    token: int
    start: float
    end: float
    outcome: str
    error: str = ""

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Operation:
        """A line of writer.py's ledger."""
        return cls(line["t"], line["s"], line["e"], line["o"], line.get("c", ""))

    @property
    def acked(self) -> bool:
        """Whether the client was told that it is written."""
        return self.outcome == "ok"


@dataclass(frozen=True, slots=True)
class Findings:
    """Tokens by what became of them, sorted.

    Attributes:
        lost: acknowledged, and not there.
        resurrected: refused, and there.
        recovered: nobody could say, and there. No fault.
        duplicated: there more than once.
        stale: a read that began after the acknowledgement did not see it.
        reordered: acknowledged, and taken behind a later one of the same writer. A write whose outcome nobody could
            say is concurrent with all that follows: a server that froze may still take it when it thaws.
        diverged: member → tokens that it alone has, or lacks, against the client path.
        foreign: there, and never written by anybody of this run.
        unread: members whose data nobody could read; unknown is never green.
        reads: how it was read → answered, failed, and stale of the answered.
    """

    lost: tuple[int, ...] = ()
    resurrected: tuple[int, ...] = ()
    recovered: tuple[int, ...] = ()
    duplicated: tuple[int, ...] = ()
    stale: tuple[int, ...] = ()
    reordered: tuple[int, ...] = ()
    diverged: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    foreign: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()
    reads: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How many of each; divergence is counted by members."""
        return {name: len(value) for name, value in self._sets().items()}

    def as_dict(self) -> dict[str, Any]:
        """Counts, and the first tokens of each."""
        shown = {n: (list(v)[:EXAMPLES] if not isinstance(v, dict) else {m: list(t)[:EXAMPLES] for m, t in v.items()})
                 for n, v in self._sets().items()}  # fmt: skip
        return {"counts": self.counts(), "tokens": shown, "reads": self.reads}

    def _sets(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "reads"}


def classify(
    operations: Iterable[Operation],
    client: Sequence[int],
    members: Mapping[str, Sequence[int] | None],
    reads: Iterable[Mapping[str, Any]] = (),
) -> Findings:
    """Compare what was told with what is there.

    Args:
        operations: every write of the run.
        client: tokens by the client path, in the service's order; duplicates twice.
        members: the same of each member; None when it could not be read.
        reads: reads of acknowledged tokens (t, how, seen); seen is None for one that failed.
    """
    reads = list(reads)
    by_outcome: dict[str, set[int]] = {"ok": set(), "fail": set(), "unknown": set()}
    for operation in operations:
        by_outcome[operation.outcome].add(operation.token)
    there = set(client)
    newest: dict[int, int] = {}
    for token in set().union(*by_outcome.values()):
        newest[token // SPAN] = max(token, newest.get(token // SPAN, 0))
    # A writer that died was in the middle of the token after its last line: nobody can say, so it is no stranger.
    in_flight = {last + 1 for last in newest.values()}
    diverged = {name: tuple(sorted(there ^ set(t))) for name, t in members.items() if t is not None and there ^ set(t)}
    return Findings(
        lost=tuple(sorted(by_outcome["ok"] - there)),
        resurrected=tuple(sorted(by_outcome["fail"] & there)),
        recovered=tuple(sorted((by_outcome["unknown"] | in_flight) & there)),
        duplicated=tuple(sorted(token for token, times in Counter(client).items() if times > 1)),
        stale=tuple(sorted({read["t"] for read in reads if read.get("seen") is False})),
        reordered=tuple(_reordered([token for token in client if token in by_outcome["ok"]])),
        diverged=diverged,
        foreign=tuple(sorted(there - set().union(*by_outcome.values()) - in_flight)),
        unread=tuple(sorted(name for name, tokens in members.items() if tokens is None)),
        reads=_by_way(reads),
    )


def _by_way(reads: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Of each way of reading how many were answered, failed, and did not show what was acknowledged before."""
    found: dict[str, dict[str, int]] = {}
    for read in reads:
        way = found.setdefault(read["how"], {"answered": 0, "failed": 0, "stale": 0})
        way["failed" if read.get("seen") is None else "answered"] += 1
        way["stale"] += read.get("seen") is False
    return found


def _reordered(client: Sequence[int]) -> list[int]:
    """Of acknowledged tokens those behind a later one of the same writer, which wrote one after the other."""
    chains: dict[int, list[int]] = {}
    for token in client:
        chains.setdefault(token // SPAN, []).append(token)
    return sorted({later for chain in chains.values() for earlier, later in pairwise(chain) if later < earlier})


def expected_loss(service: str, *, synchronous: bool, config: Mapping[str, float], rate: float) -> tuple[int, str]:
    """The most acknowledged writes that may be lost by the service's own promise, and why.

    Args:
        synchronous: whether an acknowledgement waits for a second member, from live state.
        config: of an asynchronous Patroni: ttl_s, maximum_lag_bytes, and row_bytes that one write takes in the log.
        rate: writes a second.
    """
    if service != "postgresql":
        return 0, f"{service} acknowledges a write when a majority has it"
    if synchronous:
        return 0, "synchronous_mode is on: a write is acknowledged when a standby has it"
    by_lag = int(config["maximum_lag_bytes"] / config["row_bytes"])
    by_ttl = int(rate * config["ttl_s"])
    why = f"asynchronous: {by_lag} writes fit into maximum_lag_on_failover, {by_ttl} are written within the ttl"
    return by_lag + by_ttl, why
