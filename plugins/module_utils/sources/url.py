# SPDX-License-Identifier: Apache-2.0
"""A vendor's download: the file itself, or one member of an archive."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, drop


def fetch(source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
    """`url`: address; `unpack`: zip or tar.gz, and `member`: the path in the archive."""
    if "unpack" not in source:
        tools.http.download(source["url"], target, limit=artifact.size)
        return
    scratch = tools.scratch()
    archive = scratch / "archive"
    tools.http.download(source["url"], archive)
    extract(archive, source["unpack"], source["member"], target)
    drop(scratch)


def extract(archive: Path, unpack: str, member: str, target: Path) -> None:
    """Write one member of an archive to `target`. Raises FetchError when it is not in it or the archive is damaged."""
    try:
        if unpack == "zip":
            with zipfile.ZipFile(archive) as bundle, bundle.open(member) as content:
                _write(content, target)
        else:
            with tarfile.open(archive, "r:gz") as tar, _regular(tar, member) as content:
                _write(content, target)
    except KeyError as err:
        raise FetchError(f"has no member {member}") from err
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as err:
        raise FetchError(f"is no readable {unpack} archive: {err}") from err


def _regular(bundle: tarfile.TarFile, member: str) -> IO[bytes]:
    content = bundle.extractfile(member)
    if content is None:
        raise FetchError(f"{member} is no regular file in it")
    return content


def _write(content: IO[bytes], target: Path) -> None:
    with target.open("wb") as sink:
        shutil.copyfileobj(content, sink, length=1024 * 1024)
