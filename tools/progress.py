"""Ansible's output as one line a task: what changed, how long it took; errors in full."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PLAY = re.compile(r"^PLAY \[(?P<name>.*)\] \**$")
TASK = re.compile(r"^(TASK|RUNNING HANDLER) \[(?:[\w.]+ : )?(?P<name>.*)\] \**$")
RESULT = re.compile(r"^(?P<status>ok|changed|skipping|fatal|failed|unreachable|rescued|ignored): \[")
TROUBLE = re.compile(r"^(fatal|failed|unreachable|\[ERROR\]|ERROR!|\[WARNING\]|\[DEPRECATION WARNING\])")
RECAP = re.compile(r"^PLAY RECAP \*+$")
RECAP_LINE = re.compile(
    r"^(?P<host>\S+)\s+: ok=\d+\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)\s+failed=(?P<failed>\d+)"
)


@dataclass
class Condenser:
    """Takes lines of ansible-playbook's default output and yields what a person wants to see.

    Attributes:
        now: seconds of a clock, injected for tests.
        changed: hosts' changed tasks, summed from the recap.
    """

    now: Callable[[], float] = time.monotonic
    changed: int = 0
    _task: str | None = None
    _since: float = 0.0
    _results: Counter[str] = field(default_factory=Counter)
    _verbatim: bool = False
    _recap: bool = False

    def feed(self, line: str) -> Iterator[str]:
        """Lines to show now that `line` came in."""
        if RECAP.match(line):
            yield from self.flush()
            self._recap, self._verbatim = True, False
        elif self._recap:
            yield from self._count(line)
        elif found := PLAY.match(line):
            yield from self.flush()
            self._verbatim = False
            yield found["name"]
        elif found := TASK.match(line):
            yield from self.flush()
            self._task, self._since, self._verbatim = found["name"], self.now(), False
        else:
            yield from self._detail(line)

    def flush(self) -> Iterator[str]:
        """The line of the task that has just ended; a task that only skipped has none."""
        task, results = self._task, self._results
        self._task, self._results = None, Counter()
        if task is not None and results.keys() - {"skipping"}:
            counts = ", ".join(f"{number} {status}" for status, number in sorted(results.items()))
            yield f"  {self.now() - self._since:5.1f} s  {task}: {counts}"

    @property
    def current(self) -> str | None:
        """The task at work, if one is."""
        return self._task

    def _detail(self, line: str) -> Iterator[str]:
        result = RESULT.match(line)
        if result:
            self._results[result["status"]] += 1
        # What follows trouble belongs to it, until the next result, task or play.
        self._verbatim = bool(TROUBLE.match(line)) or (self._verbatim and not result)
        if self._verbatim and line.strip():
            yield f"    {line}"

    def _count(self, line: str) -> Iterator[str]:
        found = RECAP_LINE.match(line)
        if not found:
            self._recap = line.strip() == ""
            return
        self.changed += int(found["changed"])
        if found["failed"] != "0" or found["unreachable"] != "0":
            yield f"  {found['host']}: {found['failed']} failed, {found['unreachable']} unreachable"
