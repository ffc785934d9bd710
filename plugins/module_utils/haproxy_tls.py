# SPDX-License-Identifier: Apache-2.0
"""Gives a running HAProxy new certificates and CAs through its socket: no reload, so no session is cut later."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

TIMEOUT_S = 10.0
# kind → the word of its commands
WORDS = {"certificate": "cert", "authority": "ca-file"}
FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]+)$", re.MULTILINE)

Ask = Callable[[str], str]


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


def take(ask: Ask, files: Mapping[str, Mapping[str, str]], check: bool = False) -> list[str]:
    """Make the process use what is handed over. Returns the names of what was not in use yet.

    Args:
        ask: sends a command and returns the answer.
        files: certificate and authority, each as name → PEM text.
        check: see what would change, then forget it.
    """
    changed = []
    for kind, texts in files.items():
        for name, text in texts.items():
            if _taken(ask, WORDS[kind], name, text, check):
                changed.append(name)
    return changed


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
