"""End to end: ansible-playbook on bad inventories stops in seconds, says everything, and opens no connection."""

from __future__ import annotations

import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from fixtures.preflight.plugin import provide_secrets

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
# A run that does nothing costs so many times less at least: processors differ, and neighbours take their share
RATIO = 4

NOTHING = """
- name: Nothing | Say something on every host
  hosts: all
  gather_facts: false
  tasks:
    - name: Nothing | Say it
      ansible.builtin.debug: {msg: here}
"""

# Follows preflight as site.yml does. Its connection plugin would leave a file: the trap of the test.
AFTER = """
- name: After | Import preflight
  ansible.builtin.import_playbook: {preflight}
- name: After | Touch every host
  hosts: all
  gather_facts: false
  tasks:
    - name: After | Ask for a connection
      ansible.builtin.raw: "true"
"""


class Called:
    """One run of ansible-playbook, with an ssh that leaves a trace when it is started."""

    def __init__(self, tmp_path: Path, playbook: Path | str, inventory: Path, *arguments: str) -> None:
        self.trace = tmp_path / "ssh-was-started"
        ssh = tmp_path / "ssh"
        ssh.write_text(f"#!/bin/sh\necho started >> {self.trace}\nexit 255\n", encoding="utf-8")
        ssh.chmod(0o755)
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_SSH_EXECUTABLE": str(ssh),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [str(ANSIBLE), "-i", str(inventory), str(playbook), *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # CPU seconds, start of Ansible included: the wall clock of a busy machine says nothing.
        self.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.code, self.output = done.returncode, done.stdout + done.stderr

    @property
    def ratio(self) -> float:
        """Its CPU seconds over those of a run on the same number of hosts, or fewer, that does nothing."""
        return self.seconds / nothing_s()

    @property
    def connections(self) -> int:
        """How often ssh was started."""
        return len(self.trace.read_text(encoding="utf-8").splitlines()) if self.trace.exists() else 0


@functools.cache
def nothing_s() -> float:
    """CPU seconds of a playbook that says one thing on every host of inventories/staging."""
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder) / "nothing.yml"
        playbook.write_text(NOTHING, encoding="utf-8")
        called = Called(Path(folder), playbook, ROOT / "inventories/staging")
    assert called.code == 0, called.output
    return called.seconds


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for environment in ("STAGING", "PRODUCTION"):
        provide_secrets(monkeypatch, f"RSP_{environment}_")


@pytest.fixture
def after(tmp_path):
    """A playbook that imports preflight and then needs every host."""
    playbook = tmp_path / "after.yml"
    playbook.write_text(AFTER.format(preflight=ROOT / "playbooks/preflight.yml"), encoding="utf-8")
    return playbook


def twenty_hosts(directory: Path) -> Path:
    """inventories/production with hosts added, to twenty in all."""
    shutil.copytree(ROOT / "inventories/production", directory)
    path = directory / "hosts.yml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for number in range(20 - len(data["all"]["children"]["machines"]["hosts"])):
        data["all"]["children"]["machines"]["hosts"][f"ops-c-{number}"] = {
            "platform_zone": "c",
            "ansible_host": f"10.23.2.{100 + number}",
        }
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return directory


def spoil(directory: Path) -> None:
    """Several wrong things at once, in hosts and in variables."""
    hosts, variables = directory / "hosts.yml", directory / "group_vars/all/platform.yml"
    data = yaml.safe_load(hosts.read_text(encoding="utf-8"))
    data["all"]["children"]["machines"]["hosts"]["etcd-b-1"].update(platform_zone="a", ansible_host="10.23.0.99")
    data["all"]["children"]["machines"]["hosts"]["consul-a-1"]["ansible_host"] = "{{ no_such_variable }}"
    hosts.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    text = variables.read_text(encoding="utf-8")
    variables.write_text(text + 'etcd_electon_ms: 1000\netcd_client_port: "2379"\n', encoding="utf-8")


def test_the_trap_works(tmp_path, after):
    called = Called(tmp_path, after, ROOT / "inventories/staging")
    assert called.code != 0
    assert "no problem" in called.output or "ok: [consul-a-1]" in called.output
    assert called.connections > 0, "a run that reaches the hosts must leave a trace, or the tests below prove nothing"


def test_a_good_inventory_of_twenty_hosts_passes_without_a_connection(tmp_path):
    called = Called(tmp_path, ROOT / "playbooks/preflight.yml", twenty_hosts(tmp_path / "production"), "-v")
    assert called.code == 0, called.output
    assert "hosts: 20" in called.output
    assert called.connections == 0
    assert called.ratio < RATIO


def test_a_bad_inventory_stops_the_run_with_everything_at_once(tmp_path, after):
    directory = twenty_hosts(tmp_path / "production")
    spoil(directory)
    called = Called(tmp_path, after, directory)
    assert called.code != 0
    assert called.connections == 0
    assert called.ratio < RATIO
    for text in (
        "production: 4 problems, nothing was touched",
        'etcd-b-1    platform_zone = "a"',
        "etcd has 2 of 3 voters in zone a: losing it loses quorum → put one of etcd-a-1, etcd-b-1 in another zone",
        "unknown variable of role etcd → did you mean etcd_election_ms?",
        "must be an integer, not a string → write the number without quotes",
        "consul-a-1  ansible_host",
        "'no_such_variable' is undefined",
    ):
        assert text in called.output, called.output


def test_what_the_command_line_brings_is_judged_too(tmp_path, after):
    arguments = ("-e", "etcd_electon_ms=5", "-e", "etcd_client_port=2379", "-e", "preflight_environment=production")
    limit = ("--limit", "etcd-a-1,etcd-b-1,etcd-z-9")
    called = Called(tmp_path, after, ROOT / "inventories/staging", *arguments, *limit)
    assert called.code != 0
    assert called.connections == 0
    for text in (
        "inventories/staging: 5 problems, nothing was touched",
        "this playbook is for production inventories only → choose a production inventory with -i",
        '--limit = "etcd-z-9"',
        "holds 2 of 3 voters of etcd, but not etcd-c-1 → limit to all of them, or to 1 at a time",
        "extra vars    etcd_electon_ms",
        'extra vars    etcd_client_port = "2379"',
    ):
        assert text in called.output, called.output


def test_a_sound_command_line_passes_and_tags_do_not_switch_preflight_off(tmp_path):
    arguments = ("--check", "--tags", "consul", "--limit", "etcd-a-1", "-e", '{"etcd_client_port": 2479}')
    playbook = ROOT / "playbooks/preflight.yml"
    called = Called(tmp_path, playbook, ROOT / "inventories/staging", *arguments, "-e", "preflight_confirm=no")
    assert called.code == 0, called.output
    assert "ok=1" in called.output
    assert called.connections == 0
