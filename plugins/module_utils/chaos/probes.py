# SPDX-License-Identifier: Apache-2.0
"""Asks one question from a client host: HTTP, PromQL, SQL or a command. No answer is None, never a yes."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.rsp.platform.plugins.module_utils.chaos.abort import compare
from ansible_collections.rsp.platform.plugins.module_utils.chaos.writer import Postgresql, error_class

Run = Callable[[Sequence[str]], tuple[int, str, str]]
Fetch = Callable[[str, "str | None", float], tuple[int, str]]
TIMEOUT_S = 5.0
OK = 200


def ask(kind: str, options: Mapping[str, Any], run: Run, database: Mapping[str, Any] | None = None,
        fetch: Fetch | None = None) -> tuple[bool | None, str]:  # fmt: skip
    """Whether a condition holds now (None: it could not be asked), and what was seen.

    Args:
        kind: http: holds when the status is not the expected one; promql and sql: the one number that is answered,
            compared; command: holds when it exits with something else than 0.
        database: connection for sql, as the ledger's.
    """
    get = fetch or get_page
    try:
        if kind == "http":
            status, _body = get(options["url"], options.get("ca_path"), TIMEOUT_S)
            return status != (options.get("status") or OK), f"http {status}"
        if kind == "promql":
            url = f"{options['url'].rstrip('/')}/api/v1/query?query={quote(options['query'])}"
            status, body = get(url, options.get("ca_path"), TIMEOUT_S)
            value = one_sample(status, body)
        elif kind == "sql":
            value = one_number(options["query"], database or {})
        else:
            code, _out, _err = run(options["argv"])
            return code != 0, f"exit code {code}"
    except Exception as err:  # whatever a client raises: it could not be asked
        return None, error_class(err)
    return compare(value, options["when"], options["value"]), f"{value}"


def get_page(url: str, ca_path: str | None, timeout_s: float) -> tuple[int, str]:
    """Status and body of a GET."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        tls = ssl.create_default_context(cafile=ca_path)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=tls)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def one_sample(status: int, body: str) -> float | None:
    """The single sample of an answer; None when there is none. Raises ValueError for several or an error."""
    answer = json.loads(body)
    if status != OK or answer.get("status") != "success":
        raise ValueError(f"http {status}: {answer.get('error', '')}")
    data = answer["data"]
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    if len(data["result"]) > 1:
        raise ValueError(f"{len(data['result'])} samples, one was expected")
    return float(data["result"][0]["value"][1]) if data["result"] else None


def one_number(query: str, database: Mapping[str, Any], connect: Callable[..., Any] = Postgresql) -> float | None:
    """The first column of the only row of a query; None for no row or NULL."""
    session = connect({**database, "run": "probe", "timeout_s": TIMEOUT_S})
    session.connect()
    try:
        rows = session.query(query)
    finally:
        session.close()
    if len(rows) > 1:
        raise ValueError(f"{len(rows)} rows, one was expected")
    return float(rows[0][0]) if rows and rows[0][0] is not None else None
