# SPDX-License-Identifier: Apache-2.0
"""Another mirror of this layout: a company's own, or the one that an air-gap bundle was unpacked to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools


def fetch(source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
    """`url`: base address of the mirror."""
    tools.http.download(f"{source['url'].rstrip('/')}/{artifact.path}", target, limit=artifact.size)
