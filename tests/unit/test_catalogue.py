"""The catalogue: what is listed is found, what is not is refused, and a malformed one names every problem."""

from __future__ import annotations

import copy

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.rsp.platform.plugins.filter.artifacts import FilterModule, artifact_table
from ansible_collections.rsp.platform.plugins.lookup import artifact, needed_artifacts
from ansible_collections.rsp.platform.plugins.module_utils.catalogue import (
    Catalogue,
    CatalogueError,
    artifact_from,
    nearest,
    platform_of,
    problems,
    version_key,
)
from ansible_collections.rsp.platform.plugins.plugin_utils import catalogue_file
from ansible_collections.rsp.platform.plugins.plugin_utils.catalogue_file import (
    for_member,
    for_mirror,
    role_version,
    shipped,
)
from ansible_collections.rsp.platform.plugins.plugin_utils.needs import needed, relevant, variable_prefix

SHA = "ab" * 32


def entry(**changes):
    return {
        "file": "tool",
        "sha256": SHA,
        "size": 10,
        "licence": "Apache-2.0",
        "sources": [{"kind": "url", "url": "https://vendor.example/tool"}],
        **changes,
    }


def go_source(**changes):
    return {
        "kind": "go",
        "module": "example.com/tool",
        "version": "v1.0.0",
        "toolchain": "1.25.7",
        "disk_mb": 100,
        "cpu_minutes": 1,
        **changes,
    }


def data():
    return {
        "go-toolchain": {
            "1.25.7": {"linux_amd64": entry(sources=[{"kind": "goproxy", "module": "m", "version": "v"}])}
        },
        "tool": {
            "1.9.0": {"linux_amd64": entry(sources=[go_source()])},
            "1.22.3": {"linux_amd64": entry(), "linux_arm64": entry(sha256="cd" * 32)},
            "1.22.5": {"any": entry(licence="MIT OR Apache-2.0")},
        },
    }


def parsed():
    return Catalogue.parse(data())


# --- the file that is shipped


def test_the_shipped_catalogue_is_well_formed():
    assert shipped().names() == ["consul", "go-toolchain", "toxiproxy", "versitygw"]


def test_two_versions_of_consul_are_listed_under_their_licence():
    assert shipped().versions("consul") == ["1.22.3", "1.22.5"]
    for version in shipped().versions("consul"):
        found = shipped().find("consul", version, "linux_amd64")
        assert found.licence == "BUSL-1.1"
        assert found.size > 100_000_000


def test_every_build_of_the_shipped_catalogue_has_its_toolchain():
    builds = 0
    for version in shipped().versions("consul"):
        for source in for_mirror(shipped().find("consul", version, "linux_amd64"), shipped())["sources"]:
            assert artifact_from(source["toolchain"]).name == "go-toolchain"
            builds += 1
    assert builds == 2


# --- finding


@pytest.mark.parametrize(
    ("version", "platform", "found"),
    [
        ("1.22.3", "linux_amd64", SHA),
        ("1.22.3", "linux_arm64", "cd" * 32),
        ("1.22.5", "linux_arm64", SHA),  # any
    ],
)
def test_find(version, platform, found):
    assert parsed().find("tool", version, platform).sha256 == found


@pytest.mark.parametrize(
    ("name", "version", "platform", "says"),
    [
        ("tol", "1.22.3", "linux_amd64", "tol is not in the artifact catalogue → did you mean tool?"),
        ("zzzzz", "1", "linux_amd64", "zzzzz is not in the artifact catalogue"),
        (
            "tool",
            "1.22.4",
            "linux_amd64",
            "tool 1.22.4 is not in the catalogue: 1.9.0, 1.22.3, 1.22.5 are listed → did you mean 1.22.5?",
        ),
        ("tool", "1.9.0", "linux_arm64", "tool 1.9.0 is not listed for linux_arm64, only for linux_amd64"),
    ],
)
def test_what_is_not_listed_is_refused_with_the_nearest(name, version, platform, says):
    with pytest.raises(CatalogueError) as err:
        parsed().find(name, version, platform)
    assert str(err.value) == says


