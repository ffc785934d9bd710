# SPDX-License-Identifier: Apache-2.0
"""Certificates that no client may accept, made from the one that a host has: for its own key, so that its key stays."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.certificate import EXPIRED
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, UnavailableError
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import (
    CA_CERT,
    CA_KEY,
    CertificateError,
    leaf,
    require_cryptography,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import SecretError, SecretStore, open_store

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:  # require_cryptography says what to do
    pass

DAY = datetime.timedelta(days=1)


def issuer(settings: Any, service: str) -> Callable[[str, str], str]:
    """What makes the PEM for (host, kind of fault), from the store that `platform_secrets` describes."""

    def issue(host: str, kind: str) -> str:
        try:
            require_cryptography()
            return made(open_store(settings), leaf(host, service), kind)
        except (SecretError, CertificateError) as err:
            raise ChaosError(f"{host}: {err}") from err

    return issue


def made(store: SecretStore, name: str, kind: str) -> str:
    """The host's certificate, ended yesterday and signed by the platform's CA; or valid, and signed by a stranger.

    Raises:
        UnavailableError: the certificate is not issued by this platform, or its CA's key is kept elsewhere.
    """
    texts = {part: store.get(part) for part in (f"{name}/cert", CA_CERT, CA_KEY)}
    needed = list(texts) if kind == EXPIRED else [f"{name}/cert", CA_CERT]
    missing = [part for part in needed if not texts[part]]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} is not in the secret store: {kind} can't be made")
    own = x509.load_pem_x509_certificate(str(texts[f"{name}/cert"]).encode())
    authority = x509.load_pem_x509_certificate(str(texts[CA_CERT]).encode())
    now = datetime.datetime.now(datetime.UTC)
    key: Any = ec.generate_private_key(ec.SECP256R1())
    begin, end = now - DAY, now + DAY
    if kind == EXPIRED:
        key = serialization.load_pem_private_key(str(texts[CA_KEY]).encode(), password=None)
        begin, end = now - 3 * DAY, now - DAY
    builder = (
        x509.CertificateBuilder(authority.subject, own.subject, own.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    for extension in own.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return signed + str(texts[CA_CERT]).rstrip("\n") + "\n"
