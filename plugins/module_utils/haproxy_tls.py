# SPDX-License-Identifier: Apache-2.0
"""Gives a running HAProxy new certificates and CAs through its socket: no reload, so no session is cut later."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

TIMEOUT_S = 10.0
FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]+)$", re.MULTILINE)

Ask = Callable[[str], str]
Texts = Mapping[str, str]


def over(path: str) -> Ask:
    """One command a connection, as the socket answers; the answer ends when it closes."""

    def ask(command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(path)
                connection.sendall(command.encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace").strip()
        except OSError as err:
            raise DriverError(f"HAProxy does not answer at {path}: {err.strerror or err}") from None

    return ask


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the files.

    Attributes:
        names: what was not in use yet, and is now.
        postponed: CAs of clients that go with the next certificate.
        reload: a certificate can't be taken without a reload; the files on the disk are complete.
    """

    names: list[str]
    postponed: list[str]
    reload: bool


def take(ask: Ask, certificates: Texts, servers: Texts, clients: Texts, *, check: bool = False) -> Taken:
    """Make the process use what is handed over: names → PEM texts.

    When a CA of a listener's clients is committed, HAProxy 3.0 forgets who uses the listener's certificate, and commits
    of that one are without effect until a reload. So such a CA is committed right behind a new certificate, or when
    nobody is known any more.

    Args:
        ask: sends a command and returns the answer.
        certificates: what listeners show.
        servers: CAs that checks of servers are held against.
        clients: CAs that clients of listeners are held against.
        check: see what would change, then forget it.
    """
    names = [name for name, text in servers.items() if _taken(ask, "ca-file", name, text, check)]
    forgotten = any("Status: Unused" in ask(f"show ssl cert {name}\n") for name in certificates)
    new = [name for name, text in certificates.items() if _taken(ask, "cert", name, text, check or forgotten)]
    if forgotten and new:
        return Taken(names, [], reload=True)
    waits = not (forgotten or new)
    cas = [name for name, text in clients.items() if _taken(ask, "ca-file", name, text, check or waits)]
    return Taken(names + new + ([] if waits else cas), cas if waits else [], reload=False)


def _taken(ask: Ask, word: str, name: str, text: str, check: bool) -> bool:
    """A transaction: set it beside the one in use, compare, then commit or abort."""
    before = _fingerprints(ask, word, name)
    # A payload ends with an empty line, so it has none.
    payload = "\n".join(line for line in text.splitlines() if line.strip())
    answer = ask(f"set ssl {word} {name} <<\n{payload}\n\n")
    if "transaction" not in answer.lower():
        raise DriverError(f"HAProxy does not take {name}: {_last(answer)}")
    after = _fingerprints(ask, word, f"*{name}")
    if check or before == after:
        ask(f"abort ssl {word} {name}\n")
        return before != after
    answer = ask(f"commit ssl {word} {name}\n")
    if "success" not in answer.lower():
        ask(f"abort ssl {word} {name}\n")
        raise DriverError(f"HAProxy does not commit {name}: {_last(answer)}")
    return True


def _fingerprints(ask: Ask, word: str, name: str) -> list[str]:
    answer = ask(f"show ssl {word} {name}\n")
    found = sorted(FINGERPRINT.findall(answer))
    if not found:
        raise DriverError(f"HAProxy shows no certificate in {name}: {_last(answer)}")
    return found


def _last(answer: str) -> str:
    """The last line of an answer, which says what went wrong."""
    return answer.splitlines()[-1] if answer else "it said nothing"
