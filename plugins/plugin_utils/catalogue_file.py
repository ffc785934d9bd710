# SPDX-License-Identifier: Apache-2.0
"""The catalogue file that this collection ships, read on the controller."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, Catalogue, CatalogueError

COLLECTION = Path(__file__).resolve().parents[2]
BUILD_PLATFORM = "linux_amd64"


@cache
def shipped() -> Catalogue:
    """The collection's catalogue, read and checked once a process. Raises CatalogueError when it is malformed."""
    return Catalogue.parse(yaml_load((COLLECTION / "catalogue" / "artifacts.yml").read_text(encoding="utf-8")))


def for_member(artifact: Artifact, mirror_url: str) -> dict[str, Any]:
    """What a member needs to install an artifact: everything but its sources, and the mirror's `url`."""
    result = artifact.as_dict()
    del result["sources"]
    return {**result, "url": f"{mirror_url.rstrip('/')}/{artifact.path}" if mirror_url else ""}


def for_mirror(artifact: Artifact, catalogue: Catalogue) -> dict[str, Any]:
    """What a mirror needs to get an artifact; a build's toolchain is whole, because a mirror reads no catalogue."""
    sources = [_with_toolchain(source, catalogue) for source in artifact.sources]
    return {**artifact.as_dict(), "sources": sources}


def role_version(role: str) -> str | None:
    """The version that a role of this collection installs by default, None where there is no such role or variable."""
    defaults = COLLECTION / "roles" / role / "defaults" / "main.yml"
    if not defaults.is_file():
        return None
    version = yaml_load(defaults.read_text(encoding="utf-8")).get(f"{role}_version")
    if version is not None and not isinstance(version, str):
        raise CatalogueError(f"{role}_version: {version!r} in the role's defaults is no quoted string")
    return version


def _with_toolchain(source: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    if "toolchain" not in source:
        return source
    return {**source, "toolchain": catalogue.find("go-toolchain", source["toolchain"], BUILD_PLATFORM).as_dict()}
