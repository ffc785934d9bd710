# SPDX-License-Identifier: Apache-2.0
"""Canaries: numbered tokens that a client writes into every store, so that a copy can be asked how far it goes.

Each has the MAC of the one before it in its own, with a key that no backup host has: nobody forges one, and two
branches (timelines) with the same numbers are told apart. A client keeps what was acknowledged in a ledger of its own.
Standard library only: canary_stores.py beside it runs as a script.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FIRST = "0" * 64
KEY_BYTES = 16
# About two weeks of a token every 15 seconds
LEDGER_BYTES = 32 * 1024 * 1024
TAIL_BYTES = 4096


class CanaryError(Exception):
    """A token is none, or can't be written."""


@dataclass(frozen=True, slots=True)
class Token:
    """One canary.

    Attributes:
        store: which store of which cluster, for example postgresql/rsp-local-postgresql.
        seq: 1, 2, 3 …
        at: seconds since the epoch when it was made.
        previous: MAC of the token before it.
    """

    store: str
    seq: int
    at: float
    nonce: str
    previous: str
    mac: str

    @classmethod
    def parse(cls, text: str) -> Token:
        """From its JSON. Raises CanaryError."""
        try:
            data = json.loads(text)
            return cls(
                str(data["store"]),
                int(data["seq"]),
                float(data["at"]),
                *(str(data[k]) for k in ("nonce", "previous", "mac")),
            )
        except (ValueError, KeyError, TypeError) as err:
            raise CanaryError(f"{text[:80]!r} is no canary: {err}") from None

    def text(self) -> str:
        """Its JSON, the same wherever it is written."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def mac(key: bytes, *, store: str, seq: int, at: float, nonce: str, previous: str) -> str:
    """The signature of a token. Raises CanaryError for a key that is too short to sign anything."""
    if len(key) < KEY_BYTES:
        raise CanaryError(f"the key of the canaries must have {KEY_BYTES} bytes or more")
    text = json.dumps([store, seq, round(at, 6), nonce, previous], separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def signed(token: Token, key: bytes) -> bool:
    """Whether somebody with the key made it."""
    rest = {name: value for name, value in asdict(token).items() if name != "mac"}
    return hmac.compare_digest(token.mac, mac(key, **rest))


def following(key: bytes, store: str, last: Token | None, now: float) -> Token:
    """The next token. Time never goes back: a clock that was set back is held at the last token's time."""
    seq, previous = (last.seq + 1, last.mac) if last else (1, FIRST)
    at = round(max(now, last.at if last else 0.0), 6)
    nonce = secrets.token_hex(8)
    signature = mac(key, store=store, seq=seq, at=at, nonce=nonce, previous=previous)
    return Token(store, seq, at, nonce, previous, signature)


def problems(tokens: Iterable[Token], key: bytes, store: str) -> list[str]:
    """What is wrong with tokens: forged, of another store, doubled, missing in between, of another branch."""
    found, last = [], None
    for token in sorted(tokens, key=lambda t: t.seq):
        if token.store != store:
            found.append(f"token {token.seq} is of {token.store}")
        elif not signed(token, key):
            found.append(f"token {token.seq} is forged, or the key is another one")
        elif last is not None and token.seq == last.seq:
            found.append(f"token {token.seq} is there twice")
        elif last is not None and token.seq != last.seq + 1:
            found.append(f"tokens {last.seq + 1} to {token.seq - 1} are missing")
        elif last is not None and token.previous != last.mac:
            found.append(f"token {token.seq} does not follow token {last.seq}: it is of another branch")
        last = token
    return found


def exact(restored: Sequence[Token], ledger: Sequence[Token], k: int, key: bytes, store: str) -> list[str]:
    """Why a restore to a target between token `k` and `k + 1` is not exact; empty when it is.

    Args:
        ledger: what the client was told is written; both k and k + 1 must be in it, else their absence proves nothing.
    """
    acknowledged = {token.seq: token for token in ledger}
    wrong = [f"token {each} is not in the client's ledger" for each in (k, k + 1) if each not in acknowledged]
    wrong += problems(restored, key, store)
    there = {token.seq: token for token in restored}
    if k not in there:
        last = max(there, default=0)
        wrong.append(f"token {k} is missing: the copy ends with token {last}")
    elif k in acknowledged and there[k].mac != acknowledged[k].mac:
        wrong.append(f"token {k} is another one than was acknowledged: the copy is of another branch")
    if behind := sorted(seq for seq in there if seq > k):
        wrong.append(f"token {behind[0]} is there, it was written behind the target")
    return wrong


def around(ledger: Sequence[Token], at: float) -> tuple[int, float]:
    """The number k of the last token before a time, and the time in the middle of k and k + 1. Raises CanaryError."""
    before = [t for t in ledger if t.at <= at]
    after = [t for t in ledger if t.at > at]
    if not before or not after:
        raise CanaryError("the ledger has no token on both sides of that time")
    last, nextone = max(before, key=lambda t: t.seq), min(after, key=lambda t: t.seq)
    return last.seq, (last.at + nextone.at) / 2


def measured_rpo(restored: Sequence[Token], disaster_at: float) -> float | None:
    """Seconds of writes that are lost: from the newest token of the copy to the disaster. None without tokens."""
    return round(disaster_at - max(t.at for t in restored), 3) if restored else None


def read_ledger(path: Path) -> list[Token]:
    """A client's ledger; a last line that was cut off while it was written is left out. Raises CanaryError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as err:
        raise CanaryError(f"the ledger can't be read: {err}") from None
    return [Token.parse(line) for line in lines if line.endswith("\n")]


def write(store: Any, key: bytes, ledger: Path, now: float) -> Token:
    """One more token into a store, and into the ledger once the store has acknowledged it.

    The last write may have been stored without an answer: a token that follows the ledger's end is taken into it. A
    store that has gone back (a restore, a failover that lost writes) or ahead without the ledger is another branch: its
    ledger begins anew. The old one is kept aside, because what it says was acknowledged.
    """
    last, known = store.last(), _end_of(ledger)
    token = following(key, store.name, last, now)
    store.put(token)
    ledger.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    follows = last is not None and known is not None and (last.seq, last.previous) == (known.seq + 1, known.mac)
    if known is not None and last != known and not follows:
        ledger.replace(ledger.with_name(f"{ledger.name}.{round(now)}"))
    late = [last] if last is not None and last != known else []
    if ledger.exists() and ledger.stat().st_size > LEDGER_BYTES:
        _shorten(ledger)
    with ledger.open("a", encoding="utf-8") as out:
        out.write("".join(f"{each.text()}\n" for each in (*late, token)))
        out.flush()
    return token


def _end_of(ledger: Path) -> Token | None:
    """The last token of a ledger, None when there is none; a line that was cut off goes. Raises CanaryError."""
    if not ledger.exists():
        return None
    with ledger.open("rb+") as file:
        size = file.seek(0, 2)
        start = file.seek(max(0, size - TAIL_BYTES))
        whole, newline, _cut = file.read().rpartition(b"\n")
        file.truncate(start + len(whole) + len(newline))
    return Token.parse(whole.splitlines()[-1].decode()) if whole else None


def _shorten(ledger: Path) -> None:
    """The newer half stays: a chain may begin anywhere."""
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    part = ledger.with_name(f".{ledger.name}.part")
    part.write_text("".join(lines[len(lines) // 2 :]), encoding="utf-8")
    part.replace(ledger)
