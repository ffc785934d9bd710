#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Fill a mirror with one artifact."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_fetch
author: "rsp.platform maintainers (@rsp-platform)"
version_added: 0.1.0
short_description: Fill a mirror with one artifact
description:
  - Asks the sources of an artifact in order until one yields the pinned bytes. No source is trusted.
    Size and SHA-256 decide.
  - Other mirrors (O(upstreams)) are asked first, then the sources that the catalogue lists - a vendor's address,
    a package of the distribution, or a reproducible build from a Go module proxy.
  - What a build downloaded is kept when it fails, so that the next run resumes.
    It is dropped when the file is in place.
  - Several mirrors may share O(root). One of them fetches an artifact, and the others wait for it.
attributes:
  check_mode:
    description: Says whether the artifact would be fetched.
    support: full
  diff_mode:
    description: A file of bytes has no readable diff.
    support: none
options:
  root:
    description: The directory that the mirror serves.
    type: path
    default: /srv/mirror
  artifact:
    description: What to fetch, as P(rsp.platform.artifact#lookup) returns it with its sources.
    type: dict
    required: true
  upstreams:
    description: Base addresses of other mirrors of this layout.
    type: list
    elements: str
    default: []
  work:
    description: Directory for builds. Each has caches of its own in it.
    type: path
    default: /var/cache/rsp-mirror
  goproxy:
    description: Addresses of Go module proxies, as in Go's E(GOPROXY).
    type: str
    default: https://proxy.golang.org
  gosumdb:
    description: Go's checksum database, as in E(GOSUMDB). V(off) is safe too, because the result is pinned.
    type: str
    default: sum.golang.org
  timeout:
    description: Seconds without a byte after which a server counts as dead. It is asked three times.
    type: int
    default: 30
  ca_path:
    description: PEM file of the authorities that sign the servers' certificates, when they are not the system's.
    type: path
seealso:
  - module: rsp.platform.mirror_index
"""

EXAMPLES = r"""
- name: Have Consul on the mirror
  rsp.platform.mirror_fetch:
    artifact: "{{ lookup('rsp.platform.artifact', 'consul', version='1.22.5', sources=true) }}"
    upstreams: [https://mirror.example.com/rsp]
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: always
origin:
  description: The source that it came from; empty when it was there.
  type: str
  returned: always
  sample: go github.com/hashicorp/consul v1.22.5
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, artifact_from
from ansible_collections.rsp.platform.plugins.module_utils.fetch import Http
from ansible_collections.rsp.platform.plugins.module_utils.mirror_fill import UnavailableError, fill
from ansible_collections.rsp.platform.plugins.module_utils.mirror_store import MirrorStore
from ansible_collections.rsp.platform.plugins.module_utils.placement import PlacementError
from ansible_collections.rsp.platform.plugins.module_utils.sources import SOURCES
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools

NO_SUCH_COMMAND = 127


def fetch(module: AnsibleModule, store: MirrorStore, artifact: Artifact) -> str:
    """Have an artifact in the store, and what it needs to be built before it; what it came from."""
    params = module.params

    def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
        if module.get_bin_path(argv[0]) is None:
            return NO_SUCH_COMMAND, "", f"there is no {argv[0]} on this host"
        code, out, err = module.run_command(list(argv), cwd=str(cwd), environ_update=dict(env))
        return code, out, err

    def obtain(needed: Artifact) -> Path:
        fetch(module, store, needed)
        return store.path(needed)

    tools = Tools(
        http=Http(timeout=params["timeout"], ca_path=params["ca_path"]),
        run=run,
        work=Path(params["work"], f"{artifact.name}-{artifact.version}-{artifact.platform}"),
        goproxy=params["goproxy"],
        gosumdb=params["gosumdb"],
        obtain=obtain,
    )
    with store.lock(tools.work.name):
        return "" if store.has(artifact) else fill(store, artifact, SOURCES, params["upstreams"], tools)


def main() -> None:
    """Fetch the artifact unless it is there."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/srv/mirror"},
            "artifact": {"type": "dict", "required": True},
            "upstreams": {"type": "list", "elements": "str", "default": []},
            "work": {"type": "path", "default": "/var/cache/rsp-mirror"},
            "goproxy": {"type": "str", "default": "https://proxy.golang.org"},
            "gosumdb": {"type": "str", "default": "sum.golang.org"},
            "timeout": {"type": "int", "default": 30},
            "ca_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    store, artifact = MirrorStore(Path(module.params["root"])), artifact_from(module.params["artifact"])
    try:
        there = store.has(artifact)
        origin = "" if there or module.check_mode else fetch(module, store, artifact)
    except (UnavailableError, PlacementError, OSError) as err:
        module.fail_json(msg=str(err))
    module.exit_json(changed=not there, path=str(store.path(artifact)), origin=origin)


if __name__ == "__main__":
    main()
