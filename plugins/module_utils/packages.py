# SPDX-License-Identifier: Apache-2.0
"""Which installed packages apt could replace by newer ones. Pure parsing; who runs apt is injected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.command import Run

HEAD = re.compile(r"^(?P<name>[a-z0-9][a-z0-9+.-]*)(:[a-z0-9]+)?:$")
LINE = re.compile(r"^  (?P<key>Installed|Candidate): (?P<version>\S+)$")
INST = re.compile(r"^Inst (\S+)(?: \[[^]]*\])? \((\S+)", re.MULTILINE)
NONE = "(none)"


class PackagesError(Exception):
    """The package manager did not answer."""


@dataclass(frozen=True, slots=True)
class Newer:
    """An installed package and what apt would install in its place."""

    name: str
    installed: str
    candidate: str

    @property
    def reason(self) -> str:
        """One sentence for a plan."""
        return f"{self.name} {self.installed} is older than {self.candidate}"


def parse_policy(text: str) -> list[tuple[str, str, str]]:
    """(name, installed, candidate) of each installed package in the answer of `apt-cache policy`, in its order."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        if head := HEAD.match(line):
            found.append({"name": head["name"]})
        elif found and (pair := LINE.match(line)):
            found[-1][pair["key"]] = pair["version"]
    rows = [(entry["name"], entry.get("Installed", NONE), entry.get("Candidate", NONE)) for entry in found]
    return [row for row in rows if NONE not in row]


def to_install(simulated: str) -> list[str]:
    """name=version of what `apt-get --simulate install` would put in place."""
    found = INST.findall(simulated)
    return [f"{name}={version}" for name, version in found]


def newer(run: Run, names: Sequence[str], refresh: bool) -> list[Newer]:
    """Packages among `names` that are installed and that apt has a newer version of.

    Args:
        run: runs argv lists on the member.
        names: packages to look at; those that are not installed are left out.
        refresh: read the sources' lists anew first.

    Raises:
        PackagesError: apt or dpkg does not answer.
    """
    if refresh:
        _asked(run, ["apt-get", "--quiet", "--error-on=any", "update"])
    policy = _asked(run, ["apt-cache", "policy", *names]) if names else ""
    different = [Newer(*row) for row in parse_policy(policy) if row[1] != row[2]]
    return [one for one in different if _later(run, one.candidate, one.installed)]


def as_result(found: Sequence[Newer]) -> dict[str, Any]:
    """Keys of the module's result."""
    return {
        "newer": [asdict(one) for one in found],
        "pins": [f"{one.name}={one.candidate}" for one in found],
        "reasons": [one.reason for one in found],
    }


def _later(run: Run, version: str, other: str) -> bool:
    code, _out, err = run(["dpkg", "--compare-versions", version, "gt", other])
    if err.strip():
        raise PackagesError(f"dpkg could not compare {version} with {other}: {err.strip()}")
    return code == 0


def _asked(run: Run, argv: Sequence[str]) -> str:
    code, out, err = run([*argv])
    if code != 0:
        raise PackagesError(f"{' '.join(argv[:2])}: {err.strip() or out.strip()}")
    return out
