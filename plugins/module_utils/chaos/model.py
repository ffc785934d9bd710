# SPDX-License-Identifier: Apache-2.0
"""What a fault is before it exists: its parameters, and a plan that names every step there and back. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import Fault, faults

# How a token is read: by the client path, of a leader that makes sure, of each member by itself
READS = ("default", "consistent", "stale")
LONGEST_LEASE_S, SHORTEST_LEASE_S = 900, 15


class ChaosError(Exception):
    """A fault was refused, or could not be armed, proved or undone. `result` are keys for the module result."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


class UnavailableError(ChaosError):
    """This host cannot do that fault, or nobody could prove that it did."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A fault as steps (see steps.py).

    Attributes:
        inject: steps that make it, in order.
        undo: steps that take it back, in order; each may run more than once.
        fingerprint: what it may touch, looked at before and after.
        effect: how it is proved that it took effect (see effects.py); never empty.
        notes: what a reader should know, one sentence each.
    """

    inject: tuple[dict[str, Any], ...]
    undo: tuple[dict[str, Any], ...]
    fingerprint: tuple[dict[str, Any], ...]
    effect: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {key: list(value) for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        about: what it does, one line.
        options: its parameters.
        plan: (parameters, view of the host, id of the fault) → plan. Raises ChaosError when it is refused here.
        where: member: on the host itself; engine: on the machine that runs the host's container.
        network: its `peers` are filled in by the controller from the experiment's `from`.
        filled: parameters that the controller fills in where the experiment gives none.
        single: one host at a time only.
    """

    name: str
    about: str
    options: Mapping[str, Option]
    plan: Callable[[Mapping[str, Any], Look, str], FaultPlan]
    where: str = "member"
    network: bool = False
    filled: tuple[str, ...] = ()
    single: bool = False


def with_defaults(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with the kind's defaults."""
    defaults = {name: option.default for name, option in kind.options.items() if option.default is not None}
    return {**defaults, **{name: value for name, value in given.items() if value is not None}}


def parameter_faults(kind: Kind, path: str, given: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with the parameters of a fault."""
    return list(faults(path, Option(type="dict", options=kind.options), dict(given)))
