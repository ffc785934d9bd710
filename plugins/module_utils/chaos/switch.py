# SPDX-License-Identifier: Apache-2.0
"""A key in Consul that must say go. Asked by the target itself; no answer, no key and any other word are a stop."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

GO = "go"
TIMEOUT_S = 2.0
OK, NOT_FOUND = 200, 404
# Argument spec of modules
SWITCH = {
    "urls": {"type": "list", "elements": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "ca": {"type": "str"},
    "token": {"type": "str", "no_log": True},
}
Ask = Callable[[str, Mapping[str, Any]], "str | None"]


def why_not(switch: Mapping[str, Any], ask: Ask | None = None) -> str | None:
    """Why no fault may be injected or renewed; None: go. Servers are asked in order, the first answer counts.

    Args:
        switch: urls of servers, key, ca (PEM), token; empty: there is no switch.
        ask: value of the key at a server; None when it is not set. Raises OSError when the server does not answer.
    """
    if not switch:
        return None
    errors = []
    for url in switch["urls"]:
        try:
            value = (ask or get)(url, switch)
        except (OSError, ValueError) as err:
            errors.append(f"{url}: {err}")
            continue
        if value is None:
            return f"Consul's key {switch['key']} is not set → set it to {GO} to allow chaos"
        word = value.strip()
        return None if word == GO else f"Consul's key {switch['key']} says {word[:40]!r}, not {GO}"
    return f"nobody says what Consul's key {switch['key']} holds: {'; '.join(errors) or 'no server is named'}"


def get(url: str, switch: Mapping[str, Any]) -> str | None:
    """The key as this server has it, also while nobody leads; None when it has none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    if parts.scheme == "https":
        tls = ssl.create_default_context(cadata=switch["ca"])
        connection = http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=tls)
    try:
        token = {"X-Consul-Token": str(switch.get("token") or "")}
        connection.request("GET", f"/v1/kv/{quote(switch['key'])}?raw&stale", headers=token)
        answer = connection.getresponse()
        text = answer.read(200).decode("utf-8", "replace")
    except http.client.HTTPException as err:
        raise OSError(f"no answer of HTTP: {type(err).__name__}") from err
    finally:
        connection.close()
    if answer.status not in (OK, NOT_FOUND):
        raise OSError(f"http {answer.status}")
    return text if answer.status == OK else None
