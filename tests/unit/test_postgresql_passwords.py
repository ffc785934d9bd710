"""Passwords over the primary's socket: only what differs, only roles that are there, never in the clear."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import scram
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import postgresql_passwords
from ansible_collections.rsp.platform.plugins.modules.postgresql_passwords import statements
from module_call import call

KEPT = {"replicator": scram.verifier("old"), "rewind": scram.verifier("same"), "monitor": None}


@pytest.mark.parametrize(
    ("passwords", "changed"),
    [
        ({"replicator": "new"}, ["replicator"]),
        ({"replicator": "new", "rewind": "same"}, ["replicator"]),
        ({"rewind": "same"}, []),
        ({"monitor": "first"}, ["monitor"]),
        ({}, []),
    ],
)
def test_only_what_differs(passwords, changed):
    todo = statements(passwords, KEPT)
    assert sorted(todo) == changed
    for role, statement in todo.items():
        assert statement.database == "postgres"
        assert scram.matches(passwords[role], statement.parts[1].value)
        assert passwords[role] not in repr(statement)


def test_a_role_that_is_not_there():
    with pytest.raises(DriverError, match="there is no role app"):
        statements({"app": "x", "rewind": "same"}, KEPT)


@pytest.mark.parametrize("check", [False, True])
def test_the_module(monkeypatch, check, capsys):
    executed = []

    class Session:
        def __init__(self, connection):
            assert connection["hosts"] == ["/var/run/postgresql"]

        def query(self, _database, _text):
            return list(KEPT.items())

        def execute(self, statement):
            executed.append(statement.what)

        def close(self):
            executed.append("closed")

    monkeypatch.setattr(postgresql_passwords, "Session", Session)
    monkeypatch.setattr(postgresql_passwords, "available", lambda: True)
    said = call(postgresql_passwords.main, capsys, check=check, passwords={"replicator": "new", "rewind": "same"})
    assert (said["changed"], said["roles"]) == (True, ["replicator"])
    assert executed == (["closed"] if check else ["role replicator: set password", "closed"])
    assert call(postgresql_passwords.main, capsys, passwords={"replicator": "ümlaut"})["failed"] is True
