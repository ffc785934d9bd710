# SPDX-License-Identifier: Apache-2.0
"""SCRAM-SHA-256 verifiers, made on this side so that no password reaches a server's log (RFC 5803)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

ITERATIONS = 4096
SALT_BYTES = 16
VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$")


def check_password(password: str) -> None:
    """Raise ValueError for what clients may normalise differently (SASLprep); printable ASCII is the same for all."""
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a password must be printable ASCII and not empty")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What pg_authid keeps for `password`; the salt is random by default."""
    check_password(password)
    salt = salt if salt is not None else os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    keys = f"{_text(stored)}:{_text(_hmac(salted, b'Server Key'))}"
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${keys}"


def matches(password: str, kept: str | None) -> bool:
    """Whether `kept` was made of `password`. MD5 hashes, empty and malformed ones never match."""
    parts = VERIFIER.match(kept or "")
    if parts is None:
        return False
    try:
        salt = base64.b64decode(parts[2], validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(verifier(password, salt, int(parts[1])), parts[0])


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
