# SPDX-License-Identifier: Apache-2.0
"""A small JSON client for the services' own APIs: TLS verified, one kept connection, secrets never in an error.

It talks to hosts of the platform only, so it has no proxy, no redirects and no cookies: http.client is enough,
and importing it costs a member a fraction of what ansible.module_utils.urls costs.
"""

from __future__ import annotations

import base64
import http.client
import json as jsonlib
import ssl
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

SECONDS_A_DAY = 86400
ERROR_TEXT_LIMIT = 300


class HttpError(DriverError):
    """The server answered, with a status that was not asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status=status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an API.

    Attributes:
        url: scheme://host:port, no path.
        ca_path: PEM file of the CA that signed the server; the system's store when None.
        cert_path, key_path: PEM files of the client certificate, for servers that ask for one.
        token: secret of the `headers`, kept out of repr and errors.
        username, password: HTTP basic authentication.
        headers: sent with each request; may hold the token.
        timeout_s: of connecting and of each answer.
    """

    url: str
    ca_path: str | None = None
    cert_path: str | None = None
    key_path: str | None = None
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 10.0

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Connection:
        """From the `connection` option of a module; options that are None keep their default."""
        return cls(**{key: value for key, value in params.items() if value is not None})

    def tls(self) -> ssl.SSLContext | None:
        """The TLS settings, or None for a plain http url. Unreadable files raise DriverError."""
        if urlsplit(self.url).scheme != "https":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_path)
            if self.cert_path:
                context.load_cert_chain(self.cert_path, self.key_path)
        except OSError as err:  # ssl.SSLError is an OSError
            files = ", ".join(filter(None, (self.ca_path, self.cert_path, self.key_path)))
            raise DriverError(f"cannot use the TLS files {files}: {err}") from err
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, decoded JSON (None for an empty body, the text when it is no JSON) and headers with lower-case names."""

    status: int
    data: Any
    headers: Mapping[str, str]


class JsonClient:
    """JSON over HTTP(S) on one kept connection. Not for threads."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is opened before the first request."""
        self.connection = connection
        self._secrets = [s for s in (connection.token, connection.password, *connection.headers.values()) if s]
        self._http: http.client.HTTPConnection | None = None
        self._not_after: str | None = None

    def get(self, path: str) -> Any:
        """The decoded answer of GET; any status but 200 raises HttpError."""
        return self.call("GET", path).data

    def call(
        self, method: str, path: str, *, json: Any = None, data: bytes | None = None, accept: Collection[int] = (200,)
    ) -> Answer:
        """One request with a JSON body or with raw `data`.

        Raises:
            HttpError: the status is not in `accept`; carries `status`.
            DriverError: nothing answered, or TLS failed.
        """
        body = data if json is None else jsonlib.dumps(json).encode()
        try:
            status, text, headers = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as err:
            self.close()
            raise DriverError(self._scrub(f"{method} {self.connection.url}{path}: {_reason(err)}")) from None
        if status not in accept:
            detail = text.strip()[:ERROR_TEXT_LIMIT]
            raise HttpError(self._scrub(f"{method} {self.connection.url}{path}: {status} {detail}"), status)
        return Answer(status, _decode(text), headers)

    def certificate_days(self, now: float | None = None) -> float | None:
        """Days until the certificate that the server presented expires; None before a request and on plain http."""
        if self._not_after is None:
            return None
        left = ssl.cert_time_to_seconds(self._not_after) - (time.time() if now is None else now)
        return round(left / SECONDS_A_DAY, 2)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, str, dict[str, str]]:
        headers = {"Accept": "application/json", **self.connection.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.connection.username is not None:
            pair = f"{self.connection.username}:{self.connection.password or ''}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        conn = self._connected()
        conn.request(method, path, body=body, headers=headers)
        answer = conn.getresponse()
        text = answer.read().decode("utf-8", "replace")
        return answer.status, text, {key.lower(): value for key, value in answer.getheaders()}

    def _connected(self) -> http.client.HTTPConnection:
        if self._http is None:
            parts = urlsplit(self.connection.url)
            context = self.connection.tls()
            host, timeout = parts.hostname or "", self.connection.timeout_s
            if context is None:
                self._http = http.client.HTTPConnection(host, parts.port, timeout=timeout)
            else:
                self._http = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
            self._http.connect()
            if isinstance(self._http.sock, ssl.SSLSocket):
                peer = self._http.sock.getpeercert() or {}
                self._not_after = str(peer["notAfter"]) if "notAfter" in peer else None
        return self._http

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "********")
        return text


def _decode(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text


def _reason(err: Exception) -> str:
    """What went wrong without Python's wrapping: `Connection refused`, `certificate has expired` …"""
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"TLS: {err.verify_message}"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return str(err) or type(err).__name__
