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
  - In check mode a certificate that is not issued yet, or is about to be renewed, reads as a placeholder
    whose subject says so. C(--check) of the roles behind goes on and predicts what will change.
options:
  _terms:
    description: Name of a service, as C(consul).
    required: true
  part:
    description:
      - Private key, certificate, certificate with the CA behind it, or the CAs to trust.
      - V(issuer) is the CA that signs at present, V(sha256) the fingerprint of the certificate.
      - V(probe_cert) and V(probe_key) belong to a client of the CA that will sign next, and are empty unless a CA is
        rolled.
    type: str
    choices: [key, cert, chain, ca, issuer, sha256, probe_cert, probe_key]
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
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import (
    CA_BUNDLE,
    CA_CERT,
    CA_PROBE,
    CertificateError,
    fingerprint,
    leaf,
    placeholder,
    require_cryptography,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError


class LookupModule(StoreLookup):
    """Reads PEM texts."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """PEM of the asked part for each service."""
        try:
            require_cryptography()
            self.begin(variables, kwargs)
            host = self.get_option("host") or self.host
            # In check mode role pki issues nothing, so what it found to be due would still read as the old one.
            due = (variables or {}).get("__pki_due") or [] if self.check_mode and host == self.host else []
            stale = {certificate["service"] for certificate in due}
            return [self._part(host, str(service), service in stale) for service in terms]
        except (SecretError, CertificateError) as error:
            raise AnsibleLookupError(f"rsp.platform.certificate: {error}") from error

    def _part(self, host: str, service: str, stale: bool) -> str:
        part = self.get_option("part")
        own = f"{leaf(host, service)}/cert"
        if part == "ca":
            return self.store.get(CA_BUNDLE) or self._pem(CA_CERT, "cert")
        if part == "issuer":
            return self._pem(CA_CERT, "cert")
        if part in ("probe_cert", "probe_key"):
            return self.store.get(f"{CA_PROBE}/{part.removeprefix('probe_')}") or ""
        if stale:
            return placeholder()["key" if part == "key" else "cert"]
        if part in ("chain", "sha256"):
            pem = self._pem(own, "cert")
            return pem + self._pem(CA_CERT, "cert") if part == "chain" else fingerprint(pem)
        return self._pem(f"{leaf(host, service)}/{part}", part)

    def _pem(self, name: str, part: str) -> str:
        text = self.store.get(name)
        if text is not None:
            return text if text.endswith("\n") else f"{text}\n"
        if self.check_mode:
            return placeholder()[part]
        raise SecretError(
            f"{name} is not issued → run role rsp.platform.pki for this host (site.yml --tags pki); if others issue"
            f" certificates, {self.store.howto(name)}"
        )
