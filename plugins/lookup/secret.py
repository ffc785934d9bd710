# SPDX-License-Identifier: Apache-2.0
"""Lookup of secrets, whatever keeps them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: A secret of the platform's store, made once when the caller says how
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Reads a secret from the back-end that the variable C(platform_secrets) names.
  - With O(generate), a missing secret is made and kept, once, however many hosts ask for it at the same time.
    In check mode it is made up and not kept.
  - A back-end that can't keep secrets makes none. There a missing secret is an error that says how to set it.
options:
  _terms:
    description: Names of secrets, as C(consul/gossip).
    required: true
  generate:
    description: How a missing secret is made. Without it a missing secret is an error.
    type: str
    choices: [password, hex, uuid, base64]
  length:
    description: Characters; random bytes for V(base64).
    type: int
    default: 32
  default:
    description: What a missing secret is taken for, instead of an error.
    type: str
"""

EXAMPLES = r"""
- name: Hand a password to a module
  community.postgresql.postgresql_ping:
    login_password: "{{ lookup('rsp.platform.secret', 'postgresql/superuser', generate='password') }}"
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError, check_name, generate


class LookupModule(StoreLookup):
    """Reads or makes secrets."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Values of the named secrets."""
        try:
            self.begin(variables, kwargs)
            return [self._value(check_name(str(term))) for term in terms]
        except SecretError as error:
            raise AnsibleLookupError(f"rsp.platform.secret: {error}") from error

    def _value(self, name: str) -> str:
        value, kind, default = self.store.get(name), self.get_option("generate"), self.get_option("default")
        if value is not None:
            return value
        if default is not None:
            return str(default)
        if kind is None:
            raise SecretError(f"secret {name} is missing → {self.store.howto(name)}")
        made = generate(kind, self.get_option("length"))
        if self.check_mode and self.store.makes:
            return made
        # Others may ask at the same time: the first one's value is everybody's.
        kept = self.store.put({name: made}, once=True)
        return kept[name] if kept else str(self.store.get(name))
