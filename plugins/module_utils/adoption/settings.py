# SPDX-License-Identifier: Apache-2.0
"""Settings of PostgreSQL as they are and as they shall be: 4GB and 524288 (of 8kB) are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

BYTES = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
MICROSECONDS = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
QUANTITY = re.compile(r"\s*(-?[0-9.]+)\s*([a-zA-Z]*)\s*")
TRUE, FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
NEEDS = {"postmaster": "restart", "internal": "a new cluster"}


def same(row: Mapping[str, Any], wanted: object) -> bool:
    """Whether a row of pg_settings (setting, unit, vartype) has the wanted value."""
    setting, kind = str(row["setting"]), row["vartype"]
    if kind == "bool":
        return _boolean(setting) == _boolean(str(wanted))
    if kind in ("integer", "real"):
        live, new = _number(setting, row["unit"]), _number(str(wanted), row["unit"])
        return live == new if live is not None and new is not None else setting == str(wanted)
    if kind == "enum":
        return setting.lower() == str(wanted).lower()
    return re.sub(r"\s*,\s*", ",", setting) == re.sub(r"\s*,\s*", ",", str(wanted))


def differing(rows: Iterable[Mapping[str, Any]], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is not as it shall be: name, live, wanted, and what the change needs."""
    found = {row["name"]: row for row in rows}
    result = []
    for name, value in sorted(wanted.items()):
        row = found.get(name)
        if row is None:
            result.append({"name": name, "live": None, "wanted": str(value), "needs": "reload"})
        elif not same(row, value):
            needs = NEEDS.get(row["context"], "reload")
            result.append({"name": name, "live": row["shown"], "wanted": str(value), "needs": needs})
    return result


def _boolean(text: str) -> bool | str:
    low = text.lower()
    return True if low in TRUE else False if low in FALSE else low


def _number(text: str, base: str | None) -> float | None:
    """The value in the smallest unit; None for what is no number."""
    found = QUANTITY.fullmatch(text)
    if found is None:
        return None
    try:
        value = float(found[1])
    except ValueError:
        return None
    if not base:
        return value if not found[2] else None
    amount, unit = _split(base)
    table = BYTES if unit in BYTES else MICROSECONDS
    if not found[2]:
        return value if value == -1 else value * amount * table[unit]
    return value * table[found[2]] if found[2] in table else None


def _split(base: str) -> tuple[float, str]:
    """A unit of pg_settings: 8kB is eight times kB."""
    digits = re.match(r"[0-9]*", base)
    number = digits[0] if digits else ""
    return float(number or 1), base[len(number) :]
