# SPDX-License-Identifier: Apache-2.0
"""Where an experiment runs: hosts, service, client, policy; and what is planned there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import Experiment, FaultSpec
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, Kind
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import Place, peers, resolve, shaped
from ansible_collections.rsp.platform.plugins.module_utils.state import ServiceState

ENGINE_KEY = "container"


class HostError(Exception):
    """A host could not be reached, or a module failed there. `result` is what it said."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


class Hosts(Protocol):
    """Runs a module of rsp.platform on a host."""

    def call(self, host: str, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The module's result. Raises HostError when the host is not reached or the module fails."""


@dataclass(frozen=True)
class Setting:
    """Everything around an experiment.

    Attributes:
        places: all hosts of the inventory.
        members: names of the service's members that must be there.
        info: arguments of service_info; `{address}` in its url becomes the asked member's address.
        max_lag: the largest lag that counts as caught up.
        client: host of the ledger's writer.
        ledger: its configuration but for the load: driver, servers, members, ca_path, user …
        unit: systemd's unit of the service, where a fault names none.
        others: members of the platform's other services.
        engine: machine that runs the hosts' containers; empty: there is none.
        containers: host → name of its container.
        loss: of an asynchronous service, see ledger.expected_loss.
        fill: parameters of faults that the service knows, as its port; see Kind.filled.
        issue: PEM of a certificate for (host, kind of fault). Raises ChaosError when there can be none.
        switch: key in Consul that must say go, see switch.py; empty: there is none. It holds a token.
    """

    places: Sequence[Place]
    members: Sequence[str]
    info: Mapping[str, Any]
    client: str
    ledger: Mapping[str, Any]
    policy: Policy
    max_lag: int = 0
    unit: str = ""
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    engine: str = ""
    containers: Mapping[str, str] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    fill: Mapping[str, Any] = field(default_factory=dict)
    issue: Callable[[str, str], str] | None = None
    switch: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def address(self, host: str) -> str:
        """Address of a host."""
        return next(place.address for place in self.places if place.name == host)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault on one host: its id, where the module runs, whom it hits, when, and the module's arguments."""

    fault: str
    host: str
    target: str
    at_s: float
    lease_s: int
    arguments: Mapping[str, Any]


def plan(experiment: Experiment, setting: Setting, state: ServiceState, run: str) -> list[Planned]:
    """Every fault of a run, in the order of injection.

    Raises:
        ChaosError: no target fits, nobody is on the other side of a cut, or a host is needed that is not there.
    """
    found: list[Planned] = []
    for spec in experiment.faults:
        kind = KINDS[spec.kind]
        targets = resolve(state, spec.targets or experiment.targets, setting.places)
        if kind.single and len(targets) > 1:
            raise ChaosError(f"{spec.kind} is for one host at a time, {', '.join(targets)} were chosen")
        cuts = shaped(spec.shape, state, setting.places, setting.members) if spec.shape else None
        if cuts is not None and not any(cuts.get(target) for target in targets):
            raise ChaosError(f"the {spec.peers} cuts {', '.join(targets)} off from nobody")
        for target in targets:
            if cuts is not None and not cuts.get(target):
                continue  # the bridge itself
            params = {**spec.params, **_filled(kind, spec, target, setting)}
            if kind.network and spec.peers:
                params["peers"] = cuts[target] if cuts is not None else peers(
                    spec.peers, target, targets, setting.places, clients=[setting.client], members=setting.members
                )  # fmt: skip
            host = target
            if kind.where == "engine":
                if not setting.engine or target not in setting.containers:
                    raise ChaosError(f"{spec.kind} of {target}: no container engine is known that runs it")
                host, params[ENGINE_KEY] = setting.engine, setting.containers[target]
            fault = f"{run}-{len(found)}"
            arguments = {
                "fault": fault, "kind": spec.kind, "params": params, "ttl_s": spec.lease_s,
                "reason": f"{experiment.name}: {experiment.title}",
            }  # fmt: skip
            found.append(Planned(fault, host, target, spec.at_s, spec.lease_s, arguments))
    hit = sorted({planned.target for planned in found})
    if setting.client in hit:
        raise ChaosError(f"{setting.client} runs the ledger, it can't be a target: its writes would prove nothing")
    return sorted(found, key=lambda planned: planned.at_s)


def _filled(kind: Kind, spec: FaultSpec, target: str, setting: Setting) -> dict[str, Any]:
    """What the experiment leaves to the service that it runs against."""
    found: dict[str, Any] = {}
    if "unit" in kind.options and not spec.params.get("unit"):
        found["unit"] = setting.unit
    for name in kind.filled:
        if spec.params.get(name) is not None:
            continue
        if name == "address":
            found[name] = setting.address(target)
        elif name == "pem" and setting.issue is not None:
            found[name] = setting.issue(target, kind.name)
        elif name in setting.fill:
            found[name] = setting.fill[name]
    return found
