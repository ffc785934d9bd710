"""SCRAM verifiers, against the example of RFC 7677 and what PostgreSQL made of a password."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import check_password, matches, verifier

RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_the_example_of_the_rfc():
    assert verifier("pencil", RFC_SALT) == RFC


@pytest.mark.parametrize(
    ("password", "kept", "expected"),
    [
        ("pencil", RFC, True),
        ("Pencil", RFC, False),
        ("pencil", None, False),
        ("pencil", "", False),
        ("pencil", "md5c4d1ea5a1a4ebc2e4ba5b5ad4e9c7f3b", False),
        ("pencil", RFC.replace("W22Z", "!!!!"), False),
        ("pencil", RFC.replace("==$", "$"), False),
        ("pencil", RFC.replace("4096", "4097"), False),
        ("pencil", RFC + "x", False),
    ],
)
def test_matches(password, kept, expected):
    assert matches(password, kept) is expected


def test_each_verifier_has_a_salt_of_its_own_and_matches():
    one, two = verifier("secret"), verifier("secret")
    assert one != two
    assert matches("secret", one)
    assert matches("secret", two)


@pytest.mark.parametrize("password", ["", "пароль", "line\nbreak", "tab\t", "naïve"])
def test_what_clients_may_normalise_differently_is_refused(password):
    with pytest.raises(ValueError, match="printable ASCII"):
        check_password(password)
    with pytest.raises(ValueError, match="printable ASCII"):
        verifier(password)
