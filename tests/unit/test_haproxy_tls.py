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
    """Answers as HAProxy 3.0 does; a text's fingerprint is its letters in hexadecimal digits."""

    def __init__(self, refuses="", **used):
        self.used, self.staged, self.refuses, self.commands = dict(used), {}, refuses, []

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
            return f"Filename: {name}\nSHA1 FingerPrint: {text.encode().hex().upper()}" if text else "Can't display it!"
        if verb == "commit" and self.refuses == "commit":
            return f"Committing {name}\ninconsistencies between private key and certificate"
        staged = self.staged.pop(name)
        if verb == "commit":
            self.used[name] = staged
        return f"Committing {name}.\nSuccess!" if verb == "commit" else "Transaction aborted"


def files(**texts):
    return {"authority": {"ca": texts.get("ca", "old")}, "certificate": {"pem": texts.get("pem", "old")}}


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [({}, []), ({"pem": "new"}, ["pem"]), ({"ca": "old\n\nnew"}, ["ca"]), ({"ca": "new", "pem": "new"}, ["ca", "pem"])],
)
@pytest.mark.parametrize("check", [False, True])
def test_only_what_is_new_is_taken(wanted, taken, check):
    process = Process(ca="old", pem="old")
    assert take(process, files(**wanted), check=check) == taken
    assert process.staged == {}
    expected = {name: text.replace("\n\n", "\n") for name, text in ({} if check else wanted).items()}
    assert process.used == {"ca": "old", "pem": "old", **expected}
    assert take(process, files(**wanted), check=True) == (taken if check else [])


@pytest.mark.parametrize(
    ("refuses", "text"),
    [("set", "HAProxy does not take ca: unable to load"), ("commit", "HAProxy does not commit ca: inconsistencies")],
)
def test_a_refusal_leaves_what_was_in_use(refuses, text):
    process = Process(refuses, ca="old", pem="old")
    with pytest.raises(DriverError, match=text):
        take(process, files(ca="new"))
    assert process.used == {"ca": "old", "pem": "old"}
    assert process.staged == {}


def test_a_file_that_the_process_does_not_know_is_an_error():
    with pytest.raises(DriverError, match="HAProxy shows no certificate in ca"):
        take(Process(pem="old"), files())


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
    process = Process(ca="old", pem="old")
    monkeypatch.setattr(haproxy_tls, "over", lambda _path: process)
    path = tmp_path / "admin.sock"
    path.touch()
    given = {"socket": str(path), "authorities": {"ca": "new"}, "certificates": {"pem": "new"}}
    assert call(haproxy_tls.main, capsys, check=check, **given)["taken"] == ["ca", "pem"]
    assert process.used["pem"] == ("old" if check else "new")


def test_check_mode_before_the_first_start(tmp_path, capsys):
    given = {"socket": str(tmp_path / "none"), "certificates": {"pem": "new"}}
    assert call(haproxy_tls.main, capsys, check=True, **given)["taken"] == []
    assert call(haproxy_tls.main, capsys, **given)["failed"] is True
