# SPDX-License-Identifier: Apache-2.0
"""When units started, read from `systemctl show`."""

from __future__ import annotations

ARGV = [
    "systemctl", "show", "--type=service", "--state=active", "*.service",
    "--property=Id,Type,ActiveEnterTimestampMonotonic",
]  # fmt: skip
TRANSIENT = ("user@", "user-runtime-dir@", "session-", "run-", "systemd-tmpfiles-clean", "systemd-hostnamed")


def started(show: str) -> dict[str, int]:
    """Start times in microseconds by unit; units that come and go by themselves are left out.

    Args:
        show: output of ARGV, blocks of KEY=VALUE lines divided by blank lines.
    """
    units = {}
    for block in show.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name, moment = fields.get("Id", ""), fields.get("ActiveEnterTimestampMonotonic", "0")
        if name and moment != "0" and fields.get("Type") != "oneshot" and not name.startswith(TRANSIENT):
            units[name] = int(moment)
    return units
