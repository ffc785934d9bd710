# SPDX-License-Identifier: Apache-2.0
"""Which certificates are due: pure decisions over PEM texts. Issuing is community.crypto's work."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CA_CERT, CA_KEY, CA_BUNDLE = "pki/ca/cert", "pki/ca/key", "pki/ca/bundle"


def leaf(host: str, service: str, part: str) -> str:
    """Name in the secret store of a part of a host's certificate."""
    return f"pki/{host}/{service}/{part}"


def names_of(certificate: x509.Certificate) -> set[str]:
    """Subject alternative names in community.crypto's notation: DNS:…, IP:…"""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    found = {f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)}
    return found | {f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)}


def normal(name: str) -> str:
    """A wanted name in the notation of `names_of`."""
    kind, _, value = name.partition(":")
    return f"IP:{ipaddress.ip_address(value)}" if kind == "IP" else f"{kind}:{value}"


@dataclass(frozen=True, slots=True)
class Issued:
    """What the store holds of one certificate: PEM texts, None where there is none."""

    key: str | None
    certificate: str | None
    authority: str | None


def due(issued: Issued, sans: Sequence[str], renew_days_left: float, now: datetime.datetime) -> str | None:
    """Why a certificate must be issued anew, or None when it is good.

    Args:
        issued: what there is now.
        sans: names that it must carry, exactly.
        renew_days_left: it is due when fewer days are left.
        now: the moment of the question, with a time zone.
    """
    if not issued.key or not issued.certificate or not issued.authority:
        return "not issued yet"
    try:
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        authority = x509.load_pem_x509_certificate(issued.authority.encode())
        key = load_pem_private_key(issued.key.encode(), None)
    except ValueError as error:
        return f"unreadable: {error}"
    left = (certificate.not_valid_after_utc - now).total_seconds() / 86400
    different = {normal(name) for name in sans} ^ names_of(certificate)
    reasons = (
        (key.public_key() != certificate.public_key(), "key and certificate do not belong together"),
        (left < renew_days_left, f"{left:.1f} days left, renewed below {renew_days_left:g}"),
        (bool(different), f"names changed: {', '.join(sorted(different))}"),
        (not _signed_by(certificate, authority), "signed by another CA"),
    )
    return next((text for holds, text in reasons if holds), None)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
