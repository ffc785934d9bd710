# SPDX-License-Identifier: Apache-2.0
"""One drill: a lease, a restore into isolation, questions, removal and the proof of it. The same for every service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import policy
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Driver, Expected, Scratch
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    Point,
    Proof,
    Repository,
    failed,
    found,
    judge,
    passed,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Sandbox
from ansible_collections.rsp.platform.plugins.module_utils.backup.stages import MIB, Stages, extrapolated
from ansible_collections.rsp.platform.plugins.module_utils.lease import LeaseError
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases

HEADROOM = 1.3  # the copy, its log, and what recovery writes
SLOWEST_MIB_S = 20.0  # assumed until a drill has measured it
OVERHEAD_S = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What a drill would take: check mode says it, and a real run begins with it."""

    label: str
    need_bytes: int
    free_bytes: int
    estimate_s: float
    lease_s: int
    busy: bool

    def refusals(self) -> list[str]:
        """Why the drill must not start."""
        wrong = []
        if self.need_bytes > self.free_bytes:
            need, free = self.need_bytes // MIB, self.free_bytes // MIB
            wrong.append(f"{need} MiB are needed, {free} MiB are free → choose another directory or a smaller point")
        if self.estimate_s > self.lease_s:
            wrong.append(f"it may take {self.estimate_s:.0f} s, its lease is {self.lease_s} s → a longer lease_s")
        if self.busy:
            wrong.append("a backup runs now → wait until it has ended")
        return wrong

    def check(self) -> None:
        """Raises BackupError with everything that stands against it."""
        if wrong := self.refusals():
            raise BackupError("; ".join(wrong), refused=wrong)


def plan(
    point: Point, repository: Repository, *, free_bytes: int, lease_s: int, log_bytes: int, rate: float | None
) -> Plan:
    """Space and time of a drill. `rate`: MiB/s of the last one, None when none was measured."""
    size = point.size + log_bytes
    seconds = OVERHEAD_S + size / MIB / (rate or SLOWEST_MIB_S)
    return Plan(point.label, int(size * HEADROOM), free_bytes, round(seconds, 1), lease_s, repository.busy)


@dataclass
class Drill:
    """Everything that a drill works with.

    Attributes:
        read: findings of L0 to L3 of the same point, made before.
        real_size: bytes that production has, for the extrapolation.
    """

    sandbox: Sandbox
    leases: Leases
    driver: Driver
    scratch: Scratch
    repository: Repository
    expected: Expected
    level: Level
    questions: Mapping[str, Any]
    recover_s: float
    read: list[Finding] = field(default_factory=list)
    real_size: int = 0
    stages: Stages = field(default_factory=Stages)
    progress: Callable[[str], None] = lambda _name: None

    def run(self) -> tuple[Proof, dict[str, Any]]:
        """The whole drill; the copy is gone when this returns, or a finding says what is left.

        Raises:
            BackupError: a drill of this name is there. Nothing of it is touched, nor is its lease renewed.
        """
        ticking = self.leases.find(self.sandbox.lease().name)
        there = [f"its lease is {ticking.state}"] if ticking else self.sandbox.left()
        if there:
            raise BackupError(f"another drill {self.sandbox.name} runs: {', '.join(there)} → wait until it has ended")
        before = self.driver.inventory(self.repository.name)
        self.leases.arm(self.sandbox.lease())  # before the first byte of a copy is on the disk
        findings = list(self.read)
        try:
            findings += self._try(before)
        except BackupError as err:
            findings.append(failed("restored", str(err)))
        finally:
            with self.stages.stage("remove"):
                removed = self._remove()
        findings.append(removed)
        size = self.stages.moved.get("fetch", 0)
        rto = self.stages.until("content" if "content" in self.stages.took else "recover")
        outlook = extrapolated(rto, size, self.real_size or size)
        if any(f.check == "restored" and f.outcome == "passed" for f in findings):
            findings.append(policy.within_rto(rto, self.expected.policy, outlook["factor"] or 1.0))
        proof = judge(self.level, findings, self.scratch.needed)
        return proof, {**self.stages.as_result(), "rto_s": round(rto, 3), "outlook": outlook}

    def _try(self, before: Mapping[str, Any]) -> list[Finding]:
        scratch, timed = self.scratch, self.stages.stage
        self.sandbox.make(*scratch.directories)
        with timed("fetch"):
            self.stages.moved["fetch"] = scratch.fetch()
        with timed("start"):
            scratch.start()
        with timed("recover"):
            findings = scratch.recover(self.recover_s)
        network = self.sandbox.isolated("engine")
        if not any(f.check == "restored" and f.outcome == "passed" for f in findings):
            return [*findings, self._isolated(network, before)]
        scratch.damage()
        if self.level >= Level.CONTENT:
            with timed("content"):
                findings += scratch.content(self.questions)
        if self.level >= Level.ENGINE:
            with timed("engine"):
                findings += scratch.engine()
        return [*findings, self._isolated(network, before)]

    def _isolated(self, network: Finding, before: Mapping[str, Any]) -> Finding:
        """The engine had no network, and nothing came into the repository that production does not explain."""
        if network.outcome != "passed":
            return network
        try:
            pushed = self.driver.pushed(before, self.driver.inventory(self.repository.name))
        except BackupError as err:
            return unknown("isolated", f"the repository can't be looked at afterwards: {err}")
        return found(
            "isolated", [f"the repository changed meanwhile: {each}" for each in pushed[:5]], **network.evidence
        )

    def _remove(self) -> Finding:
        """Stop, delete and look; the lease goes last, so that it finishes what we could not."""
        with contextlib.suppress(BackupError):
            self.scratch.stop()
        try:
            self.leases.fire(self.sandbox.lease().name, wait_s=60)
        except LeaseError as err:
            return failed("removed", f"the copy is still there, its lease goes on trying: {err}")
        left = self.sandbox.left()
        return (
            failed("removed", f"still there: {', '.join(left)}")
            if left
            else passed("removed", directory=str(self.sandbox.root))
        )
