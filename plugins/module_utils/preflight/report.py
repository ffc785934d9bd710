# SPDX-License-Identifier: Apache-2.0
"""Problems as people read them: all at once, each with host, variable, value, rule and fix."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory, Problem

NAMED_HOSTS = 3


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """The same problem of several hosts told once, with all of them; the order of discovery is kept."""
    found: dict[Problem, list[str]] = {}
    for problem in problems:
        found.setdefault(replace(problem, hosts=()), []).extend(problem.hosts)
    return [replace(problem, hosts=tuple(dict.fromkeys(hosts))) for problem, hosts in found.items()]


def as_text(inventory: Inventory, problems: Collection[Problem]) -> str:
    """A heading and one aligned line a problem."""
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    rows = [(where(inventory, problem), what(problem), f"{problem.rule} → {problem.fix}") for problem in problems]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"  {host:<{widths[0]}}  {variable:<{widths[1]}}  {text}" for host, variable, text in rows]
    return "\n".join([f"{inventory.label}: {count}, nothing was touched", *lines])


def where(inventory: Inventory, problem: Problem) -> str:
    """The hosts of a problem, or where else it comes from."""
    if problem.place is not None:
        return problem.place
    if re.split(r"[.\[]", problem.variable)[0] in inventory.run.extra:
        return "extra vars"
    if not problem.hosts or (len(problem.hosts) == len(inventory.hosts) > 1):
        return "all hosts"
    rest = len(problem.hosts) - NAMED_HOSTS
    return ", ".join(problem.hosts[:NAMED_HOSTS]) + (f" and {rest} more" if rest > 0 else "")


def what(problem: Problem) -> str:
    """The variable, with its value when there is one to show."""
    return problem.variable if problem.value is None else f"{problem.variable} = {problem.value}"
