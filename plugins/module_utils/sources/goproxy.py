# SPDX-License-Identifier: Apache-2.0
"""The zip of a Go module, from a Go module proxy: Go's own toolchains are such modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools


def fetch(source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
    """`module` and `version`; the proxies are asked in order."""
    reasons = []
    for proxy in proxies(tools.goproxy):
        address = zip_address(proxy, source["module"], source["version"])
        try:
            tools.http.download(address, target, limit=artifact.size)
        except FetchError as err:
            reasons.append(f"{address} {err}")
        else:
            return
    raise FetchError("; ".join(reasons) or f"no proxy address in {tools.goproxy!r}")


def proxies(goproxy: str) -> list[str]:
    """The addresses in a GOPROXY value, without its words direct and off."""
    return [part.rstrip("/") for part in re.split(r"[,|]", goproxy) if part not in ("", "direct", "off")]


def zip_address(proxy: str, module: str, version: str) -> str:
    """Address of a module's zip; capitals are written as ! and the small letter, as the protocol asks."""
    path, tag = (re.sub(r"[A-Z]", lambda letter: f"!{letter[0].lower()}", part) for part in (module, version))
    return f"{proxy}/{path}/@v/{tag}.zip"
