# SPDX-License-Identifier: Apache-2.0
"""The source of a module that stands alone: from a checkout, or from the zip that Ansible sends."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds, steps

SCRIPT, BESIDE = "undo.py", "deeds.py"


def source(module: ModuleType) -> str:
    """Text of the module's file. Its loader knows it, wherever the file is."""
    loader: Any = module.__loader__
    text = loader.get_source(module.__name__)
    return text.decode() if isinstance(text, bytes) else str(text)


def lay_down(folder: Path) -> None:
    """The undo script and its neighbour, on the disk."""
    for name, module in ((SCRIPT, steps), (BESIDE, deeds)):
        steps.save(folder / name, source(module), 0o700)
