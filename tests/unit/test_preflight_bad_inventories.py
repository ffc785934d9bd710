"""Bad inventories, one wrong thing each: a copy of inventories/staging is changed on disk and judged by the plugin.

Hosts have addresses that nobody answers at, so a plugin that opened a connection would fail or hang.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.preflight.plugin import preflight, provide_secrets

ROOT = Path(__file__).resolve().parents[2]
GOOD = ROOT / "inventories" / "staging"
SECONDS = 5


@dataclass
class Copy:
    """A copy of the good inventory that a case may change: hosts.yml and group_vars/all/platform.yml as data."""

    hosts: dict[str, Any]
    platform: dict[str, Any]

    def host(self, name: str) -> dict[str, Any]:
        """Variables of a host."""
        return self.group("machines")[name]

    @property
    def children(self) -> dict[str, Any]:
        """All groups."""
        return self.hosts["all"]["children"]

    def group(self, name: str) -> dict[str, Any]:
        """Hosts of a group."""
        return self.children[name]["hosts"]

    def move(self, name: str, zone: str) -> None:
        """A host to another zone, with an address of that zone."""
        self.host(name).update(platform_zone=zone, ansible_host=f"10.22.{'abc'.index(zone)}.99")


def var(name: str, value: Any, host: str | None = None) -> Callable[[Copy], None]:
    """A change: set a variable for all hosts, or for one."""
    return lambda copy: (copy.host(host) if host else copy.platform).update({name: value})


def without(name: str, host: str | None = None) -> Callable[[Copy], None]:
    """A change: remove a variable of all hosts, or of one."""
    return lambda copy: (copy.host(host) if host else copy.platform).pop(name) and None


# change, what the report names, the rule, the fix
CASES: dict[str, tuple[Callable[[Copy], Any], str, str, str]] = {
    # shared variables
    "no zone": (
        without("platform_zone", "mirror-c-1"),
        "mirror-c-1  platform_zone",
        "a required variable is not set",
        "set it; docs/platform-variables.md",
    ),
    "unlisted zone": (
        var("platform_zone", "d", "ops-a-1"),
        'ops-a-1  platform_zone = "d"',
        "is not listed in platform_zones",
        "use one of a, b, c",
    ),
    "no name": (without("platform_name"), "platform_name", "a required variable is not set", "set it"),
    "name is no label": (
        var("platform_name", "Game_Store"),
        'platform_name = "Game_Store"',
        "does not match",
        "write it in that form",
    ),
    "unknown environment": (
        var("platform_environment", "prod"),
        'platform_environment = "prod"',
        "must be one of local, dev, staging, production",
        "did you mean production?",
    ),
    "environment differs on a host": (
        var("platform_environment", "production", "pg-c-1"),
        'pg-c-1  platform_environment = "production"',
        "differs from consul-a-1",
        "set it once, in group_vars/all",
    ),
    "domain without a dot": (
        var("platform_domain", "staging"),
        'platform_domain = "staging"',
        "does not match",
        "write it in that form",
    ),
    "mirror without a scheme": (
        var("platform_mirror_url", "10.22.2.61:8080"),
        'platform_mirror_url = "10.22.2.61:8080"',
        "does not match",
        "write it in that form",
    ),
    "files limit as a string": (
        var("platform_nofile", "65536"),
        'platform_nofile = "65536"',
        "must be an integer, not a string",
        "without quotes",
    ),
    "files limit out of range": (
        var("platform_nofile", 512),
        "platform_nofile = 512",
        "is outside 1024 to 1048576",
        "use a value of 1024 to 1048576",
    ),
    "boolean as a string": (
        var("platform_allow_single", "yes"),
        'platform_allow_single = "yes"',
        "must be a boolean, not a string",
        "write true without quotes",
    ),
    "misspelt shared variable": (
        var("platform_nofiles", 65536),
        "platform_nofiles",
        "unknown shared variable",
        "did you mean platform_nofile?",
    ),
    # what chaos is allowed to do
    "misspelt limit of chaos": (
        var("chaos_policy", {"longest_lease": 60}),
        "chaos_policy.longest_lease",
        "unknown key",
        "did you mean longest_lease_s?",
    ),
    "hours of chaos that are none": (
        var("chaos_policy", {"window": "9-17"}),
        'chaos_policy.window = "9-17"',
        "does not match",
        "write it in that form",
    ),
    "lease of chaos as a string": (
        var("chaos_policy", {"longest_lease_s": "60"}),
        'chaos_policy.longest_lease_s = "60"',
        "must be an integer, not a string",
        "write the number without quotes",
    ),
    "misspelt policy of chaos": (
        var("chaos_polcy", {"window": "09:00-17:00"}),
        "chaos_polcy",
        "unknown variable",
        "an inventory sets chaos_policy only",
    ),
    "experiments for a service that is none": (
        var("chaos_policy", {"experiments": {"consull": "mine.yml"}}),
        'chaos_policy.experiments = "consull"',
        "names no service of this inventory",
        "did you mean consul?",
    ),
    # zones and addresses
    "zone listed twice": (
        lambda copy: copy.platform["platform_zones"].append({"name": "a", "cidr": "10.22.9.0/24"}),
        'platform_zones[3].name = "a"',
        "two zones have the same name",
        "name each once",
    ),
    "network with host bits": (
        lambda copy: copy.platform["platform_zones"][0].update(cidr="10.22.0.1/24"),
        'platform_zones[0].cidr = "10.22.0.1/24"',
        "is no network",
        "write it like",
    ),
    "overlapping networks": (
        lambda copy: copy.platform["platform_zones"].append({"name": "d", "cidr": "10.22.0.0/16"}),
        'platform_zones[3].cidr = "10.22.0.0/16"',
        "overlaps zone a",
        "give each zone its own network",
    ),
    "misspelt key of a zone": (
        lambda copy: copy.platform["platform_zones"][2].update(cdir="10.22.3.0/24"),
        "platform_zones[2].cdir",
        "unknown key",
        "did you mean cidr?",
    ),
    "same address twice": (
        var("ansible_host", "10.22.0.21", "pg-a-1"),
        "etcd-a-1, pg-a-1",
        "several hosts have this address",
        "give each host its own",
    ),
    "address in another zone": (
        var("ansible_host", "10.22.1.77", "pg-a-1"),
        'pg-a-1  platform_address = "10.22.1.77"',
        "is outside 10.22.0.0/24, the network of zone a",
        "correct the address or platform_zone",
    ),
    "loopback address": (
        var("platform_address", "127.0.0.1", "pg-a-1"),
        'pg-a-1  platform_address = "127.0.0.1"',
        "peers can't reach a host at this address",
        "use the address that its peers see",
    ),
    # members and quorum
    "even quorum": (
        lambda copy: copy.group("etcd").pop("etcd-c-1"),
        "etcd_members = ",
        "2 voters survive the loss of no more than 1 would",
        "list 3 members, one a zone",
    ),
    "single voter": (
        lambda copy: [copy.group("etcd").pop(name) for name in ("etcd-b-1", "etcd-c-1")],
        "etcd_members = ",
        "1 voter is no quorum",
        "list 3 members, one a zone",
    ),
    "majority in one zone": (
        lambda copy: copy.move("etcd-b-1", "a"),
        'etcd-b-1  platform_zone = "a"',
        "etcd has 2 of 3 voters in zone a: losing it loses quorum",
        "put one of etcd-a-1, etcd-b-1 in another zone",
    ),
    "no members though the group has hosts": (
        var("etcd_members", []),
        "etcd_members = []",
        "is empty, but group etcd has hosts",
        "rsp.platform.members(hostvars)",
    ),
    "member listed twice": (
        var("etcd_members", "{{ (groups['etcd'] + ['etcd-a-1']) | rsp.platform.members(hostvars) }}"),
        'etcd_members = "etcd-a-1"',
        "etcd-a-1 is listed 2 times",
        "list each member once",
    ),
    "member that is no host": (
        var("etcd_members", [{"name": f"etcd{n}", "address": f"10.22.{n}.5", "zone": "abc"[n]} for n in range(3)]),
        'etcd_members[0].name = "etcd0"',
        "is no host of this inventory",
        "add the host or remove the member",
    ),
    "member without a zone": (
        var("etcd_members", [{"name": "etcd-a-1", "address": "10.22.0.21"}]),
        "etcd_members[0].zone",
        "a required key is not set",
        "set zone",
    ),
    "group that the inventory lacks": (
        lambda copy: [copy.children.pop("mirrors"), copy.children["consul_agents"]["children"].pop("mirrors")],
        "platform_mirror_url",
        "can't be computed",
        "define what it refers to",
    ),
    "members differ on a host": (
        var("etcd_members", [], "pg-a-1"),
        "pg-a-1  etcd_members = []",
        "differs from consul-a-1",
        "set it once, in group_vars/all",
    ),
    # variables of roles
    "unknown variable": (
        var("etcd_electon_ms", 1000),
        "etcd_electon_ms",
        "unknown variable of role etcd",
        "did you mean etcd_election_ms?",
    ),
    "number as a string": (
        var("etcd_client_port", "2379"),
        'etcd_client_port = "2379"',
        "must be an integer, not a string",
        "without quotes",
    ),
    "number out of range": (
        var("etcd_heartbeat_ms", 5000),
        "etcd_heartbeat_ms = 5000",
        "is outside 10 to 1000",
        "use a value of 10 to 1000",
    ),
    "unlisted choice": (
        var("etcd_log_level", "warning"),
        'etcd_log_level = "warning"',
        "must be one of debug, info, warn, error",
        "did you mean warn?",
    ),
    "list as a string": (
        var("etcd_users", "shop"),
        "etcd_users",
        "must be a list, not a string",
        "write a YAML list",
    ),
    "misspelt key of an object": (
        var("etcd_roles", [{"name": "r", "permisions": []}]),
        "etcd_roles[0].permisions",
        "unknown key",
        "did you mean permissions?",
    ),
    "empty variable": (
        var("etcd_data_dir", None),
        "etcd_data_dir = null",
        "is empty, which is not the default",
        'to get the default "/var/lib/etcd/data"',
    ),
    "two listeners on one port": (
        var("etcd_peer_port", 2379),
        "etcd_peer_port = 2379",
        "etcd_client_port has this port on the same host",
        "give one of them another port",
    ),
    "election before five heartbeats": (
        var("etcd_election_ms", 300),
        "etcd_election_ms = 300",
        "is below 5 heartbeats of 100 ms",
        "use 500 or more",
    ),
    "lock shorter than its retries": (
        var("postgresql_retry_timeout", 20),
        "postgresql_ttl = 20",
        "is below postgresql_loop_wait + 2 x postgresql_retry_timeout = 42",
        "use 42 or more",
    ),
    "misspelt variable of postgresql": (
        var("postgresql_max_conections", 300),
        "postgresql_max_conections",
        "unknown variable of role postgresql",
        "did you mean postgresql_max_connections?",
    ),
    "majority of postgresql in one zone": (
        lambda copy: copy.move("pg-b-1", "a"),
        'pg-b-1  platform_zone = "a"',
        "postgresql has 2 of 3 voters in zone a: losing it loses quorum",
        "put one of pg-a-1, pg-b-1 in another zone",
    ),
    "pool above the server's connections": (
        var("postgresql_pgbouncer_default_pool_size", 500),
        "postgresql_pgbouncer_default_pool_size = 500",
        "is above the 195 connections that clients can have",
        "raise postgresql_max_connections",
    ),
    "archiving slower than the promise": (
        var("backup_policies", {"postgresql": {"rpo_s": 30}}),
        "postgresql_archive_timeout_s = 60",
        "is not below the promised RPO of 30 s",
        "use less than 30",
    ),
    "expression that fails": (
        var("etcd_cluster_name", "{{ no_such_variable }}-etcd"),
        "etcd_cluster_name",
        "can't be computed: 'no_such_variable' is undefined",
        "define what it refers to",
    ),
    "version that is not in the catalogue": (
        var("consul_version", "1.22.4"),
        'consul_version = "1.22.4"',
        "consul 1.22.4 is not in the catalogue, which lists 1.22.",
        "use 1.22.",
    ),
    "version as a number": (
        var("consul_version", 1.22),
        "consul_version = 1.22",
        "must be a string, not a number",
        "put it in quotes",
    ),
    "raft multiplier out of range": (
        var("consul_raft_multiplier", 11),
        "consul_raft_multiplier = 11",
        "is outside 1 to 10",
        "use a value of 1 to 10",
    ),
    "boolean as a string in a role": (
        var("consul_ui", "no"),
        'consul_ui = "no"',
        "must be a boolean, not a string",
        "write false without quotes",
    ),
    "ports of two services on a host": (
        lambda copy: [
            copy.platform.update(consul_https_port=2379),
            copy.group("consul_servers").clear(),
            copy.group("consul_servers").update(dict.fromkeys(copy.group("etcd"))),
        ],
        "etcd_client_port = 2379",
        "consul_https_port has this port on the same host",
        "give one of them another port",
    ),
    # secrets
    "unknown back-end": (
        lambda copy: copy.platform["platform_secrets"].update(backend="enviroment"),
        'platform_secrets.backend = "enviroment"',
        "must be one of file, environment",
        "did you mean environment?",
    ),
    "back-end without its prefix": (
        lambda copy: copy.platform["platform_secrets"].pop("prefix"),
        "platform_secrets.prefix",
        "back-end environment needs it",
        "set prefix",
    ),
}


@pytest.fixture
def good(monkeypatch):
    """The good inventory; the controller's environment has its secrets."""
    provide_secrets(monkeypatch, "RSP_STAGING_")
    return Copy(
        hosts=yaml.safe_load((GOOD / "hosts.yml").read_text(encoding="utf-8")),
        platform=yaml.safe_load((GOOD / "group_vars/all/platform.yml").read_text(encoding="utf-8")),
    )


