"""When a certificate is due, what a CA may sign, and what the lookups hand out."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.rsp.platform.plugins.lookup import certificate as certificate_lookup
from ansible_collections.rsp.platform.plugins.lookup import certificates_due
from ansible_collections.rsp.platform.plugins.plugin_utils import certificates
from ansible_collections.rsp.platform.plugins.plugin_utils.certificates import (
    CertificateError,
    Issued,
    Policy,
    Wanted,
    authority_fault,
    days_left,
    due,
    leaf,
    placeholder,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.lookups import StoreLookup
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
BOTH = ("serverAuth", "clientAuth")
OIDS = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
POLICY = Policy(renew_days_left=30, curve="secp256r1")
SANS = ("DNS:a1", "DNS:localhost", "IP:10.0.0.1", "IP:::1")
WANTED = Wanted.parse({"service": "consul", "sans": SANS}, "a1.rsp.internal")


@dataclass
class Pair:
    """A key and its certificate, and both as PEM."""

    private: Any
    certificate: x509.Certificate

    @property
    def key(self) -> str:
        plain = serialization.NoEncryption()
        return self.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def make_ca(name: str = "CA", days: float = 3650, issuer: Pair | None = None, is_ca: bool = True) -> Pair:
    """A CA of its own, or one below another."""
    private = ec.generate_private_key(ec.SECP256R1())
    signed_by = issuer.certificate.subject if issuer else subject(name)
    builder = (
        x509.CertificateBuilder(signed_by, subject(name), private.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    return Pair(private, builder.sign(issuer.private if issuer else private, hashes.SHA256()))


@dataclass(frozen=True)
class Leaf:
    """A recipe of a certificate; the default is what WANTED asks for."""

    sans: tuple[str, ...] = SANS
    common_name: str = "a1.rsp.internal"
    usages: tuple[str, ...] = BOTH
    days: float = 90
    starts: float = -1
    key: str = "secp256r1"

    def signed_by(self, ca: Pair) -> Pair:
        private: Any = {
            "secp256r1": lambda: ec.generate_private_key(ec.SECP256R1()),
            "secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
        }[self.key]()
        names = [name.partition(":") for name in self.sans]
        alternatives = [
            x509.DNSName(value) if kind == "DNS" else x509.IPAddress(ipaddress.ip_address(value))
            for kind, _, value in names
        ]
        builder = (
            x509.CertificateBuilder(
                ca.certificate.subject, subject(self.common_name), private.public_key(), x509.random_serial_number()
            )
            .not_valid_before(NOW + datetime.timedelta(days=self.starts))
            .not_valid_after(NOW + datetime.timedelta(days=self.days))
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if self.usages:
            usage = x509.ExtendedKeyUsage([OIDS[name] for name in self.usages])
            builder = builder.add_extension(usage, critical=False)
        return Pair(private, builder.sign(ca.private, hashes.SHA256()))


CA = make_ca()
GOOD = Leaf().signed_by(CA)
ISSUED = Issued(GOOD.key, GOOD.pem, CA.pem)
FROZEN = SimpleNamespace(datetime=SimpleNamespace(now=lambda _: NOW), UTC=datetime.UTC)
CORPORATE = replace(POLICY, delivered=True)


def judged(made: Leaf, policy: Policy = POLICY, wanted: Wanted = WANTED) -> str | None:
    pair = made.signed_by(CA)
    return due(Issued(pair.key, pair.pem, CA.pem), wanted, policy, NOW)


# --- what is wanted


def test_an_entry_is_completed():
    assert WANTED.as_dict() == {
        "service": "consul",
        "common_name": "a1.rsp.internal",
        "sans": sorted(SANS),
        "usages": ["clientAuth", "serverAuth"],
    }


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"common_name": ""}, ""),
        ({"common_name": "rsp-smoke"}, "rsp-smoke"),
        ({"common_name": None}, "a1.rsp.internal"),
        ({}, "a1.rsp.internal"),
    ],
)
def test_common_names(entry, expected):
    assert Wanted.parse({"service": "x", "sans": ["DNS:a"], **entry}, "a1.rsp.internal").common_name == expected


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"sans": []}, "x: a certificate without names fits no address"),
        ({"sans": ["a1"]}, "x: 'a1' is no subject alternative name → DNS:name or IP:address"),
        ({"sans": ["DNS:"]}, "'DNS:' is no subject"),
        ({"sans": ["IP:a1"]}, "'IP:a1' is no subject"),
        ({"sans": ["IP:10.0.0.1/24"]}, "'IP:10.0.0.1/24' is no subject"),
        ({"sans": ["email:x@y"]}, "'email:x@y' is no subject"),
        ({"sans": ["DNS:a"], "usages": ["codeSigning"]}, "x: usages codeSigning are unknown → serverAuth, clientAuth"),
    ],
)
def test_impossible_entries(entry, text):
    with pytest.raises(CertificateError, match=text):
        Wanted.parse({"service": "x", **entry}, "cn")


def test_names_in_the_store_are_lower_case():
    assert leaf("DB-A-1", "consul") == "pki/db-a-1/consul"


# --- when one is due


@pytest.mark.parametrize("name", ["key", "certificate", "authority"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_lacks_is_issued(name, value):
    assert due(replace(ISSUED, **{name: value}), WANTED, POLICY, NOW) == "not issued yet"


def test_a_good_one_stays():
    assert due(ISSUED, WANTED, POLICY, NOW) is None


@pytest.mark.parametrize(
    ("days", "renew", "reason"),
    [
        (90, 30, None),
        (30.01, 30, None),
        (30, 30, None),
        (29.9, 30, "29.9 days left, renewed below 30 days"),
        (1, 30, "1 days left, renewed below 30 days"),
        (0.5, 0, None),
        (-0.5, 0, "-720 minutes left, renewed below 0 minutes"),
        (-0.5, 30, "-720 minutes left, renewed below 30 days"),
    ],
)
@pytest.mark.parametrize("policy", [POLICY, CORPORATE])
def test_days_left(days, renew, reason, policy):
    assert judged(Leaf(days=days), replace(policy, renew_days_left=renew)) == reason


def test_minutes_where_days_say_nothing():
    short = replace(POLICY, renew_days_left=0.005)
    assert judged(Leaf(days=0.0069), short) is None
    assert judged(Leaf(days=0.0035), short) == "5 minutes left, renewed below 7 minutes"


@pytest.mark.parametrize(("before", "reason"), [(-1, None), (0, None), (1, "a new one was asked for")])
def test_what_was_made_before_a_moment_is_due(before, reason):
    """A certificate begins five minutes before it was made."""
    made = GOOD.certificate.not_valid_before_utc.timestamp() + certificates.BACKDATED_S
    assert due(ISSUED, WANTED, replace(POLICY, issued_before=made + before), NOW) == reason
    assert due(ISSUED, WANTED, replace(CORPORATE, issued_before=made + before), NOW) is None


def test_the_role_dates_back_as_the_judge_expects():
    tasks = (ROOT / "roles/pki/tasks/certificate.yml").read_text(encoding="utf-8")
    assert f'ownca_not_before: "-{certificates.BACKDATED_S // 60}m"' in tasks


@pytest.mark.parametrize("passed", range(0, 95, 5))
def test_one_certificate_over_its_life(passed):
    later = NOW + datetime.timedelta(days=passed)
    assert (due(ISSUED, WANTED, POLICY, later) is None) == (passed <= 60)


@pytest.mark.parametrize(
    ("made", "own", "delivered"),
    [
        (Leaf(), None, None),
        (Leaf(sans=(*SANS, "DNS:more")), "names changed: DNS:more", None),
        (Leaf(sans=SANS[1:]), "names changed: DNS:a1", "names changed: DNS:a1"),
        (Leaf(sans=("DNS:b1", *SANS[1:])), "names changed: DNS:a1, DNS:b1", "names changed: DNS:a1"),
        (Leaf(sans=SANS[::-1]), None, None),
        (Leaf(sans=()), f"names changed: {', '.join(SANS)}", f"names changed: {', '.join(SANS)}"),
        (Leaf(usages=("serverAuth",)), "usages changed from serverAuth", None),
        (Leaf(usages=()), "usages changed from none", None),
        (Leaf(common_name="other"), "common name changed from 'other'", None),
        (Leaf(common_name=""), "common name changed from ''", None),
        (Leaf(key="secp384r1"), "curve changed from secp384r1", None),
        (Leaf(key="rsa"), "curve changed from none", None),
        (Leaf(starts=2), "not valid before 2026-06-03", "not valid before 2026-06-03"),
    ],
)
def test_what_it_says(made, own, delivered):
    assert judged(made, POLICY) == own
    assert judged(made, CORPORATE) == delivered


@pytest.mark.parametrize("address", ["IP:0:0:0:0:0:0:0:1", "IP:::1", "IP:0::1"])
def test_an_address_may_be_written_in_many_ways(address):
    wanted = Wanted.parse({"service": "consul", "sans": [*SANS[:3], address]}, "a1.rsp.internal")
    assert due(ISSUED, wanted, POLICY, NOW) is None


@pytest.mark.parametrize("policy", [POLICY, CORPORATE])
def test_a_foreign_issuer(policy):
    foreign = Leaf().signed_by(make_ca("another"))
    same_name = Leaf().signed_by(make_ca())  # only the signature tells
    for pair in (foreign, same_name):
        assert due(Issued(pair.key, pair.pem, CA.pem), WANTED, policy, NOW) == "signed by another CA"


@pytest.mark.parametrize("policy", [POLICY, CORPORATE])
def test_another_key(policy):
    other = Leaf().signed_by(CA)
    reason = due(replace(ISSUED, key=other.key), WANTED, policy, NOW)
    assert reason == "key and certificate do not belong together"


@pytest.mark.parametrize("name", ["key", "certificate", "authority"])
def test_garbage_is_issued_anew_and_not_quoted(name):
    reason = due(replace(ISSUED, **{name: "CANARY"}), WANTED, POLICY, NOW)
    assert reason is not None
    assert reason.startswith("unreadable: ")
    assert "CANARY" not in reason


def test_a_delivered_one_may_have_intermediates():
    below = make_ca("intermediate", issuer=CA)
    pair = Leaf().signed_by(below)
    chained = Issued(pair.key, pair.pem + below.pem, CA.pem)
    assert due(chained, WANTED, CORPORATE, NOW) is None
    assert due(replace(chained, certificate=pair.pem), WANTED, CORPORATE, NOW) == "signed by another CA"
    assert due(replace(chained, authority=CA.pem + below.pem), WANTED, CORPORATE, NOW) is None


def test_the_first_of_several_cas_signs():
    new = make_ca("new")
    assert due(replace(ISSUED, authority=CA.pem + new.pem), WANTED, POLICY, NOW) is None
    assert due(replace(ISSUED, authority=new.pem + CA.pem), WANTED, POLICY, NOW) == "signed by another CA"


# --- what a CA may sign


@pytest.mark.parametrize(
    ("certificate", "key", "days", "fault"),
    [
        (CA.pem, CA.key, 90, None),
        (CA.pem, CA.key, 3651, "ends in 3650 days, certificates for 3651 days would outlive it"),
        (make_ca(days=10).pem, None, 90, "has no key: pki/ca/key is missing"),
        (CA.pem, "", 90, "has no key: pki/ca/key is missing"),
        (CA.pem, make_ca().key, 90, "does not belong to its key"),
        (make_ca(is_ca=False).pem, CA.key, 90, "is no certificate of a CA"),
        (GOOD.pem, GOOD.key, 9, "is no certificate of a CA"),
    ],
)
def test_authorities(certificate, key, days, fault):
    assert authority_fault(certificate, key, days, NOW) == fault


def test_an_expired_authority():
    old = make_ca(days=-0.5)
    assert authority_fault(old.pem, old.key, 90, NOW) == "ends in -0 days, certificates for 90 days would outlive it"


@pytest.mark.parametrize(("certificate", "key"), [("CANARY", CA.key), (CA.pem, "CANARY")])
def test_an_unreadable_authority(certificate, key):
    fault = authority_fault(certificate, key, 90, NOW)
    assert fault is not None
    assert fault.startswith("or its key is unreadable")
    assert "CANARY" not in fault


def test_days_left_are_counted():
    assert days_left(GOOD.certificate, NOW) == 90


# --- the placeholder of check mode


def test_the_placeholder_is_a_pair_and_says_what_it_is():
    pair = placeholder()
    certificate = x509.load_pem_x509_certificate(pair["cert"].encode())
    key = serialization.load_pem_private_key(pair["key"].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert "check mode: not issued yet" in certificate.subject.rfc4514_string()
    assert placeholder() == pair


# --- the lookups


@pytest.fixture
def variables(tmp_path):
    settings = {"backend": "file", "path": f"{tmp_path}/secrets.yml", "key_file": f"{tmp_path}/secrets.key"}
    return {"inventory_hostname": "a1", "ansible_check_mode": False, "platform_secrets": settings}


@pytest.fixture
def store(variables):
    return open_store(variables["platform_secrets"])


@pytest.fixture
def issued(store):
    store.put({"pki/ca/cert": CA.pem, "pki/a1/consul/key": GOOD.key, "pki/a1/consul/cert": GOOD.pem})
    store.put({"pki/b1/consul/cert": "of b1\n"})
    return store


def lookup(variables: dict[str, Any], arguments: str) -> Any:
    text = f"{{{{ lookup('rsp.platform.certificate', {arguments}) }}}}"
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'consul'", GOOD.pem),
        ("'consul', part='cert'", GOOD.pem),
        ("'consul', part='key'", GOOD.key),
        ("'consul', part='ca'", CA.pem),
        ("'anything', part='ca'", CA.pem),
        ("'consul', part='chain'", GOOD.pem + CA.pem),
        ("'consul', host='b1'", "of b1\n"),
    ],
)
def test_parts(variables, issued, arguments, expected, check_mode):
    assert lookup({**variables, "ansible_check_mode": check_mode}, arguments) == expected


def test_the_bundle_goes_first(variables, issued):
    issued.put({"pki/ca/bundle": "old\nnew\n"})
    assert lookup(variables, "'consul', part='ca'") == "old\nnew\n"


def test_a_last_line_is_complete(variables, store):
    store.put({"pki/a1/x/cert": "LEAF", "pki/ca/cert": "CA"})
    assert lookup(variables, "'x', part='chain'") == "LEAF\nCA\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("'etcd'", "pki/a1/etcd/cert"),
        ("'etcd', part='key'", "pki/a1/etcd/key"),
        ("'consul', host='c1'", "pki/c1/consul/cert"),
        ("'etcd', part='ca'", "pki/ca/cert"),
    ],
)
def test_what_is_not_issued(variables, arguments, name):
    with pytest.raises(AnsibleError, match=f"{name} is not issued → run role rsp.platform.pki for this host"):
        lookup(variables, arguments)


def test_a_part_that_does_not_exist(variables, issued):
    with pytest.raises(AnsibleError, match="crt"):
        lookup(variables, "'consul', part='crt'")


def test_check_mode_before_anything_was_issued(variables, tmp_path):
    checking = {**variables, "ansible_check_mode": True}
    pair = placeholder()
    assert lookup(checking, "'consul', part='key'") == pair["key"]
    assert lookup(checking, "'consul'") == lookup(checking, "'consul', part='ca'") == pair["cert"]
    assert lookup(checking, "'consul', part='chain'") == pair["cert"] * 2
    assert list(tmp_path.iterdir()) == []


def test_check_mode_of_a_renewal_predicts_new_files(variables, issued):
    found = {**variables, "ansible_check_mode": True, "__pki_due": [{"service": "consul"}]}
    assert lookup(found, "'consul', part='key'") == placeholder()["key"]
    assert lookup(found, "'consul'") == placeholder()["cert"]
    assert lookup(found, "'consul', part='ca'") == CA.pem
    assert lookup(found, "'consul', host='b1'") == "of b1\n"
    assert lookup({**found, "ansible_check_mode": False}, "'consul'") == GOOD.pem


def find_due(variables: dict[str, Any], entries: list[dict[str, Any]], **options: Any) -> Any:
    arguments = {"domain": "rsp.internal", "renew_days_left": 30, "leaf_days": 90, **options}
    text = "{{ query('rsp.platform.certificates_due', *entries, **arguments) }}"
    known = {**variables, "entries": entries, "arguments": arguments}
    return Templar(loader=DataLoader(), variables=known).template(trust_as_template(text))


@pytest.fixture
def at_noon(monkeypatch):
    """The moment for which the certificates of this file are made."""

    monkeypatch.setattr(certificates_due, "datetime", FROZEN)


@pytest.mark.usefixtures("at_noon")
def test_only_what_is_due_is_named(variables, issued):
    issued.put({"pki/ca/key": CA.key})
    found = find_due(variables, [{"service": "consul", "sans": SANS}, {"service": "etcd", "sans": ["DNS:a1"]}])
    assert found == [
        {
            "service": "etcd",
            "common_name": "a1.rsp.internal",
            "sans": ["DNS:a1"],
            "usages": ["clientAuth", "serverAuth"],
            "name": "pki/a1/etcd",
            "reason": "not issued yet",
        }
    ]


@pytest.mark.usefixtures("at_noon")
def test_a_ca_that_can_not_sign_matters_only_when_something_is_due(variables, issued):
    assert find_due(variables, [{"service": "consul", "sans": SANS}]) == []
    with pytest.raises(AnsibleError, match="pki/ca/cert has no key: pki/ca/key is missing → see 'The CA'"):
        find_due(variables, [{"service": "etcd", "sans": ["DNS:a1"]}])
    assert find_due(variables, [{"service": "etcd", "sans": ["DNS:a1"]}], delivered=True)[0]["name"] == "pki/a1/etcd"


@pytest.mark.usefixtures("at_noon")
def test_delivered_ones_are_judged_by_the_bundle(variables, store):
    below = make_ca("intermediate", issuer=CA)
    pair = Leaf(sans=(*SANS, "DNS:more"), key="rsa").signed_by(below)
    store.put({"pki/a1/consul/key": pair.key, "pki/a1/consul/cert": pair.pem, "pki/ca/cert": CA.pem})
    entries = [{"service": "consul", "sans": SANS}]
    assert find_due(variables, entries, delivered=True)[0]["reason"] == "signed by another CA"
    store.put({"pki/ca/bundle": CA.pem + below.pem})
    assert find_due(variables, entries, delivered=True) == []


def test_what_can_not_be_kept_is_not_issued(variables, monkeypatch):
    variables["platform_secrets"] = {"backend": "environment", "prefix": "CERT_"}
    entries = [{"service": "consul", "sans": SANS}]
    with pytest.raises(AnsibleError, match=r"keeps nothing → deliver them \(pki_issue: false\)"):
        find_due(variables, entries)
    assert find_due(variables, entries, delivered=True)[0]["reason"] == "not issued yet"
    for name, value in (("A1_CONSUL_KEY", GOOD.key), ("A1_CONSUL_CERT", GOOD.pem), ("CA_CERT", CA.pem)):
        monkeypatch.setenv(f"CERT_PKI_{name}", value)
    monkeypatch.setattr(certificates_due, "datetime", FROZEN)
    assert find_due(variables, entries) == []


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize(
    ("days", "text"), [(400, None), (89, "pki_ca_certificate ends in 89 days, certificates for 90 days would outlive")]
)
def test_a_ca_is_judged_before_it_is_kept(variables, tmp_path, days, text):
    corporate = make_ca("corporate", days=days)
    handed = {"ca_certificate": corporate.pem, "ca_private_key": corporate.key}
    entries = [{"service": "etcd", "sans": ["DNS:a1"]}]
    if text is None:
        assert len(find_due(variables, entries, **handed)) == 1
    else:
        with pytest.raises(AnsibleError, match=text):
            find_due(variables, entries, **handed)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_entry_is_an_error_with_its_name(variables):
    with pytest.raises(AnsibleError, match=r"certificates_due: consul: 'a1' is no subject alternative name"):
        find_due(variables, [{"service": "consul", "sans": ["a1"]}])


def test_nothing_wanted_is_nothing_due(variables, tmp_path):
    assert find_due(variables, []) == []
    assert list(tmp_path.iterdir()) == []


def test_the_lookups_share_one_base():
    for module in (certificate_lookup, certificates_due):
        assert issubclass(module.LookupModule, StoreLookup)


def test_a_controller_without_cryptography_is_told_so(variables, monkeypatch):
    monkeypatch.setattr(certificates, "NO_CRYPTOGRAPHY", ModuleNotFoundError("No module named 'cryptography'"))
    with pytest.raises(AnsibleError, match="certificates_due: No module named 'cryptography' → install"):
        find_due(variables, [])
    with pytest.raises(AnsibleError, match="certificate: No module named 'cryptography' → install"):
        lookup(variables, "'consul'")
