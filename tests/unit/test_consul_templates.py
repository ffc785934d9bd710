"""What role consul writes: parsed as far as its HCL goes, and asserted on the data."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
from rendering import render

MEMBERS = [
    {"name": "a1", "address": "10.0.0.11", "zone": "a"},
    {"name": "b1", "address": "10.0.1.11", "zone": "b"},
    {"name": "c1", "address": "10.0.2.11", "zone": "c"},
]
OPS = {"inventory_hostname": "ops", "platform_zone": "m", "platform_address": "10.0.3.11"}
ASSIGNMENT = re.compile(r'^"?([\w*]+)"?\s*=\s*(.+)$')


def hcl(text: str) -> dict[str, Any]:
    """The HCL that the templates use: assignments of JSON values and blocks, on lines of their own or inline."""
    root: dict[str, Any] = {}
    stack = [root]
    for line in text.splitlines():
        words = line.strip()
        inline = re.match(r"^(\w+)\s*=?\s*\{\s*(\S.*?)\s*\}$", words)
        if not words or words.startswith("#"):
            continue
        if inline:
            stack[-1][inline[1]] = hcl(inline[2])
        elif words.endswith("{"):
            stack[-1][words.split()[0]] = block = {}
            stack.append(block)
        elif words == "}":
            stack.pop()
        else:
            name, value = ASSIGNMENT.match(words).groups()
            assert name not in stack[-1], f"{name} is set twice"
            stack[-1][name] = json.loads(value)
    assert len(stack) == 1, "a block is not closed"
    return root


def config(**variables: Any) -> dict[str, Any]:
    return hcl(render("consul", "consul.hcl.j2", consul_members=MEMBERS, **variables))


def peers(members=MEMBERS, **variables: Any) -> dict[str, Any]:
    return hcl(render("consul", "peers.hcl.j2", consul_members=members, **variables))


def unit(**variables: Any) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(render("consul", "consul.service.j2", consul_members=MEMBERS, **variables))
    return parser


def test_a_server():
    data = config()
    assert (data["node_name"], data["node_meta"], data["server"]) == ("a1", {"zone": "a"}, True)
    assert peers()["bootstrap_expect"] == 3
    assert peers()["retry_join"] == ["10.0.1.11:8301", "10.0.2.11:8301"]
    assert data["addresses"]["https"] == "127.0.0.1 10.0.0.11"
    assert data["performance"] == {"raft_multiplier": 1}
    assert data["ui_config"] == {"enabled": True}


def test_an_agent():
    data = config(**OPS)
    assert (data["node_name"], data["server"]) == ("ops", False)
    assert peers(**OPS)["retry_join"] == ["10.0.0.11:8301", "10.0.1.11:8301", "10.0.2.11:8301"]
    assert data["addresses"]["https"] == "127.0.0.1"
    assert not {"bootstrap_expect", "performance", "ui_config"} & (data.keys() | peers(**OPS).keys())


@pytest.mark.parametrize("host", [{}, OPS])
def test_nothing_speaks_plain_text(host):
    data = config(**host)
    assert {name: data["ports"][name] for name in ("http", "grpc", "grpc_tls", "serf_wan")} == dict.fromkeys(
        ("http", "grpc", "grpc_tls", "serf_wan"), -1
    )
    assert data["tls"]["internal_rpc"] == {"verify_incoming": True, "verify_server_hostname": True}
    assert data["tls"]["defaults"]["verify_outgoing"] is True
    assert data["addresses"]["dns"] == "127.0.0.1"


@pytest.mark.parametrize("host", [{}, OPS])
def test_acls_deny_and_restarts_do_not_leave(host):
    data = config(**host)
    assert data["acl"] == {"enabled": True, "default_policy": "deny", "down_policy": "extend-cache"}
    assert (data["leave_on_terminate"], data["skip_leave_on_interrupt"]) == (False, True)


def test_dns_answers_while_there_is_no_leader():
    data = config()
    assert data["dns_config"]["allow_stale"] is True
    assert data["dns_config"]["service_ttl"] == {"*": "5s"}
    assert data["recursors"] == []


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("consul_datacenter", "msk", "datacenter"),
        ("consul_domain", "svc", "domain"),
        ("consul_https_port", 9501, "ports.https"),
        ("consul_https_addresses", ["127.0.0.1", "::1"], "addresses.https"),
        ("consul_dns_port", 9600, "ports.dns"),
        ("consul_dns_addresses", ["127.0.0.53"], "addresses.dns"),
        ("consul_server_port", 9300, "ports.server"),
        ("consul_serf_port", 9301, "ports.serf_lan"),
        ("consul_ui", False, "ui_config.enabled"),
        ("consul_data_dir", "/srv/consul", "data_dir"),
        ("consul_log_level", "warn", "log_level"),
        ("consul_telemetry_retention", "120s", "telemetry.prometheus_retention_time"),
        ("consul_raft_multiplier", 5, "performance.raft_multiplier"),
        ("consul_dns_max_stale", "1h", "dns_config.max_stale"),
        ("consul_dns_node_ttl", "9s", "dns_config.node_ttl"),
        ("consul_dns_recursors", ["192.0.2.53"], "recursors"),
        ("consul_gossip", {"probe_interval": "500ms", "suspicion_mult": 2}, "gossip_lan"),
    ],
)
def test_variables_reach_the_file(variable, value, path):
    found: Any = config(**{variable: value})
    for key in path.split("."):
        found = found[key]
    assert found == (" ".join(value) if path.startswith("addresses") else value)


def test_peers_are_joined_on_the_port_they_have():
    assert peers(consul_serf_port=9301)["retry_join"][0] == "10.0.1.11:9301"


def test_text_is_quoted():
    assert config(consul_datacenter='x" y')["datacenter"] == 'x" y'


def test_a_single_server_waits_for_nobody():
    data = peers(MEMBERS[:1])
    assert (data["retry_join"], data["bootstrap_expect"]) == ([], 1)


def test_a_server_more_restarts_nobody():
    """What depends on the list of servers is not in the file whose change needs a restart."""
    assert config() == hcl(render("consul", "consul.hcl.j2", consul_members=MEMBERS[:1]))


def test_the_gossip_key_is_alone_in_its_file():
    key = "c2l4dGVlbiBieXRlcyBvbmUgc2l4dGVlbiBieXRlcyE="
    assert hcl(render("consul", "gossip.hcl.j2", consul_gossip_key=key)) == {"encrypt": key}
    assert "encrypt" not in config()


def test_the_unit_runs_the_wanted_version_without_rights():
    service = unit(consul_version="1.22.3")["Service"]
    assert service["ExecStart"] == "/opt/rsp/consul/1.22.3/consul agent -config-dir=/etc/consul.d"
    assert (service["User"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("consul", "yes", "")
    assert (service["ProtectSystem"], service["ReadWritePaths"]) == ("strict", "/var/lib/consul")
    assert service["LimitNOFILE"] == "16384"


def test_the_unit_may_write_where_the_data_are():
    assert unit(consul_data_dir="/srv/consul")["Service"]["ReadWritePaths"] == "/srv/consul"


def test_the_unit_says_what_it_is():
    assert unit()["Unit"]["Description"] == "Consul server"
    assert unit(**OPS)["Unit"]["Description"] == "Consul agent"


def test_the_clients_environment_holds_no_token():
    text = render("consul", "consul.env.j2", consul_members=MEMBERS)
    pairs = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert pairs == {"CONSUL_HTTP_ADDR": "https://10.0.0.11:8501", "CONSUL_CACERT": "/etc/consul-client/ca.crt"}


def test_an_unclosed_block_would_be_seen():
    with pytest.raises(AssertionError, match="not closed"):
        hcl("tls {\n  a = 1\n")
