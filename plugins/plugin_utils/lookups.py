# SPDX-License-Identifier: Apache-2.0
"""What lookups over the secret store share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError, SecretStore, open_store


class StoreLookup(LookupBase):
    """A lookup that reads the store which `platform_secrets` names."""

    store: SecretStore
    check_mode: bool
    host: str

    def begin(self, variables: Mapping[str, Any] | None, options: Mapping[str, Any]) -> None:
        """Take options and variables, and open the store.

        Raises:
            SecretError: an option is unknown, or the store is not described or can't be opened.
        """
        known = variables or {}
        self.set_options(var_options=known, direct=options)
        unknown = sorted(options.keys() - self._options.keys())
        if unknown:
            # Ansible itself ignores them: a misspelt generate= would look like a missing secret.
            raise SecretError(f"unknown option {', '.join(unknown)}: one of {', '.join(sorted(self._options))}")
        templar: Any = self._templar
        self.store = open_store(templar.template(known.get("platform_secrets")))
        self.check_mode = known.get("ansible_check_mode") is True
        self.host = str(known.get("inventory_hostname", ""))
