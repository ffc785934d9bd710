"""A proxy in the path: planned on free ports, taken back to the last rule, no proof when nothing went through it."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds, effects, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import KINDS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.proxy import PORTS
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    UnavailableError,
    with_defaults,
)
from chaos_data import host

PROGRAM = "opt/rsp/toxiproxy/2.5.0/toxiproxy-server"
FILES = {PROGRAM: "", "usr/bin/systemd-run": "", "usr/bin/ss": ""}
PARAMS = {"ms": 150, "port": 5432, "address": "10.0.0.11", "peers": ["10.0.1.11", "10.0.2.11"]}


def plan(root, kind="latency", files=None, **changes):
    given = {key: value for key, value in {**PARAMS, **changes}.items() if key in KINDS[kind].options}
    return KINDS[kind].plan(
        with_defaults(KINDS[kind], given), host(root, **(FILES if files is None else files)), "ab-0"
    )


def test_new_connections_go_through_it_old_ones_come_back_and_the_proxys_own_pass(tmp_path):
    found = plan(tmp_path)
    proxy, redirect, closed = found.inject
    assert (proxy["listen"], proxy["upstream"]) == ("0.0.0.0:21000", "10.0.0.11:5432")
    assert proxy["argv"][0] == f"/{PROGRAM}"
    assert [rule[1] for rule in redirect["rules"]] == [f"{peer}/32" for peer in PARAMS["peers"]], (
        "nobody else, so not this host itself"
    )
    assert redirect["rules"][0][-2:] == ["--to-ports", "21000"]
    own = [rule for rule in closed["rules"]["iptables"] if "RETURN" not in rule]
    assert [rule[1] for rule in own] == [f"{peer}/32" for peer in PARAMS["peers"]]
    assert all(rule[rule.index("--dport") + 1] == "5432" for rule in own)
    assert all(rule[6:10] == ["!", "--tcp-flags", "RST", "RST"] for rule in own), "the peers' own resets get through"
    assert [step["do"] for step in found.undo] == ["no_proxy", "no_redirect", "no_chain"]
    assert {item["see"] for item in found.fingerprint} == {"rules", "redirected", "unit"}


@pytest.mark.parametrize(
    ("kind", "params", "toxic"),
    [
        ("latency", {"ms": 150, "jitter_ms": 9}, {"latency": 150, "jitter": 9}),
        ("bandwidth", {"kb_per_s": 64}, {"rate": 64}),
        ("reset", {"after_ms": 700}, {"timeout": 700}),
    ],
)
def test_what_is_wrong_with_the_line(tmp_path, kind, params, toxic):
    toxics = plan(tmp_path, kind, **params).inject[0]["toxics"]
    assert [each["stream"] for each in toxics] == ["upstream", "downstream"]
    assert all(each["attributes"] == toxic for each in toxics)
    one = plan(tmp_path / "one", kind, **params, stream="downstream").inject[0]["toxics"]
    assert [each["stream"] for each in one] == ["downstream"]


@pytest.mark.parametrize(
    ("changes", "files", "error", "text"),
    [
        ({}, {}, UnavailableError, "chaos_tools.yml"),
        ({}, {PROGRAM: ""}, UnavailableError, "systemd-run, ss is not installed"),
        ({"port": None}, FILES, UnavailableError, "does not say where it listens"),
        ({"port": 22}, FILES, ChaosError, "Ansible's way in"),
        ({"address": "2001:db8::1"}, FILES, UnavailableError, "IPv4 only"),
        ({"peers": ["2001:db8::2"]}, FILES, UnavailableError, "IPv4 only"),
        ({"peers": []}, FILES, ChaosError, "there is no peer"),
        ({"peers": ["0.0.0.0/0"]}, FILES, ChaosError, "everybody"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_armed(tmp_path, changes, files, error, text):
    with pytest.raises(error, match=text):
        plan(tmp_path, files=files, **changes)


def test_ports_on_which_somebody_listens_are_left_alone(tmp_path):
    rows = "".join(f"   {n}: 00000000:{PORTS.start + n:04X} 00000000:0000 0A 0\n" for n in range(3))
    files = {**FILES, "proc/net/tcp6": f"  sl  local_address rem_address   st\n{rows}"}
    proxy = plan(tmp_path, files=files).inject[0]
    assert (proxy["listen"], proxy["api"]) == (f"0.0.0.0:{PORTS.start + 3}", PORTS.start + 4)


class Nat:
    """The table nat of iptables, with a chain of others."""

    def __init__(self):
        self.rules = ["-P PREROUTING ACCEPT", "-N DOCKER", "-A PREROUTING -j DOCKER"]
        self.cut_after = None

    def __call__(self, argv, ok=(0,), timeout_s=60):
        assert argv[:5] == ["iptables", "-w", "5", "-t", "nat"]
        if self.cut_after is not None:
            if self.cut_after == 0:
                raise steps.StepError("the power goes")
            self.cut_after -= 1
        verb, words = argv[5], argv[6:]
        if verb == "-S":
            return "\n".join(self.rules)
        if verb == "-N":
            self.rules.insert(1, f"-N {words[0]}")
        elif verb == "-A":
            self.rules.append(f"-A {' '.join(words)}")
        elif verb == "-I":
            self.rules.append(f"-A {words[0]} {' '.join(words[2:])}")
        elif verb == "-D":
            self.rules.remove(f"-A {' '.join(words)}")
        elif verb == "-F":
            self.rules = [rule for rule in self.rules if not rule.startswith(f"-A {words[0]} ")]
        elif verb == "-X":
            self.rules.remove(f"-N {words[0]}")
        return ""


@pytest.mark.parametrize("after", range(5))
def test_a_redirection_that_was_cut_off_at_any_moment_is_taken_back_without_a_trace(tmp_path, after):
    nat, step = Nat(), plan(tmp_path).inject[1]
    before = list(nat.rules)
    nat.cut_after = after if after < 4 else None
    if after < 4:
        with pytest.raises(steps.StepError):
            deeds.redirect(step, nat)
    else:
        deeds.redirect(step, nat)
        assert deeds.redirected(step, nat)
    nat.cut_after = None
    deeds.no_redirect(step, nat)
    assert nat.rules == before
    deeds.no_redirect(step, nat)
    assert nat.rules == before
    assert deeds.redirected(step, nat) == []


METRICS = """# TYPE toxiproxy_proxy_received_bytes_total counter
toxiproxy_proxy_received_bytes_total{direction="downstream",listener="[::]:21000",proxy="ab-0",upstream="u"} 900
toxiproxy_proxy_received_bytes_total{direction="upstream",listener="[::]:21000",proxy="ab-0",upstream="u"} %s
toxiproxy_proxy_received_bytes_total{direction="upstream",listener="[::]:21001",proxy="cd-0",upstream="u"} 800
toxiproxy_proxy_sent_bytes_total{direction="upstream",listener="[::]:21000",proxy="ab-0",upstream="u"} 700
"""


class Api(http.server.BaseHTTPRequestHandler):
    """Toxiproxy's API, as far as it is used."""

    toxics, received, fails = [], "0", 0

    def _say(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        texts = {
            "/version": "2.5.0",
            "/metrics": METRICS % self.received,
            "/proxies/ab-0/toxics": json.dumps(self.toxics),
        }
        self._say(200 if self.path in texts else 404, texts.get(self.path, "no"))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/toxics"):
            type(self).toxics.append(body)
        self._say(409 if self.fails else 201, "proxy already exists")

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def api(monkeypatch):
    for name, value in (("toxics", []), ("received", "0"), ("fails", 0)):
        monkeypatch.setattr(Api, name, value)
    server = http.server.HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "case",
    [
        ("0", "", False, False),
        ("6.4e+01", "", False, True),
        ("0", "0 0 10.0.0.11:21000 10.0.1.11:40000\n\t cubic bytes_received:24 segs_out:3", False, True),
        ("64", "", True, False),
    ],
)
def test_bytes_that_came_in_are_the_proof(tmp_path, monkeypatch, api, case):
    received, open_, lacks, good = case
    step = {**plan(tmp_path).inject[0], "api": api}
    started = []
    deeds.proxy(step, lambda argv, **_options: started.append(argv) or "")
    assert started[0][0] == "systemd-run"
    assert [toxic["name"] for toxic in Api.toxics] == ["latency_upstream", "latency_downstream"]
    monkeypatch.setattr(Api, "received", received)
    monkeypatch.setattr(effects, "run", lambda _argv, **_options: open_)
    if lacks:
        Api.toxics.pop()
    [proof] = plan(tmp_path).effect
    effective, [said] = effects.prove([{**proof, "api": api}])
    assert effective is good, said


def test_a_proxy_that_refuses_is_a_failed_injection_and_one_that_is_gone_no_proof(tmp_path, monkeypatch, api):
    monkeypatch.setattr(Api, "fails", 1)
    with pytest.raises(OSError, match="http 409 proxy already exists"):
        deeds.proxy({**plan(tmp_path).inject[0], "api": api}, lambda _argv, **_options: "")
    [proof] = plan(tmp_path).effect
    effective, [said] = effects.prove([{**proof, "api": 1}])
    assert (effective, "cannot be seen" in said) == (False, True)


def test_a_unit_that_is_gone_already_is_no_failure():
    deeds.no_proxy({"unit": "x.service"}, lambda _argv, ok=(0,), **_options: "" if 5 in ok else pytest.fail("raised"))
