"""Plans: what tasks say becomes rows, rows become a plan with a hash, and two plans are compared in words."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.plan import compare, digests, document, postmaster, summary
from ansible_collections.rsp.platform.plugins.module_utils.plan.rows import rows

SHA = "sha256:" + "a" * 64


def node(digest=SHA, mode="0640", owner="0:0"):
    return {"owner": owner, "mode": mode, "digest": digest}


def file(dest="/etc/consul.d/consul.hcl", change="updated", need="restart", before=None, after=None):
    return {
        "dest": dest,
        "change": change,
        "need": need,
        "before": node() if before is None else before,
        "after": node("sha256:" + "b" * 64) if after is None else after,
    }


def change(host="a1", service="consul", task="rsp.platform.consul : Configure | Files", **detail):
    action = "rsp.platform.files" if "files" in detail else "rsp.platform.unit"
    return {"kind": "change", "host": host, "service": service, "task": task, "action": action, **detail}


def live_rows(service="consul", leader="a1", order=("c1", "b1", "a1"), closed=None):
    gates = [
        {"kind": "gate", "host": host, "service": service, "reason": (closed or {}).get(host, "")} for host in order
    ]
    return [
        {"kind": "order", "host": "a1", "service": service, "value": list(order)},
        {"kind": "leader", "host": "a1", "service": service, "value": leader},
        {"kind": "versions", "host": "a1", "service": service, "versions": dict.fromkeys(order, "1.22.5")},
        *gates,
    ]


CONTEXT = {
    "service": "consul",
    "services": ["consul"],
    "clusters": {"consul": "rsp-local-dc1"},
    "code": {"playbooks": "1", "roles/consul": "2"},
    "variables": {"consul_log_level": {"d1": ["a1", "b1"]}},
}


def planned(*found, context=CONTEXT, **live):
    return document.build([*found, *live_rows(**live)], context)


# rows


def row_of(action, result, service="consul", task="T"):
    return [{k: v for k, v in row.items() if k != "task"} for row in rows("a1", service, task, action, result)]


@pytest.mark.parametrize(
    ("action", "result", "expected"),
    [
        ("rsp.platform.files", {"changed": False}, []),
        ("rsp.platform.unit", {"changed": True, "actions": ["reload x"]},
         [{"kind": "change", "actions": ["reload x"]}]),
        ("rsp.platform.unit", {"changed": False, "pending_restart": True}, [{"kind": "needs_restart"}]),
        ("rsp.platform.consul_objects", {"changed": True, "actions": ["x"], "rogue": ["r"]},
         [{"kind": "change", "actions": ["x"]}]),
        ("rsp.platform.etcd_objects", {"changed": True, "steps": ["s"]}, [{"kind": "change", "steps": ["s"]}]),
        ("ansible.builtin.user", {"changed": True, "password": "x"}, [{"kind": "change"}]),
        ("ansible.builtin.apt",
         {"changed": True, "stdout": "NOTE\nInst etcd-server [3.5] (3.6-1 Debian:13 [amd64])\nInst a (1 x)\n"},
         [{"kind": "change", "packages": {"a": "1", "etcd-server": "3.6-1"}}]),
        ("ansible.builtin.set_fact", {"ansible_facts": {"__consul_order": ["b1"], "__consul_files": 1}},
         [{"kind": "order", "value": ["b1"]}]),
        ("rsp.platform.service_gate", {"reason": "", "invocation": {"module_args": {"question": "settled"}}}, []),
        ("rsp.platform.service_gate", {"reason": "", "invocation": {"module_args": {"question": "may_stop"}}},
         [{"kind": "gate", "reason": ""}]),
        ("rsp.platform.service_gate",
         {"failed": True, "msg": "m", "reason": "r", "invocation": {"module_args": {"question": "may_stop"}}},
         [{"kind": "gate", "reason": "r"}]),
        ("rsp.platform.service_info",
         {"state": {"members": [{"name": "b1", "version": "2"}, {"name": "a1", "version": None}]}},
         [{"kind": "versions", "versions": {"a1": None, "b1": "2"}}]),
        ("ansible.builtin.uri", {"failed": True, "msg": "refused"}, [{"kind": "unknown"}]),
        ("ansible.builtin.user",
         {"results": [{"changed": True}, {"changed": False}, {"changed": True, "skipped": True}]},
         [{"kind": "change"}]),
    ],
)  # fmt: skip
def test_rows(action, result, expected):
    found = row_of(action, result)
    assert [{k: v for k, v in row.items() if k not in ("host", "service", "action")} for row in found] == expected
    assert all(row["host"] == "a1" and row["service"] == "consul" for row in found)


def test_a_file_keeps_its_digests_and_nothing_else():
    entry = {**file(), "content": "secret"}
    [row] = rows("a1", "consul", "T", "rsp.platform.files", {"changed": True, "files": [entry]})
    assert row["files"] == [file()]


# the plan


def test_the_order_of_answers_does_not_matter():
    found = [change(files=[file()]), change("b1", files=[file()]), change("a1", task="Z | Unit", actions=["x"])]
    assert document.hash_of(planned(*found)) == document.hash_of(planned(*reversed(found)))


def test_any_word_matters():
    plan = planned(change(files=[file()]))
    other = copy.deepcopy(plan)
    other["changes"][0]["files"][0]["after"]["mode"] = "0600"
    assert document.hash_of(plan) != document.hash_of(other)


def test_who_would_wait_for_a_restart():
    found = [
        change(files=[file(), file(dest="/etc/x", need="none")]),
        {"kind": "needs_restart", "host": "a1", "service": "consul"},
        {"kind": "needs_restart", "host": "b1", "service": "consul"},
        {"kind": "needs_restart", "host": "ops", "service": "haproxy"},
        {"kind": "pending", "host": "c1", "service": "consul", "value": ["a restart was asked for"]},
        {"kind": "pending", "host": "b1", "service": "consul", "value": []},
    ]
    plan = planned(*found)
    assert plan["restarts"] == {
        "consul": {
            "a1": ["/etc/consul.d/consul.hcl changes"],
            "b1": ["files changed before"],
            "c1": ["a restart was asked for"],
        }
    }
    assert document.roll_order(plan, "consul") == ["c1", "b1", "a1"]


def test_a_setting_of_the_whole_cluster_makes_every_member_wait():
    patch = {"postgresql": {"parameters": {"shared_buffers": "64MB", "work_mem": "8MB"}}}
    context = {**CONTEXT, "service": "postgresql", "services": ["postgresql"]}
    found = [change(service="postgresql", patch=patch), *live_rows("postgresql")]
    plan = document.build(found, context)
    assert plan["restarts"] == {"postgresql": {name: ["shared_buffers: → 64MB"] for name in ("a1", "b1", "c1")}}
    assert document.settings_that_need_it({"postgresql": {"parameters": {"work_mem": "8MB"}}}) == []
    assert document.settings_that_need_it({"ttl": 30}) == []
    assert {"max_connections", "shared_buffers", "wal_level"} <= postmaster.POSTMASTER
    assert "work_mem" not in postmaster.POSTMASTER


def test_gates_of_those_only_that_would_be_restarted():
    closed = {"c1": "b1 is not healthy"}
    assert document.closed_gates(planned(closed=closed)) == []
    waits = {"kind": "pending", "host": "c1", "service": "consul", "value": ["x"]}
    assert document.closed_gates(planned(waits)) == []
    assert document.closed_gates(planned(waits, closed=closed)) == ["consul: c1: b1 is not healthy"]
    unasked = {"kind": "pending", "host": "ops", "service": "consul", "value": ["x"]}
    assert document.closed_gates(planned(unasked)) == ["consul: ops: gate not asked"]


def test_the_last_word_counts_for_who_waits():
    said = [{"kind": "pending", "host": "a1", "service": "consul", "value": value} for value in (["x"], [])]
    assert document.waiting(said, ["consul"]) == {}
    assert document.waiting(said[:1], ["consul"]) == {"consul": {"a1": ["x"]}}


# differences


def moved(edit):
    then = planned(change(files=[file()]), {"kind": "pending", "host": "a1", "service": "consul", "value": ["x"]})
    now = copy.deepcopy(then)
    edit(now)
    return compare.differences(then, now)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda now: now["code"].update({"roles/consul": "3"}), "code: roles/consul is not the same"),
        (lambda now: now["code"].pop("playbooks"), "code: playbooks is not the same"),
        (lambda now: now["variables"].update(consul_log_level={"d1": ["a1"], "d2": ["b1"]}),
         "variable consul_log_level of b1 has another value"),
        (lambda now: now["variables"].update(consul_x={"d": ["a1"]}), "variable consul_x of a1 has another value"),
        (lambda now: now["live"]["consul"].update(leader="b1"), "consul: a1 led, now b1 leads"),
        (lambda now: now["live"]["consul"].update(order=["a1"]), "consul: the rolling order was c1, b1, a1, is a1"),
        (lambda now: now["live"]["consul"]["gates"].update(b1="no leader"),
         "consul: the gate of b1 was: open; is: no leader"),
        (lambda now: now["live"]["consul"]["versions"].update(b1="1.23"), "consul: b1 ran 1.22.5, runs 1.23"),
        (lambda now: now["live"]["consul"].update(unknown=["a1: T"]), "consul: not answered was , is a1: T"),
        (lambda now: now["changes"][0]["files"][0]["before"].update(digest="sha256:" + "c" * 64),
         "a1: /etc/consul.d/consul.hcl: planned was updated (aaaaaaaaaaaa 0640 → bbbbbbbbbbbb 0640, needs restart); "
         "now it would be updated (cccccccccccc 0640 → bbbbbbbbbbbb 0640, needs restart)"),
        (lambda now: now["changes"].clear(), "now it would be no change"),
        (lambda now: now["changes"].append(change("c1", task="Unit", actions=["start x"])),
         "c1: Unit: planned was no change; now it would be start x"),
        (lambda now: now["restarts"].clear(), "consul: restart of a1 was planned because: x; now: not needed"),
        (lambda now: now.update(services=[]), "services was ['consul'], is []"),
    ],
)  # fmt: skip
def test_what_moved_is_named(edit, sentence):
    found = moved(edit)
    assert any(sentence in text for text in found), found


def test_the_same_plan_has_no_difference():
    assert moved(lambda now: None) == []


def test_what_cannot_be_named_is_a_difference_still():
    assert moved(lambda now: now["changes"][0].update(action="other")) == ["the plans differ"]


# what was done


@pytest.mark.parametrize(
    ("plan", "done", "sentence"),
    [
        ([change(files=[file()])], [change(files=[file()])], None),
        ([change(files=[file()])], [], "a1: /etc/consul.d/consul.hcl: planned, but not changed"),
        ([], [change("b1", files=[file()])], "b1: /etc/consul.d/consul.hcl: changed"),
        ([change(files=[file(after=node("sha256:" + "b" * 64, owner="0:-1"))])],
         [change(files=[file(after=node("sha256:" + "b" * 64, owner="0:120"))])], None),
        ([change(files=[{**file(), "after": None}])], [change(files=[file()])], None),
        ([change(files=[file()])], [change(files=[file(after=node("sha256:" + "d" * 64))])], "done was updated"),
        ([change(files=[file()])], [change(files=[file(need="none")])], "needs none"),
        ([change(actions=["reload x"])], [change(actions=["reload x"])], None),
        ([change(actions=["reload x"])], [change(actions=["restart x"])], "done was restart x"),
        ([change(packages={"a": "1"})], [change(packages={})], None),
    ],
)  # fmt: skip
def test_deviations(plan, done, sentence):
    found = compare.deviations(plan, done)
    assert (found == []) if sentence is None else any(sentence in text for text in found)


def test_restarts_that_differ():
    assert compare.restarts_differ({"consul": {"a1": ["x"]}}, {"consul": {"a1": ["y"]}}) == []
    assert compare.restarts_differ({"consul": {"a1": []}}, {"etcd": {"b1": []}}) == [
        "a1: a restart of consul was planned, but nothing asks for it",
        "b1: a restart of etcd was not planned",
    ]


# digests


class Node:
    """What file_node.Node is to a digest."""

    def __init__(self, kind="file", content=b"x", mode=0o640):
        self.kind, self.content, self.uid, self.gid, self.mode = kind, content, 0, 7, mode


def test_a_secret_has_a_digest_that_depends_on_key_and_place():
    def digest(dest="/x", key="k", content=b"x"):
        return digests.described(Node(content=content), dest, secret=True, key=key)["digest"]

    assert digest() == digest()
    assert digest().startswith("hmac-sha256:")
    assert len({digest(), digest(dest="/y"), digest(key="l"), digest(content=b"y")}) == 4
    assert digests.derived("k", "a1") != digests.derived("k", "b1")


def test_what_is_open_has_the_digest_that_sha256sum_shows():
    told = digests.described(Node(), "/x", secret=False, key="k")
    assert told == {
        "owner": "0:7",
        "mode": "0640",
        "digest": "sha256:" + __import__("hashlib").sha256(b"x").hexdigest(),
    }
    assert digests.described(Node(kind="directory"), "/x", secret=False, key="k") == {"owner": "0:7", "mode": "0640"}
    assert digests.described(Node(kind="absent"), "/x", secret=True, key="k") == {}


def test_code_is_told_part_by_part(tmp_path):
    for name in ("roles/consul/tasks/main.yml", "plugins/action/x.py", "playbooks/site.yml", "docs/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    before = digests.code(tmp_path)
    assert sorted(before) == ["playbooks", "plugins/action", "roles/consul"]
    (tmp_path / "docs/x.md").write_text("other")
    (tmp_path / "plugins/action/__pycache__").mkdir()
    (tmp_path / "plugins/action/__pycache__/x.pyc").write_text("x")
    assert digests.code(tmp_path) == before
    (tmp_path / "roles/consul/tasks/main.yml").rename(tmp_path / "roles/consul/tasks/other.yml")
    after = digests.code(tmp_path)
    assert {part for part in after if after[part] != before[part]} == {"roles/consul"}


def test_variables_by_value_and_host():
    hosts = [
        ("a1", {"consul_x": 1, "other": 2, "consul_y": "r1"}, {"consul_x": 1, "other": 2, "consul_y": "r2"}),
        ("b1", {"consul_x": 1}, {"consul_x": 1}),
        ("c1", {"consul_x": "1"}, {"consul_x": "1"}),
    ]
    found = digests.variables(hosts, ("consul_",), "key")
    assert sorted(found) == ["consul_x", "consul_y"]
    assert sorted(found["consul_x"].values()) == [["a1", "b1"], ["c1"]]
    assert found["consul_y"] == {"made when it is missing": ["a1"]}
    assert found != digests.variables(hosts, ("consul_",), "other key")


def test_what_a_run_registers_does_not_move_a_plan():
    """apply holds locks while it compares, and so has variables that plan had not."""
    before = [("a1", {"platform_name": "x"}, {"platform_name": "x"})]
    after = [("a1", {"platform_name": "x", "__consul_lock": {"lock": 1}}, {"platform_name": "x", "__consul_lock": {}})]
    assert digests.variables(before, ("",), "key") == digests.variables(after, ("",), "key")


# for people


def test_the_summary_names_hosts_files_and_restarts():
    found = [
        change(files=[file(), file("/etc/x", need="none")]),
        change("b1", task="rsp.platform.consul : Service | Start", actions=["reload consul.service"]),
        change("b1", task="P | User"),
        change("b1", task="P | Settings", patch={"ttl": 1, "postgresql": {"parameters": {"work_mem": "1MB"}}}),
        change("b1", task="P | Install", packages={"etcd": "3"}),
        {"kind": "pending", "host": "c1", "service": "consul", "value": ["asked"]},
    ]
    told = summary.lines(planned(*found, closed={"c1": "no leader"}))
    assert told[:4] == ["a1:", "  updated /etc/consul.d/consul.hcl (needs restart)", "  updated /etc/x", "b1:"]
    assert "  Service | Start: reload consul.service" in told
    assert "  P | User" in told
    assert "  P | Settings: set ttl=1, postgresql.parameters.work_mem=1MB" in told
    assert "  P | Install: install etcd 3" in told
    assert "consul: restarts, one at a time: c1" in told
    assert "consul: a1 leads; gates closed: c1: no leader" in told
    assert told[-1] == "apply would refuse now, because these may not stop: consul: c1: no leader"


def test_an_empty_plan_says_so():
    plan = planned()
    assert summary.is_empty(plan)
    assert summary.lines(plan)[0].startswith("nothing to do")
    assert summary.lines(plan)[-1] == "consul: a1 leads; all 3 gates are open"
