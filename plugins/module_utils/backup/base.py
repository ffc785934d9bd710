# SPDX-License-Identifier: Apache-2.0
"""What a driver of backups is: a service registers its own, and the modules know nothing else about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import Finding, Level, Point, Repository
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy

# Runs an argv list with more environment: exit code, standard output, standard error. Secrets go by environment only.
Run = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a point is held against.

    Attributes:
        identity: whose it must be: PostgreSQL's system identifier, Consul's datacentre. None: unknown, nobody said.
        now: seconds since the epoch.
        escrow: repository → key from the escrow; the host's own is never used for L3.
        until: the last piece of the log that must be there; what the archive has by default.
    """

    now: float
    policy: Policy = field(default_factory=Policy)
    identity: str | None = None
    escrow: Mapping[str, str] = field(default_factory=dict, repr=False)
    until: str | None = None


class Driver(Protocol):
    """Reads the repositories of one service: L0 to L3. It restores nothing and writes nothing."""

    @property
    def needed(self) -> Mapping[Level, Sequence[str]]:
        """Checks that each level must have passed."""

    def repositories(self) -> tuple[Repository, ...]:
        """Everything that there is. Raises BackupError when it can't be asked; one broken repository is no error."""

    def verify(self, repository: Repository, point: Point, level: Level, expected: Expected) -> list[Finding]:
        """Findings of all levels up to `level`, L3 at most."""

    def inventory(self, repository: str) -> Mapping[str, Any]:
        """Every file of a repository with its size."""

    def pushed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """What of the difference production does not explain: a copy under trial must push nothing."""


class Scratch(Protocol):
    """Restores one point into a sandbox and asks the engine there: L4 to L7. Each method is one timed stage."""

    @property
    def needed(self) -> Mapping[Level, Sequence[str]]:
        """Checks that each level must have passed."""

    @property
    def directories(self) -> Sequence[str]:
        """Directories that it wants in the sandbox."""

    def fetch(self) -> int:
        """Bring the copy into the sandbox; bytes. The only stage that may reach the repository."""

    def start(self) -> None:
        """Start the engine on it, cut off from everything."""

    def recover(self, timeout_s: float) -> list[Finding]:
        """Wait until recovery has ended: restored, target_reached, same_cluster."""

    def damage(self) -> None:
        """Make the planted fault, where there is one."""

    def engine(self) -> list[Finding]:
        """Pages, indexes, collations."""

    def content(self, questions: Mapping[str, Any]) -> list[Finding]:
        """Canaries, expected content, application."""

    def stop(self) -> None:
        """End the engine."""
