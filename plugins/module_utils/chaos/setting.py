# SPDX-License-Identifier: Apache-2.0
"""Where an experiment runs: hosts, service, client, policy; and what is planned there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import Experiment
from ansible_collections.rsp.platform.plugins.module_utils.chaos.guard import Policy
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.targets import Place, peers, resolve
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
        for target in targets:
            params = dict(spec.params)
            if "unit" in kind.options and not params.get("unit"):
                params["unit"] = setting.unit
            if kind.network and spec.peers:
                clients = [setting.client]
                params["peers"] = peers(
                    spec.peers, target, targets, setting.places, clients=clients, members=setting.members
                )
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
