"""A key in Consul that must say go: whatever else is answered, or not answered, is a stop."""

from __future__ import annotations

import http.server
import threading

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import model
from ansible_collections.rsp.platform.plugins.module_utils.chaos.switch import get, why_not
from ansible_collections.rsp.platform.plugins.modules import chaos_fault
from chaos_data import experiment, setting
from test_chaos_faults import Place, request
from test_chaos_run import Ran

SWITCH = {"urls": ["http://one", "http://two"], "key": "rsp/chaos/go", "token": "secret-token"}


def answers(*given):
    left = list(given)

    def ask(_url, _switch):
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("go",), None),
        ((" go\n",), None),
        ((OSError("refused"), "go"), None),
        ((None,), "is not set"),
        ((None, "go"), "is not set"),
        (("stop",), "says 'stop'"),
        (("stop", "go"), "says 'stop'"),
        (("GO",), "says 'GO'"),
        (("go now",), "says 'go now'"),
        (("",), "says ''"),
        ((OSError("refused"), OSError("timed out")), "nobody says"),
        ((OSError("refused"), None), "is not set"),
        ((ValueError("no url"), TimeoutError("late")), "nobody says"),
    ],
)
def test_only_go_is_go(given, text):
    found = why_not(SWITCH, answers(*given))
    assert (found is None) is (text is None), found
    assert text is None or text in found
    assert "secret-token" not in str(found)


def test_no_server_is_no_go_and_no_switch_is_none():
    assert "nobody says" in why_not({**SWITCH, "urls": []})
    assert why_not({}) is None


class Consul(http.server.BaseHTTPRequestHandler):
    """A server with one answer."""

    status, body, seen = 200, b"go", []

    def do_GET(self):
        type(self).seen.append((self.path, self.headers["X-Consul-Token"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments):
        pass


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [(200, b"go", None), (404, b"", "is not set"), (403, b"Permission denied", "nobody says"), (500, b"", "nobody"),
     (200, b"\xff\xfe", "says"), (301, b"", "nobody says")],
)  # fmt: skip
def test_a_server_is_asked_with_the_token_and_while_nobody_leads(monkeypatch, status, body, text):
    monkeypatch.setattr(Consul, "status", status)
    monkeypatch.setattr(Consul, "body", body)
    monkeypatch.setattr(Consul, "seen", [])
    server = http.server.HTTPServer(("127.0.0.1", 0), Consul)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = why_not({**SWITCH, "urls": [f"http://127.0.0.1:{server.server_port}"]})
    finally:
        server.shutdown()
        server.server_close()
    assert (found is None) is (text is None), found
    assert text is None or text in found
    assert Consul.seen == [("/v1/kv/rsp/chaos/go?raw&stale", "secret-token")]


def test_a_server_that_is_gone_has_not_said_go():
    with pytest.raises(OSError, match="refused"):
        get("http://127.0.0.1:1", SWITCH)


def test_the_key_forbids_injecting_and_renewing_but_never_undoing(tmp_path):
    place, said = Place(tmp_path), [None]
    object.__setattr__(place.faults, "switch", lambda: said[0])
    place.faults.inject(request())
    said[0] = "Consul's key says no"
    for call in (lambda: place.faults.inject(request(fault="other")), lambda: place.faults.renew("ab12-0")):
        with pytest.raises(model.ChaosError, match="no fault is allowed on this host: Consul's key says no"):
            call()
    assert place.faults.undo("ab12-0")["undone"]


def test_the_module_takes_the_switch_and_hides_its_token():
    options = chaos_fault.fault_options()["switch"]["options"]
    assert options["token"]["no_log"] is True
    assert set(options) == {"urls", "key", "ca", "token"}


def test_every_call_that_may_hurt_carries_the_switch_and_no_record_does():
    made = experiment(hold_s=30)
    ran = Ran(made, where=setting(switch=SWITCH))
    calls = [a for _t, _h, module, a in ran.machines.calls if module == "chaos_fault"]
    for call in calls:
        assert ("switch" in call) is (call["state"] in ("planned", "injected", "renewed")), call["state"]
    assert {call["state"] for call in calls} >= {"planned", "injected", "renewed", "undone"}
    assert "secret-token" not in ran.runner.chain.text()
    assert "secret-token" not in str(ran.report)
    assert "secret-token" not in repr(setting(switch=SWITCH))


def test_a_key_that_changes_in_the_middle_ends_the_run_at_once_also_for_a_host_that_hears_old_news():
    ran = Ran(experiment(hold_s=60, recover_s=90), where=setting(switch=SWITCH), stopped=115.0)
    assert ran.verdict == "aborted"
    assert "switch rsp/chaos/go" in ran.seen.aborted
    assert 115 < ran.seen.undone_at < 115 + 5, "two questions in a row"
    asked = [arguments for _t, host, module, arguments in ran.machines.calls if module == "chaos_info"]
    assert asked
    assert all(arguments["switch"]["key"] == "rsp/chaos/go" for arguments in asked)


def test_a_client_that_cannot_ask_has_not_heard_go():
    ran = Ran(experiment(), where=setting(switch=SWITCH), fail={("chaos_info", "ops"): "unreachable"})
    assert ran.verdict == "aborted"
    assert "could not be asked" in ran.seen.aborted


def test_without_a_key_nobody_is_asked():
    assert not any(module == "chaos_info" for _t, _h, module, _a in Ran().machines.calls)


def test_a_key_that_no_longer_says_go_aborts_the_run_and_everything_is_undone():
    ran = Ran(
        experiment(hold_s=30), where=setting(switch=SWITCH), fail={("chaos_fault", "renewed"): "no fault is allowed"}
    )
    assert ran.verdict == "aborted"
    assert ran.machines.verbs()[-1][1] == "undone"
