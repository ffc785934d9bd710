"""End to end: a job's playbook stops before any connection, or hands the arguments to every host."""

from __future__ import annotations

import pytest
from fixtures.preflight.plugin import provide_secrets
from test_preflight_playbook import RATIO, ROOT, Called

STAGING = ROOT / "inventories/staging"

JOB = """
- name: Job | Check the inventory and the arguments
  ansible.builtin.import_playbook: {check}
  vars: {{job_name: {name}}}
- name: Job | Say what every host got
  hosts: all
  gather_facts: false
  tasks:
    - name: Job | Say it
      ansible.builtin.debug:
        msg: "{{{{ inventory_hostname }}}} has {{{{ job.job }}}} of {{{{ job.cluster }}}} on {{{{ job.members }}}}"
"""
TOUCH = """
- name: Job | Touch every host
  hosts: all
  gather_facts: false
  tasks:
    - name: Job | Ask for a connection
      ansible.builtin.raw: "true"
"""


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    provide_secrets(monkeypatch, "RSP_STAGING_")


@pytest.fixture
def playbook(tmp_path):
    """Makes a playbook that begins as every job's does, says what it got, and perhaps touches hosts."""

    def made(name: str, more: str = "") -> str:
        path = tmp_path / f"{name}.yml"
        path.write_text(JOB.format(check=ROOT / "playbooks/check_job.yml", name=name) + more, encoding="utf-8")
        return str(path)

    return made


def test_a_bad_call_touches_nothing_and_says_everything(tmp_path, playbook):
    typed = ("-e", "service=postgresql", "-e", "members=pg-a-2", "-e", "confirm=yes", "-e", "reasn=x")
    called = Called(tmp_path, playbook("reinit", TOUCH), STAGING, *typed)
    assert called.code != 0
    assert called.connections == 0
    assert called.ratio < RATIO
    for text in (
        "job reinit on inventories/staging: 3 problems, nothing was touched",
        'members = "pg-a-2"  pg-a-2 is no host of this inventory → did you mean pg-a-1?',
        'confirm = "yes"',
        "add -e confirm=rsp-staging-postgresql (--check needs none)",
        "did you mean reason?",
    ):
        assert text in called.output, called.output


def test_a_limit_is_refused(tmp_path, playbook):
    called = Called(tmp_path, playbook("restart", TOUCH), STAGING, "-e", "service=consul", "--limit", "consul-a-1")
    assert called.code != 0
    assert called.connections == 0
    assert "job restart chooses its hosts itself" in called.output


def test_a_bad_inventory_comes_first(tmp_path, playbook):
    typed = ("-e", "service=nothing", "-e", "consul_raft_multiplier=5")
    called = Called(tmp_path, playbook("restart", TOUCH), STAGING, *typed)
    assert called.code != 0
    assert called.connections == 0
    assert 'consul_raft_multiplier = "5"' in called.output
    assert "is no service" not in called.output


def test_a_good_call_is_known_on_every_host(tmp_path, playbook):
    typed = ("-e", "service=postgresql", "-e", '{"members": ["pg-c-1", "pg-a-1"]}')
    called = Called(tmp_path, playbook("restart"), STAGING, *typed)
    assert called.code == 0, called.output
    assert called.connections == 0
    assert called.ratio < RATIO
    for host in ("consul-a-1", "pg-c-1", "mirror-c-1"):
        assert f"{host} has restart of rsp-staging-postgresql on ['pg-a-1', 'pg-c-1']" in called.output


def test_tags_do_not_switch_the_check_off(tmp_path, playbook):
    called = Called(tmp_path, playbook("restart"), STAGING, "-e", "service=nothing", "--tags", "postgresql", "--check")
    assert called.code != 0
    assert "is no service" in called.output
