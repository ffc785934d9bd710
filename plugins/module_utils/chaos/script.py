# SPDX-License-Identifier: Apache-2.0
"""The source of a module that stands alone: from a checkout, or from the zip that Ansible sends."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def source(module: ModuleType) -> str:
    """Text of the module's file. Its loader knows it, wherever the file is."""
    loader: Any = module.__loader__
    text = loader.get_source(module.__name__)
    return text.decode() if isinstance(text, bytes) else str(text)