def test_versions_sort_as_people_sort_them():
    assert parsed().versions("tool") == ["1.9.0", "1.22.3", "1.22.5"]
    assert sorted(["1.10.0", "1.9.0", "1.10.0-rc1", "2.0"], key=version_key)[0] == "1.9.0"


def test_paths_on_a_mirror():
    found = parsed().find("tool", "1.22.5", "linux_amd64")
    assert found.path == f"sha256/{SHA}/tool"
    assert found.alias == "tool/1.22.5/any/tool"
    assert str(found) == "tool 1.22.5 (any)"


def test_an_artifact_survives_the_way_to_a_module_and_back():
    found = parsed().find("tool", "1.9.0", "linux_amd64")
    assert artifact_from(found.as_dict()) == found


@pytest.mark.parametrize(
    ("machine", "platform"), [("x86_64", "linux_amd64"), ("aarch64", "linux_arm64"), ("arm64", "linux_arm64")]
)
def test_platform_of(machine, platform):
    assert platform_of(machine) == platform


def test_an_unsupported_machine_is_refused():
    with pytest.raises(CatalogueError, match=r"machine riscv64 has no platform in the catalogue"):
        platform_of("riscv64")


def test_nothing_near_gives_no_hint():
    assert nearest("consul", ["postgresql"]) == ""


# --- one planted violation for each rule


def with_entry(**changes):
    planted = data()
    planted["tool"]["1.9.0"]["linux_amd64"] = entry(**changes)
    return planted


def with_source(source):
    return with_entry(sources=[source])


def without(key):
    planted = data()
    del planted["tool"]["1.9.0"]["linux_amd64"][key]
    return planted


def renamed(old, new):
    return {new if name == old else name: versions for name, versions in data().items()}


def versions(**tool):
    return {**data(), "tool": tool}


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ([], "it is not a mapping of names"),
        ({}, "it is not a mapping of names"),
        (renamed("tool", "To_ol"), "To_ol: the name 'To_ol' does not match"),
        (dict(reversed(data().items())), "names are not sorted: go-toolchain, tool is the order"),
        (versions(), "tool: has no versions"),
        ({**data(), "tool": {1.22: {}}}, "tool: versions must be quoted strings"),
        ({**data(), "tool": {"1.22.5": {"any": entry()}, "1.9.0": {"any": entry()}}}, "tool: versions are not sorted"),
        ({**data(), "tool": {"../1": {"any": entry()}}}, "the version '../1' does not match"),
        ({**data(), "tool": {"1.0": {}}}, "tool 1.0: has no platforms"),
        ({**data(), "tool": {"1.0": {"windows_amd64": entry()}}}, "the platform 'windows_amd64' does not match"),
        (without("licence"), "tool 1.9.0 linux_amd64: must have exactly the keys"),
        (with_entry(extra=1), "tool 1.9.0 linux_amd64: must have exactly the keys"),
        (with_entry(file="../tool"), "file '../tool' does not match"),
        (with_entry(file=".tool"), "file '.tool' does not match"),
        (with_entry(sha256="AB" * 32), "sha256 'ABAB"),
        (with_entry(sha256="ab" * 31), "sha256 'abab"),
        (with_entry(sha256=12), "sha256 12 does not match"),
        (with_entry(licence="free as in beer"), "licence 'free as in beer' does not match"),
        (with_entry(size=0), "size must be a number of bytes above 0"),
        (with_entry(size="10"), "size must be a number of bytes above 0"),
        (with_entry(size=True), "size must be a number of bytes above 0"),
        (with_entry(sources=[]), "has no sources"),
        (with_source("https://vendor.example/tool"), "source 1: must be a mapping whose kind is one of"),
        (with_source({"kind": "ftp"}), "source 1: must be a mapping whose kind is one of"),
        (with_source({"kind": "url"}), "source 1 (url): lacks url"),
        (with_source({"kind": "url", "url": "u", "unpack": "zip"}), "unpack and member belong together"),
        (with_source({"kind": "url", "url": "u", "unpack": "rar", "member": "m"}), "unpack 'rar' is none of"),
        (with_source({"kind": "url", "url": "u", "sha512": "x"}), "source 1 (url): unknown keys sha512"),
        (with_source({"kind": "distribution", "package": "p"}), "source 1 (distribution): lacks version"),
        (with_source(go_source(toolchain="1.0")), "go-toolchain 1.0 is not in the catalogue"),
        (with_source(go_source(disk_mb="much")), "disk_mb must be a number above 0"),
    ],
)
def test_a_planted_violation_is_named(planted, says):
    assert any(says in problem for problem in problems(planted)), list(problems(planted))
    with pytest.raises(CatalogueError):
        Catalogue.parse(planted)


