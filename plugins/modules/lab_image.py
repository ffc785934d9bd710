#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Provides the image of the lab's nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Make the image of the lab's nodes, or take it from the cache
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Builds a Debian system with mmdebstrap, so that no container registry is needed, and imports it into Docker.
  - Archives, proxies, validity settings and certificate authorities are those of this machine.
  - The image's tag and its archive in O(cache) carry the hash of everything that goes into it.
  - An equal recipe is never built twice.
options:
  repository:
    description: Name of the image without a tag.
    type: str
    required: true
  suite:
    description: Release of Debian.
    type: str
    required: true
  packages:
    description: What is installed on top of the minimal system.
    type: list
    elements: str
    required: true
  masked_units:
    description: Units that make no sense in a container.
    type: list
    elements: str
    default: []
  files:
    description: Directory whose files are copied into the image.
    type: path
    required: true
  cache:
    description: Directory for archives and for the build in progress.
    type: path
    required: true
requirements: [docker, mmdebstrap]
attributes:
  check_mode:
    description: Says whether an image would be made and what its name is.
    support: full
  diff_mode:
    description: An image has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Image | Provide the node image
  rsp.platform.lab_image:
    repository: rsp-node
    suite: trixie
    packages: [systemd, systemd-sysv, python3, openssh-server]
    files: "{{ role_path }}/files/node"
    cache: ~/.cache/rsp-platform
  delegate_to: localhost
"""

RETURN = r"""
image:
  description: The image's full name.
  returned: success
  type: str
  sample: rsp-node:3f1c9a0b7d2e
source:
  description: Where it came from.
  returned: success
  type: str
  choices: [present, cache, built, absent]
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.lab_image import (
    Builder,
    ImageError,
    Recipe,
    Run,
    apt_sources,
    debian_uris,
    machine_files,
    read_tree,
    source_lists,
)


def runner(module: AnsibleModule) -> Run:
    """Runs commands through the module."""

    def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        code, out, err = module.run_command(list(argv), environ_update=dict(env or {}))
        if code != 0:
            last = (err.strip() or out.strip()).splitlines()[-5:]
            raise ImageError(f"{argv[0]} failed with {code}: {' / '.join(last)}")
        return str(out)

    return run


def main() -> None:
    """Arguments in, image out."""
    texts = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "suite": {"type": "str", "required": True},
            "packages": texts | {"required": True},
            "masked_units": texts | {"default": []},
            "files": {"type": "path", "required": True},
            "cache": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params, started = module.params, time.monotonic()
    builder = Builder(repository=params["repository"], cache=Path(params["cache"]), run=runner(module))
    try:
        main_uri, security_uri = debian_uris(source_lists())
        recipe = Recipe(
            suite=params["suite"],
            packages=tuple(params["packages"]),
            masked_units=tuple(params["masked_units"]),
            sources=apt_sources(params["suite"], main_uri, security_uri),
            files=machine_files(builder.run(["apt-config", "dump"])) | read_tree(Path(params["files"])),
        )
        seen = "present" if builder.present(recipe) else "absent"
        source = seen if module.check_mode else builder.provide(recipe)
    except (ImageError, OSError) as err:
        module.fail_json(msg=f"no node image: {err}")
    seconds = round(time.monotonic() - started, 1)
    module.exit_json(changed=source != "present", image=builder.name(recipe), source=source, seconds=seconds)


if __name__ == "__main__":
    main()
