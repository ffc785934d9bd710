# SPDX-License-Identifier: Apache-2.0
"""What the services of an inventory need of the artifact catalogue."""

from __future__ import annotations

DOCUMENTATION = r"""
name: needed_artifacts
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: What the services of an inventory need of the artifact catalogue
description:
  - An artifact is needed when a service of its name has members (C(<name>_members) of any host is not empty).
  - Its versions are C(<name>_version) of all hosts. Hosts that set none take the default of the role of that name.
options: {}
"""

EXAMPLES = r"""
- name: Show what a mirror must have
  ansible.builtin.debug:
    msg: "{{ query('rsp.platform.needed_artifacts') }}"
"""

RETURN = r"""
_raw:
  description: Names and versions, sorted.
  type: list
  elements: dict
  sample: [{"name": "consul", "version": "1.22.5"}]
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import CatalogueError
from ansible_collections.rsp.platform.plugins.plugin_utils.catalogue_file import role_version, shipped
from ansible_collections.rsp.platform.plugins.plugin_utils.needs import needed, relevant


class LookupModule(LookupBase):
    """Reads the variables of all hosts."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: object) -> list[dict[str, str]]:
        """Every name and version once."""
        hostvars = (variables or {}).get("hostvars", {})
        try:
            names = shipped().names()
            return needed(
                names, {host: self._known(host, hostvars, relevant(names)) for host in hostvars}, role_version
            )
        except CatalogueError as err:
            raise AnsibleLookupError(str(err)) from err

    def _known(self, host: str, hostvars: Any, keys: list[str]) -> dict[str, Any]:
        """A host's values of `keys`, with hostvars at hand: members are computed from those of all hosts."""
        raw = hostvars.raw_get(host)
        base: Any = self._templar
        templar = base.copy_with_new_env(available_variables={**raw, "hostvars": hostvars})
        return {key: templar.template(raw[key]) for key in keys if key in raw}
