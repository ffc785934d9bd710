# SPDX-License-Identifier: Apache-2.0
"""3-2-1-1-0: three copies, two media, one off site, one immutable, no error. Counted over failure domains. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import Finding, found

COPIES, MEDIA = 3, 2


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the data, production's own included.

    Attributes:
        domain: what it falls with: a zone, a provider. Two directories of one zone are one copy.
        medium: kind of store: disk, object, tape.
        off_site: outside of every zone that production is in.
        immutable: a delete was tried and refused; None when nobody tried.
        errors: findings of its last verification; None when it was never verified.
    """

    name: str
    domain: str
    medium: str
    off_site: bool = False
    immutable: bool | None = None
    errors: int | None = None
    production: bool = False


def apart(copies: Sequence[Copy], needed: int = COPIES) -> Finding:
    """Whether the copies are enough and independent. What was not tried or not verified does not count."""
    domains = {copy.domain for copy in copies}
    backups = [copy for copy in copies if not copy.production]
    wrong = []
    if len(domains) < needed:
        wrong.append(f"the copies fall with {len(domains)} failure domains, {needed} are needed")
    if len({copy.medium for copy in copies}) < MEDIA:
        wrong.append("all copies are on one kind of medium")
    if not any(copy.off_site for copy in backups):
        wrong.append("no copy is off site")
    if not any(copy.immutable is True for copy in backups):
        untried = [copy.name for copy in backups if copy.immutable is None]
        wrong.append(f"no copy has refused a delete{' (not tried: ' + ', '.join(untried) + ')' if untried else ''}")
    unverified = [copy.name for copy in backups if copy.errors is None]
    if unverified:
        wrong.append(f"never verified: {', '.join(unverified)}")
    bad = [copy.name for copy in backups if copy.errors]
    if bad or not backups:
        wrong.append(f"errors in {', '.join(bad)}" if bad else "there is no backup at all")
    return found("copies_apart", wrong, copies=len(copies), domains=sorted(domains))


def copy_from(entry: dict[str, Any]) -> Copy:
    """From the option of a module."""
    return Copy(**{key: value for key, value in entry.items() if value is not None})
