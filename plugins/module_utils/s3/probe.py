# SPDX-License-Identifier: Apache-2.0
"""Proof that a bucket does what backups count on: write, read back, and a refused deletion of a locked version."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.s3.client import GONE, S3Client, S3Error
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

REFUSED = (400, 403, 405, 409)
BYPASS = {"x-amz-bypass-governance-retention": "true"}


class NotHeldError(DriverError):
    """It was tried, and what is promised does not hold. Any other error tells nothing of the lock."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen: the version that was written, and how its deletion was refused (empty: nobody asked)."""

    version: str
    refused: str = ""


def prove(client: S3Client, bucket: str, key: str, token: str, locked: bool) -> Proof:
    """Write, read back, and where a lock is promised, be refused. Raises NotHeldError or DriverError for anything else.

    The object itself is deleted, which hides it behind a marker; its version stays until the lock ends.
    """
    place = f"{bucket}/{key}"
    written = client.call("PUT", bucket, key, body=token.encode())
    version = written.headers.get("x-amz-version-id", "")
    got = client.call("GET", bucket, key).body
    if got != token.encode():
        raise NotHeldError(f"{place}: another content came back than was written")
    if locked and version in ("", "null"):
        raise NotHeldError(f"{place}: the write made no version → the bucket has no versioning, so no lock either")
    refused = _refused(client, bucket, key, version) if locked else ""
    client.call("DELETE", bucket, key)
    if client.call("GET", bucket, key, accept=(200, GONE)).status != GONE:
        raise NotHeldError(f"{place}: it is still there after its deletion")
    if (
        locked
        and client.call("GET", bucket, key, query={"versionId": version}, accept=(200, GONE)).body != token.encode()
    ):
        raise NotHeldError(f"{place}: the locked version is not what was written")
    return Proof(version, refused)


def _refused(client: S3Client, bucket: str, key: str, version: str) -> str:
    """How the store refuses to delete a locked version, also when the caller claims to stand above the lock."""
    said = ""
    for headers in ({}, BYPASS):
        try:
            client.call("DELETE", bucket, key, query={"versionId": version}, headers=headers)
        except S3Error as err:
            if err.status not in REFUSED:
                raise
            said = said or err.code or str(err.status)
        else:
            how = " with a bypass of the lock" if headers else ""
            raise NotHeldError(f"{bucket}/{key}: version {version} was deleted{how}: the object lock does not hold")
    return said
