"""A mirror is filled from the first source that yields the pinned bytes, and lists what it has."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import Artifact
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError, Http
from ansible_collections.rsp.platform.plugins.module_utils.mirror_fill import UnavailableError, fill, origin
from ansible_collections.rsp.platform.plugins.module_utils.mirror_store import MirrorStore, index_of
from ansible_collections.rsp.platform.plugins.module_utils.placement import PlacementError
from ansible_collections.rsp.platform.plugins.module_utils.sources import SOURCES, distribution, mirror, url
from ansible_collections.rsp.platform.plugins.module_utils.sources.tools import Tools, exclusive
from ansible_collections.rsp.platform.plugins.modules import mirror_fetch, mirror_index
from file_server import serving
from module_call import call

CONTENT = b"#!/bin/sh\necho tool\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving() as files:
        yield files


def artifact(*sources, content=CONTENT, version="1.0", **changes):
    sha = hashlib.sha256(content).hexdigest()
    fields = {"platform": "linux_amd64", "file": "tool", "licence": "MIT", **changes}
    return Artifact("tool", version, sha256=sha, size=len(content), sources=tuple(sources), **fields)


def from_url(address, **more):
    return {"kind": "url", "url": address, **more}


def unexpected(*args):
    raise AssertionError(f"not expected: {args}")


@pytest.fixture
def filled(tmp_path):
    """Fills tmp_path/mirror; `filled.run` runs commands."""

    def run(wanted, upstreams=()):
        tools = Tools(
            http=Http(timeout=1, attempts=1),
            run=run.run,
            work=tmp_path / "work" / wanted.version,
            goproxy="https://proxy.invalid",
            gosumdb="off",
            obtain=unexpected,
        )
        return fill(run.store, wanted, SOURCES, upstreams, tools)

    run.store, run.run = MirrorStore(tmp_path / "mirror"), unexpected
    return run


def tree(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())


# --- the order of sources


def test_the_first_source_that_has_it_wins(filled, server):
    server.files["tool"] = CONTENT
    wanted = artifact(from_url(f"{server.url}/gone"), from_url(f"{server.url}/tool"), from_url(f"{server.url}/never"))
    assert filled(wanted) == f"url {server.url}/tool"
    assert filled.store.path(wanted).read_bytes() == CONTENT
    assert filled.store.path(wanted).stat().st_mode & 0o777 == 0o644
    assert server.requests["never"] == 0


def test_other_mirrors_are_asked_before_the_catalogues_sources(filled, server):
    server.files[f"own/sha256/{SHA}/tool"] = CONTENT
    wanted = artifact(from_url(f"{server.url}/vendor"))
    assert filled(wanted, [f"{server.url}/empty", f"{server.url}/own/"]) == f"mirror {server.url}/own/"
    assert server.requests["vendor"] == 0


def test_a_source_that_lies_is_passed_over(filled, server):
    server.files |= {"liar": b"X" + CONTENT[1:], "short": CONTENT[:-1], "tool": CONTENT}
    wanted = artifact(*(from_url(f"{server.url}/{name}") for name in ("liar", "short", "tool")))
    assert filled(wanted) == f"url {server.url}/tool"


def test_when_no_source_has_it_each_is_listed_with_its_reason(filled, server, tmp_path):
    server.files |= {"liar": b"X" + CONTENT[1:], "cut": CONTENT}
    server.truncated.add("cut")
    wanted = artifact(*(from_url(f"{server.url}/{name}") for name in ("gone", "liar", "cut")))
    with pytest.raises(UnavailableError) as err:
        filled(wanted, ["http://127.0.0.1:9/mirror"])
    text = str(err.value)
    assert text.startswith(
        "tool 1.0 (linux_amd64): no source yields the pinned file → put the file on a mirror of yours"
    )
    assert "\n  1. mirror http://127.0.0.1:9/mirror: does not answer" in text
    assert f"\n  2. url {server.url}/gone: is not there: HTTP 404" in text
    assert f"\n  3. url {server.url}/liar: has sha256" in text
    assert f"\n  4. url {server.url}/cut: truncated: 20 of 30 bytes arrived" in text
    assert tree(tmp_path) == []


def test_a_full_disk_stops_at_once(filled, server, tmp_path, monkeypatch):
    def full(source, wanted, target, tools):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(SOURCES, "url", full)
    wanted = artifact(from_url("https://a.example/tool"), from_url("https://b.example/tool"))
    with pytest.raises(PlacementError) as err:
        filled(wanted)
    assert str(err.value).startswith("tool 1.0 (linux_amd64) from url https://a.example/tool: the disk is full")
    assert tree(tmp_path) == []


def test_a_damaged_file_is_replaced(filled, server):
    server.files["tool"] = CONTENT
    wanted = artifact(from_url(f"{server.url}/tool"))
    filled(wanted)
    filled.store.path(wanted).write_bytes(b"X" + CONTENT[1:])
    assert not filled.store.has(wanted)
    filled(wanted)
    assert filled.store.has(wanted)


def test_the_work_directory_is_dropped_when_the_file_is_in_place(filled, server, tmp_path):
    server.files["tool"] = CONTENT
    (tmp_path / "work/1.0/cache").mkdir(parents=True)
    filled(artifact(from_url(f"{server.url}/tool")))
    assert not (tmp_path / "work/1.0").exists()


def test_the_work_directory_outlives_a_failure(filled, server, tmp_path):
    (tmp_path / "work/1.0/cache").mkdir(parents=True)
    with pytest.raises(UnavailableError):
        filled(artifact(from_url(f"{server.url}/gone")))
    assert (tmp_path / "work/1.0/cache").exists()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (from_url("https://user:hidden@mirror.example/x"), "url https://mirror.example/x"),
        ({"kind": "go", "module": "example.com/tool", "version": "v1"}, "go example.com/tool v1"),
        ({"kind": "distribution", "package": "tool", "version": "1-2"}, "distribution tool 1-2"),
    ],
)
def test_origin_names_a_source_without_its_password(source, text):
    assert origin(source) == text


def test_every_kind_of_the_catalogue_has_a_strategy():
    assert sorted(SOURCES) == ["distribution", "go", "goproxy", "mirror", "url"]


# --- url: archives


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def tarred(**members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(content or b"")
            bundle.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


@pytest.mark.parametrize(("unpack", "packed"), [("zip", zipped), ("tar.gz", tarred)])
def test_one_member_of_an_archive(filled, server, tmp_path, unpack, packed):
    server.files["archive"] = packed(tool=CONTENT, LICENSE=b"MIT")
    wanted = artifact(from_url(f"{server.url}/archive", unpack=unpack, member="tool"))
    filled(wanted)
    assert filled.store.path(wanted).read_bytes() == CONTENT
    assert tree(tmp_path / "work") == []


@pytest.mark.parametrize(
    ("unpack", "archive", "says"),
    [
        ("zip", zipped(other=CONTENT), "has no member tool"),
        ("tar.gz", tarred(other=CONTENT), "has no member tool"),
        ("tar.gz", tarred(tool=None), "tool is no regular file in it"),
        ("zip", b"no archive", "is no readable zip archive"),
        ("tar.gz", b"no archive", "is no readable tar.gz archive"),
        ("tar.gz", tarred(tool=CONTENT * 1000)[:-40], "is no readable tar.gz archive"),
        ("zip", zipped(tool=b"X" + CONTENT[1:]), "has sha256"),
    ],
    # An archive as part of a test's name would carry the moment when it was made.
    ids=["zip without it", "tar without it", "a directory", "no zip", "no tar", "cut off", "other content"],
)
def test_a_bad_archive_is_refused(filled, server, unpack, archive, says):
    server.files["archive"] = archive
    with pytest.raises(UnavailableError, match=says):
        filled(artifact(from_url(f"{server.url}/archive", unpack=unpack, member="tool")))


def test_extract_of_a_member_that_is_damaged_inside(tmp_path):
    damaged = bytearray(zipped(tool=CONTENT))
    damaged[damaged.index(CONTENT)] ^= 1
    (tmp_path / "archive").write_bytes(damaged)
    with pytest.raises(FetchError, match="is no readable zip archive"):
        url.extract(tmp_path / "archive", "zip", "tool", tmp_path / "target")


# --- goproxy


def test_a_modules_zip_comes_from_the_first_proxy_that_has_it(server, tmp_path):
    server.files["b/golang.org/toolchain/@v/v1.zip"] = CONTENT
    target = tmp_path / "target"
    target.touch()
    tools = Tools(
        Http(timeout=1, attempts=1), unexpected, tmp_path, f"{server.url}/a,{server.url}/b,direct", "off", unexpected
    )
    source = {"kind": "goproxy", "module": "golang.org/toolchain", "version": "v1"}
    SOURCES["goproxy"](source, artifact(source), target, tools)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(("setting", "says"), [("off", "no proxy address in 'off'"), ("SERVER/a", "HTTP 404")])
def test_without_the_zip_each_proxy_is_named(filled, server, tmp_path, setting, says):
    tools = Tools(
        Http(timeout=1, attempts=1), unexpected, tmp_path, setting.replace("SERVER", server.url), "off", unexpected
    )
    source = {"kind": "goproxy", "module": "golang.org/toolchain", "version": "v1"}
    with pytest.raises(FetchError, match=says):
        SOURCES["goproxy"](source, artifact(source), tmp_path / "target", tools)


# --- distribution

DEBIAN = {"kind": "distribution", "package": "tool", "version": "1.0-2"}


def apt(downloads, code=0, stderr=""):
    def run(argv, cwd, env):
        assert argv[:2] == ["apt-get", "download"]
        assert argv[-1] == "tool=1.0-2"
        for name in downloads:
            (cwd / name).write_bytes(CONTENT)
        return code, "", stderr

    return run


def test_a_package_of_the_distribution(filled, tmp_path):
    filled.run = apt(["tool_1.0-2_amd64.deb"])
    wanted = artifact(DEBIAN, file="tool_1.0-2_amd64.deb")
    assert filled(wanted) == "distribution tool 1.0-2"
    assert filled.store.path(wanted).read_bytes() == CONTENT
    assert tree(tmp_path / "work") == []


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (apt([], 100, "E: Version '1.0-2' for 'tool' was not found"), "ended with 100: E: Version '1.0-2'"),
        (apt([], 127, "there is no apt-get on this host"), "there is no apt-get on this host"),
        (apt([]), "apt-get downloaded 0 files for tool=1.0-2, 1 is expected"),
        (apt(["a.deb", "b.deb"]), "apt-get downloaded 2 files"),
    ],
)
def test_a_package_that_cannot_be_had(filled, run, says):
    filled.run = run
    with pytest.raises(UnavailableError, match=says):
        filled(artifact(DEBIAN))


def test_strategies_are_found_by_their_names():
    assert SOURCES["distribution"] is distribution.fetch
    assert SOURCES["mirror"] is mirror.fetch


# --- the index


@pytest.fixture
def store(tmp_path):
    return MirrorStore(tmp_path / "mirror")


def put(store, wanted, content=CONTENT):
    path = store.path(wanted)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_the_index_shows_licence_size_and_hash():
    (entry,) = json.loads(index_of([artifact(from_url("u"))]))["artifacts"]
    assert entry == {
        "name": "tool",
        "version": "1.0",
        "platform": "linux_amd64",
        "file": "tool",
        "sha256": SHA,
        "size": 20,
        "licence": "MIT",
        "path": f"sha256/{SHA}/tool",
    }


def test_the_index_is_sorted():
    wanted = [artifact(version="2.0"), artifact(version="1.0")]
    assert index_of(wanted) == index_of(reversed(wanted))


def test_publish_links_by_name(store):
    wanted = artifact()
    put(store, wanted)
    assert store.unpublished([wanted])
    store.publish([wanted])
    assert (store.root / "tool/1.0/linux_amd64/tool").read_bytes() == CONTENT
    assert not store.unpublished([wanted])


def test_mirrors_that_share_a_directory_keep_each_others_entries(store):
    """Two labs with one cache: each publishes what it wants, and a second run of either changes nothing."""
    ours, theirs = artifact(), artifact(version="2.0", content=b"other")
    put(store, ours)
    put(store, theirs, b"other")
    store.publish([ours])
    assert store.unpublished([theirs])
    store.publish([theirs])
    listed = json.loads((store.root / "index.json").read_text())["artifacts"]
    assert [entry["version"] for entry in listed] == ["1.0", "2.0"]
    assert not store.unpublished([ours])
    assert not store.unpublished([theirs])


def test_an_entry_whose_file_is_gone_leaves_the_index(store):
    ours, gone = artifact(), artifact(version="2.0", content=b"other")
    put(store, ours)
    put(store, gone, b"other")
    store.publish([ours, gone])
    store.path(gone).unlink()
    assert store.unpublished([ours])
    store.publish([ours])
    assert [entry["version"] for entry in json.loads((store.root / "index.json").read_text())["artifacts"]] == ["1.0"]


@pytest.mark.parametrize("text", ["{", "[]", '{"artifacts": 1}', '{"artifacts": [{"name": "tool"}]}'])
def test_a_damaged_index_is_written_anew(store, text):
    wanted = artifact()
    put(store, wanted)
    (store.root / "index.json").write_text(text)
    assert store.unpublished([wanted])
    store.publish([wanted])
    assert json.loads((store.root / "index.json").read_text())["artifacts"][0]["version"] == "1.0"


def test_many_mirrors_publish_at_once(store):
    wanted = [artifact(version=str(number), content=b"%d" % number) for number in range(8)]
    for each in wanted:
        put(store, each, each.version.encode())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: store.publish([each]), wanted * 4))
    listed = json.loads((store.root / "index.json").read_text())["artifacts"]
    assert [entry["version"] for entry in listed] == [each.version for each in wanted]
    assert not [path for path in store.root.rglob("*") if path.name.endswith((".new", ".part"))]


def test_a_link_that_leads_elsewhere_is_put_right(store):
    wanted = artifact()
    put(store, wanted)
    store.publish([wanted])
    (store.root / wanted.alias).unlink()
    (store.root / wanted.alias).symlink_to("elsewhere")
    assert store.unpublished([wanted])
    store.publish([wanted])
    assert (store.root / wanted.alias).read_bytes() == CONTENT


# --- the modules


def index(store, capsys, *wanted, check=False):
    described = [each.as_dict() for each in wanted]
    return call(mirror_index.main, capsys, check=check, root=str(store.root), artifacts=described)


def test_mirror_index_lists_what_is_there_and_what_is_missing(store, capsys):
    here, there = artifact(), artifact(version="2.0", content=b"other")
    put(store, here)
    result = index(store, capsys, here, there)
    assert result["changed"] is True
    assert result["present"] == ["tool 1.0 (linux_amd64), MIT, 0.0 MB"]
    assert [missing["version"] for missing in result["missing"]] == ["2.0"]
    assert index(store, capsys, here, there)["changed"] is False


def test_mirror_index_in_check_mode_writes_nothing(store, capsys):
    result = index(store, capsys, artifact(), check=True)
    assert result["changed"] is True
    assert len(result["missing"]) == 1
    assert not store.root.exists()


def test_a_damaged_file_is_missing_and_leaves_the_index(store, capsys):
    wanted = artifact()
    put(store, wanted)
    index(store, capsys, wanted)
    store.path(wanted).write_bytes(b"X" + CONTENT[1:])
    result = index(store, capsys, wanted)
    assert len(result["missing"]) == 1
    assert json.loads((store.root / "index.json").read_text()) == {"artifacts": []}


def test_mirror_index_says_when_it_cannot_write(store, capsys, tmp_path):
    store.root.touch()
    result = index(store, capsys, artifact())
    assert result["rc"] == 1
    assert f"the index of {store.root} could not be written" in result["msg"]


def fetch(store, capsys, tmp_path, wanted, **arguments):
    return call(
        mirror_fetch.main,
        capsys,
        root=str(store.root),
        work=str(tmp_path / "work"),
        artifact=wanted.as_dict(),
        timeout=1,
        **arguments,
    )


def test_mirror_fetch_says_where_it_came_from(store, capsys, tmp_path, server):
    server.files["tool"] = CONTENT
    wanted = artifact(from_url(f"{server.url}/tool"))
    result = fetch(store, capsys, tmp_path, wanted)
    assert (result["changed"], result["origin"]) == (True, f"url {server.url}/tool")
    again = fetch(store, capsys, tmp_path, wanted)
    assert (again["changed"], again["origin"]) == (False, "")
    assert server.requests["tool"] == 1


def test_mirror_fetch_in_check_mode_asks_nobody(store, capsys, tmp_path):
    result = fetch(store, capsys, tmp_path, artifact(from_url("http://mirror.invalid/tool")), check=True)
    assert (result["rc"], result["changed"], result["origin"]) == (0, True, "")
    assert tree(tmp_path) == []


def test_mirror_fetch_fails_with_every_reason(store, capsys, tmp_path, server):
    result = fetch(store, capsys, tmp_path, artifact(from_url(f"{server.url}/gone")))
    assert result["rc"] == 1
    assert f"1. url {server.url}/gone: is not there: HTTP 404" in result["msg"]


def test_mirror_fetch_gets_a_builds_toolchain_first(store, capsys, tmp_path, server):
    toolchain = artifact(from_url(f"{server.url}/gone"), content=b"toolchain", version="1.25.7", file="go.zip")
    source = {"kind": "go", "module": "m", "version": "v1", "toolchain": toolchain.as_dict(), "disk_mb": 1}
    result = fetch(store, capsys, tmp_path, artifact(source))
    assert result["rc"] == 1
    assert "1. go m v1: tool 1.25.7 (linux_amd64): no source yields the pinned file" in result["msg"]
    assert server.requests["gone"] == 1


def test_a_run_waits_for_the_build_of_one_that_was_cut_off(store, capsys, tmp_path):
    wanted = artifact(from_url("http://mirror.invalid/tool"))
    held, release = threading.Event(), threading.Event()

    def earlier_run():
        with store.lock("tool-1.0-linux_amd64"):
            held.set()
            release.wait(5)
            put(store, wanted)

    thread = threading.Thread(target=earlier_run)
    thread.start()
    held.wait(5)
    threading.Timer(0.2, release.set).start()
    result = fetch(store, capsys, tmp_path, wanted)
    thread.join()
    assert (result["rc"], result["origin"]) == (0, "")
    assert store.has(wanted)


def test_a_lock_is_free_after_a_failure(tmp_path):
    for _attempt in range(2):
        with pytest.raises(ValueError, match="build"), exclusive(tmp_path / "work" / "lock"):
            raise ValueError("build")


def test_mirror_fetch_names_a_command_that_is_not_there(store, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror_fetch.AnsibleModule, "get_bin_path", lambda self, name: None)
    result = fetch(store, capsys, tmp_path, artifact(DEBIAN))
    assert "there is no apt-get on this host" in result["msg"]
