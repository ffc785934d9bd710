# SPDX-License-Identifier: Apache-2.0
"""Fill a mirror: ask the sources of an artifact in order until one yields the pinned bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.mirror_store import MirrorStore, pin_of
from ansible_collections.rsp.platform.plugins.module_utils.placement import PlacementError, WrongBytesError, place
from ansible_collections.rsp.platform.plugins.module_utils.sources import Source
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, drop


class UnavailableError(Exception):
    """No source has the artifact; the message lists each with its reason."""


def fill(
    store: MirrorStore,
    artifact: Artifact,
    registry: Mapping[str, Source],
    upstreams: Sequence[str],
    tools: Tools,
) -> str:
    """Get an artifact from its first source that yields the pinned bytes.

    Args:
        store: the mirror's directory.
        artifact: what to get, sources included.
        registry: strategy by kind of source.
        upstreams: base addresses of other mirrors, asked before the artifact's own sources.
        tools: what sources work with; their work directory is dropped when the file is in place.

    Returns:
        What it came from.

    Raises:
        UnavailableError: no source has it.
        PlacementError: the disk is full or refuses.
    """
    reasons = []
    for source in [*({"kind": "mirror", "url": url} for url in upstreams), *artifact.sources]:
        try:
            _fill_from(store, source, artifact, registry[source["kind"]], tools)
        except (FetchError, WrongBytesError, UnavailableError) as err:
            reasons.append(f"{origin(source)}: {err}")
        except PlacementError as err:
            raise PlacementError(f"{artifact} from {origin(source)}: {err}") from err
        else:
            drop(tools.work)
            return origin(source)
    listed = "".join(f"\n  {number}. {reason}" for number, reason in enumerate(reasons, start=1))
    fix = "put the file on a mirror of yours and name it in mirror_upstreams, or make one of these answer"
    raise UnavailableError(f"{artifact}: no source yields the pinned file → {fix}{listed}")


def _fill_from(
    store: MirrorStore, source: Mapping[str, Any], artifact: Artifact, strategy: Source, tools: Tools
) -> None:
    def write(temporary: Path) -> None:
        strategy(source, artifact, temporary, tools)
        temporary.chmod(0o644)

    place(store.path(artifact), pin_of(artifact), write)


def origin(source: Mapping[str, Any]) -> str:
    """A source in a few words, as messages name it: without a password that its address may carry."""
    what = source.get("url") or f"{source.get('module') or source.get('package')} {source['version']}"
    return f"{source['kind']} {re.sub(r'//[^/@]*@', '//', what)}"
