# SPDX-License-Identifier: Apache-2.0
"""Lookup of the certificates of a host that must be issued."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates_due
short_description: Which of a host's certificates must be issued, and why
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Judges key, names, issuer and days left in the process of the controller; with nothing to issue no module is called.
options:
  _terms:
    description: Wanted certificates, each a dict with C(service) and C(sans).
    required: true
  renew_days_left:
    description: A certificate is due when fewer days are left.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Show what is due
  ansible.builtin.debug:
    msg: "{{ query('rsp.platform.certificates_due', {'service': 'consul', 'sans': ['DNS:a1']}, renew_days_left=30) }}"
"""

RETURN = r"""
_raw:
  description: The wanted certificates that are due, each with a C(reason).
  type: list
  elements: dict
"""

import datetime
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import CA_CERT, Issued, due, leaf
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError


class LookupModule(StoreLookup):
    """Compares wanted certificates with the store."""

    def run(
        self, terms: list[dict[str, Any]], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Wanted certificates that are due, with the reason."""
        try:
            self.begin(variables, kwargs)
            judged = [{**wanted, "reason": self._reason(wanted)} for wanted in terms]
        except SecretError as error:
            raise AnsibleLookupError(f"rsp.platform.certificates_due: {error}") from error
        return [wanted for wanted in judged if wanted["reason"] is not None]

    def _reason(self, wanted: dict[str, Any]) -> str | None:
        names = (leaf(self.host, wanted["service"], "key"), leaf(self.host, wanted["service"], "cert"), CA_CERT)
        now = datetime.datetime.now(datetime.UTC)
        return due(Issued(*map(self.store.get, names)), wanted["sans"], self.get_option("renew_days_left"), now)