def test_the_clean_twin_has_no_problem():
    assert list(problems(data())) == []


def test_every_problem_is_named_at_once():
    planted = with_entry(size=0, sha256="x")
    planted["tool"]["1.22.5"]["any"]["licence"] = ""
    with pytest.raises(CatalogueError) as err:
        Catalogue.parse(planted)
    assert str(err.value).count(";") == 2


# --- what lookups return


def test_a_member_gets_no_sources_but_a_url():
    described = for_member(parsed().find("tool", "1.9.0", "linux_amd64"), "http://mirror:8080/")
    assert described["url"] == f"http://mirror:8080/sha256/{SHA}/tool"
    assert "sources" not in described


def test_without_a_mirror_there_is_no_url():
    assert for_member(parsed().find("tool", "1.9.0", "linux_amd64"), "")["url"] == ""


def test_a_mirror_gets_the_whole_toolchain():
    described = for_mirror(parsed().find("tool", "1.9.0", "linux_amd64"), parsed())
    assert described["sources"][0]["toolchain"]["file"] == "tool"
    assert data()["tool"]["1.9.0"]["linux_amd64"]["sources"][0]["toolchain"] == "1.25.7"


def lookup(terms, variables=None, **options):
    templar = Templar(loader=DataLoader(), variables=variables or {})
    plugin = lookup_loader.get("rsp.platform.artifact", loader=DataLoader(), templar=templar)
    assert isinstance(plugin, artifact.LookupModule)
    return plugin.run(terms, variables=variables or {}, **options)


def test_lookup_takes_the_mirror_from_the_shared_variable():
    (found,) = lookup(["consul"], {"platform_mirror_url": "http://m:8080"}, version="1.22.5")
    assert sorted(found) == ["file", "licence", "name", "platform", "sha256", "size", "url", "version"]
    assert found["url"] == f"http://m:8080/sha256/{found['sha256']}/consul"


def test_lookup_templates_the_shared_variable():
    url = trust_as_template("http://{{ mirror_host }}:8080")
    (found,) = lookup(["consul"], {"platform_mirror_url": url, "mirror_host": "10.0.0.1"}, version="1.22.5")
    assert found["url"].startswith("http://10.0.0.1:8080/sha256/")


@pytest.mark.parametrize(("given", "start"), [("http://other/", "http://other/sha256/"), ("", "")])
def test_a_given_mirror_wins_over_the_shared_variable(given, start):
    (found,) = lookup(["consul"], {"platform_mirror_url": "http://m"}, version="1.22.5", mirror_url=given)
    assert found["url"].startswith(start)
    assert bool(found["url"]) is bool(start)


def test_lookup_without_any_mirror():
    (found,) = lookup(["consul"], version="1.22.5")
    assert found["url"] == ""


def test_lookup_takes_whole_descriptions():
    terms = [{"name": "consul", "version": version} for version in ("1.22.3", "1.22.5")]
    assert [found["version"] for found in lookup(terms, sources=True)] == ["1.22.3", "1.22.5"]


def test_lookup_with_sources_is_for_mirrors():
    (found,) = lookup(["consul"], version="1.22.5", sources=True)
    assert found["sources"][0]["kind"] == "go"
    assert "url" not in found


@pytest.mark.parametrize(
    ("terms", "options", "says"),
    [
        (["consul"], {}, "consul: no version was asked for"),
        (["consul"], {"version": "1.22.4"}, "did you mean 1.22.5?"),
        (["consul"], {"version": "1.22.5", "platform": "linux_arm64"}, "only for linux_amd64"),
        (["cnsul"], {"version": "1.22.5"}, "did you mean consul?"),
    ],
)
def test_lookup_refuses_what_is_not_listed(terms, options, says):
    with pytest.raises(AnsibleLookupError, match=says.replace("?", r"\?")):
        lookup(terms, **options)


