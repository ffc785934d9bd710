"""Consul as its own client and its hosts show it: where nothing has its default place, and with objects as data."""

from __future__ import annotations

import json

import pytest

SERVERS = ("a1", "b1", "c1")
DEFAULT_PORTS = {8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600}
READS_NODES = 'node_prefix "" { policy = "read" }'


@pytest.fixture(scope="module")
def consul(client, secret):
    """Runs consul on the client host with the environment that is there for people; the management token by default."""
    management = secret("consul/bootstrap-token")
    script = 'set -a; . /etc/consul-client/consul.env; exec consul "$@"'

    def run(*argv, token=management):
        return client("sh", "-c", script, "consul", *argv, CONSUL_HTTP_TOKEN=token)

    return run


@pytest.fixture(scope="module")
def named(consul):
    """Names of all policies, descriptions of all tokens."""

    def read(kind, key):
        return {entry[key] for entry in json.loads(consul("acl", kind, "list", "-format=json"))}

    return read


def rows(text):
    """Lines of a table without its head, as columns."""
    return [line.split() for line in text.splitlines()[1:]]


@pytest.mark.parametrize("host", [*SERVERS, "ops"])
def test_it_runs_and_keeps_its_secrets(member, host):
    assert member(host).service("consul").is_running
    assert member(host).service("consul").is_enabled
    for name in ("gossip.hcl", "tokens.hcl", "tls/agent.key"):
        found = member(host).file(f"/etc/consul.d/{name}")
        assert (found.user, found.group, found.mode) == ("root", "consul", 0o640), name


@pytest.mark.parametrize("host", [*SERVERS, "ops"])
def test_it_listens_where_the_inventory_says(listening, address, host):
    found = listening(host)
    assert found["127.0.0.1"] >= {9501, 9600}
    assert found[address[host]] >= ({9300, 9301, 9501} if host in SERVERS else {9301})
    assert host in SERVERS or 9501 not in found[address[host]]
    assert not set().union(*found.values()) & DEFAULT_PORTS


def test_members_are_alive_in_their_datacenter(consul, address):
    found = {row[0]: row for row in rows(consul("members"))}
    assert set(found) == {*SERVERS, "ops"}
    for name, row in found.items():
        assert row[1:4] == [f"{address[name]}:9301", "alive", "server" if name in SERVERS else "client"]
        assert "msk1" in row


def test_three_servers_vote_and_one_leads(consul):
    peers = rows(consul("operator", "raft", "list-peers"))
    assert {row[0] for row in peers} == set(SERVERS)
    assert sorted(row[3] for row in peers) == ["follower", "follower", "leader"]
    assert [row[4] for row in peers] == ["true"] * 3


@pytest.mark.parametrize(("zone", "host"), [("a", "a1"), ("b", "b1"), ("c", "c1"), ("m", "ops")])
def test_nodes_know_their_zone(consul, zone, host):
    assert [row[0] for row in rows(consul("catalog", "nodes", f"-node-meta=zone={zone}"))] == [host]


def test_autopilot_is_set_and_the_rest_of_it_left_alone(consul):
    settings = consul("operator", "autopilot", "get-config")
    assert "MaxTrailingLogs = 500" in settings
    assert "CleanupDeadServers = true" in settings


def test_a_token_of_the_data_may_what_its_role_says(consul, secret):
    token = secret("consul/shop")
    assert consul("kv", "get", "shop/checkout", token=token) == "on"
    with pytest.raises(AssertionError, match="403"):
        consul("kv", "put", "other/key", "refused", token=token)
    with pytest.raises(AssertionError, match="403"):
        consul("acl", "policy", "list", token=token)


def test_nobody_reads_without_a_token(consul):
    with pytest.raises(AssertionError, match="403"):
        consul("kv", "get", "shop/checkout", token="")


def test_a_service_without_an_agent_is_in_the_catalogue(consul):
    assert [row[0] for row in rows(consul("catalog", "nodes", "-service=payments"))] == ["payments-gateway"]


def test_a_run_removes_what_nobody_asked_for(consul, named, playbook):
    """By hand: what the data says is absent, what it does not name, what it protects, and what is not its business."""
    for name in {"shop-legacy", "rogue", "made-by-hand"} - named("policy", "Name"):
        consul("acl", "policy", "create", "-name", name, "-rules", READS_NODES)
    consul("acl", "token", "create", "-description=rogue", "-policy-name=rogue")
    by_hand = {"shop/rogue": "", "legacy/banner": "old", "other/kept": "theirs", "shop/checkout": "off"}
    for key, value in by_hand.items():
        consul("kv", "put", key, value)
    playbook("site", "--tags", "consul")
    assert named("policy", "Name") >= {"made-by-hand", "shop-keys", "smoke", "global-management"}
    assert not named("policy", "Name") & {"shop-legacy", "rogue"}
    assert named("token", "Description") >= {"Backend of the shop", "smoke"}
    assert "rogue" not in named("token", "Description")
    assert consul("kv", "get", "-keys", "-separator=", "shop/").split() == ["shop/checkout"]
    assert consul("kv", "get", "shop/checkout") == "on"
    assert consul("kv", "get", "other/kept") == "theirs"
    with pytest.raises(AssertionError, match="No key exists"):
        consul("kv", "get", "legacy/banner")
