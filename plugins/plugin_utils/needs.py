# SPDX-License-Identifier: Apache-2.0
"""What an inventory needs of the catalogue: a service that has members, in every version that a host asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import CatalogueError, version_key

# Artifacts that another role's service is made of
CARRIERS = {"versitygw": "s3"}


def relevant(names: Iterable[str]) -> list[str]:
    """Names of the variables that say what an inventory needs of these artifacts."""
    return [f"{variable_prefix(name)}_{word}" for name in names for word in ("members", "version")]


def variable_prefix(name: str) -> str:
    """What variables about an artifact begin with: its own name, or that of the role which runs it."""
    return CARRIERS.get(name, name.replace("-", "_"))


def needed(
    names: Iterable[str], hosts: Mapping[str, Mapping[str, Any]], default: Callable[[str], str | None]
) -> list[dict[str, str]]:
    """Names and versions of the artifacts that an inventory needs, sorted.

    Args:
        names: artifacts of the catalogue.
        hosts: each host's variables. `<name>_members` says that the service is there, `<name>_version` which one.
        default: the version of hosts that set none, None when unknown.

    Raises:
        CatalogueError: a service has members, and no version is known.
    """
    found = []
    for name in sorted(names):
        role = variable_prefix(name)
        if not any(variables.get(f"{role}_members") for variables in hosts.values()):
            continue
        versions = {variables.get(f"{role}_version") or default(role) for variables in hosts.values()}
        if None in versions:
            raise CatalogueError(f"{role}_members is set, {role}_version is not → set the version of {name}")
        found += [{"name": name, "version": version} for version in sorted(map(str, versions), key=version_key)]
    return found