# --- what an inventory needs


def defaults(role):
    return {"tool": "1.22.5"}.get(role)


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ({}, []),
        ({"a": {}}, []),
        ({"a": {"tool_members": []}}, []),
        ({"a": {"tool_members": [1]}, "b": {}}, [("tool", "1.22.5")]),
        ({"a": {"tool_members": [1], "tool_version": "1.22.3"}}, [("tool", "1.22.3")]),
        (
            {"a": {"tool_members": [1], "tool_version": "1.22.5"}, "b": {"tool_version": "1.9.0"}},
            [("tool", "1.9.0"), ("tool", "1.22.5")],
        ),
    ],
)
def test_needed(hosts, found):
    assert needed(["go-toolchain", "tool"], hosts, defaults) == [{"name": n, "version": v} for n, v in found]


def test_a_needed_service_without_a_version_is_an_error():
    with pytest.raises(CatalogueError, match="other_tool_members is set, other_tool_version is not"):
        needed(["other-tool"], {"a": {"other_tool_members": [1]}}, defaults)


def test_variables_of_an_artifact():
    assert variable_prefix("go-toolchain") == "go_toolchain"
    assert relevant(["tool"]) == ["tool_members", "tool_version"]


class HostVars(dict):
    """The part of Ansible's HostVars that the lookup uses."""

    def raw_get(self, host):
        return self[host]


def test_needed_artifacts_reads_all_hosts(monkeypatch):
    monkeypatch.setattr(needed_artifacts, "shipped", parsed)
    monkeypatch.setattr(needed_artifacts, "role_version", defaults)
    hostvars = HostVars(a={"tool_members": [{"name": "a"}]}, b={"tool_version": "1.22.3", "other": "{{ nowhere }}"})
    templar = Templar(loader=DataLoader(), variables={})
    plugin = needed_artifacts.LookupModule(loader=DataLoader(), templar=templar)
    assert [found["version"] for found in plugin.run([], {"hostvars": hostvars})] == ["1.22.3", "1.22.5"]


def test_needed_artifacts_names_what_is_unknown(monkeypatch):
    monkeypatch.setattr(needed_artifacts, "shipped", parsed)
    monkeypatch.setattr(needed_artifacts, "role_version", lambda role: None)
    plugin = needed_artifacts.LookupModule(loader=DataLoader(), templar=Templar(loader=DataLoader(), variables={}))
    with pytest.raises(AnsibleLookupError, match="set the version of tool"):
        plugin.run([], {"hostvars": HostVars(a={"tool_members": [1]})})


@pytest.mark.parametrize(("text", "version"), [("tool_version: '1.2'", "1.2"), ("tool_port: 1", None)])
def test_role_version_reads_the_roles_defaults(text, version, tmp_path, monkeypatch):
    path = tmp_path / "roles" / "tool" / "defaults" / "main.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    monkeypatch.setattr(catalogue_file, "COLLECTION", tmp_path)
    assert role_version("tool") == version
    assert role_version("absent") is None


def test_a_version_that_yaml_reads_as_a_number_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "roles" / "tool" / "defaults" / "main.yml"
    path.parent.mkdir(parents=True)
    path.write_text("tool_version: 1.20")
    monkeypatch.setattr(catalogue_file, "COLLECTION", tmp_path)
    with pytest.raises(CatalogueError, match=r"1\.2 in the role's defaults is no quoted string"):
        role_version("tool")


# --- shown to people


def test_artifact_table_shows_licences():
    found = parsed().find("tool", "1.22.5", "linux_amd64").as_dict()
    title, line = artifact_table([found])
    assert title.split() == ["artifact", "version", "platform", "licence", "MB", "sha256"]
    assert "MIT OR Apache-2.0" in line
    assert FilterModule().filters()["artifact_table"] is artifact_table


def test_parse_does_not_change_its_data():
    before = data()
    Catalogue.parse(before)
    assert before == copy.deepcopy(data())
