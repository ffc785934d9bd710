# SPDX-License-Identifier: Apache-2.0
"""Takes away for good what nobody sees any more: versions that were hidden long enough ago and whose lock is over.

A gateway without lifecycle rules keeps every version for ever, personal data included. What is locked refuses, and
stays until its time; what is current is never touched. Role s3 puts this file and what it imports beside the gateway.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.s3.client import S3Client, S3Error, Version
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# How a store refuses to delete what is locked
LOCKED = (400, 403, 405, 409)


@dataclass(frozen=True, slots=True)
class Purged:
    """What became of a bucket: versions and markers that went, versions that are locked still, and their bytes."""

    bucket: str
    removed: int = 0
    bytes: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Going:
    """What can go of one key: hidden versions, and the marker that hides nothing once they are gone."""

    versions: tuple[Version, ...]
    marker: Version | None = None


def surplus(versions: Iterable[Version], now: datetime, hidden_days: float) -> list[Going]:
    """What has been hidden for so long, key by key: since the next version was written."""
    keys = defaultdict(list)
    for version in versions:
        keys[version.key].append(version)
    before = now - timedelta(days=hidden_days)
    return [going for _key, found in sorted(keys.items()) if (going := _of_key(found, before)) is not None]


def _of_key(found: Sequence[Version], before: datetime) -> Going | None:
    newest_first = sorted(found, key=lambda each: (each.latest, each.modified), reverse=True)
    old = [version for newer, version in pairwise(newest_first) if newer.modified <= before]
    head = newest_first[0]
    alone = head.latest and head.marker and head.modified <= before and len(old) == len(newest_first) - 1
    # The oldest first: cut off in the middle, a key never shows an older state than before
    return Going(tuple(reversed(old)), head if alone else None) if old or alone else None


def purge(client: S3Client, bucket: str, now: datetime, hidden_days: float) -> Purged:
    """Remove it. Raises DriverError when the store fails; a refusal because of a lock is no failure."""
    removed = size = locked = 0
    for going in surplus(client.versions(bucket), now, hidden_days):
        stay = 0
        for version in going.versions:
            if _gone(client, bucket, version):
                removed, size = removed + 1, size + version.size
            else:
                stay += 1
        # A marker that hides a locked version stays, or the version would be seen again
        if going.marker and not stay and _gone(client, bucket, going.marker):
            removed += 1
        locked += stay
    return Purged(bucket, removed, size, locked)


def _gone(client: S3Client, bucket: str, version: Version) -> bool:
    try:
        client.call("DELETE", bucket, version.key, query={"versionId": version.version})
    except S3Error as err:
        if err.status in LOCKED:
            return False
        raise
    return True


def main(argv: Sequence[str]) -> int:
    """The program: every bucket of a configuration; 1 when one of them failed. 0 days mean never."""
    config, failed = json.loads(Path(argv[0]).read_text(encoding="utf-8")), 0
    client, days = S3Client.from_params(config["connection"]), float(config["hidden_days"])
    for bucket in config["buckets"] if days > 0 else ():
        try:
            sys.stdout.write(f"{json.dumps(asdict(purge(client, bucket, datetime.now(UTC), days)))}\n")
        except DriverError as err:
            sys.stderr.write(f"{bucket}: {err}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
