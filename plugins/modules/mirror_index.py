#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""List what a mirror has, and say what it lacks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_index
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: List what a mirror has, and say what it lacks
description:
  - Compares each wanted artifact's file with its pinned size and SHA-256.
    A file is hashed only when it changed since it was last hashed.
  - Writes C(index.json), which names each file that is there with its size, hash and licence, and links
    C(<name>/<version>/<platform>/<file>) to it. A damaged file is neither listed nor linked anew.
  - What the index lists and is still there stays listed, so that several mirrors may share O(root).
attributes:
  check_mode:
    description: Compares, and says what it would write.
    support: full
  diff_mode:
    description: The result names every artifact; there is no diff.
    support: none
options:
  root:
    description: The directory that the mirror serves.
    type: path
    default: /srv/mirror
  artifacts:
    description: What the mirror should have, as P(rsp.platform.artifact#lookup) returns it with its sources.
    type: list
    elements: dict
    required: true
seealso:
  - module: rsp.platform.mirror_fetch
"""

EXAMPLES = r"""
- name: List what is there
  rsp.platform.mirror_index:
    artifacts: "{{ [lookup('rsp.platform.artifact', 'consul', version='1.22.5', sources=true)] }}"
  register: index
"""

RETURN = r"""
present:
  description: Artifacts that are there, one line each.
  type: list
  elements: str
  returned: always
  sample: ["consul 1.22.5 (linux_amd64), BUSL-1.1, 123.7 MB"]
missing:
  description: Artifacts that are not there or are damaged, as they were given.
  type: list
  elements: dict
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, artifact_from
from ansible_collections.rsp.platform.plugins.module_utils.mirror_store import MirrorStore


def line(artifact: Artifact) -> str:
    """An artifact as people read it."""
    return f"{artifact}, {artifact.licence}, {artifact.size / 1e6:.1f} MB"


def main() -> None:
    """Compare, and publish what is there."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/srv/mirror"},
            "artifacts": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    store = MirrorStore(Path(module.params["root"]))
    wanted = [artifact_from(data) for data in module.params["artifacts"]]
    try:
        present = [artifact for artifact in wanted if store.has(artifact)]
        changed = store.unpublished(present)
        if changed and not module.check_mode:
            store.publish(present)
    except OSError as err:
        module.fail_json(msg=f"the index of {store.root} could not be written: {err}")
    module.exit_json(
        changed=changed,
        present=[line(artifact) for artifact in present],
        missing=[artifact.as_dict() for artifact in wanted if artifact not in present],
    )


if __name__ == "__main__":
    main()
