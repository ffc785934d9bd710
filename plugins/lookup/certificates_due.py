# SPDX-License-Identifier: Apache-2.0
"""Lookup of the certificates of a host that must be issued."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates_due
short_description: Which of a host's certificates must be issued, and why
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Judges key, names, usages, issuer and days left in the process of the controller.
    With nothing to issue no module is called.
options:
  _terms:
    description:
      - Wanted certificates, dicts with C(service), C(sans), C(common_name) and C(usages).
      - The first two are required. The others default to host and domain, and to V(serverAuth) and V(clientAuth).
    required: true
  domain:
    description: Domain of the host, for common names.
    type: str
    required: true
  renew_days_left:
    description: A certificate with fewer days left is due.
    type: float
    required: true
  leaf_days:
    description: Days for which a certificate will be issued. The CA has to last longer.
    type: float
    required: true
  ca_certificate:
    description: The CA that will sign when the store has none yet. Judged before it is kept.
    type: str
    default: ""
  ca_private_key:
    description: Its private key.
    type: str
    default: ""
  issued_before:
    description: Certificates that were made before this moment are due, in seconds since the epoch.
    type: float
    default: 0
  curve:
    description: Elliptic curve of the keys.
    type: str
    default: secp256r1
  delivered:
    description:
      - Others issue the certificates, and they are put into the store by hand.
      - Only what makes one useless makes it due then. More names, other keys and intermediate CAs are fine.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what is due
  ansible.builtin.debug:
    msg: >-
      {{ query('rsp.platform.certificates_due', {'service': 'consul', 'sans': ['DNS:localhost']},
               domain='rsp.internal', renew_days_left=30, leaf_days=90) }}
"""

RETURN = r"""
_raw:
  description: The wanted certificates that are due, complete, each with a C(reason) and its C(name) in the store.
  type: list
  elements: dict
"""

import datetime
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import (
    CA_BUNDLE,
    CA_CERT,
    CA_KEY,
    CertificateError,
    Issued,
    Policy,
    Wanted,
    authority_fault,
    due,
    leaf,
    require_cryptography,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError


class LookupModule(StoreLookup):
    """Compares wanted certificates with the store."""

    def run(
        self, terms: list[dict[str, Any]], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Wanted certificates that are due, with the reason."""
        try:
            require_cryptography()
            self.begin(variables, kwargs)
            common_name = f"{self.host}.{self.get_option('domain')}"
            found = self._due([Wanted.parse(term, common_name) for term in terms])
        except (SecretError, CertificateError) as error:
            raise AnsibleLookupError(f"rsp.platform.certificates_due: {error}") from error
        return found

    def _due(self, certificates: list[Wanted]) -> list[dict[str, Any]]:
        now = datetime.datetime.now(datetime.UTC)
        delivered = self.get_option("delivered")
        days, curve, before = (self.get_option(name) for name in ("renew_days_left", "curve", "issued_before"))
        policy = Policy(days, curve, delivered, before)
        authority = self.store.get(CA_CERT)
        trusted = (self.store.get(CA_BUNDLE) or authority) if delivered else authority
        found = []
        for wanted in certificates:
            key, certificate = (self.store.get(f"{leaf(self.host, wanted.service)}/{part}") for part in ("key", "cert"))
            reason = due(Issued(key, certificate, trusted), wanted, policy, now)
            if reason is not None:
                found.append({**wanted.as_dict(), "name": leaf(self.host, wanted.service), "reason": reason})
        if found and not delivered:
            self._refuse_issuing_in_vain(now)
        return found

    def _refuse_issuing_in_vain(self, now: datetime.datetime) -> None:
        """An error when what would be issued can't be kept, or can't be signed."""
        if not self.store.makes:
            raise SecretError(
                "certificates are due, and this back-end of platform_secrets keeps nothing"
                " → deliver them (pki_issue: false), or use a back-end that does"
            )
        certificate, key, name = self.store.get(CA_CERT), self.store.get(CA_KEY), CA_CERT
        if certificate is None:
            certificate, key = self.get_option("ca_certificate"), self.get_option("ca_private_key")
            name = "pki_ca_certificate"
        fault = authority_fault(certificate, key, self.get_option("leaf_days"), now) if certificate else None
        if fault:
            raise SecretError(f"{name} {fault} → see 'The CA' in docs/secrets.md")
