# SPDX-License-Identifier: Apache-2.0
"""The few calls to an S3 store that the platform makes itself; TLS verified, secrets never in an error.

Buckets are addressed by path. boto3 would be 90 MB on a member for ten calls (docs/decisions/backups.md).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.s3.sign import Account, Request, signed
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

OK = (200, 204)
GONE = 404


class S3Error(DriverError):
    """The store answered with a status that was not asked for.

    Attributes:
        status: of HTTP.
        code: the store's own word, such as AccessDenied; empty when it gave none.
    """

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message, status=status, code=code)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers with lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def xml(self) -> Element:
        """The body as XML without name spaces. Raises DriverError when it is none, or could grow when it is read."""
        if b"<!" in self.body:
            raise DriverError("the store answered XML with declarations, which S3 has none of")
        parser: XMLPullParser[Any] = XMLPullParser(["start"])
        try:
            parser.feed(self.body)
            parser.close()
        except ParseError as err:
            raise DriverError(f"the store answered no XML: {err}") from None
        elements = [found for event in parser.read_events() for found in event if isinstance(found, Element)]
        for element in elements:
            element.tag = element.tag.rpartition("}")[2]
        return elements[0]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a marker that it was deleted."""

    key: str
    version: str
    modified: datetime
    latest: bool
    marker: bool = False
    size: int = 0


Exchange = Callable[[Request, Mapping[str, str]], Answer]


class S3Client:
    """Calls of one account. `exchange` sends a signed request; tests hand in their own."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        exchange: Exchange | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is opened yet."""
        self._connection, self._account, self._clock = connection, account, clock
        self._exchange = exchange or self._send

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> S3Client:
        """For the `connection` option of a module: url, ca_path, access, secret, region, timeout_s."""
        connection = Connection(params["url"], params.get("ca_path"), timeout_s=params.get("timeout_s") or 30.0)
        return cls(connection, Account(params["access"], params["secret"], params.get("region") or "us-east-1"))

    def call(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        accept: Collection[int] = OK,
    ) -> Answer:
        """One request. Raises S3Error for a status not in `accept`, DriverError when nothing answered."""
        parts = urlsplit(self._connection.url)
        path = f"{parts.path.rstrip('/')}/{bucket}" + (f"/{key}" if key else "")
        more = {"content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
        given = {**(more if body else {}), **(headers or {})}
        request = Request(method, parts.netloc, path, query or {}, given, body)
        place = f"{method} {parts.scheme}://{parts.netloc}{request.target}"
        try:
            answer = self._exchange(request, signed(request, self._account, self._clock()))
        except (OSError, http.client.HTTPException) as err:
            raise DriverError(f"{place}: {getattr(err, 'strerror', None) or err}") from None
        if answer.status not in accept:
            code = _code(answer)
            raise S3Error(f"{place}: {answer.status} {code}".rstrip(), answer.status, code)
        return answer

    def versions(self, bucket: str, prefix: str = "") -> Iterator[Version]:
        """Every version and marker below a prefix, page by page."""
        query = {"versions": "", "prefix": prefix, "max-keys": "1000"}
        while True:
            page = self.call("GET", bucket, query=query).xml()
            yield from (found for found in map(_version, page) if found)
            if page.findtext("IsTruncated") != "true":
                return
            query["key-marker"] = page.findtext("NextKeyMarker") or ""
            query["version-id-marker"] = page.findtext("NextVersionIdMarker") or ""

    def _send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(self._connection.url)
        host, timeout, context = parts.hostname or "", self._connection.timeout_s, self._connection.tls()
        conn: http.client.HTTPConnection
        if context is None:
            conn = http.client.HTTPConnection(host, parts.port, timeout=timeout)
        else:
            conn = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
        try:
            conn.request(request.method, request.target, body=request.body or None, headers=dict(headers))
            answer = conn.getresponse()
            return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
        finally:
            conn.close()


def _version(element: Element) -> Version | None:
    if element.tag not in ("Version", "DeleteMarker"):
        return None
    text = {child.tag: child.text or "" for child in element}
    modified = datetime.fromisoformat(text["LastModified"].replace("Z", "+00:00"))
    marker = element.tag == "DeleteMarker"
    size = int(text.get("Size") or 0)
    return Version(text["Key"], text["VersionId"], modified, text.get("IsLatest") == "true", marker, size)


def _code(answer: Answer) -> str:
    try:
        return answer.xml().findtext("Code") or ""
    except DriverError:
        return ""
