"""The project's own lints: each rule looks at a tree and says what is wrong, and at how much it looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """What a rule found: how many subjects it checked, and one sentence for each violation."""

    checked: int = 0
    violations: list[str] = field(default_factory=list)

    def expect(self, condition: bool, violation: str) -> None:
        """Count a subject; keep the sentence when the condition does not hold."""
        self.checked += 1
        if not condition:
            self.violations.append(violation)


Rule = Callable[[Path], Report]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a rule under its function's name."""
    RULES[function.__name__] = function
    return function
