"""A page that rots on one replica: refused without good copies, seen by the checksum only, mended by a clone."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds, effects, steps
from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds.storage import BYTES, PAGE, WHERE, corrupt
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import ChaosError, UnavailableError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.setting import plan
from chaos_data import experiment, host, setting, state

PARAMS = {
    "relation": "information_schema.sql_features", "database": "postgres", "config": "/etc/patroni/rsp",
    "socket": "/run/pg", "port": 5432, "address": "10.0.1.11",
}  # fmt: skip
FILE = "/pg/base/5/13000"


def member(name, number, role="Replica", state_="streaming"):
    return {"Cluster": "rsp", "Member": name, "Host": f"10.0.{number}.11", "Role": role, "State": state_}


def three(**changes):
    found = {
        "a1": member("a1", 0, "Leader", "running"), "b1": member("b1", 1, "Sync Standby"), "c1": member("c1", 2),
    }  # fmt: skip
    for name, more in changes.items():
        found[name] = {**found[name], **more}
    return list(found.values())


class Patroni:
    """Answers of patronictl and psql, for a host that is a directory; a reinit clones the good file."""

    def __init__(self, root, members=None, answer=f"on|true|{FILE}"):
        self.members, self.answer, self.calls, self.root = members or three(), answer, [], root
        self.path = root / FILE.lstrip("/")
        self.path.parent.mkdir(parents=True)
        self.good = bytes(range(256)) * (3 * PAGE // 256)
        self.path.write_bytes(self.good)
        self.refuses = None

    def __call__(self, argv, ok=(0,), timeout_s=60):
        self.calls.append(argv)
        if argv[0] == "patronictl":
            if "reinit" in argv:
                self.path.write_bytes(self.good)
            return json.dumps(self.members)
        if self.refuses:
            raise steps.StepError(f"runuser: {self.refuses}")
        return self.answer

    def look(self):
        return host(self.root, lambda argv: (0, self(argv), ""), **{"usr/bin/patronictl": ""})

    def plan(self, **changes):
        return corrupt({**PARAMS, **changes}, self.look(), "x")


@pytest.fixture
def patroni(tmp_path, monkeypatch):
    made = Patroni(tmp_path)
    monkeypatch.setattr(steps, "run", made)
    monkeypatch.setattr(effects, "run", made)
    return made


def here(patroni, items):
    """Steps with the path below the test's root."""
    return [{**each, "path": str(patroni.path)} for each in items]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (three(c1={"State": "stopped"}), "1 good copies would be left"),
        (three(c1={"State": "creating replica"}), "1 good copies"),
        (three(a1={"State": "stopped"}), "1 good copies"),
        (three(a1={"Role": "Replica", "State": "streaming"}), "2 good copies would be left, a leader"),
        (three(b1={"State": "in archive recovery"}), "not streaming"),
        (three()[:2], "1 good copies"),
        ([member("a1", 0, "Leader", "running")], "Patroni knows no member"),
    ],
)
def test_without_good_copies_nothing_is_damaged(tmp_path, members, text):
    with pytest.raises((ChaosError, OSError), match=text):
        Patroni(tmp_path, members).plan()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (f"off|true|{FILE}", UnavailableError, "checksums are off"),
        (f"on|false|{FILE}", ChaosError, "this member leads"),
        ("on|true|/pg/base/5/1", ChaosError, "too short"),
    ],
)
def test_what_must_not_be_damaged_is_refused(tmp_path, answer, error, text):
    with pytest.raises(error, match=text):
        Patroni(tmp_path, answer=answer).plan()


def test_a_host_without_patroni_or_a_service_without_a_port_cannot(tmp_path):
    with pytest.raises(UnavailableError, match="patronictl"):
        corrupt(PARAMS, host(tmp_path / "bare"), "x")
    with pytest.raises(UnavailableError, match="does not say"):
        Patroni(tmp_path).plan(port=None)


