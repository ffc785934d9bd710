# SPDX-License-Identifier: Apache-2.0
"""Whether a bucket refuses a delete: by trying it, on a probe object of our own. AWS' signature, version 4."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    failed,
    passed,
    unknown,
)

PROBE = "rsp-immutability-probe"
DENIED = frozenset({401, 403, 409, 405, 400})
OK = 300
TIMEOUT_S = 20
# method, path with query, body → status, headers, text
Exchange = Callable[[str, str, bytes], tuple[int, Mapping[str, str], str]]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket and who asks."""

    endpoint: str
    name: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca_path: str | None = None


def probe(exchange: Exchange, bucket: str, now: float) -> Finding:
    """Put an object, then try to delete its version as an attacker with these keys would, also bypassing governance."""
    path = f"/{bucket}/{PROBE}"
    status, headers, text = exchange("PUT", path, datetime.fromtimestamp(now, UTC).isoformat().encode())
    if status >= OK:
        return unknown("object_lock", f"the probe could not be written: {status} {_code(text)}")
    version = {name.lower(): value for name, value in headers.items()}.get("x-amz-version-id")
    if not version or version == "null":
        return failed("object_lock", f"{bucket} keeps no versions, so a delete destroys")
    tried = []
    for bypass in (False, True):
        code, _headers, answer = exchange(
            "DELETE!" if bypass else "DELETE", f"{path}?versionId={quote(version, safe='')}", b""
        )
        tried.append(f"{code} {_code(answer)}".strip())
        if code < OK:
            how = " with governance bypass" if bypass else ""
            return failed("object_lock", f"a version in {bucket} could be deleted{how}", tried=tried)
        if code not in DENIED:
            return unknown("object_lock", f"the delete was answered with {tried[-1]}, which is no refusal", tried=tried)
    status, _headers, text = exchange("GET", f"{path}?versionId={quote(version, safe='')}", b"")
    if status >= OK:
        return failed(
            "object_lock", f"the delete was refused, but the version is gone: {status} {_code(text)}", tried=tried
        )
    return passed("object_lock", bucket=bucket, tried=tried)


def signed(
    bucket: Bucket, method: str, target: str, *, body: bytes, now: datetime, more: Mapping[str, str]
) -> dict[str, str]:
    """Headers of a request, signed."""
    path, _mark, query = target.partition("?")
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    host = urlsplit(bucket.endpoint).netloc
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp, **more}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join([method, path, query, lines, names, digest])
    scope = f"{day}/{bucket.region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{bucket.secret_key}".encode()
    for part in (day, bucket.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={bucket.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


def exchange_with(bucket: Bucket) -> Exchange:
    """Requests over TLS. Raises BackupError when nobody answers."""
    parts = urlsplit(bucket.endpoint)
    if parts.scheme != "https" or not parts.hostname:
        raise BackupError(f"endpoint {bucket.endpoint} must begin with https://")
    try:
        context = ssl.create_default_context(cafile=bucket.ca_path)
    except OSError as err:
        raise BackupError(f"{bucket.ca_path}: {err}") from None

    def exchange(method: str, target: str, body: bytes) -> tuple[int, Mapping[str, str], str]:
        verb = method.rstrip("!")
        more = {"x-amz-bypass-governance-retention": "true"} if method.endswith("!") else {}
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(
                verb,
                target,
                body=body,
                headers=signed(bucket, verb, target, body=body, now=datetime.now(UTC), more=more),
            )
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as err:
            raise BackupError(f"{bucket.endpoint}: {err}") from None
        finally:
            connection.close()

    return exchange


def _code(text: str) -> str:
    match = re.search(r"<Code>([A-Za-z]+)</Code>", text)
    return match[1] if match else ""
