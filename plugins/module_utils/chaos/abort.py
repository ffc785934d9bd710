# SPDX-License-Identifier: Apache-2.0
"""When a run must stop at once: conditions that are asked again and again, and fire after N bad answers in a row. Pure.

An answer that could not be had is a bad one: who cannot see must not go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import Fault, faults, nearest

OPERATORS = ("<", "<=", ">", ">=", "==", "!=")
COMMON = {
    "kind": Option(required=True),
    "times": Option(type="int", minimum=1, maximum=100, default=2),
}
NUMBER = {"when": Option(choices=OPERATORS, required=True), "value": Option(type="float", required=True)}
# kind → its options. The controller sees the first two, chaos_probe on the client all others.
CONDITIONS: dict[str, dict[str, Option]] = {
    "voters": NUMBER,
    "no_writes_s": {"above": Option(type="float", minimum=1, maximum=600, required=True)},
    "http": {
        "url": Option(required=True, pattern=r"https?://\S+"),
        "status": Option(type="int", minimum=100, maximum=599),
        "ca_path": Option(),
    },
    "promql": {
        "url": Option(required=True, pattern=r"https?://\S+"),
        "query": Option(required=True),
        **NUMBER,
        "ca_path": Option(),
    },
    "sql": {"query": Option(required=True), **NUMBER},
    "command": {"argv": Option(type="list", elements="str", required=True)},
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that ends a run after `times` bad answers in a row."""

    kind: str
    options: Mapping[str, Any]
    times: int = 2

    @classmethod
    def from_data(cls, entry: Mapping[str, Any]) -> Condition:
        """A sound entry of the experiment's `abort`."""
        options = {key: value for key, value in entry.items() if key not in COMMON}
        return cls(entry["kind"], options, int(entry.get("times") or 2))

    @property
    def text(self) -> str:
        """The condition in one line, for a report."""
        return f"{self.kind} {' '.join(str(value) for value in self.options.values())}"


def condition_faults(path: str, entry: Any) -> list[Fault]:
    """Everything that is wrong with one condition."""
    if not isinstance(entry, Mapping):
        return [Fault(path, "must be a mapping", "write kind and its options", shown(entry))]
    kind = entry.get("kind")
    if kind not in CONDITIONS:
        near = nearest(str(kind), CONDITIONS)
        fix = f"did you mean {near}?" if near else f"kinds are {', '.join(CONDITIONS)}"
        return [Fault(f"{path}.kind", "is no kind of abort condition", fix, shown(kind))]
    return list(faults(path, Option(type="dict", options={**COMMON, **CONDITIONS[kind]}), dict(entry)))


def with_switch(conditions: tuple[Condition, ...], switch: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The key that must say go is asked from the client too: a host that is cut off hears old news."""
    return (*conditions, Condition("switch", {"key": switch["key"]})) if switch else conditions


def compare(seen: float | None, operator: str, value: float) -> bool | None:
    """Whether `seen OPERATOR value` holds; None when nothing was seen."""
    if seen is None:
        return None
    answers = {"<": seen < value, "<=": seen <= value, ">": seen > value, ">=": seen >= value, "==": seen == value}
    return answers.get(operator, seen != value)


class Counter:
    """Counts bad answers in a row for each condition of a run."""

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        """Nothing was asked yet."""
        self._conditions = conditions
        self._bad = [0] * len(conditions)

    def take(self, answers: list[bool | None]) -> str | None:
        """One round of answers in the conditions' order, True: it holds, so stop. The reason to abort now, or None."""
        for index, (condition, answer) in enumerate(zip(self._conditions, answers, strict=True)):
            self._bad[index] = 0 if answer is False else self._bad[index] + 1
            if self._bad[index] >= condition.times:
                how = "could not be asked" if answer is None else "holds"
                return f"abort condition {how} {self._bad[index]} times in a row: {condition.text}"
        return None
