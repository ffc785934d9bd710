"""What a major upgrade makes of what its members say: which stages, who goes on, and how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from rendering import trusted

FILE = Path(__file__).resolve().parents[2] / "playbooks" / "vars" / "major.yml"
WINDOW = ["pause", "stop", "upgrade"]


def variable(name, members=None, lost=(), **given):
    """A variable of the file, as a1 sees it; `members` are facts of each host."""
    hosts = {host: {"inventory_hostname": host, **(members or {}).get(host, {})} for host in ("a1", "b1", "c1")}
    known = {
        "hostvars": hosts,
        "ansible_play_hosts_all": list(hosts),
        "ansible_play_hosts": [host for host in hosts if host not in lost],
        "__postgresql_leader": "b1",
        "__postgresql_done": False,
    }
    variables = {**known, **trusted(yaml.safe_load(FILE.read_text())), **hosts["a1"], **given}
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template("{{ " + name + " }}"))


@pytest.mark.parametrize(
    ("mode", "done", "stages"),
    [
        ("copy", False, [*WINDOW, "start", "decide", "open"]),
        ("clone", False, [*WINDOW, "start", "decide", "open"]),
        ("link", False, [*WINDOW, "decide", "start", "open"]),
        ("copy", True, ["start", "decide", "open"]),
        ("link", True, ["decide", "start", "open"]),
    ],
)
def test_stages(mode, done, stages):
    members = {"a1": {"postgresql_upgrade_mode": mode}}
    assert variable("major_stages", members, __postgresql_done=done) == stages


def test_without_a_word_of_the_inventory_files_are_copied():
    """No role is in the play that asks, so its default is not either: seen on real servers."""
    assert variable("major_stages") == [*WINDOW, "start", "decide", "open"]


FAILED, DECIDED = {"__major_error": "stop: no"}, {"__postgresql_decided": True}


@pytest.mark.parametrize(
    ("members", "lost", "goes_on"),
    [
        ({}, (), True),
        ({"b1": {"__postgresql_decided": False}}, (), True),
        ({"c1": FAILED}, (), False),
        ({"a1": FAILED}, (), False),
        ({}, ("c1",), False),
        ({"c1": FAILED, "b1": DECIDED}, (), True),  # clients are let in, whatever became of a standby
        ({"b1": DECIDED}, ("c1",), True),
        ({"a1": FAILED, "b1": DECIDED}, (), False),
        ({"c1": FAILED | DECIDED}, (), False),  # what a standby believes decides nothing
    ],
)
def test_who_goes_on(members, lost, goes_on):
    assert variable("major_goes_on", members, lost) is goes_on


def test_why_it_failed_and_who_is_not_back():
    members = {"a1": FAILED, "b1": {"__major_stuck": "b1: not settled"}}
    assert variable("major_why", members, ("c1",)) == ["stop: no", "c1 was lost"]
    assert variable("major_stuck", members, ("c1",)) == ["b1: not settled", "c1 is lost"]
    assert variable("major_stuck", {"a1": FAILED}) == []
