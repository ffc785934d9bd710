# SPDX-License-Identifier: Apache-2.0
"""Opens the secret store that `platform_secrets` describes. Runs on the controller only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import (
    SecretError,
    SecretStore,
    check_name,
    generate,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_environment import EnvironmentStore
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_file import FileStore

__all__ = [
    "BACKENDS",
    "EnvironmentStore",
    "FileStore",
    "SecretError",
    "SecretStore",
    "check_name",
    "generate",
    "open_store",
    "unobtainable",
]

BACKENDS: dict[str, Callable[[Mapping[str, Any]], SecretStore]] = {
    "file": FileStore.open,
    "environment": EnvironmentStore.open,
}


def open_store(settings: Any) -> SecretStore:
    """The store that `platform_secrets` describes.

    Raises:
        SecretError: the variable is missing, incomplete, or names an unknown back-end.
    """
    backend = settings.get("backend") if isinstance(settings, Mapping) else None
    if not isinstance(backend, str) or backend not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        found = "is not set" if settings is None else f"has the back-end {backend!r}"
        raise SecretError(f"platform_secrets {found} → give it a backend of {known} (docs/platform-variables.md)")
    return BACKENDS[backend](settings)


def unobtainable(settings: Any, names: Iterable[str]) -> dict[str, str]:
    """Which of the secrets are not there and can't be made by this store → how an operator sets each one."""
    store = open_store(settings)
    return {} if store.makes else {name: store.howto(name) for name in names if store.get(name) is None}
