"""An experiment is found by its name, whether the collection brings it or the platform."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_library import chosen, known_by_name
from chaos_data import GOOD

FILES = {"theirs.yml": {"leader_killed": GOOD}, "ours.yml": {"ours": GOOD}, "empty.yml": None}


def load(path):
    if path not in FILES:
        raise AnsibleError(f"Could not find {path}")
    return FILES[path]


def arguments(name, own="", **changes):
    return {
        "experiment": name, "service": "consul", "file": "theirs.yml", "own_file": own, "control": False, **changes
    }  # fmt: skip


@pytest.mark.parametrize(("name", "own"), [("leader_killed", ""), ("leader_killed", "ours.yml"), ("ours", "ours.yml")])
def test_it_is_found(name, own):
    assert chosen(load, arguments(name, own)).name == name


@pytest.mark.parametrize(
    ("name", "own", "text"),
    [
        ("ours", "", "consul has no experiment ours → there are leader_killed"),
        ("our", "ours.yml", "did you mean ours?"),
        ("ours", "gone.yml", "chaos_policy.experiments: Could not find gone.yml → name a YAML file"),
        ("ours", "empty.yml", "chaos_policy.experiments: empty.yml holds no experiments"),
        ("ours", "theirs.yml", "leader_killed of theirs.yml is the name of an experiment of the collection"),
    ],
)
def test_what_is_not_there_is_told_with_the_way_out(name, own, text):
    with pytest.raises(AnsibleActionFail) as err:
        chosen(load, arguments(name, own))
    assert text in str(err.value)


def test_a_control_that_is_not_there_is_refused(monkeypatch):
    bare = {key: value for key, value in GOOD.items() if key != "control"}
    monkeypatch.setitem(FILES, "bare.yml", {"bare": bare})
    with pytest.raises(AnsibleActionFail, match="bare has no negative control"):
        chosen(load, arguments("bare", "bare.yml", control=True))


def test_a_file_of_the_collection_that_is_empty_has_no_experiments():
    assert known_by_name(load, "empty.yml", "") == {}
