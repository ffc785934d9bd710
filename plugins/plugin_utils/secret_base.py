# SPDX-License-Identifier: Apache-2.0
"""What every back-end of the secret store offers, how secrets are named, and how new ones are made."""

from __future__ import annotations

import base64
import re
import secrets
import string
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
ALPHABET = string.ascii_letters + string.digits
KINDS: dict[str, Callable[[int], str]] = {
    "password": lambda length: "".join(secrets.choice(ALPHABET) for _position in range(length)),
    "hex": lambda length: secrets.token_hex(length)[:length],
    "uuid": lambda _: str(uuid.uuid4()),
    "base64": lambda length: base64.b64encode(secrets.token_bytes(length)).decode(),
}


class SecretError(Exception):
    """A secret is missing, or the store can't be read or written. Never carries a value."""


class SecretStore(Protocol):
    """A back-end: one file in this directory, one entry in `secret_store.BACKENDS`."""

    @property
    def makes(self) -> bool:
        """Whether secrets can be written; if not, an operator has to provide every one."""

    def get(self, name: str) -> str | None:
        """The value, or None when the store has no such secret."""

    def put(self, values: Mapping[str, str], *, once: bool = False, absent: Collection[str] = ()) -> dict[str, str]:
        """Keep values and forget others, all of it or nothing, and say which values changed.

        Args:
            values: secrets by name.
            once: do it only if none of them is there yet, however many try at the same time.
            absent: names that the store shall no longer have; with `once` they go only when the values are kept.
        """

    def howto(self, name: str) -> str:
        """How an operator sets this secret by hand."""


def generate(kind: str, length: int) -> str:
    """A new random value.

    Args:
        kind: password (letters and digits), hex, uuid, or base64 (of `length` random bytes).
        length: characters, or bytes for base64; of no meaning for uuid.
    """
    if kind not in KINDS:
        raise SecretError(f"generate={kind!r} is unknown: one of {', '.join(KINDS)}")
    if length < 1:
        raise SecretError(f"length={length} makes no secret: at least 1")
    return KINDS[kind](length)


def check_name(name: str) -> str:
    """The name itself; an error when it is not made of lower-case segments."""
    if not NAME.fullmatch(name):
        raise SecretError(
            f"{name!r} is no name of a secret: lower-case letters, digits, . _ - in segments divided by /"
        )
    return name


def changes(known: Mapping[str, str], values: Mapping[str, str], *, once: bool = False) -> dict[str, str]:
    """What of `values` a store that holds `known` has to write."""
    if once and not known.keys().isdisjoint(values):
        return {}
    return {name: value for name, value in values.items() if known.get(name) != value}
