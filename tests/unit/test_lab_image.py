"""The node image: its key follows its content, and a build that was cut off leaves no half image."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible_collections.rsp.platform.plugins.module_utils import lab_image as lib
from ansible_collections.rsp.platform.plugins.module_utils.lab_image import Builder, ImageError, Recipe
from ansible_collections.rsp.platform.plugins.modules import lab_image
from module_call import call

RECIPE = Recipe("trixie", ("systemd", "python3"), ("getty.target",), "Types: deb\n", {"etc/motd": b"hello\n"})
DEB822 = """
Types: deb
# http://archive.example/trixie
URIs: http://mirror.example/debian http://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """
# deb http://old.example/debian bookworm main
deb-src http://src.example/debian trixie main
deb [signed-by=/x.gpg] http://mirror.example/debian trixie main
deb http://sec.example/ trixie-security main
"""


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        ([DEB822], ("http://mirror.example/debian", "http://mirror.example/debian-security")),
        ([ONE_LINE], ("http://mirror.example/debian", "http://sec.example/")),
        (["deb http://apt.example/ stable nonfree", DEB822], ("http://mirror.example/debian", "http://mirror.example/debian-security")),
        (["deb http://m.example/debian bookworm main contrib"], ("http://m.example/debian", None)),
    ],
)  # fmt: skip
def test_debian_uris(lists, found):
    assert lib.debian_uris(lists) == found


@pytest.mark.parametrize("lists", [[], ["deb http://apt.example/ sid main"], ["# deb http://m.example bookworm main"]])
def test_a_machine_without_debian_is_told_what_to_do(lists):
    with pytest.raises(ImageError, match="names no Debian archive"):
        lib.debian_uris(lists)


@pytest.mark.parametrize(("security", "stanzas"), [("http://s.example", 2), (None, 1)])
def test_apt_sources(security, stanzas):
    text = lib.apt_sources("trixie", "http://m.example", security)
    assert text.count("Types: deb\n") == stanzas
    assert "Suites: trixie trixie-updates\n" in text
    assert ("Suites: trixie-security\n" in text) is (security is not None)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('Acquire::http::Proxy "http://proxy.example:3128/";', True),
        ('Acquire::https::archive.example::Proxy "DIRECT";', True),
        ('Acquire::http::Timeout "30";', True),
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::Retries "3";', True),
        ('Acquire::http::Proxy "";', False),
        ('Acquire::http::User-Agent "curl";', False),
        ('Acquire::IndexTargets::deb::Packages::MetaKey "x";', False),
        ('DPkg::Post-Invoke:: "rm -f x";', False),
        ('APT::Architecture "amd64";', False),
    ],
)
def test_apt_settings(line, kept):
    assert lib.apt_settings(f"{line}\n") == (f"{line}\n" if kept else "")


def test_machine_files(tmp_path):
    local = tmp_path / lib.LOCAL_CAS / "corp"
    local.mkdir(parents=True)
    (local / "ca.crt").write_bytes(b"CA")
    (tmp_path / lib.CA_BUNDLE).parent.mkdir(parents=True)
    (tmp_path / lib.CA_BUNDLE).write_bytes(b"ALL")
    found = lib.machine_files('Acquire::Retries "3";\n', tmp_path)
    assert found == {
        f"{lib.LOCAL_CAS}/corp/ca.crt": b"CA",
        lib.CA_BUNDLE: b"ALL",
        "etc/apt/apt.conf.d/80machine": b'Acquire::Retries "3";\n',
    }
    assert list(lib.machine_files("", tmp_path / "none")) == ["etc/apt/apt.conf.d/80machine"]


def test_source_lists(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    for name in ("sources.list", "sources.list.d/a.list", "sources.list.d/b.sources", "sources.list.d/c.save"):
        (tmp_path / name).write_text(name)
    assert lib.source_lists(tmp_path) == ["sources.list", "sources.list.d/a.list", "sources.list.d/b.sources"]
    assert lib.source_lists(tmp_path / "none") == []


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "bookworm"},
        {"packages": ("systemd",)},
        {"masked_units": ()},
        {"sources": "Types: deb\nURIs: http://other.example\n"},
        {"files": {"etc/motd": b"other\n"}},
        {"files": {"etc/issue": b"hello\n"}},
    ],
)
def test_the_key_follows_the_content(change):
    assert replace(RECIPE).key == RECIPE.key
    assert replace(RECIPE, **change).key != RECIPE.key
    assert len(RECIPE.key) == 12


class Engine:
    """Stands in for docker, mmdebstrap and umount; writes the archive that it is asked for."""

    def __init__(self, images=(), fails=()):
        self.images, self.fails, self.calls = set(images), set(fails), []

    def __call__(self, argv, env=None):
        self.calls.append(list(argv))
        if argv[0] in self.fails:
            raise ImageError(f"{argv[0]} failed")
        if argv[0] == "mmdebstrap":
            Path(argv[-2]).write_bytes(b"archive")
        if argv[:2] == ["docker", "import"]:
            self.images.add(argv[-1])
        return "id\n" if argv[:3] == ["docker", "image", "ls"] and argv[-1] in self.images else ""

    def ran(self, *words):
        return [call for call in self.calls if call[: len(words)] == list(words)]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_an_image_is_built_once_and_then_taken(cache):
    engine = Engine()
    builder = Builder("node", cache, engine)
    assert builder.provide(RECIPE) == "built"
    assert builder.provide(RECIPE) == "present"
    engine.images.clear()
    assert builder.provide(RECIPE) == "cache"
    assert len(engine.ran("mmdebstrap")) == 1
    assert engine.images == {f"node:{RECIPE.key}"}
    assert sorted(path.name for path in cache.iterdir()) == [f"node-{RECIPE.key}.tar.gz", "node.lock"]


def test_a_failed_build_leaves_no_archive_and_the_next_one_starts_anew(cache):
    with pytest.raises(ImageError, match="mmdebstrap failed"):
        Builder("node", cache, Engine(fails=["mmdebstrap"])).provide(RECIPE)
    assert not list(cache.glob("*.tar.gz"))
    (cache / "node.build/left").mkdir(parents=True)
    assert Builder("node", cache, Engine()).provide(RECIPE) == "built"
    assert not (cache / "node.build").exists()


def test_the_cache_is_bounded(cache):
    builder = Builder("node", cache, Engine())
    recipes = [replace(RECIPE, suite=str(number)) for number in range(lib.KEPT_ARCHIVES + 2)]
    for age, recipe in enumerate(recipes):
        builder.provide(recipe)
        os.utime(cache / f"node-{recipe.key}.tar.gz", (age, age))
    kept = {f"node-{recipe.key}.tar.gz" for recipe in recipes[-lib.KEPT_ARCHIVES :]}
    assert {path.name for path in cache.glob("*.tar.gz")} == kept


def test_pruning_spares_the_image_and_what_is_young(cache):
    engine = Engine()
    Builder("node", cache, engine).provide(RECIPE)
    (prune,) = engine.ran("docker", "image", "prune")
    assert f"--filter=label!=rsp.lab.recipe={RECIPE.key}" in prune
    assert "--filter=label=rsp.lab.recipe" in prune
    assert "--filter=until=24h" in prune


@pytest.mark.parametrize(
    ("mounts", "unmounted"),
    [
        ("proc /c/b/tree/proc proc rw\nsys /c/b/tree/proc/sys sysfs rw\n", ["/c/b/tree/proc/sys", "/c/b/tree/proc"]),
        ("proc /proc proc rw\nx /c/bother/proc proc rw\n", []),
    ],
)
def test_what_a_build_left_mounted_is_unmounted_deepest_first(mounts, unmounted):
    engine = Engine()
    lib.unmount_below(Path("/c/b"), mounts, engine)
    assert [call[1] for call in engine.ran("umount")] == unmounted


def test_the_tree_holds_files_and_masks(tmp_path):
    lib.write_tree(tmp_path, RECIPE)
    assert (tmp_path / "etc/motd").read_bytes() == b"hello\n"
    assert (tmp_path / "etc/systemd/system/getty.target").readlink() == Path("/dev/null")


def test_the_command_names_settings_and_forgets_host_keys(tmp_path):
    files = {"etc/apt/apt.conf.d/90lab": b"x", "etc/dpkg/dpkg.cfg.d/90lab": b"y"}
    lib.write_tree(tmp_path / "tree", replace(RECIPE, files=files))
    argv = lib.bootstrap_command(RECIPE, tmp_path, tmp_path / "image.tar.gz")
    assert f"--aptopt={tmp_path}/tree/etc/apt/apt.conf.d/90lab" in argv
    assert f"--dpkgopt={tmp_path}/tree/etc/dpkg/dpkg.cfg.d/90lab" in argv
    assert "--include=python3,systemd" in argv
    hooks = [word.partition("=")[2] for word in argv if word.startswith("--customize-hook=")]
    root = tmp_path / "root"
    for name in ("etc/ssh/ssh_host_ed25519_key", "etc/apt/apt.conf.d/99mmdebstrap", "etc/ssh/sshd_config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    for hook in hooks:
        subprocess.run(["sh", "-c", hook, "sh", str(root)], check=True)
    left = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert left == {*files, "etc/ssh/sshd_config", "etc/systemd/system/getty.target"}


def module_result(monkeypatch, capsys, tmp_path, engine, check=False):
    def run_command(self, argv, environ_update=None):
        try:
            return 0, engine(argv, environ_update), ""
        except ImageError as err:
            return 1, "", f"first line\n{err}\n"

    monkeypatch.setattr(basic.AnsibleModule, "run_command", run_command)
    monkeypatch.setattr(lab_image, "source_lists", lambda: [DEB822])
    (tmp_path / "files").mkdir(exist_ok=True)
    return call(
        lab_image.main, capsys, check, repository="node", suite="trixie", packages=["systemd"],
        files=str(tmp_path / "files"), cache=str(tmp_path / "cache"),
    )  # fmt: skip


def test_module_builds_then_finds(monkeypatch, capsys, tmp_path):
    engine = Engine()
    first = module_result(monkeypatch, capsys, tmp_path, engine)
    second = module_result(monkeypatch, capsys, tmp_path, engine)
    assert (first["changed"], first["source"]) == (True, "built")
    assert (second["changed"], second["source"], second["image"]) == (False, "present", first["image"])


def test_module_predicts_without_building(monkeypatch, capsys, tmp_path):
    engine = Engine()
    result = module_result(monkeypatch, capsys, tmp_path, engine, check=True)
    assert (result["changed"], result["source"]) == (True, "absent")
    assert not engine.ran("mmdebstrap")
    assert not (tmp_path / "cache").exists()


def test_module_tells_why_there_is_no_image(monkeypatch, capsys, tmp_path):
    result = module_result(monkeypatch, capsys, tmp_path, Engine(fails=["mmdebstrap"]))
    assert result["failed"] is True
    assert result["msg"].startswith("no node image: mmdebstrap failed with 1: first line / ")
