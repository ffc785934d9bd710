"""HAProxy takes certificates through its socket: only what it does not use yet, whole or not at all."""

from __future__ import annotations

import re
import socket
import threading

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.haproxy_tls import over, take
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import haproxy_tls
from module_call import call

SET = re.compile(r"set ssl (cert|ca-file) (\S+) <<\n(.*)\n\n", re.DOTALL)


class Process:
    """Answers as HAProxy 3.0 does; a text's fingerprint is its letters in hexadecimal digits.

    It forgets who uses a certificate when a CA of the listener's clients is committed.
    """

    def __init__(self, refuses="", forgets=False, **used):
        self.used, self.staged, self.refuses, self.commands = dict(used), {}, refuses, []
        self.forgets, self.status = forgets, "Used"

    def __call__(self, command):
        self.commands.append(command.split(" <<")[0].strip())
        if said := SET.fullmatch(command):
            if self.refuses == "set":
                return "unable to load certificate from file '/tmp/x': no start line."
            self.staged[said[2]] = said[3]
            return f"Transaction created for certificate {said[2]}!"
        verb, _ssl, _word, name = command.split()
        if verb == "show":
            text = self.staged.get(name[1:]) if name.startswith("*") else self.used.get(name)
            return (
                f"Filename: {name}\nStatus: {self.status}\nSHA1 FingerPrint: {text.encode().hex().upper()}"
                if text
                else "Can't display it!"
            )
        if verb == "commit" and self.refuses == "commit":
            return f"Committing {name}\ninconsistencies between private key and certificate"
        staged = self.staged.pop(name)
        if verb == "commit":
            self.used[name] = staged
            self.status = "Unused" if self.forgets and name == "clients" else self.status
        return f"Committing {name}.\nSuccess!" if verb == "commit" else "Transaction aborted"


def given(**texts):
    return [{name: texts.get(name, "old")} for name in ("pem", "servers", "clients")]


def process_of(**more):
    return Process(**{"pem": "old", "servers": "old", "clients": "old", **more})


@pytest.mark.parametrize(
    ("wanted", "taken", "postponed"),
    [
        ({}, [], []),
        ({"pem": "new"}, ["pem"], []),
        ({"servers": "old\n\nnew"}, ["servers"], []),
        ({"servers": "new", "clients": "new"}, ["servers"], ["clients"]),
        ({"pem": "new", "clients": "new"}, ["pem", "clients"], []),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_only_what_is_new_is_taken_and_a_clients_ca_only_with_a_certificate(wanted, taken, postponed, check):
    process = process_of()
    found = take(process, *given(**wanted), check=check)
    assert (found.names, found.postponed, found.reload) == (taken, postponed, False)
    assert process.staged == {}
    expected = {name: wanted[name].replace("\n\n", "\n") for name in ([] if check else taken)}
    assert process.used == {**process_of().used, **expected}
    assert take(process, *given(**wanted), check=True).names == (taken if check else [])


def test_a_certificate_that_the_process_has_forgotten_needs_a_reload_and_a_ca_does_not():
    process = process_of(forgets=True)
    assert take(process, *given(pem="new", clients="one")).names == ["pem", "clients"]
    assert take(process, *given(pem="new", clients="two")).names == ["clients"]  # nothing more can be forgotten
    found = take(process, *given(pem="newer", clients="two", servers="new"))
    assert (found.names, found.reload) == (["servers"], True)
    assert (process.used["pem"], process.staged) == ("new", {})


@pytest.mark.parametrize(
    ("refuses", "text"),
    [
        ("set", "HAProxy does not take servers: unable to load"),
        ("commit", "HAProxy does not commit servers: inconsistencies"),
    ],
)
def test_a_refusal_leaves_what_was_in_use(refuses, text):
    process = process_of(refuses=refuses)
    with pytest.raises(DriverError, match=text):
        take(process, *given(servers="new"))
    assert process.used == process_of().used
    assert process.staged == {}


def test_a_file_that_the_process_does_not_know_is_an_error():
    with pytest.raises(DriverError, match="HAProxy shows no certificate in servers"):
        take(Process(pem="old", clients="old"), *given())


def test_the_socket_is_asked_one_command_a_connection(tmp_path):
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer():
            connection, _peer = server.accept()
            with connection:
                connection.sendall(b"got " + connection.recv(100) + b"\n\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert over(str(path))("show info\n") == "got show info"
        thread.join()
    with pytest.raises(DriverError, match=r"HAProxy does not answer at .*admin\.sock: Connection refused"):
        over(str(path))("show info\n")


@pytest.mark.parametrize("check", [False, True])
def test_the_module_hands_trust_over_first(monkeypatch, tmp_path, check, capsys):
    process = process_of()
    monkeypatch.setattr(haproxy_tls, "over", lambda _path: process)
    path = tmp_path / "admin.sock"
    path.touch()
    asked = {"socket": str(path), "authorities": {"servers": "new"}, "certificates": {"pem": "new"},
             "client_authorities": {"clients": "new"}}  # fmt: skip
    said = call(haproxy_tls.main, capsys, check=check, **asked)
    assert (said["taken"], said["reload"]) == (["servers", "pem", "clients"], False)
    assert process.used["pem"] == ("old" if check else "new")


def test_check_mode_before_the_first_start(tmp_path, capsys):
    asked = {"socket": str(tmp_path / "none"), "certificates": {"pem": "new"}}
    assert call(haproxy_tls.main, capsys, check=True, **asked)["taken"] == []
    assert call(haproxy_tls.main, capsys, **asked)["failed"] is True
