# SPDX-License-Identifier: Apache-2.0
"""A Debian package, fetched by the host's own apt and kept as the .deb file that it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, drop


def fetch(source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
    """`package` and `version`, the full Debian version with its revision."""
    scratch = tools.scratch()
    wanted = f"{source['package']}={source['version']}"
    # The directory is root's: apt's unprivileged user could not write into it.
    tools.checked(["apt-get", "download", "-o", "APT::Sandbox::User=root", wanted], scratch, {"LC_ALL": "C.UTF-8"})
    packages = list(scratch.glob("*.deb"))
    if len(packages) != 1:
        raise FetchError(f"apt-get downloaded {len(packages)} files for {wanted}, 1 is expected")
    shutil.copyfile(packages[0], target)
    drop(scratch)
