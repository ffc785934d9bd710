"""What role haproxy writes, section by section."""

from __future__ import annotations

import os
import subprocess

import pytest
from rendering import render

SERVERS = [
    {"name": "a1", "address": "10.0.0.11", "port": 6432, "zone": "a"},
    {"name": "b1", "address": "10.0.1.11", "port": 6432, "zone": "b", "check_port": 8008},
    {"name": "c1", "address": "10.0.2.11", "port": 6432, "zone": "c", "backup": True},
]


def listener(**changes):
    return {"name": "rw", "port": 5000, "servers": SERVERS, **changes}


def sections(*listeners, handed=(), **variables):
    """Title → stripped lines, as HAProxy reads them."""
    found: dict[str, list[str]] = {}
    text = render(
        "haproxy",
        "haproxy.cfg.j2",
        haproxy_listeners=list(listeners),
        haproxy_handed_listeners=list(handed),
        **variables,
    )
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            found[line] = lines = []
        elif line.strip() and not line.strip().startswith("#"):
            lines.append(line.strip())
    return found


def servers(section):
    """Name → what follows the address."""
    return {line.split()[1]: line.split()[3:] for line in section if line.startswith("server ")}


def test_plain_listener():
    section = sections(listener())["listen rw"]
    assert "bind *:5000 tcp-ut 15s" in section
    assert "mode tcp" in section
    assert "option allbackups" not in section
    assert servers(section) == {"a1": [], "b1": ["port", "8008"], "c1": ["backup"]}


@pytest.mark.parametrize(
    ("zone", "backups"),
    [("a", {"b1", "c1"}), ("b", {"a1", "c1"}), ("c", {"a1", "b1", "c1"}), ("m", {"a1", "b1", "c1"})],
)
def test_zone_preference(zone, backups):
    section = sections(listener(prefer_zone=True), platform_zone=zone)["listen rw"]
    assert "option allbackups" in section
    assert {name for name, words in servers(section).items() if "backup" in words} == backups


def test_server_without_a_zone_is_elsewhere():
    one = {"name": "x", "address": "10.0.0.9", "port": 1}
    assert servers(sections(listener(prefer_zone=True, servers=[one]))["listen rw"]) == {"x": ["backup"]}


def test_check_over_tls_verifies_certificate_and_name():
    check = {"type": "http", "method": "OPTIONS", "uri": "/primary", "tls": True, "inter": "1s", "fall": 2}
    named = [{**SERVERS[0], "tls_name": "db.rsp.internal"}, SERVERS[1]]
    section = sections(listener(check=check, servers=named))["listen rw"]
    assert "http-check send meth OPTIONS uri /primary" in section
    assert "http-check expect status 200" in section
    assert "default-server check-ssl verify required ca-file tls/servers.crt crt tls/check.pem" in section
    assert "default-server check inter 1s fastinter 1s downinter 1s rise 2 fall 2" in section
    assert servers(section) == {"a1": ["check-sni", "db.rsp.internal"], "b1": ["port", "8008", "check-sni", "b1"]}


def test_check_without_tls_or_http_is_a_connection():
    section = sections(listener())["listen rw"]
    assert not [line for line in section if "check-ssl" in line or "httpchk" in line or "check-sni" in line]
    assert "default-server check inter 2s fastinter 1s downinter 1s rise 2 fall 3" in section


@pytest.mark.parametrize("cut", [True, False])
def test_sessions_of_a_server_that_is_down(cut):
    text = render("haproxy", "cut.lua.j2", haproxy_listeners=[listener(cut_when_down=cut)], haproxy_handed_listeners=[])
    assert ('["rw"] = true' in text) is cut
    assert "on-marked-down" not in "".join(sections(listener())["listen rw"])


def test_every_default_against_silent_peers_is_there():
    defaults = sections(listener())["defaults"]
    for side in ("cli", "srv"):
        assert f"option {side}tcpka" in defaults
        assert f"{side}tcpka-idle 10s" in defaults
        assert f"{side}tcpka-intvl 5s" in defaults
        assert f"{side}tcpka-cnt 3" in defaults
    assert "timeout check 2s" in defaults
    assert "timeout http-request 10s" in defaults


def test_timeouts_of_one_listener():
    section = sections(listener(timeouts={"server": "5m", "http_request": "3s"}))["listen rw"]
    assert {"timeout server 5m", "timeout http-request 3s"} <= set(section)


