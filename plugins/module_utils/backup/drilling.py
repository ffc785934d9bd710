# SPDX-License-Identifier: Apache-2.0
"""From the options of restore_drill to a drill: everything is refused before the first byte of a copy is written."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import canary, drill, opening, record, recovery
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Driver, Scratch
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import ConsulSnapshots
from ansible_collections.rsp.platform.plugins.module_utils.backup.coverage import choose
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Level,
    Point,
    Proof,
    level_from,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.pgbackrest_config import for_drill
from ansible_collections.rsp.platform.plugins.module_utils.backup.plant import PLANTS
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import PgBackRest
from ansible_collections.rsp.platform.plugins.module_utils.backup.recovery import Target
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Execute, Sandbox
from ansible_collections.rsp.platform.plugins.module_utils.backup.scratch_consul import ConsulScratch
from ansible_collections.rsp.platform.plugins.module_utils.backup.scratch_postgresql import PostgresqlScratch
from ansible_collections.rsp.platform.plugins.module_utils.lease_apply import Leases

TTL_S = (60, 86400)
LOG_SEGMENTS = 64  # WAL that is fetched besides the point when its size is not known yet
SEGMENT = 16 * 1024 * 1024


class Wanted:
    """The options, judged. Raises BackupError with everything that is wrong at once."""

    def __init__(self, params: Mapping[str, Any], driver: Driver, now: float) -> None:
        self.params, self.driver, self.now = params, driver, now
        self.level = level_from(params["level"])
        self.expected = opening.expected_from(params, now)
        self.key = (params["evidence_key"] or "").encode()
        self.canary = self._canary()
        self.target = self._target()
        self.bodies = record.proofs(Path(params["evidence"]), self.key) if params["evidence"] else []
        self.repository = opening.repository_of(driver, params["repository"])
        self.point = self._point()
        if wrong := self._refusals():
            raise BackupError("; ".join(wrong), refused=wrong)

    def plan(self) -> drill.Plan:
        """Space and time."""
        base = Path(self.params["directory"])
        while not base.exists():
            base = base.parent
        stat = os.statvfs(base)
        log = LOG_SEGMENTS * SEGMENT if self.params["service"] == "postgresql" else 0
        return drill.plan(
            self.point, self.repository, free_bytes=stat.f_bavail * stat.f_frsize, lease_s=self.params["lease_s"],
            log_bytes=log, rate=record.last_rate(self.bodies),
        )  # fmt: skip

    def proved_already(self) -> bool:
        """Whether this point was proved on this level within fresh_s; then there is nothing to do."""
        within = self.params["fresh_s"]
        return bool(within) and any(
            body["label"] == self.point.label
            and body["repository"] == self.repository.name
            and body.get("proved")
            and not body.get("plant")
            and body["level"] is not None
            and body["level"] >= self.level
            and self.now - float(body["ended_at"]) <= within
            for body in self.bodies
        )

    def questions(self) -> dict[str, Any]:
        """What the copy is asked."""
        return {"canary": self.canary, **{k: self.params[k] for k in ("content", "application", "destroyed")}}

    def _point(self) -> Point:
        if self.params["point"] != "sample":
            return self.repository.point(self.params["point"])
        points = [p for p in self.repository.points if self._usable(p)]
        return choose(points, record.proved(self.bodies), self.params["seed"], len(self.bodies))

    def _usable(self, point: Point) -> bool:
        """A point whose backup had ended before the target."""
        return self.target.kind != "time" or point.stopped <= recovery.moment(self.target.value)

    def _target(self) -> Target:
        given = self.params["target"] or {"kind": "latest", "value": None}
        if given["kind"] != "canary":
            return Target(given["kind"], given["value"] or "")
        if self.canary is None or self.canary["k"] is None:
            raise BackupError("target canary needs canary.k: the last token that must be there")
        ledger = {t.seq: t for t in self.canary["ledger"]}
        k = self.canary["k"]
        if k not in ledger or k + 1 not in ledger:
            raise BackupError(f"tokens {k} and {k + 1} are not both in the client's ledger")
        at = (ledger[k].at + ledger[k + 1].at) / 2
        return Target("time", recovery.iso(at, "microseconds"))

    def _canary(self) -> dict[str, Any] | None:
        given = self.params["canary"]
        if not given:
            return None
        try:
            ledger = canary.read_ledger(Path(given["ledger"])) if given["ledger"] else []
            wrong = canary.problems(ledger, given["key"].encode(), given["store"])
        except canary.CanaryError as err:
            raise BackupError(str(err)) from err
        if wrong:
            raise BackupError(f"the client's ledger does not hold: {wrong[0]}")
        return {**given, "key": given["key"].encode(), "ledger": ledger, "disaster_at": self.now,
                "rpo_s": self.expected.policy.rpo_s}  # fmt: skip

    def _refusals(self) -> list[str]:
        params, wrong = self.params, []
        if not TTL_S[0] <= params["lease_s"] <= TTL_S[1]:
            wrong.append(f"lease_s = {params['lease_s']}: must be within {TTL_S[0]} and {TTL_S[1]}")
        if self.level < Level.RESTORED:
            wrong.append(f"level = {params['level']}: a drill restores, which is L4 or more → backup_verify reads")
        if params["plant"] and (params["service"] != "postgresql" or params["plant"] not in PLANTS):
            wrong.append(f"plant = {params['plant']}: one of {', '.join(PLANTS)}, in PostgreSQL only")
        if params["service"] == "consul" and self.target.kind != "latest":
            wrong.append("target: a snapshot of Consul has one end only")
        if self.repository.problem:
            wrong.append(f"{self.repository.name} can't be read: {self.repository.problem}")
        first = min((p.stopped for p in self.repository.points), default=None)
        if reason := recovery.in_reach(self.target, first, self.now):
            wrong.append(reason)
        elif not self._usable(self.point):
            wrong.append(f"{self.point.label} ended at {recovery.iso(self.point.stopped)}, behind the target")
        if self.level >= Level.ESCROW and not self.expected.escrow.get(self.repository.name):
            wrong.append(f"escrow has no key of {self.repository.name}: the key of this host proves nothing")
        if self.level >= Level.CONTENT and self.canary is None:
            wrong.append("canary is missing: without tokens nobody knows how far the copy goes")
        return wrong


def scratch_of(wanted: Wanted, sandbox: Sandbox) -> Scratch:
    """What restores a point of this service."""
    key, driver = wanted.expected.escrow.get(wanted.repository.name), wanted.driver
    if isinstance(driver, PgBackRest):
        text = Path(driver.config).read_text(encoding="utf-8")
        settings, secrets = for_drill(text, wanted.repository.name, driver.stanza, str(sandbox.root / "data"))
        return PostgresqlScratch(
            sandbox, driver, wanted.repository, wanted.point, wanted.target, wanted.params["binaries"],
            wanted.expected.identity, key, settings, secrets, wanted.params["plant"], wanted.questions(),
        )  # fmt: skip
    if isinstance(driver, ConsulSnapshots):
        binary = wanted.params["binaries"]
        return ConsulScratch(sandbox, driver, wanted.repository, wanted.point, binary, wanted.expected.identity, key)
    raise BackupError(f"nothing restores {wanted.params['service']}")


def run_drill(wanted: Wanted, execute: Execute) -> tuple[Proof, dict[str, Any]]:
    """The drill, and the body of its evidence."""
    params = wanted.params
    sandbox = Sandbox(params["name"], execute, params["engine_user"], params["lease_s"], Path(params["directory"]))
    leases = Leases(lambda argv: execute(argv, ""))
    read = wanted.driver.verify(wanted.repository, wanted.point, min(wanted.level, Level.ESCROW), wanted.expected)
    whole = drill.Drill(
        sandbox, leases, wanted.driver, scratch_of(wanted, sandbox), wanted.repository, wanted.expected, wanted.level,
        wanted.questions(), params["recover_s"], read, params["real_size"],
    )  # fmt: skip
    began = time.time()
    proof, measured = whole.run()
    return proof, body(wanted, proof, measured, began)


def body(wanted: Wanted, proof: Proof, measured: Mapping[str, Any], began: float) -> dict[str, Any]:
    """What the evidence keeps: never a key, never content."""
    canaries = next((f for f in proof.findings if f.check == "canaries_exact"), None)
    point, repository = wanted.point, wanted.repository
    rpo = canaries.evidence.get("rpo_s") if canaries else None
    return {
        "service": wanted.params["service"], "repository": repository.name, "label": point.label,
        "needs": list(point.needs), "identity": wanted.expected.identity, "target": asdict(wanted.target),
        "asked": int(wanted.level), "level": None if proof.reached is None else int(proof.reached),
        "proved": proof.verdict.open, "reasons": list(proof.verdict.reasons), "plant": wanted.params["plant"],
        "findings": proof.as_result()["findings"], "stages": dict(measured), "rto_s": measured["rto_s"], "rpo_s": rpo,
        "host": socket.gethostname(), "began_at": began, "ended_at": time.time(),
    }  # fmt: skip
