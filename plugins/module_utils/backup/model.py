# SPDX-License-Identifier: Apache-2.0
"""Words of the family: repositories, points, checks, findings, and the ladder from L0 to L7. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed, opened

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"


class BackupError(Exception):
    """Something could not be asked, read or done. `result` are keys for the module result; never green."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


class Level(IntEnum):
    """How much is proved."""

    EXISTS = 0
    CHAIN = 1
    BYTES = 2
    ESCROW = 3
    RESTORED = 4
    ENGINE = 5
    CONTENT = 6
    APPLICATION = 7


MEANING: Mapping[Level, str] = {
    Level.EXISTS: "it is there, young enough and of a usual size",
    Level.CHAIN: "catalogue and chain are whole, and it is this cluster's",
    Level.BYTES: "every byte matches the checksum that was taken with the backup",
    Level.ESCROW: "it decrypts with the escrowed key",
    Level.RESTORED: "it was restored in isolation and recovery ended at the asked point",
    Level.ENGINE: "the engine finds its pages and indexes whole",
    Level.CONTENT: "the canaries and the expected content are in it, and nothing else",
    Level.APPLICATION: "an application works on it within the promised time",
}

# Check → level, and what it asks. A fault of tamper.py names the one that must trip.
CHECKS: Mapping[str, tuple[Level, str]] = {
    "repository_answers": (Level.EXISTS, "the repository can be read and says that it is well"),
    "exists": (Level.EXISTS, "there is a point, and none was cut off while it was taken"),
    "fresh": (Level.EXISTS, "the newest point is younger than the policy allows"),
    "advancing": (Level.EXISTS, "what is archived moves on"),
    "size_usual": (Level.EXISTS, "its size is near the median of its kind"),
    "copies_agree": (Level.CHAIN, "both copies of catalogue and manifest are there, readable and equal"),
    "chain_complete": (Level.CHAIN, "every point that it builds upon is there"),
    "log_continuous": (Level.CHAIN, "the log has no hole from the point on, over all timelines"),
    "same_cluster": (Level.CHAIN, "it was taken from the cluster that is asked for"),
    "right_timeline": (Level.CHAIN, "the timeline descends from the one that the point was taken on"),
    "bytes_match": (Level.BYTES, "every file has its size and checksum"),
    "escrow_decrypts": (Level.ESCROW, "the key of the escrow opens it, the host's is not used"),
    "restored": (Level.RESTORED, "the engine started on the restored copy"),
    "target_reached": (Level.RESTORED, "recovery ended at the target, neither before nor behind it"),
    "isolated": (Level.RESTORED, "the copy had no way to production, and the repository is as it was"),
    "removed": (Level.RESTORED, "nothing of the copy is left"),
    "pages_whole": (Level.ENGINE, "every page has its checksum and every heap its structure"),
    "indexes_whole": (Level.ENGINE, "every index finds every row"),
    "collations_same": (Level.ENGINE, "text sorts as where the indexes were built"),
    "canaries_exact": (Level.CONTENT, "the last token before the target is there, the first one behind it is not"),
    "content_expected": (Level.CONTENT, "counts and sums are what they must be"),
    "destroyed_absent": (Level.CONTENT, "nobody whose data were destroyed is back"),
    "application_answers": (Level.APPLICATION, "the application's own question is answered"),
    "within_rto": (Level.APPLICATION, "it took no longer than the policy allows"),
    "enough_points": (Level.EXISTS, "as many points as the policy asks for"),
    "not_too_old": (Level.EXISTS, "no personal data are kept past their term"),
    "object_lock": (Level.EXISTS, "a delete is refused"),
    "copies_apart": (Level.EXISTS, "three copies, two media, one off site, one immutable, no error"),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One backup or snapshot.

    Attributes:
        started, stopped: seconds since the epoch.
        kind: full, diff, incr, snapshot.
        start, stop: where the log begins and ends that it needs (WAL segments, raft indexes), as text.
        needs: labels of the points that it builds upon.
        errors: what the tool itself found wrong while taking it.
        identity: whose it is (system identifier, datacentre); None when unknown.
    """

    label: str
    repository: str
    kind: str
    started: float
    stopped: float
    size: int
    start: str = ""
    stop: str = ""
    needs: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    identity: str | None = None
    timeline: int | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """Where points lie.

    Attributes:
        problem: why it can't be read; None when it can.
        cipher: none, or the name of the cipher.
        oldest, newest: first and last piece of the log.
    """

    name: str
    points: tuple[Point, ...] = ()
    problem: str | None = None
    cipher: str = "none"
    identities: tuple[str, ...] = ()
    oldest: str | None = None
    newest: str | None = None
    busy: bool = False

    @property
    def latest(self) -> Point | None:
        """The newest point."""
        return max(self.points, key=lambda point: point.stopped, default=None)

    def point(self, label: str) -> Point:
        """A point by its label, the newest for `latest`. Raises BackupError."""
        found = self.latest if label == "latest" else next((p for p in self.points if p.label == label), None)
        if found is None:
            known = ", ".join(p.label for p in self.points[-5:]) or "none"
            raise BackupError(f"repository {self.name} has no point {label} → it has {known}")
        return found


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. What could not be checked is unknown, and never counts as passed."""

    check: str
    outcome: str
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Only checks of the catalogue, only with a reason when not passed."""
        if self.check not in CHECKS or (self.outcome != PASSED and not self.reason):
            raise ValueError(f"{self.check} {self.outcome}: no such check, or no reason")

    @property
    def level(self) -> Level:
        """The rung that it belongs to."""
        return CHECKS[self.check][0]


def passed(check: str, **evidence: Any) -> Finding:
    """It holds."""
    return Finding(check, PASSED, "", evidence)


def failed(check: str, reason: str, **evidence: Any) -> Finding:
    """It does not hold."""
    return Finding(check, FAILED, reason, evidence)


def unknown(check: str, reason: str, **evidence: Any) -> Finding:
    """It could not be told."""
    return Finding(check, UNKNOWN, reason, evidence)


def found(check: str, reasons: Sequence[str], **evidence: Any) -> Finding:
    """Passed when there is no reason against it."""
    return failed(check, "; ".join(reasons), **evidence) if reasons else passed(check, **evidence)


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a point is proved.

    Attributes:
        asked: the level that was asked for.
        reached: the highest level whose checks and all below passed; None when not even L0.
        verdict: open when what was asked for was reached.
    """

    asked: Level
    reached: Level | None
    verdict: Verdict
    findings: tuple[Finding, ...]

    def as_result(self) -> dict[str, Any]:
        """Keys of a module result."""
        return {
            "asked": f"L{int(self.asked)}",
            "reached": None if self.reached is None else f"L{int(self.reached)}",
            "meaning": "nothing is proved" if self.reached is None else MEANING[self.reached],
            "proved": self.verdict.open,
            "reasons": list(self.verdict.reasons),
            "tripped": [f.check for f in self.findings if f.outcome == FAILED],
            "findings": [{**asdict(f), "level": f"L{int(f.level)}"} for f in self.findings],
        }


def judge(asked: Level, findings: Iterable[Finding], needed: Mapping[Level, Sequence[str]]) -> Proof:
    """The ladder, rung by rung: each needs all of its checks, each passed.

    Args:
        needed: checks that the service must have passed on each level. A level without any can't be reached: it is
            not there for this service, and an empty loop proves nothing.
    """
    seen = tuple(findings)
    by_name = {name: [f for f in seen if f.check == name] for name in CHECKS}
    reasons, reached = [], None
    for level in Level:
        if level > asked:
            break
        wrong = [f"L{int(level)} {f.check}: {f.reason}" for f in seen if f.level == level and f.outcome != PASSED]
        wrong += [f"L{int(level)} {name}: was not checked" for name in needed.get(level, ()) if not by_name[name]]
        if not needed.get(level):
            wrong.append(f"L{int(level)} has no check for this service")
        reasons += wrong
        if not reasons:
            reached = level
    verdict = closed(*reasons) if reasons else opened()
    return Proof(asked, reached, verdict, seen)


def level_from(text: str) -> Level:
    """`L3` as a level. Raises BackupError."""
    try:
        return Level(int(text.removeprefix("L")))
    except ValueError:
        raise BackupError(f"{text} is no level → L0 to L7") from None
