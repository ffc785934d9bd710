# SPDX-License-Identifier: Apache-2.0
"""One run of an experiment, from the first look to the verdict. It acts through `Hosts` and a clock only.

Whatever happens between the first injection and the end, every fault that was armed is undone before this returns; and
when this never returns, the targets' own watchdogs do it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import abort, guard
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import Experiment
from ansible_collections.rsp.platform.plugins.module_utils.chaos.measures import clock_offset
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.seen import Clock, Seen
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import (
    HostError,
    Hosts,
    Planned,
    Setting,
    plan,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import state_from
from ansible_collections.rsp.platform.plugins.module_utils.evidence import Chain
from ansible_collections.rsp.platform.plugins.module_utils.gates import settled
from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState

INTERVAL_S, AFTER_S, UNDO_TRIES = 1.0, 3.0, 5
# A unit that waits for its peers is not up before they are: nobody is waited for long before everybody was asked.
UNDO_FIRST_S, UNDO_LATER_S = 10, 60
LONGEST_EXTRA_S = 300


class Runner:
    """Runs one experiment once."""

    def __init__(
        self, experiment: Experiment, setting: Setting, *, hosts: Hosts, clock: Clock, run: str, chain: Chain
    ) -> None:
        """Nothing is contacted yet."""
        self.experiment, self.setting, self.run_id, self.chain = experiment, setting, run, chain
        self.seen = Seen()
        self._hosts, self._clock = hosts, clock
        self._conditions = abort.with_switch(experiment.abort, setting.switch)
        self._counter = abort.Counter(self._conditions)
        self._renewed: dict[str, float] = {}
        self._dark: set[str] = set()
        self._switch = {"switch": dict(setting.switch)} if setting.switch else {}  # its token is in no record

    def prepare(self, now: Any) -> tuple[list[Planned], dict[str, dict[str, Any]]]:
        """Look, choose, ask every guard and every host. Nothing is changed anywhere.

        Returns:
            the faults, and the plan of each as its host made it.

        Raises:
            ChaosError: refused; `reasons` in its result has every one.
        """
        state = self.observe(())
        self.seen.state = state
        planned = plan(self.experiment, self.setting, state, self.run_id)
        targets = sorted({each.target for each in planned})
        verdicts = [
            guard.steady(state, self.setting.members, self.setting.max_lag),
            guard.policy(self.experiment, targets, self.setting.policy, now),
        ]
        if verdicts[0].open:  # one that is not steady fails the quorum guard too, with the same words
            verdicts.append(guard.quorum(
                state, targets, expected=self.setting.members, max_lag=self.setting.max_lag,
                others=self.setting.others, allowed=self.experiment.allow_quorum_loss,
            ))  # fmt: skip
        reasons = [reason for verdict in verdicts for reason in verdict.reasons]
        plans: dict[str, dict[str, Any]] = {}
        for each in planned if not reasons else ():
            try:
                asked = {**each.arguments, **self._switch, "state": "planned"}
                answer = self._hosts.call(each.host, "chaos_fault", asked)
                plans[each.fault] = answer["plan"]
            except HostError as err:
                reasons.append(f"{each.host}: {err}")
        if reasons:
            raise ChaosError(
                f"{self.experiment.name}: refused, nothing was armed: {'; '.join(reasons)}", reasons=reasons
            )
        self._record("plan", {"targets": targets, "faults": [dict(each.arguments) for each in planned], "plans": plans})
        self._record("state", state.as_dict())
        return planned, plans

    def run(self, planned: list[Planned]) -> Seen:
        """Write, break, mend, read back. Never raises for what a host did: it is in what was seen."""
        try:
            if self._load():
                self._inject_and_hold(planned)
        finally:
            self._undo_all()
        self._recover()
        self._read_back()
        return self.seen

    def observe(self, avoid: tuple[str, ...]) -> ServiceState:
        """The service as the first member sees it that answers, those to avoid last. Raises ChaosError."""
        names = [name for name in self.setting.members if name not in avoid]
        names += [name for name in self.setting.members if name in avoid]
        errors = []
        for name in names:
            info = {**self.setting.info, "connection": dict(self.setting.info["connection"])}
            info["connection"]["url"] = info["connection"]["url"].replace("{address}", self.setting.address(name))
            try:
                return state_from(self._hosts.call(name, "service_info", info)["state"])
            except HostError as err:
                errors.append(f"{name}: {err}")
        raise ChaosError(f"no member of {self.experiment.service} could be asked: {'; '.join(errors)}")

    def _load(self) -> bool:
        """Start the ledger and let it write for a while; whether it does."""
        experiment = self.experiment
        load = {key: experiment.load[key] for key in ("writers", "rate", "timeout_s", "reads")}
        seconds = experiment.before_s + experiment.hold_s + experiment.recover_s + LONGEST_EXTRA_S
        asked = self._clock.now()
        try:
            answer = self._workload("started", **load, seconds=seconds)
            self.seen.offset, self.seen.offset_error = clock_offset(asked, self._clock.now(), answer["now"])
            self._event("writers start")
            self._clock.sleep(experiment.before_s)
            asked = self._clock.now()
            answer = self._workload("status")
            offset = clock_offset(asked, self._clock.now(), answer["now"])
            self.seen.offset, self.seen.offset_error = min(
                (self.seen.offset, self.seen.offset_error), offset, key=lambda o: o[1]
            )
        except HostError as err:
            self.seen.unseen.append(f"the ledger could not be started: {err}")
            return False
        if answer["last_ack"] is None:
            self.seen.unseen.append("no write was acknowledged before the fault: nothing was injected")
            return False
        return True

    def _inject_and_hold(self, planned: list[Planned]) -> None:
        start = self._clock.now()
        waiting = list(planned)
        while self.seen.aborted is None and (self._clock.now() < start + self.experiment.hold_s or waiting):
            while waiting and self._clock.now() >= start + waiting[0].at_s and self.seen.aborted is None:
                self._inject(waiting.pop(0))
            self._renew()
            self._watch()
            self._clock.sleep(INTERVAL_S)
        for each in self.seen.active:
            if each.fault not in self._dark:
                self._prove(each)

    def _inject(self, each: Planned) -> None:
        if self.seen.injected_at is None:
            self.seen.injected_at = self._clock.now()
        self._darken(each)
        self.seen.active.append(each)  # before the call: what was cut off in the middle is undone too
        self.seen.fired[each.fault] = each
        try:
            self._hosts.call(each.host, "chaos_fault", {**each.arguments, **self._switch, "state": "injected"})
            self._renewed[each.fault] = self._clock.now()
            self._event(f"{each.arguments['kind']} {each.target}")
            self._record("injected", dict(each.arguments))
        except HostError as err:
            self.seen.aborted = f"{each.fault} on {each.host} could not be injected: {err}"

    def _darken(self, each: Planned) -> None:
        """A host that dies or freezes can't be asked any more: what is done to it is proved before, not later."""
        if each.host != each.target:
            for other in self.seen.active:
                if other.host == each.target:
                    self._prove(other)
                    self._dark.add(other.fault)

    def _renew(self) -> None:
        """Each lease at a third of its time, so that two renewals may fail."""
        for each in self.seen.active:
            if each.fault in self._dark:
                continue  # its host undoes it by itself when it is back
            if self._clock.now() - self._renewed.get(each.fault, 0.0) < each.lease_s / 3:
                continue
            try:
                asked = {"fault": each.fault, **self._switch, "state": "renewed"}
                self._hosts.call(each.host, "chaos_fault", asked)
                self._renewed[each.fault] = self._clock.now()
            except HostError as err:
                self.seen.aborted = (
                    self.seen.aborted or f"the lease of {each.fault} on {each.host} was not renewed: {err}"
                )

    def _watch(self) -> None:
        if self.seen.aborted is None and self._conditions:
            self.seen.aborted = self._counter.take([self._asked(condition) for condition in self._conditions])
            if self.seen.aborted:
                self._event("abort")

    def _asked(self, condition: abort.Condition) -> bool | None:
        options = condition.options
        try:
            if condition.kind == "switch":
                return bool(self._hosts.call(self.setting.client, "chaos_info", self._switch)["stopped"])
            if condition.kind == "voters":
                state = self.observe(tuple(each.target for each in self.seen.active))
                return abort.compare(sum(m.healthy is True for m in state.voters), options["when"], options["value"])
            if condition.kind == "no_writes_s":
                status = self._workload("status")
                return status["last_ack"] is None or status["now"] - status["last_ack"] > options["above"]
            arguments = {"kind": condition.kind, "options": dict(options), "database": self._database()}
            answer: bool | None = self._hosts.call(self.setting.client, "chaos_probe", arguments)["holds"]
        except (HostError, ChaosError):
            return None
        return answer

    def _prove(self, each: Planned) -> None:
        try:
            answer = self._hosts.call(each.host, "chaos_fault", {"fault": each.fault, "state": "proved"})
            self.seen.effective[each.fault] = bool(answer["effective"])
            self._record("effect", {"fault": each.fault, "effective": answer["effective"], "seen": answer["seen"]})
        except HostError as err:
            self.seen.effective[each.fault] = False
            self._record("effect", {"fault": each.fault, "effective": None, "seen": [str(err)]})

    def _undo_all(self) -> None:
        """The last fault first, in rounds: what is not undone yet is asked again after all the others.

        A host that can't be asked may just be booting, and a server that finds no peer starts when the next one does.
        """
        left = [*reversed(self.seen.active)]
        for each in left:
            self.seen.effective.setdefault(each.fault, False)
        for turn in range(UNDO_TRIES):
            if turn and left:
                self._clock.sleep(INTERVAL_S * turn)
            left = [each for each in left if not self._undone(each, UNDO_LATER_S if turn else UNDO_FIRST_S)]
        self.seen.active.clear()
        self.seen.undone_at = self._clock.now()

    def _undone(self, each: Planned, wait_s: int) -> bool:
        """Undo one fault; whether its host is as it was."""
        try:
            asked = {"fault": each.fault, "state": "undone", "wait_s": wait_s}
            answer = self._hosts.call(each.host, "chaos_fault", asked)
            wrong = [] if answer["undone"] else list(answer["wrong"])
        except HostError as err:
            wrong = [f"{err} → its watchdog undoes it; look with playbooks/chaos_recover.yml"]
        self.seen.undone[f"{each.fault} on {each.host}"] = wrong
        self._record("undone", {"fault": each.fault, "host": each.host, "wrong": wrong})
        if not wrong:
            self._event(f"undo {each.target}")
        return not wrong

    def _recover(self) -> None:
        """Wait until the service is whole and writes are acknowledged again."""
        if self.seen.injected_at is None:
            return
        end, acked = self._clock.now() + self.experiment.recover_s, False
        while self._clock.now() < end and not (acked and self.seen.whole_at):
            try:
                if (
                    self.seen.whole_at is None
                    and settled(self.observe(()), self.setting.members, self.setting.max_lag).open
                ):
                    self.seen.whole_at = self._clock.now()
                    self._event("whole again")
                status = self._workload("status")
                acked = status["last_ack"] is not None and status["last_ack"] - self.seen.offset > (
                    self.seen.undone_at or 0
                )
            except (HostError, ChaosError):
                acked = False
            self._clock.sleep(INTERVAL_S)
        self._clock.sleep(AFTER_S)

    def _read_back(self) -> None:
        try:
            self._workload("stopped")
            self.seen.ended_at = self._clock.now()
            self.seen.ledger = self._workload("read")
            self._workload("absent")
        except HostError as err:
            self.seen.ended_at = self.seen.ended_at or self._clock.now()
            self.seen.unseen.append(f"the ledger: {err}")

    def _workload(self, state: str, **options: Any) -> dict[str, Any]:
        config = {**self.setting.ledger, **{"run": self.run_id.replace("-", ""), "state": state}, **options}
        return self._hosts.call(self.setting.client, "chaos_workload", config)

    def _database(self) -> dict[str, Any] | None:
        if self.setting.ledger.get("driver") != "postgresql":
            return None
        return {key: value for key, value in self.setting.ledger.items() if key not in ("driver", "members")}

    def _event(self, what: str) -> None:
        self.seen.events.append((self._clock.now(), what))

    def _record(self, kind: str, body: Any) -> None:
        self.chain.add(kind, self._clock.wall(), body)
