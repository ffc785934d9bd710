# SPDX-License-Identifier: Apache-2.0
"""Where a file of the artifact catalogue comes from."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Address and pin of a file in the artifact catalogue
description:
  - Looks an artifact up in the catalogue of this collection and says where the mirror serves it.
  - A role hands the answer to the module M(rsp.platform.artifact) and doesn't know where the bytes came from.
  - A version or platform that is not listed is an error that names what is listed.
options:
  _terms:
    description: Names of artifacts, such as V(consul).
    type: list
    elements: str
    required: true
  version:
    description: The version, as the catalogue lists it.
    type: str
    required: true
  platform:
    description: The platform that the file runs on.
    type: str
    choices: [linux_amd64, linux_arm64]
    default: linux_amd64
  mirror_url:
    description: Base URL of the mirror. An empty one leaves RV(_raw.url) empty too.
    type: str
    default: ""
    vars:
      - name: platform_mirror_url
  sources:
    description: Whether to return where a mirror gets the file from, as M(rsp.platform.mirror_fetch) needs it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Put Consul's binary in place
  rsp.platform.artifact:
    artifact: "{{ lookup('rsp.platform.artifact', 'consul', version='1.22.5') }}"
    link: /usr/local/bin/consul
"""

RETURN = r"""
_raw:
  description: One dictionary an artifact.
  type: list
  elements: dict
  contains:
    name:
      description: Name of the artifact.
      type: str
    version:
      description: Its version.
      type: str
    platform:
      description: The platform; V(any) for files that run everywhere.
      type: str
    file:
      description: File name.
      type: str
    sha256:
      description: What the file must be.
      type: str
    size:
      description: Size in bytes.
      type: int
    licence:
      description: SPDX expression of its licence.
      type: str
    url:
      description: Where the mirror serves it; not with O(sources).
      type: str
    sources:
      description: Where a mirror gets it from, in order; only with O(sources).
      type: list
      elements: dict
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.lookup import LookupBase
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, Catalogue, CatalogueError

CATALOGUE = Path(__file__).resolve().parents[2] / "catalogue" / "artifacts.yml"
BUILD_PLATFORM = "linux_amd64"


def with_toolchain(source: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """A source whose toolchain, if it has one, is the whole artifact: a mirror doesn't read the catalogue."""
    if "toolchain" not in source:
        return source
    return {**source, "toolchain": catalogue.find("go-toolchain", source["toolchain"], BUILD_PLATFORM).as_dict()}


def described(artifact: Artifact, catalogue: Catalogue, mirror_url: str, with_sources: bool) -> dict[str, Any]:
    """What the lookup returns of an artifact."""
    result = artifact.as_dict()
    sources = result.pop("sources")
    if with_sources:
        return {**result, "sources": [with_toolchain(source, catalogue) for source in sources]}
    return {**result, "url": f"{mirror_url.rstrip('/')}/{artifact.path}" if mirror_url else ""}


class LookupModule(LookupBase):
    """Finds artifacts in the catalogue file of this collection."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: object) -> list[dict[str, Any]]:
        """One description an artifact name in `terms`."""
        LookupBase.set_options(self, var_options=variables, direct=kwargs)
        option: Callable[[str], Any] = self.get_option
        try:
            catalogue = Catalogue.parse(yaml_load(CATALOGUE.read_text(encoding="utf-8")))
            found = [catalogue.find(name, option("version"), option("platform")) for name in terms]
        except CatalogueError as err:
            raise AnsibleLookupError(str(err)) from err
        return [described(artifact, catalogue, option("mirror_url"), option("sources")) for artifact in found]
