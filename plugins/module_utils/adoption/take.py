# SPDX-License-Identifier: Apache-2.0
"""Lets a running Patroni read other files: it follows a link from the file that it was started with to a directory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.http_client import JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

KEPT = ".before-rsp"
POLL_S = 0.5


def replaced(path: str, directory: str, *, check: bool) -> bool:
    """Whether the file gave way to a link to the directory; False when that is done already.

    Raises:
        DriverError: there is a directory in its place, or a file is in the way.
    """
    if os.path.realpath(path) == os.path.realpath(directory):
        return False
    if Path(path).is_dir():
        raise DriverError(f"{path} is a directory: only a single file can be replaced")
    if check:
        return True
    kept = Path(path + KEPT)
    if kept.exists():
        raise DriverError(f"{kept} is in the way → move it elsewhere, it may be the only copy of an older file")
    link = Path(path + ".rsp")
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    # At no moment is there nothing in its place
    kept.hardlink_to(path)
    kept.chmod(0o600)
    link.replace(path)
    return True


def put_back(path: str) -> None:
    """The file that was there before."""
    kept = Path(path + KEPT)
    if kept.exists():
        kept.replace(path)


def reread(
    pid: int,
    client: JsonClient | None = None,
    wait_s: float = 0,
    kill: Callable[[int, int], None] = os.kill,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Make Patroni read its files, and wait until its API answers by them with a running PostgreSQL.

    Raises:
        DriverError: it does not within `wait_s`.
    """
    kill(pid, signal.SIGHUP)
    if client is None:
        return
    said: object = None
    for _try in range(max(int(wait_s / POLL_S), 1)):
        sleep(POLL_S)
        try:
            status = client.call("GET", "/patroni", accept=(200, 503)).data
        except DriverError as err:
            said = err
            continue
        streams = status.get("role") in ("primary", "master") or status.get("replication_state") == "streaming"
        if status.get("state") == "running" and streams:
            return
        said = f"{status.get('state')}, {status.get('replication_state')}"
    raise DriverError(f"Patroni has not taken the role's files within {wait_s:g} s, the old ones are back: {said}")
