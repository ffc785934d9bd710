# SPDX-License-Identifier: Apache-2.0
"""Whether a bucket refuses a delete: by trying it, on a probe object of our own, as a finding of the ladder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    failed,
    passed,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.s3.client import S3Client
from ansible_collections.rsp.platform.plugins.module_utils.s3.probe import NotHeldError, prove
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

PROBE = "rsp-immutability-probe"


def client_of(asked: Mapping[str, Any]) -> S3Client:
    """For the option `probe`. Nothing is asked yet. Raises BackupError."""
    if not asked["endpoint"].startswith("https://"):
        raise BackupError(f"endpoint {asked['endpoint']} must begin with https://")
    keys = {"access": asked["access_key"], "secret": asked["secret_key"]}
    return S3Client.from_params(
        {"url": asked["endpoint"], "ca_path": asked["ca_path"], "region": asked["region"], **keys}
    )


def probe(client: S3Client, bucket: str, now: float) -> Finding:
    """Put an object, then try to delete its version as an attacker with these keys would, also bypassing governance."""
    try:
        proof = prove(client, bucket, PROBE, datetime.fromtimestamp(now, UTC).isoformat(), locked=True)
    except NotHeldError as err:
        return failed("object_lock", str(err))
    except DriverError as err:
        return unknown("object_lock", f"it could not be tried: {err}")
    return passed("object_lock", bucket=bucket, refused=proof.refused)
