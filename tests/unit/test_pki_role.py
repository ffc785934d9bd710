"""Role pki as ansible-playbook runs it: what check mode predicts is issued, once, unseen, and openssl agrees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import open_store

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
CERTIFICATES = [
    {"service": "consul", "sans": ["DNS:{{ inventory_hostname }}", "DNS:localhost", "IP:{{ platform_address }}"]},
    {"service": "etcd", "common_name": "", "sans": ["DNS:{{ inventory_hostname }}", "IP:::1"]},
    {"service": "web", "usages": ["serverAuth"], "sans": ["DNS:{{ inventory_hostname }}"]},
]
SERVICES = [str(certificate["service"]) for certificate in CERTIFICATES]
# A host that can't be reached and has no Python, and whose user must change: the role may ask nothing of it.
VARIABLES = {
    "platform_name": "rsp-test",
    "platform_domain": "rsp.internal",
    "ansible_host": "192.0.2.1",
    "ansible_become": True,
    "ansible_python_interpreter": "/nonexistent",
    "platform_secrets": {
        "backend": "file",
        "path": "{{ inventory_dir }}/store/secrets.yml",
        "key_file": "{{ inventory_dir }}/store/secrets.key",
    },
}
PLAY = [
    {
        "name": "Test | Issue and read",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.import_role": {"name": "rsp.platform.pki"}, "vars": {"pki_certificates": CERTIFICATES}},
            {
                "name": "Test | Read every part",
                "ansible.builtin.assert": {
                    "that": [
                        "'BEGIN CERTIFICATE' in lookup('rsp.platform.certificate', 'consul')",
                        "'BEGIN PRIVATE KEY' in lookup('rsp.platform.certificate', 'consul', part='key')",
                        "'BEGIN CERTIFICATE' in lookup('rsp.platform.certificate', 'consul', part='ca')",
                    ],
                    "quiet": True,
                },
            },
        ],
    }
]
CHANGED = re.compile(r"^changed: \[([^\]]+)\]", re.MULTILINE)
TASK = re.compile(r"^TASK \[(?:rsp\.platform\.pki : )?([^\]]+)\]", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What ansible-playbook said."""

    code: int
    output: str

    @property
    def changed(self) -> set[tuple[str, str]]:
        """Tasks that changed something, with the host."""
        _, *parts = TASK.split(self.output)
        tasks = zip(parts[::2], parts[1::2], strict=True)
        return {(task, host) for task, text in tasks for host in CHANGED.findall(text)}

    @property
    def module_calls(self) -> int:
        """How many modules were started; -vvv tells."""
        return self.output.count("Using module file")


