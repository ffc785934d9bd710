# SPDX-License-Identifier: Apache-2.0
"""Installed versions of an artifact side by side: which one is linked, and which old ones may go."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.placement import PlacementError, note_of


def linked(link: Path) -> Path | None:
    """What `link` points to, or None when it does not exist. Raises PlacementError when it is no symbolic link."""
    if link.is_symlink():
        return link.readlink()
    if link.exists():
        raise PlacementError(f"{link} is a file, not a link of this module → move it away and run again")
    return None


def swap(link: Path, target: Path) -> None:
    """Point `link` to `target` in one step: nobody ever finds it missing."""
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def superfluous(current: Path, previous: Path | None, keep: int) -> list[Path]:
    """Version directories beside `current` that may go: all but it, the previously linked one, and the newest placed.

    Args:
        current: the installed file, <root>/<name>/<version>/<file>.
        previous: what the link pointed to before, kept first so that the way back stays open.
        keep: how many versions stay, the current one included.
    """
    placed = {
        note.parent: note.stat().st_mtime
        for note in current.parent.parent.glob(f"*/{note_of(current).name}")
        if note.parent != current.parent
    }
    before = previous.parent if previous else None
    newest_first = sorted(placed, key=lambda version: (version == before, placed[version]), reverse=True)
    return newest_first[max(keep - 1, 0) :]


def remove(version: Path) -> None:
    """Remove a version's directory."""
    shutil.rmtree(version)
