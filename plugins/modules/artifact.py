#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Put a file of the artifact catalogue on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Put a file of the artifact catalogue on this host
description:
  - Downloads the file from the mirror into a temporary sibling, compares size and SHA-256 with the catalogue's,
    and only then renames it to C(<root>/<name>/<version>/<file>). Otherwise nothing is installed and nothing is left.
  - Versions lie side by side. O(link) points to the one that is used and is swapped in one step.
  - A file that is already there is hashed only when it changed since it was last hashed.
  - In check mode nothing is downloaded, so the mirror does not have to be there yet.
extends_documentation_fragment:
  - ansible.builtin.files
attributes:
  check_mode:
    description: Predicts the change without asking the mirror.
    support: full
  diff_mode:
    description: Shows the installed and the linked version.
    support: full
options:
  artifact:
    description: What to install, as P(rsp.platform.artifact#lookup) returns it.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the artifact.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      platform:
        description: The platform that it runs on; only shown.
        type: str
        default: any
      file:
        description: File name that it is installed under.
        type: str
        required: true
      url:
        description: Where the mirror serves it.
        type: str
        required: true
      sha256:
        description: What the file must be.
        type: str
        required: true
      size:
        description: Size in bytes.
        type: int
        required: true
      licence:
        description: Its licence; only shown.
        type: str
        default: ""
  root:
    description: Directory of all installed artifacts.
    type: path
    default: /opt/rsp
  link:
    description:
      - Symbolic link that points to the file. Leave it out to stage a version that is not used yet.
    type: path
  keep:
    description:
      - How many versions stay when O(link) moves to another one, the linked one included.
      - The version that was linked before is the last one to go.
    type: int
    default: 2
  mode:
    description: Permissions of the file.
    type: raw
    default: "0755"
  timeout:
    description: Seconds without a byte after which the mirror counts as dead. It is asked three times.
    type: int
    default: 30
  ca_path:
    description: PEM file of the authorities that sign the mirror's certificate, when they are not the system's.
    type: path
"""

EXAMPLES = r"""
- name: Install and use Consul 1.22.5
  rsp.platform.artifact:
    artifact: "{{ lookup('rsp.platform.artifact', 'consul', version='1.22.5') }}"
    link: /usr/local/bin/consul

- name: Stage the next version before the rolling upgrade begins
  rsp.platform.artifact:
    artifact: "{{ lookup('rsp.platform.artifact', 'consul', version='1.22.5') }}"
"""

RETURN = r"""
path:
  description: The installed file.
  type: str
  returned: always
  sample: /opt/rsp/consul/1.22.5/consul
downloaded:
  description: Whether the file was, or in check mode would be, downloaded.
  type: bool
  returned: always
linked:
  description: Whether the link was, or in check mode would be, moved.
  type: bool
  returned: always
removed:
  description: Versions that were, or in check mode would be, removed.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError, Http
from ansible_collections.rsp.platform.plugins.module_utils.placement import (
    Pin,
    PlacementError,
    WrongBytesError,
    is_pinned,
    place,
    remember,
)
from ansible_collections.rsp.platform.plugins.module_utils.versions import linked, remove, superfluous, swap


def argument_spec() -> dict[str, Any]:
    """The module's arguments."""
    text = {"type": "str", "required": True}
    artifact = {
        **dict.fromkeys(("name", "version", "file", "url", "sha256"), text),
        "size": {"type": "int", "required": True},
        "platform": {"type": "str", "default": "any"},
        "licence": {"type": "str", "default": ""},
    }
    return {
        "artifact": {"type": "dict", "required": True, "options": artifact},
        "root": {"type": "path", "default": "/opt/rsp"},
        "link": {"type": "path"},
        "keep": {"type": "int", "default": 2},
        "mode": {"type": "raw", "default": "0755"},
        "timeout": {"type": "int", "default": 30},
        "ca_path": {"type": "path"},
    }


def install(module: AnsibleModule, path: Path) -> tuple[bool, bool]:
    """Have the pinned file at `path`, with its mode and owner: whether it is downloaded, whether only those change."""
    artifact = module.params["artifact"]
    pin = Pin(artifact["sha256"], artifact["size"])
    http = Http(timeout=module.params["timeout"], ca_path=module.params["ca_path"])

    def own(file: Path) -> bool:
        wanted = module.load_file_common_arguments(module.params, path=str(file))
        return bool(module.set_fs_attributes_if_different(wanted, changed=False))

    def fill(temporary: Path) -> None:
        http.download(artifact["url"], temporary, limit=pin.size)
        own(temporary)

    if is_pinned(path, pin):
        return False, own(path)
    if not module.check_mode:
        place(path, pin, fill)
    return True, False


def main() -> None:
    """Install, link, and let old versions go."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True, add_file_common_args=True)
    params, artifact = module.params, module.params["artifact"]
    path = Path(params["root"], artifact["name"], artifact["version"], artifact["file"])
    link = Path(params["link"]) if params["link"] else None
    what = f"{artifact['name']} {artifact['version']} ({artifact['platform']})"
    try:
        before = linked(link) if link else None
        downloaded, owned = install(module, path)
        moved = link is not None and before != path
        old = superfluous(path, before, params["keep"]) if moved else []
        if not module.check_mode:
            remember(path, Pin(artifact["sha256"], artifact["size"]))
            if link and moved:
                swap(link, path)
            for version in old:
                remove(version)
    except (FetchError, WrongBytesError) as err:
        fix = "run playbooks/mirror.yml, which fills and checks the mirror"
        module.fail_json(msg=f"{what} was not installed: {artifact['url']} {err} → {fix}")
    except (PlacementError, OSError) as err:
        module.fail_json(msg=f"{what} was not installed: {err}")
    module.exit_json(
        changed=downloaded or owned or moved,
        path=str(path),
        downloaded=downloaded,
        linked=moved,
        removed=[version.name for version in old],
        diff={
            "before": {"file": None if downloaded else str(path), "link": str(before) if before else None},
            "after": {"file": str(path), "link": str(path) if link else None},
        },
    )


if __name__ == "__main__":
    main()
