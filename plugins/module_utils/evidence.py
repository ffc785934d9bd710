# SPDX-License-Identifier: Apache-2.0
"""Records that cannot be changed without being seen: canonical JSON, each record with the hash of the last.

Stands alone, so that an auditor needs nothing but this file and Python:

    python3 evidence.py FILE [--key-file FILE]

A key makes it an HMAC: without one, whoever rewrites the whole chain is not seen. The head's hash,
kept elsewhere, shows that too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
FIRST = "0" * 64
KEYS = {"version", "seq", "at", "kind", "body", "previous", "hash"}


class EvidenceError(Exception):
    """A record is not what a chain is made of."""


def canonical(data: Any) -> bytes:
    """The one way to write this data: sorted keys, no spaces, UTF-8, no NaN. Raises EvidenceError for anything else."""
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise EvidenceError(f"no JSON: {err}") from err


def digest(record: dict[str, Any], key: bytes = b"") -> str:
    """Hash of a record without its own hash."""
    text = canonical({name: value for name, value in record.items() if name != "hash"})
    return hmac.new(key, text, hashlib.sha256).hexdigest() if key else hashlib.sha256(text).hexdigest()


class Chain:
    """Records in order."""

    def __init__(self, key: bytes = b"") -> None:
        """An empty chain."""
        self._key = key
        self.records: list[dict[str, Any]] = []

    def add(self, kind: str, at: str, body: Any) -> dict[str, Any]:
        """One more record. `at` is a time in ISO 8601."""
        record: dict[str, Any] = {
            "version": VERSION, "seq": len(self.records), "at": at, "kind": kind,
            "body": json.loads(canonical(body)), "previous": self.head,
        }  # fmt: skip
        record["hash"] = digest(record, self._key)
        self.records.append(record)
        return record

    @property
    def head(self) -> str:
        """Hash of the last record."""
        return str(self.records[-1]["hash"]) if self.records else FIRST

    def text(self) -> str:
        """One record a line."""
        return "".join(canonical(record).decode() + "\n" for record in self.records)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verifier found: good only when there are records and nothing is wrong."""

    records: int
    head: str
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the chain holds."""
        return self.records > 0 and not self.problems


def verify(lines: Iterable[str], key: bytes = b"", head: str | None = None) -> Checked:
    """Every problem of a chain. `head` is the hash that its last record must have: it shows what was cut off."""
    problems, previous, count = [], FIRST, 0
    for number, line in enumerate(lines):
        count += 1
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or set(record) != KEYS:
            problems.append(f"record {number} is no record")
            previous = ""
            continue
        if canonical(record).decode() != line.rstrip("\n"):
            problems.append(f"record {number} is not written canonically")
        if record["seq"] != number:
            problems.append(f"record {number} says that it is number {record['seq']}")
        if record["previous"] != previous:
            problems.append(f"record {number} does not follow the one before it")
        if not hmac.compare_digest(str(record["hash"]), digest(record, key)):
            problems.append(f"record {number} was changed, or the key is another one")
        previous = str(record["hash"])
    if not count:
        problems.append("there is no record")
    if head is not None and head != previous:
        problems.append("the last record is not the expected head: records were cut off or added")
    return Checked(count, previous, tuple(problems))


def main(argv: Sequence[str]) -> int:
    """Exit code of the script: 0 when the chain holds."""
    key = Path(argv[argv.index("--key-file") + 1]).read_bytes().strip() if "--key-file" in argv else b""
    with Path(argv[0]).open(encoding="utf-8") as file:
        checked = verify(file, key)
    said = "\n".join(checked.problems) or f"{checked.records} records hold, head {checked.head}"
    sys.stdout.write(f"{said}\n")
    return 0 if checked.good else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
