# SPDX-License-Identifier: Apache-2.0
"""Which certificates are due: pure decisions over PEM texts. Issuing is community.crypto's work."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
except ImportError as error:
    NO_CRYPTOGRAPHY: ImportError | None = error
else:
    NO_CRYPTOGRAPHY = None

CA_CERT, CA_KEY, CA_BUNDLE = "pki/ca/cert", "pki/ca/key", "pki/ca/bundle"
# While the CA is rolled: the one that will sign, and a client certificate of it, with which trust in it is tried out
CA_NEXT, CA_PROBE = "pki/ca/cert.next", "pki/ca/probe"
# Certificates begin so long before they are made, that a host whose clock is late takes them; role pki writes -5m.
BACKDATED_S = 300
USAGES = {"serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2"}
DAY = 86400


class CertificateError(Exception):
    """A certificate is asked for in words that make none, or this controller can't read certificates."""


def require_cryptography() -> None:
    """Raise CertificateError on a controller whose Python lacks the library that everything here needs."""
    if NO_CRYPTOGRAPHY is not None:
        raise CertificateError(f"{NO_CRYPTOGRAPHY} → install cryptography into the Python that runs Ansible")


def leaf(host: str, service: str) -> str:
    """Name in the secret store of a host's certificate; its parts are below, as `…/key` and `…/cert`."""
    return f"pki/{host.lower()}/{service}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a certificate shall say.

    Attributes:
        service: part of its name in the store.
        sans: subject alternative names as `DNS:…` and `IP:…`, addresses in their shortest form.
        common_name: of the subject; empty for a subject without one.
        usages: keys of USAGES.
    """

    service: str
    sans: frozenset[str]
    common_name: str
    usages: frozenset[str]

    @classmethod
    def parse(cls, entry: Mapping[str, Any], common_name: str) -> Wanted:
        """An entry of `pki_certificates`; `common_name` is for entries that say nothing of it."""
        service = str(entry["service"])
        sans = frozenset(_san(service, str(name)) for name in entry["sans"])
        usages = frozenset(entry.get("usages") or USAGES)
        if not sans:
            raise CertificateError(f"{service}: a certificate without names fits no address → give sans")
        if unknown := sorted(usages - USAGES.keys()):
            raise CertificateError(f"{service}: usages {', '.join(unknown)} are unknown → {', '.join(USAGES)}")
        named = entry.get("common_name")
        return cls(service, sans, common_name if named is None else str(named), usages)

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and texts, for tasks."""
        names = {"sans": sorted(self.sans), "usages": sorted(self.usages)}
        return {"service": self.service, "common_name": self.common_name, **names}


