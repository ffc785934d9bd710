# SPDX-License-Identifier: Apache-2.0
"""Lookup of keys and certificates that role pki has issued."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: Key, certificate or trust bundle of a host's service
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Reads what role C(rsp.platform.pki) has issued and keeps in the secret store.
  - In check mode a certificate that is not issued yet reads as a marked placeholder,
    so that C(--check) of the roles behind goes on.
options:
  _terms:
    description: Name of a service, as C(consul).
    required: true
  part:
    description: Private key, certificate, certificate with the CA behind it, or the CAs to trust.
    type: str
    choices: [key, cert, chain, ca]
    default: cert
  host:
    description: Whose certificate; the current host unless set.
    type: str
"""

EXAMPLES = r"""
- name: Deliver a key as a secret file
  rsp.platform.files:
    service: consul
    files:
      - dest: /etc/consul.d/tls/server.key
        content: "{{ lookup('rsp.platform.certificate', 'consul', part='key') }}"
        secret: true
"""

RETURN = r"""
_raw:
  description: PEM texts, in the order of the services.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import CA_BUNDLE, CA_CERT, leaf
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError

PLACEHOLDER = "-----BEGIN NOT YET ISSUED-----\n{name}\n-----END NOT YET ISSUED-----\n"


class LookupModule(StoreLookup):
    """Reads PEM texts."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """PEM of the asked part for each service."""
        try:
            self.begin(variables, kwargs)
            return [self._part(self.get_option("host") or self.host, service) for service in terms]
        except SecretError as error:
            raise AnsibleLookupError(f"rsp.platform.certificate: {error}") from error

    def _part(self, host: str, service: str) -> str:
        part = self.get_option("part")
        if part == "ca":
            return self._pem(CA_BUNDLE if self.store.get(CA_BUNDLE) is not None else CA_CERT)
        if part == "chain":
            return self._pem(leaf(host, service, "cert")) + self._pem(CA_CERT)
        return self._pem(leaf(host, service, part))

    def _pem(self, name: str) -> str:
        text = self.store.get(name)
        if text is not None:
            return text
        if self.check_mode:
            return PLACEHOLDER.format(name=name)
        raise SecretError(f"{name} is not issued: run role rsp.platform.pki for this host, or {self.store.howto(name)}")
