# SPDX-License-Identifier: Apache-2.0
"""Bringing a snapshot of Consul back: from one place, decrypted, inspected, then taken by the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup_job import consul
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.bucket import BucketStore
from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

PLACES = ("files", "s3")


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot that was read and understood."""

    label: str
    index: int
    raw: bytes


def found(config: Mapping[str, Any], place: str, label: str, run: Run) -> Found:
    """The snapshot, decrypted and inspected. Raises DriverError when it is not there or not whole."""
    if place == "files":
        directory = Path(config["directory"])
        names = {path.name: path.stat().st_mtime for path in directory.glob(f"*{consul.SUFFIX}")}
        chosen = consul.chosen(names, label)
        sealed = (directory / chosen).read_bytes()
    elif config.get("s3"):
        store = BucketStore.connect(config["s3"])
        chosen = consul.chosen(store.names(), label)
        sealed = store.get(chosen)
    else:
        raise DriverError("this platform keeps no snapshots in an S3 store")
    raw, index = consul.unseal(sealed, run, config["consul"], config["pass_file"])
    return Found(chosen, index, raw)
