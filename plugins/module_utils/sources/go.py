# SPDX-License-Identifier: Apache-2.0
"""Build a Go module from a module proxy with a pinned toolchain: the same inputs give the same bytes anywhere."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact, artifact_from
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools

STRIPPED = "-s -w"
READY = ".ready"


def fetch(source: Mapping[str, Any], artifact: Artifact, target: Path, tools: Tools) -> None:
    """Build `package` (the module's root by default) of `module` at `version`.

    `toolchain`: the toolchain's artifact; `exclude`: module versions that upstream excludes; `ldflags`, `tags`: more of
    Go's own; `disk_mb`: what the build may need; `cpu_minutes`: how long people should expect to wait.
    """
    _require_space(tools.work, source["disk_mb"])
    toolchain = artifact_from(source["toolchain"])
    go = _unpacked(tools.obtain(toolchain), tools.work / "go", toolchain) / "bin" / "go"
    env = environment(tools, artifact.platform)
    build = tools.work / "build"
    build.mkdir(parents=True, exist_ok=True)
    (build / "go.mod").write_text(go_mod(source, toolchain.version), encoding="utf-8")
    (build / "go.sum").write_text(_upstream_sums(go, source, tools, env), encoding="utf-8")
    tools.checked(build_command(go, source, target), build, env)


def go_mod(source: Mapping[str, Any], go_version: str) -> str:
    """The go.mod of a module of ours whose only purpose is to require the wanted one."""
    lines = ["module rsp.platform/build", "", f"go {go_version}", "", f"require {source['module']} {source['version']}"]
    if source.get("exclude"):
        lines += ["", "exclude (", *(f"\t{excluded}" for excluded in source["exclude"]), ")"]
    return "\n".join(lines) + "\n"


def build_command(go: Path, source: Mapping[str, Any], target: Path) -> list[str]:
    """The build as an argument list: no paths, no version control, no symbol table in the result."""
    flags = " ".join([STRIPPED, *source.get("ldflags", [])])
    tags = ["-tags", ",".join(source["tags"])] if source.get("tags") else []
    package = source.get("package", source["module"])
    common = ["-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags", flags, *tags]
    return [str(go), "build", *common, "-o", str(target), package]


def environment(tools: Tools, platform: str) -> dict[str, str]:
    """Go's environment: caches of this build's own, nothing of the caller's settings, the one toolchain."""
    system, machine = platform.split("_")
    return {
        "HOME": str(tools.work),
        "GOPATH": str(tools.work / "path"),
        "GOMODCACHE": str(tools.work / "modules"),
        "GOCACHE": str(tools.work / "cache"),
        "GOENV": "off",
        "GOFLAGS": "-modcacherw",
        "GOPROXY": tools.goproxy,
        "GOSUMDB": tools.gosumdb,
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOOS": system,
        "GOARCH": machine,
        "CGO_ENABLED": "0",
    }


def _upstream_sums(go: Path, source: Mapping[str, Any], tools: Tools, env: Mapping[str, str]) -> str:
    """The module's own go.sum: the checksum database lacks some of what it lists."""
    wanted = f"{source['module']}@{source['version']}"
    answer = tools.checked([str(go), "mod", "download", "-json", wanted], tools.scratch(), env)
    return (Path(json.loads(answer)["Dir"]) / "go.sum").read_text(encoding="utf-8")


def _unpacked(archive: Path, directory: Path, toolchain: Artifact) -> Path:
    """GOROOT of a toolchain's zip; unpacked once. Module zips carry no modes, so programs are made executable here."""
    root = directory / f"golang.org/toolchain@v0.0.1-go{toolchain.version}.{toolchain.platform.replace('_', '-')}"
    ready = directory / READY
    if ready.exists():
        return root
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(directory)
    for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    ready.touch()
    return root


def _require_space(directory: Path, megabytes: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    used = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) // 1_000_000
    free = shutil.disk_usage(directory).free // 1_000_000
    if free + used < megabytes:
        raise FetchError(f"the build needs {megabytes} MB in {directory}, {free} MB are free → free some space there")