def test_the_page_is_never_read_by_the_server_before_it_is_damaged(tmp_path):
    """A page in memory is not read from the disk again: then nobody could see the damage."""
    patroni = Patroni(tmp_path)
    patroni.plan()
    assert not any("count(*)" in word for argv in patroni.calls for word in argv)


def test_there_and_back(patroni):
    found = patroni.plan()
    fingerprint = here(patroni, found.fingerprint)
    before = steps.fingerprint(fingerprint)
    assert before == ["whole"]
    for step in here(patroni, found.inject):
        steps.DO["damage"](step)
    damaged = patroni.path.read_bytes()
    changed = [at for at, (old, new) in enumerate(zip(patroni.good, damaged, strict=True)) if old != new]
    assert changed == list(range(PAGE + WHERE, PAGE + WHERE + BYTES)), "some bytes of one page, and no other"
    assert steps.fingerprint(fingerprint) == ["damaged"]
    record = {"undo": here(patroni, found.undo), "fingerprint": fingerprint, "before": before}
    assert steps.undo(record, settle_s=0) == []
    assert ["patronictl", "-c", "/etc/patroni/rsp", "reinit", "--force", "rsp", "b1"] in patroni.calls
    assert patroni.path.read_bytes() == patroni.good
    patroni.calls.clear()
    assert steps.undo(record, settle_s=0) == []
    assert not any("reinit" in argv for argv in patroni.calls), "a replica that was cloned is not cloned again"


def test_while_it_is_cloned_it_is_not_undone_yet(patroni):
    found = patroni.plan()
    for step in here(patroni, found.inject):
        steps.DO["damage"](step)
    patroni.path.unlink()
    patroni.members = three(b1={"State": "creating replica"})
    record = {"undo": here(patroni, found.undo), "fingerprint": here(patroni, found.fingerprint), "before": ["whole"]}
    [wrong] = steps.undo(record, settle_s=0)
    assert "whole → creating replica" in wrong
    assert not any("reinit" in argv for argv in patroni.calls)


def test_one_that_leads_by_now_gets_its_own_bytes_back(patroni):
    found = patroni.plan()
    for step in here(patroni, found.inject):
        steps.DO["damage"](step)
    patroni.members = three(a1={"Role": "Replica", "State": "stopped"}, b1={"Role": "Leader", "State": "running"})
    record = {"undo": here(patroni, found.undo), "fingerprint": here(patroni, found.fingerprint), "before": ["whole"]}
    assert steps.undo(record, settle_s=0) == []
    assert patroni.path.read_bytes() == patroni.good
    assert not any("reinit" in argv for argv in patroni.calls)


def test_pages_that_others_wrote_meanwhile_are_left_alone(patroni):
    """The damage is not there any more: whatever is, is not ours."""
    found = patroni.plan()
    patroni.path.write_bytes(os.urandom(3 * PAGE))
    for step in here(patroni, found.undo):
        steps.DO["rebuild"](step)
    assert not any("reinit" in argv for argv in patroni.calls)


@pytest.mark.parametrize(
    ("refuses", "good", "text"),
    [
        ("ERROR:  invalid page in block 1 of relation base/5/13000", True, "invalid page"),
        ("FATAL:  the database system is starting up", False, "starting up"),
        (None, False, "its pages are in memory"),
    ],
)
def test_only_a_page_that_the_server_itself_refuses_is_a_proof(patroni, refuses, good, text):
    found = patroni.plan()
    patroni.refuses, patroni.answer = refuses, "755"
    effective, [said] = effects.prove(found.effect)
    assert effective is good
    assert text in said


def test_a_member_is_known_by_its_address_with_or_without_a_port():
    found = [member("a1", 0), {**member("b1", 1), "Host": "10.0.1.11:5433"}]
    assert deeds.own(found, "10.0.1.11")["Member"] == "b1"


def test_two_at_a_time_are_refused_on_the_controller():
    faults = [{"kind": "data_corruption", "lease_s": 60, "targets": {"role": "all", "count": 2}}]
    with pytest.raises(ChaosError, match="one host at a time, a1, b1"):
        plan(experiment(faults=faults), setting(), state(), "ab12cd34")
