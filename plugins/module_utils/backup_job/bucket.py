# SPDX-License-Identifier: Apache-2.0
"""A bucket as the place of snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.s3.client import S3Client
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


class BucketStore:
    """Objects below one prefix of one bucket."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        """Nothing is asked yet."""
        self._client, self._bucket, self._prefix = client, bucket, prefix

    @classmethod
    def connect(cls, config: Mapping[str, Any]) -> BucketStore:
        """From the `s3` part of a job's configuration."""
        return cls(S3Client.from_params(config), config["bucket"], config["prefix"])

    def put(self, name: str, data: bytes) -> str:
        """Write an object and see that it came whole; the version that it got."""
        written = self._client.call("PUT", self._bucket, self._prefix + name, body=data)
        head = self._client.call("HEAD", self._bucket, self._prefix + name)
        if head.headers.get("content-length") != str(len(data)):
            raise DriverError(f"{name}: the bucket has {head.headers.get('content-length')} of {len(data)} bytes")
        return written.headers.get("x-amz-version-id", "")

    def get(self, name: str) -> bytes:
        """The newest version of an object."""
        return self._client.call("GET", self._bucket, self._prefix + name).body

    def names(self) -> dict[str, float]:
        """Objects that are not hidden, with the time of each."""
        found = self._client.versions(self._bucket, self._prefix)
        shown = [version for version in found if version.latest and not version.marker]
        return {version.key.removeprefix(self._prefix): version.modified.timestamp() for version in shown}

    def hide(self, name: str) -> None:
        """Delete an object; its versions stay as long as their lock."""
        self._client.call("DELETE", self._bucket, self._prefix + name)
