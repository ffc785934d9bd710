"""Builds from a Go module proxy, with a recorded `go`: what it is asked for, and what happens when it fails."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError, Http
from ansible_collections.rsp.platform.plugins.module_utils.sources import go, goproxy
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, drop
from ansible_collections.rsp.platform.plugins.plugin_utils.catalogue_file import for_mirror, shipped

TOOLCHAIN = Artifact("go-toolchain", "1.25.7", "linux_amd64", "go.zip", "ab" * 32, 1, "BSD-3-Clause")
TOOL = Artifact("tool", "1.0", "linux_amd64", "tool", "cd" * 32, 6, "MIT")
SOURCE = {
    "kind": "go",
    "module": "example.com/tool",
    "version": "v1.0.0",
    "toolchain": TOOLCHAIN.as_dict(),
    "exclude": ["example.com/broken v0.1.0", "example.com/broken v0.1.1"],
    "disk_mb": 1,
    "cpu_minutes": 1,
}
ROOT = "golang.org/toolchain@v0.0.1-go1.25.7.linux-amd64"


class Go:
    """A recorded `go`: `mod download` makes a module directory, `build` writes the output; each can be told to fail."""

    def __init__(self, modules: Path):
        self.modules, self.calls, self.failing = modules, [], {}

    def __call__(self, argv, cwd, env):
        verb = "download" if argv[1:3] == ["mod", "download"] else argv[1]
        self.calls.append((verb, list(argv), dict(env)))
        if verb in self.failing:
            return 1, "", self.failing[verb]
        if verb == "download":
            self.modules.mkdir(exist_ok=True)
            (self.modules / "go.sum").write_text("example.com/dependency v1 h1:x\n")
            return 0, json.dumps({"Dir": str(self.modules)}), ""
        self.go_mod = (Path(cwd) / "go.mod").read_text()
        self.go_sum = (Path(cwd) / "go.sum").read_text()
        Path(argv[argv.index("-o") + 1]).write_bytes(b"binary")
        return 0, "", ""

    def verbs(self):
        return [verb for verb, _argv, _env in self.calls]


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "go.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for name in ("bin/go", "pkg/tool/linux_amd64/compile", "src/runtime/proc.go"):
            bundle.writestr(f"{ROOT}/{name}", "x")
    return path


@pytest.fixture
def build(tmp_path, archive):
    """Calls the strategy; `build.go` is the recorded go, `build.obtained` the artifacts that were asked for."""

    def run(source=SOURCE, artifact=TOOL, **tools):
        given = Tools(
            http=Http(),
            run=run.go,
            work=tmp_path / "work",
            goproxy=tools.get("goproxy", "https://proxy.example"),
            gosumdb=tools.get("gosumdb", "sum.example"),
            obtain=lambda wanted: run.obtained.append(wanted) or archive,
        )
        go.fetch(source, artifact, run.target, given)

    run.go, run.obtained, run.target = Go(tmp_path / "module"), [], tmp_path / "target"
    run.target.touch()
    return run


def test_the_module_is_built_with_the_pinned_toolchain(build, tmp_path):
    build()
    assert build.target.read_bytes() == b"binary"
    assert build.obtained == [TOOLCHAIN]
    assert build.go.verbs() == ["download", "build"]
    assert {argv[0] for _verb, argv, _env in build.go.calls} == {str(tmp_path / "work/go" / ROOT / "bin/go")}


def test_programs_of_the_toolchain_become_executable_and_sources_do_not(build, tmp_path):
    build()
    root = tmp_path / "work/go" / ROOT
    modes = {name: (root / name).stat().st_mode & 0o111 for name in ("bin/go", "src/runtime/proc.go")}
    assert modes == {"bin/go": 0o111, "src/runtime/proc.go": 0}
    assert (root / "pkg/tool/linux_amd64/compile").stat().st_mode & 0o111


def test_the_build_is_asked_for_nothing_but_the_pinned_inputs(build, tmp_path):
    build()
    _verb, argv, env = build.go.calls[-1]
    assert argv[1:] == [
        "build",
        "-mod=mod",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        "-s -w",
        "-o",
        str(build.target),
        "example.com/tool",
    ]
    assert env["CGO_ENABLED"] == "0"
    assert env["GOTOOLCHAIN"] == "local"
    assert (env["GOOS"], env["GOARCH"]) == ("linux", "amd64")
    assert (env["GOPROXY"], env["GOSUMDB"]) == ("https://proxy.example", "sum.example")
    assert (env["GOENV"], env["GOWORK"]) == ("off", "off")


def test_caches_are_private(build, tmp_path):
    build()
    env = build.go.calls[0][2]
    for name in ("GOMODCACHE", "GOCACHE", "GOPATH", "HOME"):
        assert Path(env[name]).is_relative_to(tmp_path / "work"), name
    assert env["GOFLAGS"] == "-modcacherw"


def test_go_mod_repeats_the_excludes(build):
    build()
    assert build.go.go_mod == (
        "module rsp.platform/build\n\ngo 1.25.7\n\nrequire example.com/tool v1.0.0\n\n"
        "exclude (\n\texample.com/broken v0.1.0\n\texample.com/broken v0.1.1\n)\n"
    )


def test_go_mod_without_excludes():
    plain = {key: value for key, value in SOURCE.items() if key != "exclude"}
    assert "exclude" not in go.go_mod(plain, "1.25.7")


def test_sums_are_seeded_from_the_module_itself(build):
    build()
    assert build.go.go_sum == "example.com/dependency v1 h1:x\n"


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ({"package": "example.com/tool/cmd/x"}, ["example.com/tool/cmd/x"]),
        ({"tags": ["a", "b"]}, ["-tags", "a,b"]),
        ({"ldflags": ["-X main.version=1.0"]}, ["-ldflags", "-s -w -X main.version=1.0"]),
    ],
)
def test_more_of_gos_own_options(extra, part):
    command = go.build_command(Path("/go"), {**SOURCE, **extra}, Path("/target"))
    start = command.index(part[0])
    assert command[start : start + len(part)] == part


def test_another_architecture_is_cross_built(build):
    build(artifact=Artifact("tool", "1.0", "linux_arm64", "tool", "cd" * 32, 6, "MIT"))
    assert build.go.calls[-1][2]["GOARCH"] == "arm64"


@pytest.mark.parametrize(
    ("verb", "stderr", "says"),
    [
        ("download", "403 Forbidden", "mod download -json example.com/tool@v1.0.0` ended with 1: 403 Forbidden"),
        ("build", "checksum mismatch\nSECURITY ERROR", "checksum mismatch\nSECURITY ERROR"),
        ("build", "\n".join(f"line {n}" for n in range(40)), "line 28\n"),
    ],
)
def test_a_failing_go_is_quoted(build, verb, stderr, says):
    build.go.failing[verb] = stderr
    with pytest.raises(FetchError) as err:
        build()
    assert says in str(err.value)
    assert "line 27\n" not in str(err.value)


def test_a_failed_build_resumes_with_its_caches(build, tmp_path):
    build.go.failing["build"] = "cut off"
    with pytest.raises(FetchError):
        build()
    (tmp_path / "work/modules").mkdir()
    (tmp_path / "work/modules/kept").touch()
    (tmp_path / "work/go" / ROOT / "kept").touch()
    del build.go.failing["build"]
    build()
    assert (tmp_path / "work/modules/kept").exists()
    assert (tmp_path / "work/go" / ROOT / "kept").exists()


def test_a_toolchain_that_was_cut_off_is_unpacked_again(build, tmp_path):
    root = tmp_path / "work/go" / ROOT / "bin"
    root.mkdir(parents=True)
    (root / "go").write_text("half")
    build()
    assert (root / "go").read_text() == "x"


def test_too_little_disk_is_seen_before_anything_is_fetched(build):
    with pytest.raises(FetchError, match=r"the build needs 999999999 MB in .*work, \d+ MB are free → free some space"):
        build(source={**SOURCE, "disk_mb": 999_999_999})
    assert build.obtained == []
    assert build.go.calls == []


def test_what_an_earlier_try_used_counts_as_free(build, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "cache").write_bytes(b"x" * 3_000_000)
    monkeypatch.setattr(go.shutil, "disk_usage", lambda directory: go.shutil._ntuple_diskusage(0, 0, 2_000_000))
    build(source={**SOURCE, "disk_mb": 5})
    with pytest.raises(FetchError, match="2 MB are free"):
        build(source={**SOURCE, "disk_mb": 9})


def test_the_catalogues_builds_are_understood(build):
    artifact = shipped().find("consul", "1.22.5", "linux_amd64")
    (source,) = for_mirror(artifact, shipped())["sources"]
    build(source={**source, "disk_mb": 1}, artifact=artifact)
    assert "require github.com/hashicorp/consul v1.22.5\n" in build.go.go_mod
    assert "\tgithub.com/hashicorp/go-msgpack v1.1.6\n" in build.go.go_mod


def test_drop_removes_read_only_directories(tmp_path):
    tree = tmp_path / "modules"
    (tree / "a@v1").mkdir(parents=True)
    (tree / "a@v1" / "file").touch()
    (tree / "a@v1").chmod(0o555)
    drop(tree)
    assert not tree.exists()
    drop(tree)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("https://a.example/,https://b.example|direct", ["https://a.example", "https://b.example"]),
        ("direct", []),
        ("off", []),
        ("", []),
    ],
)
def test_proxies(setting, found):
    assert goproxy.proxies(setting) == found


def test_capitals_are_escaped_as_the_proxy_protocol_asks():
    address = goproxy.zip_address("https://p", "github.com/BurntSushi/toml", "v1.0.0-RC1")
    assert address == "https://p/github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.zip"
