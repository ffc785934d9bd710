# SPDX-License-Identifier: Apache-2.0
"""Secrets from the controller's environment, as a CI system or AWX injects them; read-only."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError, changes

PREFIX = "RSP_SECRET_"


class EnvironmentStore:
    """One variable a secret: consul/bootstrap-token → RSP_SECRET_CONSUL_BOOTSTRAP_TOKEN. Empty is missing.

    Args:
        prefix: how the names of the variables begin.
        environment: the process's own unless given.
    """

    makes = False

    def __init__(self, prefix: str = PREFIX, environment: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environment = os.environ if environment is None else environment

    @classmethod
    def open(cls, settings: Mapping[str, Any]) -> EnvironmentStore:
        """The store that `platform_secrets` describes."""
        return cls(str(settings.get("prefix") or PREFIX))

    def variable(self, name: str) -> str:
        """Environment variable of a secret."""
        return self._prefix + re.sub(r"[^A-Z0-9]", "_", name.upper())

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._environment.get(self.variable(name)) or None

    def put(self, values: Mapping[str, str], *, once: bool = False, absent: Collection[str] = ()) -> dict[str, str]:
        """Nothing when all is as asked already; else an error, because an environment neither keeps nor forgets."""
        known = {name: value for name in values if (value := self.get(name)) is not None}
        missing = changes(known, values, once=once)
        if missing:
            names = ", ".join(self.variable(name) for name in sorted(missing))
            raise SecretError(f"the environment back-end keeps nothing → set the environment variables {names}")
        surplus = [self.variable(name) for name in sorted(absent) if self.get(name) is not None]
        if surplus:
            raise SecretError(f"the environment back-end forgets nothing → unset {', '.join(surplus)}")
        return {}

    def howto(self, name: str) -> str:
        """The variable to set."""
        return f"set the environment variable {self.variable(name)}"
