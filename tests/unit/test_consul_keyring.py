"""The keys of Consul's gossip: installed everywhere before used, used everywhere before others are removed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.consul_keyring import converge, parse_pools, steps
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import consul_keyring
from module_call import call

MEMBERS = 5


def pool(having, using, **more):
    return {"WAN": False, "Datacenter": "dc1", "NumNodes": MEMBERS, "Keys": having, "PrimaryKeys": using, **more}


class Keyring:
    """Answers as the API does."""

    def __init__(self, deaf=False, messages=None):
        self.keys, self.used, self.deaf, self.messages, self.calls = ["old"], "old", deaf, messages, []

    def get(self, _path):
        having = dict.fromkeys(self.keys, MEMBERS)
        return [pool(having, {self.used: MEMBERS}, **({"Messages": self.messages} if self.messages else {}))]

    def call(self, method, _path, *, json):
        key = json["Key"]
        self.calls.append((method, key))
        if self.deaf:
            return
        if method == "POST":
            self.keys.append(key)
        elif method == "PUT":
            assert key in self.keys
            self.used = key
        else:
            assert key != self.used
            self.keys.remove(key)


@pytest.mark.parametrize(
    ("having", "using", "only", "todo"),
    [
        ({"old": 5}, {"old": 5}, False, [("install", "new"), ("use", "new")]),
        ({"old": 5, "new": 3}, {"old": 5}, False, [("install", "new"), ("use", "new")]),
        ({"old": 5, "new": 5}, {"old": 5}, False, [("use", "new")]),
        ({"old": 5, "new": 5}, {"old": 1, "new": 4}, True, [("use", "new"), ("remove", "old")]),
        ({"old": 5, "new": 5}, {"new": 5}, False, []),
        ({"old": 1, "new": 5}, {"new": 5}, True, [("remove", "old")]),
        ({"new": 5}, {"new": 5}, True, []),
    ],
)
def test_what_is_left_to_do(having, using, only, todo):
    assert steps(parse_pools([pool(having, using)]), "new", only) == todo


def test_from_old_to_new_in_two_runs():
    keyring = Keyring()
    assert converge(keyring, "new", only=False, check=True) == ["install", "use"]
    assert keyring.calls == []
    assert converge(keyring, "new", only=False, check=False) == ["install", "use"]
    assert (keyring.keys, keyring.used) == (["old", "new"], "new")
    assert converge(keyring, "new", only=True, check=False) == ["remove"]
    assert keyring.keys == ["new"]
    assert converge(keyring, "new", only=True, check=False) == []


def test_a_member_that_does_not_answer_stops_it():
    with pytest.raises(DriverError, match="gossip pool LAN of dc1: b1 did not answer"):
        converge(Keyring(messages={"b1": "timeout"}), "new", only=False, check=False)


def test_no_pool_proves_nothing():
    with pytest.raises(DriverError, match="knows no gossip pool"):
        parse_pools([])


def test_a_keyring_that_keeps_nothing_is_an_error():
    with pytest.raises(DriverError, match="does not take install"):
        converge(Keyring(deaf=True), "new", only=False, check=False)


def test_the_module_never_shows_a_key(monkeypatch, capsys):
    keyring = Keyring()
    monkeypatch.setattr(consul_keyring, "consul_client", lambda _connection: keyring)
    said = call(consul_keyring.main, capsys, connection={"url": "https://h:1"}, key="new-secret-key")
    assert said["steps"] == ["install", "use"]
    assert "new-secret-key" not in str({name: value for name, value in said.items() if name != "invocation"})
    monkeypatch.setattr(consul_keyring, "consul_client", lambda _connection: SimpleNamespace(get=lambda _path: []))
    assert call(consul_keyring.main, capsys, connection={"url": "https://h:1"}, key="k")["failed"] is True
