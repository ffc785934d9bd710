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
    description:
      - Names of artifacts, such as V(consul), or dictionaries with C(name), C(version) and C(platform).
      - What a dictionary lacks is taken from the options.
    type: list
    elements: raw
    required: true
  version:
    description: The version, as the catalogue lists it.
    type: str
  platform:
    description: The platform that the file runs on.
    type: str
    choices: [linux_amd64, linux_arm64]
    default: linux_amd64
  mirror_url:
    description:
      - Base URL of the mirror. The shared variable C(platform_mirror_url) by default.
      - An empty one leaves RV(_raw[].url) empty too.
    type: str
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

- name: List what a mirror has
  rsp.platform.mirror_index:
    artifacts: "{{ query('rsp.platform.artifact', {'name': 'consul', 'version': '1.22.5'}, sources=true) }}"
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

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, CatalogueError
from ansible_collections.rsp.platform.plugins.plugin_utils.catalogue_file import for_member, for_mirror, shipped


class LookupModule(LookupBase):
    """Finds artifacts in the catalogue file of this collection."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: object) -> list[dict[str, Any]]:
        """One description a term, in order."""
        LookupBase.set_options(self, var_options=variables, direct=kwargs)
        option: Callable[[str], Any] = self.get_option
        try:
            found = [self._found(term, option("version"), option("platform")) for term in terms]
            if option("sources"):
                return [for_mirror(artifact, shipped()) for artifact in found]
        except CatalogueError as err:
            raise AnsibleLookupError(str(err)) from err
        url = option("mirror_url")
        if url is None:
            url = self._shared_url(variables or {})
        return [for_member(artifact, url) for artifact in found]

    def _found(self, term: object, version: str | None, platform: str) -> Artifact:
        wanted = {"name": term, "version": version, "platform": platform}
        if isinstance(term, Mapping):
            wanted |= term
        if not wanted["version"]:
            raise CatalogueError(f"{wanted['name']}: no version was asked for → give version=")
        return shipped().find(str(wanted["name"]), str(wanted["version"]), str(wanted["platform"]))

    def _shared_url(self, variables: Mapping[str, Any]) -> str:
        """The shared variable; a lookup is handed variables as they were written, templates and all."""
        templar: Any = self._templar
        return str(templar.template(variables.get("platform_mirror_url", "")))