def written(copy: Copy, directory: Path) -> Path:
    """The changed copy as an inventory directory."""
    shutil.copytree(GOOD, directory)
    (directory / "hosts.yml").write_text(yaml.safe_dump(copy.hosts, sort_keys=False), encoding="utf-8")
    (directory / "group_vars/all/platform.yml").write_text(
        yaml.safe_dump(copy.platform, sort_keys=False), encoding="utf-8"
    )
    return directory


def test_the_unchanged_copy_is_clean(good, tmp_path):
    result = preflight(written(good, tmp_path / "staging"))
    assert "failed" not in result, result["msg"]
    assert result["hosts"] == 15


def test_there_are_enough_cases():
    assert len(CASES) >= 30


@pytest.mark.parametrize("name", CASES)
def test_a_bad_inventory_is_refused_with_the_way_out(name, good, tmp_path):
    change, where, rule, fix = CASES[name]
    change(good)
    started = time.process_time()  # not the wall clock: a busy machine must not fail the test
    result = preflight(written(good, tmp_path / "staging"))
    assert time.process_time() - started < SECONDS
    assert result.get("failed") is True, "it was accepted"
    lines = result["msg"].splitlines()
    assert "nothing was touched" in lines[0]
    assert any(where in line and rule in line.replace(where, "", 1) and fix in line for line in lines[1:]), result[
        "msg"
    ]
    assert len(lines) <= 5, f"one wrong thing makes too much noise:\n{result['msg']}"


def test_several_wrong_things_are_told_at_once(good, tmp_path):
    chosen = ("unlisted zone", "even quorum", "unknown variable", "number out of range", "back-end without its prefix")
    for name in chosen:
        CASES[name][0](good)
    message = preflight(written(good, tmp_path / "staging"))["msg"]
    for name in chosen:
        assert CASES[name][2] in message


def test_a_secret_that_is_missing_is_told_with_its_variable(good, tmp_path, monkeypatch):
    monkeypatch.delenv("RSP_STAGING_ETCD_ROOT")
    message = preflight(written(good, tmp_path / "staging"))["msg"]
    assert "role etcd needs this secret" in message
    assert "set the environment variable RSP_STAGING_ETCD_ROOT" in message


def test_a_secret_is_not_shown(good, tmp_path):
    good.platform["etcd_root_password"] = ["hunter2"]
    good.platform["etcd_users"] = [{"name": "shop", "password": ["hunter2"]}]
    message = preflight(written(good, tmp_path / "staging"))["msg"]
    assert "etcd_root_password" in message
    assert "etcd_users[0].password" in message
    assert "hunter2" not in message
