# SPDX-License-Identifier: Apache-2.0
"""Signatures of requests to an S3 store: AWS Signature Version 4, with the payload's hash. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
SAFE = "-_.~"


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks. The secret is kept out of repr."""

    access: str
    secret: str = field(repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: host with port as it is in the Host header, path not yet quoted."""

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query as they go over the wire."""
        return quoted_path(self.path) + (f"?{canonical_query(self.query)}" if self.query else "")


def quoted_path(path: str) -> str:
    """The path with everything but unreserved characters and slashes quoted."""
    return quote(path, safe="/" + SAFE)


def canonical_query(query: Mapping[str, str]) -> str:
    """Parameters in the order and form that the signature is about."""
    pairs = sorted((quote(key, safe=SAFE), quote(value, safe=SAFE)) for key, value in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def signed(request: Request, account: Account, now: datetime) -> dict[str, str]:
    """All headers of the request, the signature included.

    Args:
        now: the time in UTC; a store refuses what differs from its own by more than 15 minutes.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(request.body).hexdigest()
    headers = {**request.headers, "host": request.host, "x-amz-date": stamp, "x-amz-content-sha256": payload}
    lowered = {key.lower(): " ".join(value.split()) for key, value in headers.items()}
    names = ";".join(sorted(lowered))
    lines = "".join(f"{key}:{lowered[key]}\n" for key in sorted(lowered))
    canonical = "\n".join(
        [request.method, quoted_path(request.path), canonical_query(request.query), lines, names, payload]
    )
    scope = f"{stamp[:8]}/{account.region}/s3/aws4_request"
    text = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(_key(account, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    credential = f"{account.access}/{scope}"
    value = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**lowered, "authorization": value}


def _key(account: Account, day: str) -> bytes:
    key = f"AWS4{account.secret}".encode()
    for part in (day, account.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
