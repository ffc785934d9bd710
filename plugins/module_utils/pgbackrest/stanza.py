# SPDX-License-Identifier: Apache-2.0
"""A stanza in every repository: which lack it, and proof that WAL arrives in all."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.info import NO_BACKUP, OK, Stanza
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# pgBackRest's codes of a repository in which the stanza is still to be made
LACKING = (1, 3)


def lacking(stanza: Stanza, wanted: Collection[int]) -> list[int]:
    """Repositories without the stanza. Raises DriverError for one that is broken or that nobody configured."""
    missing = []
    for repo in sorted(wanted):
        code, message = stanza.repos.get(repo, (-1, "it is not configured"))
        if code in LACKING:
            missing.append(repo)
        elif code not in (OK, NO_BACKUP):
            raise DriverError(f"repository {repo} of {stanza.name}: {message} (code {code})")
    return missing


def go_on(tool: Pgbackrest) -> bool:
    """Have the stanza go on with the cluster that runs now; whether it was another one before."""
    before = tool.info().systems
    tool.upgrade()
    return tool.info().systems != before


def bring_in_line(tool: Pgbackrest, wanted: Collection[int], prove: bool, check: bool) -> list[int]:
    """Make the stanza where it lacks, and see WAL arrive; the repositories that lacked it."""
    missing = lacking(tool.info(), wanted)
    if check:
        return missing
    if missing:
        tool.create()
        if left := lacking(tool.info(), wanted):
            raise DriverError(f"the stanza was made, and repositories {left} still lack it")
    if prove:
        tool.check()
    return missing
