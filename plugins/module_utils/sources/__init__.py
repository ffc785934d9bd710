# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of an artifact may come from: one small strategy a kind, one interface, one registry.

A strategy writes what it got into the file that it is given. It is not trusted: the pinned sha256 decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.sources import distribution, go, goproxy, mirror, url
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools


class Source(Protocol):
    """One kind of source."""

    def __call__(self, source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
        """Write the artifact's bytes into `target`.

        Args:
            source: the entry of the catalogue, with the keys that its kind defines.
            artifact: what is wanted.
            target: an existing empty file.
            tools: what there is to work with.

        Raises:
            FetchError: this source doesn't have it; the next one is asked.
            OSError: the disk is full or refuses.
        """


SOURCES: dict[str, Source] = {
    "mirror": mirror.fetch,
    "url": url.fetch,
    "goproxy": goproxy.fetch,
    "go": go.fetch,
    "distribution": distribution.fetch,
}