def test_mode_http():
    section = sections(listener(mode="http", balance="leastconn", address="10.0.0.11"))["listen rw"]
    assert {"mode http", "balance leastconn", "option httplog", "option forwardfor"} <= set(section)
    assert "bind 10.0.0.11:5000 tcp-ut 15s" in section


def test_health_asks_for_every_listener():
    front = sections(listener(), handed=[listener(name="ro", port=5001, min_servers=0)])["frontend rsp-stats"]
    assert "acl short nbsrv(rw) lt 1" in front
    assert "acl short nbsrv(ro) lt 0" in front
    answer = next(line for line in front if "status 200" in line)
    assert '"rw=%[nbsrv(rw)] ro=%[nbsrv(ro)]\\n"' in answer


def test_fallback_lends_the_servers_of_another_listener():
    found = sections(listener(), listener(name="ro", port=5001, fallback="rw"))
    assert "use_backend rw if { nbsrv(ro) lt 1 }" in found["listen ro"]
    assert not [line for line in found["listen rw"] if line.startswith("use_backend")]
    assert "acl short nbsrv(ro) lt 0" in found["frontend rsp-stats"]
    assert "acl short nbsrv(rw) lt 1" in found["frontend rsp-stats"]


def test_health_of_nothing_is_bad():
    front = sections()["frontend rsp-stats"]
    assert [line for line in front if "/health" in line] == [
        'http-request return status 503 content-type text/plain string "no listener\\n" if { path /health }'
    ]


def test_statistics_are_plain_on_loopback_only():
    binds = [line for line in sections()["frontend rsp-stats"] if line.startswith("bind ")]
    assert binds == [
        "bind 127.0.0.1:8404",
        "bind 10.0.0.11:8404 ssl crt tls/server.pem ca-file tls/ca.crt verify required",
    ]


def test_connections_fit_into_the_files():
    assert "maxconn 7936" in sections()["global"]
    assert "maxconn 256" in sections(platform_nofile=1024)["global"]


def test_reload_checks_keeps_the_health_and_hands_over():
    unit = render("haproxy", "haproxy.service.conf.j2").splitlines()
    steps = [line for line in unit if line.startswith("ExecReload=")]
    assert steps[0] == "ExecReload="
    assert " -c " in steps[1]
    assert steps[2] == "ExecReload=/etc/haproxy/keep-state"
    assert steps[3].endswith("-USR2 $MAINPID")
    assert "server-state-file /var/lib/haproxy/server-state" in sections()["global"]
    assert "ExecStartPre=/bin/rm -f /var/lib/haproxy/server-state" in unit
    assert "LimitNOFILE=16384" in unit


# As a real HAProxy 3.0.11 says it: version, columns, one line a server.
STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state … srv_port srvrecord …
3 rw 1 a1 10.0.0.11 2 0 1 1 4 6 3 4 6 0 0 0 - 6432 - 0 0 - - 0
3 rw 2 b1 10.0.1.11 0 0 1 1 4 6 3 4 6 0 0 0 - 9999 - 0 8008 - - 0
3 rw 3 c1 10.0.2.99 2 0 1 1 4 6 3 4 6 0 0 0 - 6432 - 0 0 - - 0
4 gone 1 a1 10.0.0.11 2 0 1 1 4 6 3 4 6 0 0 0 - 6432 - 0 0 - - 0
"""


@pytest.mark.parametrize("answers", [True, False])
def test_only_the_health_of_the_same_servers_is_kept(tmp_path, answers):
    """A port in the state would win over the configured one; a socket that is silent must not stop the reload."""
    socat = tmp_path / "socat"
    socat.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{STATE}END\n" if answers else "#!/bin/sh\nexit 1\n")
    socat.chmod(0o755)
    paths = {"__haproxy_config_file": tmp_path / "haproxy.cfg", "__haproxy_state_file": tmp_path / "state"}
    text = render("haproxy", "haproxy.cfg.j2", haproxy_listeners=[listener()], haproxy_handed_listeners=[])
    paths["__haproxy_config_file"].write_text(text)
    script = tmp_path / "keep-state"
    script.write_text(render("haproxy", "keep-state.j2", **{name: str(path) for name, path in paths.items()}))
    subprocess.run(["sh", script], check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    kept = paths["__haproxy_state_file"].read_text().splitlines()
    assert [line.split()[3] for line in kept[2:]] == (["a1"] if answers else [])
    assert kept[:2] == (STATE.splitlines()[:2] if answers else [])