@dataclass(frozen=True, slots=True)
class Issued:
    """What the store holds for one certificate: PEM texts, None where there is none."""

    key: str | None
    certificate: str | None
    authority: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for all certificates of a host.

    Attributes:
        renew_days_left: a certificate with fewer days left is due.
        curve: elliptic curve of the keys.
        delivered: others issue: more names, other keys, subjects and intermediate CAs are their business.
        issued_before: a certificate that was made before this moment is due, whatever it says; seconds since the epoch.
    """

    renew_days_left: float
    curve: str
    delivered: bool = False
    issued_before: float = 0


def due(issued: Issued, wanted: Wanted, policy: Policy, now: datetime.datetime) -> str | None:
    """Why a certificate must be issued anew, or None when it is good.

    Args:
        issued: what there is now.
        wanted: what it shall say.
        policy: what holds for all of them.
        now: the moment of the question, with a time zone.
    """
    if not issued.key or not issued.certificate or not issued.authority:
        return "not issued yet"
    try:
        certificate, *intermediates = x509.load_pem_x509_certificates(issued.certificate.encode())
        authorities = x509.load_pem_x509_certificates(issued.authority.encode())
        key = serialization.load_pem_private_key(issued.key.encode(), None)
        found = _described(certificate, wanted.service)
    except (ValueError, TypeError) as error:
        return f"unreadable: {error}"
    issuers = [*intermediates, *authorities] if policy.delivered else authorities[:1]
    left = days_left(certificate, now)
    names = wanted.sans - found.sans if policy.delivered else wanted.sans ^ found.sans
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else "none"
    own = not policy.delivered
    made = certificate.not_valid_before_utc.timestamp() + BACKDATED_S
    reasons = (
        (key.public_key() != certificate.public_key(), "key and certificate do not belong together"),
        (certificate.not_valid_before_utc > now, f"not valid before {certificate.not_valid_before_utc:%F}"),
        (left < policy.renew_days_left, f"{span(left)} left, renewed below {span(policy.renew_days_left)}"),
        (bool(names), f"names changed: {', '.join(sorted(names))}"),
        (own and found.common_name != wanted.common_name, f"common name changed from {found.common_name!r}"),
        (own and found.usages != wanted.usages, f"usages changed from {', '.join(sorted(found.usages)) or 'none'}"),
        (own and curve != policy.curve, f"curve changed from {curve}"),
        (not any(_signed_by(certificate, issuer) for issuer in issuers), "signed by another CA"),
        (own and made < policy.issued_before, "a new one was asked for"),
    )
    return next((text for holds, text in reasons if holds), None)


def authority_fault(certificate: str, key: str | None, leaf_days: float, now: datetime.datetime) -> str | None:
    """Why a CA can't sign certificates that are valid for `leaf_days`, or None when it can."""
    try:
        authority = x509.load_pem_x509_certificate(certificate.encode())
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        private = serialization.load_pem_private_key(key.encode(), None) if key else None
    except x509.ExtensionNotFound:
        return "is no certificate of a CA"
    except (ValueError, TypeError) as error:
        return f"or its key is unreadable: {error}"
    left = days_left(authority, now)
    reasons = (
        (not constraints.ca, "is no certificate of a CA"),
        (private is None, f"has no key: {CA_KEY} is missing"),
        (private is not None and private.public_key() != authority.public_key(), "does not belong to its key"),
        (left < leaf_days, f"ends in {left:.0f} days, certificates for {span(leaf_days)} would outlive it"),
    )
    return next((text for holds, text in reasons if holds), None)


def days_left(certificate: x509.Certificate, now: datetime.datetime) -> float:
    """Days until a certificate ends; negative when it has ended."""
    return (certificate.not_valid_after_utc - now).total_seconds() / DAY


def span(days: float) -> str:
    """Days for people; minutes where a tenth of a day says nothing."""
    return f"{days:.1f}".removesuffix(".0") + " days" if abs(days) >= 1 else f"{days * 24 * 60:.0f} minutes"


def fingerprint(pem: str) -> str:
    """SHA-256 of a certificate in hexadecimal digits, the first one of several."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()
    except ValueError as error:
        raise CertificateError(f"a certificate of the store is unreadable: {error}") from error


@functools.cache
def placeholder() -> dict[str, str]:
    """Key and certificate that stand for what check mode does not issue: valid PEM, one pair a process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "check mode: not issued yet")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return {
        "key": key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain).decode(),
        "cert": certificate.public_bytes(encoding).decode(),
    }


def _described(certificate: x509.Certificate, service: str) -> Wanted:
    """What a certificate says."""
    sans, usages = set[str](), frozenset[str]()
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            sans |= {f"DNS:{name}" for name in value.get_values_for_type(x509.DNSName)}
            sans |= {f"IP:{address}" for address in value.get_values_for_type(x509.IPAddress)}
        elif isinstance(value, x509.ExtendedKeyUsage):
            said = {usage.dotted_string for usage in value}
            usages = frozenset(name for name, oid in USAGES.items() if oid in said)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Wanted(service, frozenset(sans), str(common[0].value) if common else "", usages)


def _san(service: str, name: str) -> str:
    kind, _colon, value = name.partition(":")
    if kind == "DNS" and value:
        return name
    try:
        if kind == "IP":
            return f"IP:{ipaddress.ip_address(value)}"
    except ValueError:
        pass
    raise CertificateError(f"{service}: {name!r} is no subject alternative name → DNS:name or IP:address")


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
