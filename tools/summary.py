"""What `make up` and `make status` print at their end, as text. Pure, but for reading endpoints.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages import Record


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their heads, columns as wide as they need to be."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def times(records: Mapping[str, Record]) -> str:
    """The stages with their state, time and changes."""
    rows = [
        (name, record.state, f"{record.seconds:.1f}", f"{record.cpu_s:.1f}", str(record.changed))
        for name, record in records.items()
    ]
    total = sum(record.seconds for record in records.values())
    cpu = sum(record.cpu_s for record in records.values())
    return "\n" + table(
        ("stage", "state", "seconds", "CPU-s", "changed"), [*rows, ("all", "", f"{total:.1f}", f"{cpu:.1f}", "")]
    )


def containers(found: Sequence[tuple[str, str, int | None]]) -> str:
    """Containers with their state and the MiB of memory that they hold."""
    if not found:
        return "no lab is here: make up starts one"
    rows = [(name, state, "" if used is None else str(used)) for name, state, used in found]
    total = sum(used or 0 for _, _, used in found)
    return table(("container", "state", "MiB"), [*rows, ("all", "", str(total))])


def endpoints(path: Path) -> str:
    """The services' addresses by role, their users, and where the passwords are; nothing before they were written."""
    if not path.exists():
        return ""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (name, _all(service, "rw"), _all(service, "ro"), service.get("user") or "-", _secret(service))
        for name, service in content["services"].items()
    ]
    show = "make secret NAME=<from the column password> shows one"
    lines = [
        "",
        table(("service", "read-write", "read-only", "user", "password"), rows),
        "",
        f"CA certificate  {content['ca']}",
        f"for programs    {path}",
        f"passwords       {path.parent / 'secrets.yml'}, encrypted; {show}",
        "",
    ]
    return "\n".join(lines)


def _all(service: Mapping[str, Any], role: str) -> str:
    return ", ".join(service.get(role, [])) or "-"


def _secret(service: Mapping[str, Any]) -> str:
    password = service.get("password")
    return password.get("secret", "-") if isinstance(password, Mapping) else "-"
