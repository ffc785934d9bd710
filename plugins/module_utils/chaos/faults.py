# SPDX-License-Identifier: Apache-2.0
"""Arms, fires, renews, proves and undoes faults of one host; finds what others left behind.

The order is the promise: plan and fingerprint are on the disk and the watchdog ticks before anything is injected.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import effects, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS, UNAVAILABLE
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    UnavailableError,
    parameter_faults,
    with_defaults,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.script import lay_down
from ansible_collections.rsp.platform.plugins.module_utils.chaos.watchdog import Watchdog

HOME = Path("var/lib/rsp/chaos")
STOP = Path("etc/rsp/chaos.stop")
UNDO_S, NAT = 60.0, "nat"
FAULT = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")  # with CHAOS- before it, a chain's name has 28 letters at most
CHAIN = re.compile(rf"^-N ({steps.PREFIX}\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """A fault that is asked for.

    Attributes:
        fault: its id, unique on the host.
        kind: name of the kind.
        params: as given; the kind's defaults are added.
        ttl_s: seconds after which the host undoes by itself.
    """

    fault: str
    kind: str
    params: Mapping[str, Any]
    ttl_s: int
    reason: str = ""


@dataclass(frozen=True)
class Faults:
    """The faults of one host."""

    look: Look
    watchdog: Watchdog
    do: Mapping[str, Callable[[Mapping[str, Any]], object]]
    switch: Callable[[], str | None] = lambda: None  # why Consul's key forbids faults

    @property
    def home(self) -> Path:
        """Directory of all faults."""
        return self.look.root / HOME

    def plan(self, request: Request) -> FaultPlan:
        """What would be done here. Raises ChaosError when it is refused, UnavailableError when this host can't."""
        if not FAULT.fullmatch(request.fault):
            raise ChaosError(f"fault {request.fault!r} is no id: small letters, digits and -, 20 at most")
        if request.kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            if request.kind in UNAVAILABLE:
                raise UnavailableError(f"{request.kind} is not available: {UNAVAILABLE[request.kind]}")
            raise ChaosError(f"there is no fault {request.kind}; there are {known}")
        kind = KINDS[request.kind]
        wrong = parameter_faults(kind, request.kind, request.params)
        if wrong:
            raise ChaosError("; ".join(f"{fault.path}: {fault.rule} → {fault.fix}" for fault in wrong))
        self._honour_stop()
        return kind.plan(with_defaults(kind, request.params), self.look, request.fault)

    def inject(self, request: Request, check: bool = False) -> tuple[bool, dict[str, Any]]:
        """Arm, then fire: whether something changed, and the record.

        Raises:
            ChaosError: refused, not armed, or a step failed; then what was done is undone before this returns.
        """
        present = self.read(request.fault)
        if present is not None:
            self._must_be_same(present, request)
            return False, present
        plan = self.plan(request)
        asked = {"kind": request.kind, "params": dict(request.params), "ttl_s": request.ttl_s, "reason": request.reason}
        record = {"fault": request.fault, **asked, **plan.as_dict()}
        if check:
            return True, record
        record["before"] = steps.fingerprint(plan.fingerprint)
        folder = self._write(request.fault, record)
        try:
            self.watchdog.arm(request.fault, folder, request.ttl_s, request.reason or request.kind)
        except ChaosError:
            shutil.rmtree(folder)
            raise
        try:
            for step in plan.inject:
                self.do[step["do"]](step)
        except (steps.StepError, OSError, ValueError) as err:
            undone = self.undo(request.fault)
            raise ChaosError(f"{request.kind} could not be injected and was undone: {err}", **undone) from err
        return True, record

    def renew(self, fault: str) -> dict[str, Any]:
        """Start the lease's time anew. Raises ChaosError when the fault is over or shall stop."""
        self._honour_stop()
        record = self.read(fault)
        if record is None or "undone" in record:
            raise ChaosError(f"fault {fault} is over: it was undone without us")
        self.watchdog.renew(fault, self.home / fault, record["ttl_s"])
        return record

    def prove(self, fault: str) -> tuple[bool, list[str]]:
        """Whether the fault takes effect now, and how that was seen. A fault that is gone is not proved."""
        record = self.read(fault)
        if record is None:
            return False, [f"fault {fault} is not here"]
        before = [{**item, "value": value} for item, value in zip(record["fingerprint"], record["before"], strict=True)]
        return effects.prove(record["effect"], before)

    def undo(self, fault: str, check: bool = False, wait_s: float = UNDO_S) -> dict[str, Any]:
        """Take it back, prove it, forget it: `changed`, `undone`, `wrong`, `by`. A failed undo does not raise."""
        record = self.read(fault)
        if record is None or check:
            return {"changed": record is not None, "undone": True, "wrong": [], "by": "nobody"}
        folder, by = self.home / fault, "lease" if "undone" in record else "controller"
        failure: list[str] = []
        try:
            self.watchdog.fire(fault, folder, wait_s)
        except ChaosError as err:
            failure = [str(err)]
        seen = (self.read(fault) or {}).get("undone") or {"wrong": ["the undo left no record"]}
        wrong = [*failure, *seen["wrong"]]
        if not wrong:
            shutil.rmtree(folder)
        return {"changed": True, "undone": not wrong, "wrong": wrong, "by": by}

    def read(self, fault: str) -> dict[str, Any] | None:
        """The record of a fault; `undone` in it when it was taken back. Raises ChaosError when it cannot be read."""
        folder = self.home / fault
        try:
            record: dict[str, Any] = json.loads((folder / steps.PLAN).read_text(encoding="utf-8"))
            with suppress(FileNotFoundError):
                record["undone"] = json.loads((folder / steps.UNDONE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as err:
            raise ChaosError(f"fault {fault} cannot be read: {err}") from err
        return record

    def all(self) -> list[dict[str, Any]]:
        """Every fault of this host, with whether its watchdog ticks."""
        records = [(folder, self.read(folder.name)) for folder in self._folders()]
        return [{**record, "armed": self.watchdog.armed(f.name, f)} for f, record in records if record is not None]

    def recover(self, check: bool = False) -> list[dict[str, Any]]:
        """Undo everything that is left of any run, known to somebody or not; one result for each thing found.

        A record that cannot be read keeps nobody from undoing the others; it is said, and its folder stays.
        """
        found: list[dict[str, Any]] = []
        for folder in self._folders():
            try:
                if self.read(folder.name) is not None:
                    found.append({"fault": folder.name, **self.undo(folder.name, check)})
            except ChaosError as err:
                said = {"changed": False, "undone": False, "wrong": [str(err)], "by": "nobody"}
                found.append({"fault": folder.name, **said})
        for chain, tables in sorted(self._chains().items()):
            wrong = [] if check else self._without(chain, tables)
            found.append({"fault": chain, "changed": True, "undone": not wrong, "wrong": wrong, "by": "recover"})
        return found

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.home.iterdir() if path.is_dir()) if self.home.is_dir() else []

    def _chains(self) -> dict[str, list[str]]:
        """Chains of ours whose record is gone."""
        found: dict[str, list[str]] = {}
        for table in steps.TABLES:
            if self.look.has(table):
                _code, out, _err = self.look.run([table, "-w", "5", "-S"])
                for chain in CHAIN.findall(out):
                    found.setdefault(chain, []).append(table)
        if self.look.has(steps.TABLES[0]):
            _code, out, _err = self.look.run([steps.TABLES[0], "-w", "5", "-t", NAT, "-S"])
            for chain in CHAIN.findall(out):
                found.setdefault(chain, []).append(NAT)
        return {c: tables for c, tables in found.items() if not (self.home / c.removeprefix(steps.PREFIX)).is_dir()}

    def _without(self, chain: str, tables: list[str]) -> list[str]:
        try:
            self.do["no_chain"]({"chain": chain, "tables": [table for table in tables if table != NAT]})
            if NAT in tables:
                self.do["no_redirect"]({"chain": chain})
        except (steps.StepError, OSError) as err:
            return [str(err)]
        return []

    def _must_be_same(self, present: Mapping[str, Any], request: Request) -> None:
        same = present["kind"] == request.kind and present["params"] == dict(request.params)
        if not same or "undone" in present:
            state = "was undone already" if "undone" in present else f"is a {present['kind']} here"
            raise ChaosError(f"fault {request.fault} {state} → take another id, or undo it first")
        self.watchdog.renew(request.fault, self.home / request.fault, present["ttl_s"])

    def forbidden(self) -> str | None:
        """Why no fault is allowed here now; None: it is."""
        if (self.look.root / STOP).exists():
            return f"/{STOP} forbids every fault on this host → remove it when chaos is allowed again"
        why = self.switch()
        return f"no fault is allowed on this host: {why}" if why else None

    def _honour_stop(self) -> None:
        if why := self.forbidden():
            raise ChaosError(why)

    def _write(self, fault: str, record: Mapping[str, Any]) -> Path:
        folder = self.home / fault
        folder.mkdir(parents=True, mode=0o700)
        lay_down(folder)
        steps.save(folder / steps.PLAN, json.dumps(record, sort_keys=True))
        return folder
