"""What role etcd writes: parsed as etcd and systemd parse it, and asserted on the data."""

from __future__ import annotations

import configparser

import pytest
import yaml
from rendering import ROLES, render

MEMBERS = [
    {"name": "a1", "address": "10.0.0.11", "zone": "a"},
    {"name": "b1", "address": "10.0.1.11", "zone": "b"},
    {"name": "c1", "address": "10.0.2.11", "zone": "c"},
]


def config(**variables):
    return yaml.safe_load(render("etcd", "etcd.yml.j2", etcd_members=MEMBERS, **variables))


def test_member_and_its_peers():
    data = config()
    assert data["name"] == "a1"
    assert data["initial-cluster"] == "a1=https://10.0.0.11:2380,b1=https://10.0.1.11:2380,c1=https://10.0.2.11:2380"
    assert data["initial-cluster-token"] == "rsp-test-etcd"
    assert data["data-dir"] == "/var/lib/etcd/data"


@pytest.mark.parametrize("side", ["client", "peer"])
def test_both_sides_ask_for_certificates(side):
    assert config()[f"{side}-transport-security"] == {
        "cert-file": "/etc/etcd/tls/member.crt",
        "key-file": "/etc/etcd/tls/member.key",
        "trusted-ca-file": "/etc/etcd/tls/ca.crt",
        "client-cert-auth": True,
    }


def test_nothing_listens_in_plain_text_or_everywhere():
    urls = [url for key, value in config().items() if key.startswith("listen-") for url in value.split(",")]
    assert len(urls) == 4
    assert all(url.startswith(("https://10.0.0.11:", "https://127.0.0.1:")) for url in urls)


@pytest.mark.parametrize(
    ("variable", "value", "key", "written"),
    [
        ("etcd_heartbeat_ms", 300, "heartbeat-interval", 300),
        ("etcd_election_ms", 3000, "election-timeout", 3000),
        ("etcd_snapshot_count", 5000, "snapshot-count", 5000),
        ("etcd_quota_backend_bytes", 2**31, "quota-backend-bytes", 2**31),
        ("etcd_auto_compaction_mode", "revision", "auto-compaction-mode", "revision"),
        ("etcd_auto_compaction_retention", "1000", "auto-compaction-retention", "1000"),
        ("etcd_initial_cluster_state", "existing", "initial-cluster-state", "existing"),
        ("etcd_metrics_port", 9381, "listen-metrics-urls", "https://10.0.0.11:9381"),
        ("etcd_log_level", "warn", "log-level", "warn"),
    ],
)
def test_variables_reach_the_file(variable, value, key, written):
    assert config(**{variable: value})[key] == written


def unit(**variables):
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(render("etcd", "etcd.service.conf.j2", **variables))
    return parser


def test_unit_starts_our_file_with_the_limit_of_the_platform():
    service = unit(platform_nofile=1024)["Service"]
    assert service["ExecStart"] == "/usr/bin/etcd --config-file /etc/etcd/etcd.yml"
    assert service["LimitNOFILE"] == "1024"
    assert service["EnvironmentFile"] == ""


def test_unit_may_write_its_data_only():
    service = unit(etcd_data_dir="/srv/etcd")["Service"]
    assert (service["ProtectSystem"], service["ReadWritePaths"]) == ("strict", "/srv/etcd")
    assert service["CapabilityBoundingSet"] == ""


def test_people_get_all_members():
    lines = dict(
        line.split("=", 1)
        for line in render("etcd", "etcdctl.env.j2", etcd_members=MEMBERS).splitlines()
        if line and not line.startswith("#")
    )
    assert lines["ETCDCTL_ENDPOINTS"] == "https://10.0.0.11:2379,https://10.0.1.11:2379,https://10.0.2.11:2379"
    assert not any("PASSWORD" in name for name in lines)


def test_smoke_takes_no_password_from_anywhere():
    task = (ROLES / "etcd" / "tasks" / "smoke.yml").read_text()
    assert "--user" not in task
    assert "password" not in task.lower()
    assert "environment:" not in task
