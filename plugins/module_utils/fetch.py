# SPDX-License-Identifier: Apache-2.0
"""Download over HTTP into a file: streamed, bounded in time and size, with a reason when it fails."""

from __future__ import annotations

import http.client
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ansible.module_utils.urls import ConnectionError as UnusableConnection
from ansible.module_utils.urls import SSLValidationError, open_url

BLOCK = 1024 * 1024
GONE = (403, 404, 410)


class FetchError(Exception):
    """A file could not be had; the message says why, without the address."""


class TransientError(FetchError):
    """Asking again may help: no answer, a cut connection, a busy server."""


class Response(Protocol):
    """The part of an HTTP response that a download needs."""

    def read(self, amount: int, /) -> bytes:
        """At most that many bytes; empty at the end."""

    def close(self) -> None:
        """Give the connection back."""

    @property
    def headers(self) -> http.client.HTTPMessage:
        """The response's headers."""


@dataclass(frozen=True, slots=True)
class Http:
    """How to download.

    Attributes:
        timeout: seconds without a byte after which the server counts as dead.
        deadline: seconds that one attempt may take in all.
        attempts: how often to ask when asking again may help.
        ca_path: PEM file of the authorities to trust; None for the system's.
        pause: waits that many seconds between attempts.
        clock: seconds that only grow.
    """

    timeout: float = 30
    deadline: float = 1800
    attempts: int = 3
    ca_path: str | None = None
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def download(self, url: str, target: Path, limit: int | None = None) -> None:
        """Write what `url` answers into `target`, replacing its content.

        Args:
            url: an http, https or file address.
            target: an existing file.
            limit: most bytes to accept.

        Raises:
            FetchError: it is not there, is too large, or stayed unreachable.
            OSError: `target` could not be written (a full disk, for one).
        """
        for attempt in range(1, self.attempts + 1):
            try:
                self._attempt(url, target, limit)
            except TransientError as err:
                if attempt == self.attempts:
                    raise FetchError(f"{err} ({attempt} attempts)") from err
                self.pause(2 ** (attempt - 1))
            else:
                return

    def _attempt(self, url: str, target: Path, limit: int | None) -> None:
        response = self._open(url)
        try:
            announced = response.headers.get("Content-Length")
            received = self._copy(response, target, limit)
        finally:
            response.close()
        if announced is not None and received != int(announced):
            raise TransientError(f"truncated: {received} of {announced} bytes arrived")

    def _open(self, url: str) -> Response:
        try:
            response: Response = open_url(url, timeout=self.timeout, ca_path=self.ca_path, decompress=False)
        except urllib.error.HTTPError as err:
            err.close()
            if err.code in GONE:
                raise FetchError(f"is not there: HTTP {err.code}") from err
            kind = TransientError if err.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR else FetchError
            raise kind(f"HTTP {err.code}") from err
        except ValueError as err:
            raise FetchError(f"is no usable address: {err}") from err
        except SSLValidationError as err:
            raise FetchError(f"its certificate is not trusted: {err}") from err
        except (OSError, http.client.HTTPException, UnusableConnection) as err:
            raise TransientError(f"does not answer: {getattr(err, 'reason', None) or err}") from err
        return response

    def _copy(self, response: Response, target: Path, limit: int | None) -> int:
        received, started = 0, self.clock()
        with target.open("wb") as sink:
            while block := self._read(response):
                received += len(block)
                if limit is not None and received > limit:
                    raise FetchError(f"is larger than the {limit} bytes that are pinned")
                if self.clock() - started > self.deadline:
                    raise TransientError(f"only {received} bytes arrived in {self.deadline:g} s")
                sink.write(block)
        return received

    @staticmethod
    def _read(response: Response) -> bytes:
        try:
            return response.read(BLOCK)
        except (OSError, http.client.HTTPException) as err:
            raise TransientError(f"the connection broke: {err}") from err
