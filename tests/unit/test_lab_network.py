"""A lab's network: chosen beside everything else on the machine, kept once it is there."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from ansible.module_utils import basic
from ansible_collections.rsp.platform.plugins.module_utils.lab_network import (
    OCTETS,
    NoNetworkError,
    choose_prefix,
    default_interface,
    network_of,
    parse_networks,
    parse_routes,
    used_networks,
)
from ansible_collections.rsp.platform.plugins.modules import lab_network_plan
from module_call import call

# A machine with a default route, a network of its own, and Docker's bridge.
ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)


def nets(*texts):
    return [IPv4Network(text) for text in texts]


def docker(**subnets):
    return json.dumps(
        [{"Name": name, "IPAM": {"Config": [{"Subnet": subnet}]}} for name, subnet in subnets.items()]
        + [{"Name": "host", "IPAM": {"Config": None}}, {"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}}]
    )


def test_routes_are_read():
    assert parse_routes(ROUTES) == [
        ("eth0", IPv4Network("0.0.0.0/0")),
        ("docker0", IPv4Network("172.17.0.0/16")),
        ("eth0", IPv4Network("192.0.2.0/24")),
    ]


@pytest.mark.parametrize(("table", "interface"), [(ROUTES, "eth0"), (ROUTES.splitlines()[0], None)])
def test_default_interface(table, interface):
    assert default_interface(parse_routes(table)) == interface


def test_networks_are_read_without_ipv6():
    found = parse_networks(docker(bridge="172.17.0.0/16"))
    assert found == {"bridge": nets("172.17.0.0/16"), "host": [], "six": []}


def test_own_network_and_default_route_are_not_in_the_way():
    networks = {"mine": nets("10.20.0.0/22"), "theirs": nets("10.30.0.0/22")}
    routes = [("eth0", IPv4Network("0.0.0.0/0")), ("br-1", IPv4Network("10.20.0.0/22")), *parse_routes(ROUTES)[1:]]
    assert used_networks(routes, networks, "mine") == nets("10.30.0.0/22", "172.17.0.0/16", "192.0.2.0/24")


def test_the_same_lab_finds_the_same_network():
    assert choose_prefix("f2af6c", None, []) == choose_prefix("f2af6c", None, [])


@pytest.mark.parametrize(
    ("kept", "used", "expected"),
    [
        ("10.99", [], "10.99"),
        ("10.99", ["10.98.0.0/16"], "10.99"),
        ("10.99", ["10.99.2.0/24"], "first"),
        (None, [], "first"),
        (None, ["first"], "second"),
    ],
)
def test_choice(kept, used, expected):
    first = choose_prefix("f2af6c", None, [])
    second = choose_prefix("f2af6c", None, [network_of(first)])
    assert first != second
    words = {"first": first, "second": second}
    taken = [network_of(first) if text == "first" else IPv4Network(text) for text in used]
    assert choose_prefix("f2af6c", kept, taken) == words.get(expected, expected)


def test_every_candidate_is_tried_once():
    taken = []
    for _ in range(OCTETS):
        taken.append(network_of(choose_prefix("ab12cd", None, taken)))
    assert len(set(taken)) == OCTETS
    with pytest.raises(NoNetworkError, match="remove unused Docker networks"):
        choose_prefix("ab12cd", None, taken)


def test_a_vpn_over_everything_leaves_no_network():
    with pytest.raises(NoNetworkError):
        choose_prefix("ab12cd", None, nets("10.0.0.0/8"))


@pytest.mark.parametrize("prefix", ["10", "10.300", "lab", "10.1.2"])
def test_a_prefix_is_two_octets(prefix):
    with pytest.raises(ValueError, match=prefix):
        network_of(prefix)


@pytest.fixture
def module(monkeypatch, capsys, tmp_path):
    """Runs the module over an invented Docker."""

    def run(inspected, check=False, kept=None):
        path = tmp_path / "prefix"
        if kept is not None:
            path.write_text(kept)
        answers = {"ls": "1\n2\n", "inspect": inspected}
        monkeypatch.setattr(
            basic.AnsibleModule, "run_command", lambda self, argv, check_rc=False: (0, answers[argv[2]], "")
        )
        result = call(lab_network_plan.main, capsys, check, name="rsp-x", lab_id="ab12cd", path=str(path))
        return result, path.read_text() if path.exists() else None

    return run


def test_module_writes_what_it_chose(module):
    result, written = module(docker(bridge="172.17.0.0/16"))
    assert result["changed"] is True
    assert written == f"{result['prefix']}\n"
    assert result["subnet"] == f"{result['prefix']}.0.0/22"
    assert result["gateway"] == f"{result['prefix']}.3.254"
    assert result["mtu"] > 0


def test_module_changes_nothing_the_second_time(module):
    first, _ = module(docker())
    second, _ = module(docker())
    assert (second["changed"], second["prefix"]) == (False, first["prefix"])


def test_module_keeps_the_network_that_is_there(module):
    result, written = module(docker(**{"rsp-x": "10.77.0.0/22"}), kept="10.99\n")
    assert (result["prefix"], written, result["changed"]) == ("10.77", "10.77\n", True)


def test_module_predicts_without_writing(module):
    result, written = module(docker(), check=True)
    assert result["changed"] is True
    assert result["diff"]["after"] == f"{result['prefix']}\n"
    assert written is None


def test_module_names_the_file_that_makes_no_sense(module):
    result, _ = module(docker(), kept="ten\n")
    assert result["failed"] is True
    assert "/prefix: " in result["msg"]
