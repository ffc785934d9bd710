# SPDX-License-Identifier: Apache-2.0
"""Filters that show artifacts to people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

COLUMNS = ("artifact", "version", "platform", "licence", "MB", "sha256")


def artifact_table(artifacts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of a table of artifacts with their licences, sizes in MB and the beginnings of their hashes."""
    rows = [COLUMNS]
    for artifact in artifacts:
        texts = [str(artifact[key]) for key in ("name", "version", "platform", "licence")]
        rows.append((*texts, f"{artifact['size'] / 1e6:.1f}", artifact["sha256"][:12]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


class FilterModule:
    """Filters of rsp.platform."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"artifact_table": artifact_table}
