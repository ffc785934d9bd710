"""Newer packages: what apt-cache policy says, as exact versions."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.filter.packages import packages_to_install
from ansible_collections.rsp.platform.plugins.module_utils.packages import (
    Newer,
    PackagesError,
    as_result,
    newer,
    parse_policy,
    to_install,
)
from ansible_collections.rsp.platform.plugins.modules import package_candidates
from module_call import call

# Recorded on Debian 13 with bookworm and bookworm-security at priority 100
POLICY = """postgresql-15:
  Installed: 15.18-0+deb12u1
  Candidate: 15.20-0+deb12u1
  Version table:
     15.20-0+deb12u1 100
        100 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
 *** 15.18-0+deb12u1 100
        100 http://deb.debian.org/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
patroni:
  Installed: 4.0.7-3~deb13u1
  Candidate: 4.0.7-3~deb13u1
  Version table:
 *** 4.0.7-3~deb13u1 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
pgbouncer:
  Installed: (none)
  Candidate: 1.24.1-1+deb13u2
  Version table:
     1.24.1-1+deb13u2 500
libpq5:amd64:
  Installed: 17.12-0+deb13u1
  Candidate: 17.10-0+deb13u1
local-only:
  Installed: 1.0
  Candidate: (none)
"""
OLD, NEW = "15.18-0+deb12u1", "15.20-0+deb12u1"


class Apt:
    """Answers like apt and dpkg."""

    def __init__(self, policy=POLICY, fails="", garbled=False):
        self.policy, self.fails, self.garbled, self.argvs = policy, fails, garbled, []

    def __call__(self, argv):
        self.argvs.append(list(argv))
        if self.fails and self.fails in argv:
            return 100, "", "E: Some index files failed to download\n"
        if argv[0] == "dpkg":
            if self.garbled:
                return 2, "", "dpkg: error: version has bad syntax\n"
            return (0 if argv[2] == NEW else 1), "", ""
        return 0, self.policy if argv[0] == "apt-cache" else "", ""


def test_policy_is_parsed_in_its_order():
    assert parse_policy(POLICY) == [
        ("postgresql-15", OLD, NEW),
        ("patroni", "4.0.7-3~deb13u1", "4.0.7-3~deb13u1"),
        ("libpq5", "17.12-0+deb13u1", "17.10-0+deb13u1"),
    ]


@pytest.mark.parametrize("text", ["", "N: Unable to locate package x\n", "x:\n  Version table:\n"])
def test_what_is_not_there_is_left_out(text):
    assert parse_policy(text) == []


def test_only_newer_ones_and_never_a_way_back():
    apt = Apt()
    assert newer(apt, ["postgresql-15", "patroni", "libpq5"], refresh=True) == [Newer("postgresql-15", OLD, NEW)]
    assert apt.argvs[0] == ["apt-get", "--quiet", "--error-on=any", "update"]
    assert apt.argvs[1] == ["apt-cache", "policy", "postgresql-15", "patroni", "libpq5"]
    # A package whose versions are the same is not compared
    assert [argv[2] for argv in apt.argvs[2:]] == [NEW, "17.10-0+deb13u1"]


def test_nothing_is_asked_about_nothing():
    apt = Apt()
    assert newer(apt, [], refresh=False) == []
    assert apt.argvs == []


@pytest.mark.parametrize(
    ("apt", "message"),
    [
        (Apt(fails="update"), "apt-get --quiet: E: Some index files failed to download"),
        (Apt(fails="policy"), "apt-cache policy: E: Some"),
        (Apt(garbled=True), f"dpkg could not compare {NEW} with {OLD}: dpkg: error"),
    ],
)
def test_no_answer_is_an_error(apt, message):
    with pytest.raises(PackagesError, match=message.replace("+", "[+]")):
        newer(apt, ["postgresql-15"], refresh=True)


def test_results_pin_what_the_plan_shows():
    assert as_result([Newer("postgresql-15", OLD, NEW)]) == {
        "newer": [{"name": "postgresql-15", "installed": OLD, "candidate": NEW}],
        "pins": [f"postgresql-15={NEW}"],
        "reasons": [f"postgresql-15 {OLD} is older than {NEW}"],
    }


@pytest.mark.parametrize("check", [False, True])
def test_the_module_changes_nothing(monkeypatch, capsys, check):
    apt = Apt()
    monkeypatch.setattr(package_candidates.AnsibleModule, "run_command", lambda self, argv, **_more: apt(argv))
    result = call(package_candidates.main, capsys, check=check, names=["postgresql-15"])
    assert result["rc"] == 0
    assert result["changed"] is False
    assert result["pins"] == [f"postgresql-15={NEW}"]


def test_the_module_fails_with_apts_words(monkeypatch, capsys):
    apt = Apt(fails="update")
    monkeypatch.setattr(package_candidates.AnsibleModule, "run_command", lambda self, argv, **_more: apt(argv))
    result = call(package_candidates.main, capsys, names=["postgresql-15"])
    assert result["rc"] == 1
    assert "index files" in result["msg"]


def test_what_apt_would_put_in_place():
    text = """NOTE: This is only a simulation!
Inst libicu76 (76.1-4 Debian:13.8/stable [amd64])
Inst libpq5 [15.18-0+deb12u1] (17.12-0+deb13u1 Debian:13.8/stable, Debian-Security:13/stable-security [amd64])
Inst postgresql-17 (17.12-0+deb13u1 Debian:13.8/stable [amd64]) []
Conf libicu76 (76.1-4 Debian:13.8/stable [amd64])
"""
    assert to_install(text) == [
        "libicu76=76.1-4", "libpq5=17.12-0+deb13u1", "postgresql-17=17.12-0+deb13u1",
    ]  # fmt: skip
    assert to_install("Reading package lists...\n") == []
    assert packages_to_install("Inst b (2 x)\nInst a [1] (3 y)\nRemv c [1]\n") == ["a=3", "b=2"]