class Site:
    """An inventory of two hosts with a store of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        hosts = {"h1": {"platform_address": "10.0.0.1"}, "h2": {"platform_address": "10.0.0.2"}}
        self.write("hosts.yml", {"all": {"hosts": hosts, "vars": VARIABLES}})
        self.write("play.yml", PLAY)
        store = directory / "store"
        self.store = open_store({"backend": "file", "path": f"{store}/secrets.yml", "key_file": f"{store}/secrets.key"})

    def write(self, name: str, data: object) -> Path:
        path = self.directory / name
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    def run(self, *arguments: str, **variables: object) -> Run:
        extra = self.write("extra.yml", variables)
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "ansible"),
            "ANSIBLE_PIPELINING": "false",  # the role asks for it itself
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [ANSIBLE, "-i", "hosts.yml", "play.yml", "-e", f"@{extra}", *arguments]
        done = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def get(self, name: str) -> str:
        value = self.store.get(name)
        assert value is not None, name
        return value


@dataclass(frozen=True)
class Story:
    """An empty store, predicted, filled host by host, left alone, and looked at with another wish."""

    site: Site
    empty_check: Run
    kept_after_check: bool
    first: Run
    authority_after_first: str
    rest: Run
    again: Run
    wish: Run


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("pki"))
    empty_check = site.run("--check", "--diff", "-vvv")
    kept = (site.directory / "store").exists()
    first = site.run("--diff", "-vvv", "--limit", "h1")
    authority = site.get("pki/ca/cert")
    rest = site.run("--diff", "-vvv")
    again = site.run("--diff", "-vvv")
    wish = site.run("--check", pki_renew_days_left=89, pki_leaf_days=90, pki_curve="secp384r1")
    return Story(site, empty_check, kept, first, authority, rest, again, wish)


def openssl(*arguments: str, text: str) -> str:
    """What OpenSSL says, the independent judge."""
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_check_mode_predicts_exactly_what_is_issued(story):
    assert story.empty_check.code == 0, story.empty_check.output
    assert story.empty_check.changed == story.first.changed | story.rest.changed
    assert story.empty_check.changed == {
        ("Authority | Keep it", "h1"),
        ("Certificate | Keep them", "h1"),
        ("Certificate | Keep them", "h2"),
    }


def test_check_mode_writes_nothing(story):
    assert story.kept_after_check is False
    assert story.empty_check.module_calls == 0


def test_the_limit_is_kept_and_the_ca_is_made_once(story):
    assert story.first.code == 0, story.first.output
    assert story.rest.code == 0, story.rest.output
    assert {host for _, host in story.first.changed} == {"h1"}
    assert story.rest.changed == {("Certificate | Keep them", "h2")}
    assert story.site.get("pki/ca/cert") == story.authority_after_first


def test_a_second_run_changes_nothing_and_calls_no_module(story):
    assert story.again.code == 0, story.again.output
    assert story.first.module_calls > 0
    assert (story.again.changed, story.again.module_calls) == (set(), 0)


def test_reasons_are_shown(story):
    assert "consul: not issued yet" in story.first.output
    assert story.wish.code == 0, story.wish.output
    assert "curve changed from secp256r1" in story.wish.output
    assert story.wish.changed == {("Certificate | Keep them", "h1"), ("Certificate | Keep them", "h2")}


def test_no_key_is_shown_and_none_is_written_to_a_file(story):
    names = ["pki/ca/key", *(f"pki/{host}/{service}/key" for host in ("h1", "h2") for service in SERVICES)]
    key_file = (story.site.directory / "store/secrets.key").read_text().strip()
    secrets = [story.site.get(name).splitlines()[1] for name in names] + [key_file]
    for run in (story.empty_check, story.first, story.rest, story.again):
        assert not [secret for secret in secrets if secret in run.output]
        assert "PRIVATE KEY-----" not in run.output
        assert " PUT " not in run.output  # with pipelining, modules and their arguments are never files
    left = [path for path in story.site.directory.rglob("*") if path.is_file()]
    assert not [path for path in left if any(secret in path.read_text() for secret in secrets[:-1])]


CERTIFIED = {
    "consul": ("OK", "CN = {host}.rsp.internal", "DNS:{host}, DNS:localhost, IP Address:10.0.0.{index}"),
    "etcd": ("OK", "", "DNS:{host}, IP Address:0:0:0:0:0:0:0:1"),
    "web": ("unsuitable certificate purpose", "CN = {host}.rsp.internal", "DNS:{host}"),
}


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("service", SERVICES)
def test_openssl_agrees(story, tmp_path, host, service):
    client, subject, names = (text.format(host=host, index=host[1:]) for text in CERTIFIED[service])
    (tmp_path / "ca.pem").write_text(story.site.get("pki/ca/cert"))
    certificate = story.site.get(f"pki/{host}/{service}/cert")
    for purpose, expected in (("sslserver", "OK"), ("sslclient", client)):
        given = ("-x509_strict", "-CAfile", f"{tmp_path}/ca.pem", "-purpose", purpose)
        assert expected in openssl("verify", *given, text=certificate)
    shown = openssl("x509", "-noout", "-subject", "-ext", "subjectAltName", text=certificate)
    assert shown.splitlines()[0].removeprefix("subject=").strip() == subject
    assert names in shown
    public = openssl("x509", "-noout", "-pubkey", text=certificate)
    assert openssl("pkey", "-pubout", text=story.site.get(f"pki/{host}/{service}/key")) == public


def test_the_ca_signs_leaves_only(story):
    shown = openssl("x509", "-noout", "-text", text=story.site.get("pki/ca/cert"))
    assert "CA:TRUE, pathlen:0" in shown
    assert "Certificate Sign, CRL Sign" in shown
    assert "rsp-test platform CA" in shown


# --- others issue, or another CA does


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_without_issuing_every_missing_name_is_said(site):
    run = site.run("--limit", "h1", pki_issue=False)
    assert run.code != 0
    for service in SERVICES:
        assert f"pki/h1/{service}: not issued yet" in run.output
    assert "put them into the secret store" in run.output
    assert not (site.directory / "store").exists()


def test_contradicting_settings_are_refused(site):
    run = site.run("--limit", "h1", pki_leaf_days=30, pki_renew_days_left=30)
    assert run.code != 0
    assert "every run issues anew" in run.output


def test_a_corporate_ca_signs_and_is_not_replaced(site, tmp_path):
    corporate, other = made_by_hand(tmp_path / "corporate", 400), made_by_hand(tmp_path / "other", 400)
    run = site.run("--limit", "h1", "-vvv", **corporate)
    assert run.code == 0, run.output
    assert corporate["pki_ca_private_key"].splitlines()[1] not in run.output
    (tmp_path / "ca.pem").write_text(corporate["pki_ca_certificate"])
    assert "OK" in openssl("verify", "-CAfile", f"{tmp_path}/ca.pem", text=site.get("pki/h1/consul/cert"))
    run = site.run("--limit", "h1", **other)
    assert run.code != 0
    assert "another CA than pki_ca_certificate" in run.output
    assert site.get("pki/ca/cert") == corporate["pki_ca_certificate"]


def test_a_corporate_ca_that_ends_too_soon_is_not_even_kept(site, tmp_path):
    run = site.run("--limit", "h1", **made_by_hand(tmp_path / "short", 30))
    assert run.code != 0
    assert "pki_ca_certificate ends in 30 days, certificates for 90 days would outlive it" in run.output
    assert site.store.get("pki/ca/cert") is None


ROLL = [
    {
        "name": "Test | Roll the authority",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Test | One step",
                "ansible.builtin.include_role": {
                    "name": "rsp.platform.pki",
                    "tasks_from": "roll",
                    "apply": {"run_once": True},
                },
            }
        ],
    }
]


def test_the_authority_is_rolled_step_by_step(site, tmp_path):
    """Each step twice, as after a cut, and none before its turn."""
    assert site.run("--limit", "h1").code == 0
    old = site.get("pki/ca/cert")
    site.write("play.yml", ROLL)

    def stepped(to: str) -> tuple[set[tuple[str, str]], str | None]:
        run = site.run("-vvv", pki_roll_to=to)
        assert run.code == 0, run.output
        assert "PRIVATE KEY-----" not in run.output
        return run.changed, site.store.get("pki/ca/roll")

    for early in ("issue", "retire", "done"):
        assert stepped(early) == (set(), None)
    assert stepped("trust")[1] == "trust"
    new = site.get("pki/ca/cert.next")
    assert site.get("pki/ca/bundle") == f"{old.strip()}\n{new.strip()}\n"
    assert site.get("pki/ca/cert") == old
    (tmp_path / "new.pem").write_text(new)
    assert "OK" in openssl("verify", "-CAfile", f"{tmp_path}/new.pem", text=site.get("pki/ca/probe/cert"))
    for again in ("trust", "retire", "done"):
        assert stepped(again) == (set(), "trust")

    assert stepped("issue")[1] == "issue"
    assert (site.get("pki/ca/cert"), site.store.get("pki/ca/cert.next")) == (new, None)
    for again in ("trust", "issue", "done"):
        assert stepped(again) == (set(), "issue")
    site.write("play.yml", PLAY)
    assert "signed by another CA" in site.run("--limit", "h1").output
    assert "OK" in openssl("verify", "-CAfile", f"{tmp_path}/new.pem", text=site.get("pki/h1/consul/cert"))

    site.write("play.yml", ROLL)
    assert stepped("retire")[1] == "retire"
    assert site.store.get("pki/ca/bundle") is None
    assert stepped("issue") == (set(), "retire")
    assert stepped("done")[1] is None
    assert site.store.get("pki/ca/probe/key") is None


def made_by_hand(directory: Path, days: int) -> dict[str, str]:
    """A corporate CA as variables of the role."""
    directory.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", f"{directory}/key", "-out", f"{directory}/cert")
    openssl("req", "-x509", "-subj", f"/CN={directory.name}", "-days", str(days), *curve, *files, text="")
    read = {name: (directory / name).read_text() for name in ("cert", "key")}
    return {"pki_ca_certificate": read["cert"], "pki_ca_private_key": read["key"]}
