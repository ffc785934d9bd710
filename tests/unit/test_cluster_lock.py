"""Cluster locks: decisions as tables, then both stores with two writers, ends of leases and outages."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import (
    ARGUMENTS_LIMIT,
    ATTEMPTS,
    AnyMember,
    Held,
    Lock,
    Outcome,
    Request,
    Roll,
    Seen,
    apply,
    decode,
    encode,
    hold,
    release,
)
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.lock_consul import ConsulLocks, committed
from ansible_collections.rsp.platform.plugins.module_utils.lock_consul import parse_seen as consul_seen
from ansible_collections.rsp.platform.plugins.module_utils.lock_etcd import EtcdLocks, parse_entries
from ansible_collections.rsp.platform.plugins.module_utils.lock_etcd import parse_seen as etcd_seen
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import cluster_lock as module
from fixtures.locks.memory import Clock, Consul, Etcd
from module_call import call

RECORDED = json.loads((Path(__file__).parent / "fixtures/locks/recorded.json").read_text())
NOW = 1795571000.0
PASSWORD = "canary-password"


def request(owner="A", state="held", **options):
    options = {"reason": "new certificates", "job": "restart", "arguments": {"members": "all"}, **options}
    return Request.from_params({"cluster": "main", "state": state, "owner": owner, "lease_s": 60, **options})


def lock(owner="A", since=NOW - 100, **more):
    return Lock(**{"owner": owner, "reason": "new certificates", "job": "restart", "since": since,
                   "renewed": NOW - 10, "lease_s": 60, **more})  # fmt: skip


def roll(owner="A", since=NOW - 100, **more):
    return Roll(**{"job": "restart", "arguments": {"members": "all"}, "since": since, "owner": owner, **more})


def seen(lock=None, roll=None, left=50.0):
    return Seen(Held(lock, "h1", 5, left) if lock else None, roll, 7 if roll else 0)


# --- what may be asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "a/b"}, "is no name"),
        ({"cluster": ""}, "is no name"),
        ({"cluster": "../x"}, "is no name"),
        ({"lease_s": 9}, "lease_s is 9, it must be within 10 and 86400"),
        ({"lease_s": 86401}, "lease_s is 86401"),
        ({"owner": " "}, "owner must be one line"),
        ({"owner": ""}, "owner must be one line"),
        ({"reason": "two\nlines"}, "reason must be one line"),
        ({"reason": "x" * 501}, "reason must be one line"),
        ({"job": ""}, "job must be one line"),
        ({"state": "released", "owner": ""}, "owner must be one line"),
        ({"arguments": {"x": "y" * ARGUMENTS_LIMIT}}, "arguments take more than 4096 bytes"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(DriverError, match=message):
        request(**options)


@pytest.mark.parametrize("options", [{"lease_s": 10}, {"lease_s": 86400}, {"reason": "Сертификаты"}, {"arguments": {}}])
def test_bounds_are_allowed(options):
    assert request(**options)


def test_reading_needs_no_owner():
    assert Request.from_params({"cluster": "main", "state": "read", "owner": None}).owner == ""


# --- holding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "changed", "since", "resumed", "abandoned"),
    [
        pytest.param(seen(), True, NOW, False, None, id="first_run"),
        pytest.param(seen(roll=roll("B", finished=True)), True, NOW, False, None, id="after_a_finished_roll"),
        pytest.param(seen(roll=roll("B")), True, NOW - 100, True, None, id="resumed"),
        pytest.param(seen(roll=roll("A")), True, NOW - 100, True, None, id="own_lease_ended"),
        pytest.param(seen(roll=roll("B", job="upgrade")), True, NOW, False, "upgrade", id="abandoned_job"),
        pytest.param(seen(roll=roll("B", arguments={})), True, NOW, False, "restart", id="other_arguments"),
        pytest.param(seen(roll=roll("B", since=NOW - 86401)), True, NOW, False, "restart", id="too_old"),
        pytest.param(seen(roll=roll("B", since=NOW - 86400)), True, NOW - 86400, True, None, id="just_young_enough"),
        pytest.param(seen(roll=roll("B", since=NOW + 5)), True, NOW + 5, True, None, id="clocks_differ"),
        pytest.param(seen(lock(), roll()), False, NOW - 100, False, None, id="renewed"),
        pytest.param(seen(lock(), roll(since=NOW - 500)), False, NOW - 500, True, None, id="renewed_and_resumed"),
        pytest.param(
            seen(lock(since=NOW - 90000), roll(since=NOW - 90000)), False, NOW - 90000, False, None, id="long_roll"
        ),
        pytest.param(seen(lock(reason="other"), roll()), True, NOW - 100, False, None, id="reason_changed"),
        pytest.param(seen(lock(job="upgrade"), roll(job="upgrade")), True, NOW, False, "upgrade", id="next_job"),
        pytest.param(seen(lock(), roll(finished=True)), True, NOW, False, None, id="same_job_once_more"),
        pytest.param(seen(lock()), True, NOW, False, None, id="record_lost"),
    ],
)
def test_hold(found, changed, since, resumed, abandoned):
    outcome = hold(request(), found, NOW)
    assert (outcome.changed, outcome.resumed) == (changed, resumed)
    assert (outcome.roll.since, outcome.roll.owner, outcome.roll.finished) == (since, "A", False)
    assert (outcome.abandoned.job if outcome.abandoned else None) == abandoned
    assert (outcome.lock.owner, outcome.lock.renewed, outcome.lock.lease_s) == ("A", NOW, 60)


def test_a_renewal_keeps_since_and_lease():
    outcome = hold(request(lease_s=10), seen(lock(since=5.0, lease_s=99), roll()), NOW)
    assert (outcome.lock.since, outcome.lock.lease_s, outcome.changed) == (5.0, 99, False)


@pytest.mark.parametrize("decide", [lambda r, s: hold(r, s, NOW), release])
def test_another_owner_is_named_with_the_fix(decide):
    with pytest.raises(DriverError) as refused:
        decide(request("B"), seen(lock(), roll(), left=41.6))
    assert str(refused.value) == (
        "main is locked by A (job restart) since 2026-11-25 01:41:40 UTC: new certificates. Without a renewal "
        "it is free in at most about 42 s → wait, or when that run is dead: "
        "playbooks/unlock.yml -e owner='A'"
    )
    assert refused.value.result["lock"]["owner"] == "A"
    assert refused.value.result["roll"]["since"] == NOW - 100
    assert refused.value.result["changed"] is False


@pytest.mark.parametrize("found", [seen(), seen(roll=roll()), seen(roll=roll(finished=True))])
def test_must_hold_does_not_take_what_is_free(found):
    with pytest.raises(DriverError, match="main is not locked by A any more: the lease ended → stop here"):
        hold(request(must_hold=True), found, NOW)


def test_must_hold_renews():
    assert hold(request(must_hold=True), seen(lock(), roll()), NOW).changed is False


# --- releasing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "finished", "changed", "done"),
    [
        pytest.param(seen(), True, False, None, id="nothing_there"),
        pytest.param(seen(lock(), roll()), True, True, True, id="finished"),
        pytest.param(seen(lock(), roll()), False, True, False, id="to_be_resumed"),
        pytest.param(seen(None, roll()), True, True, True, id="lease_ended_before_the_end"),
        pytest.param(seen(None, roll()), False, False, False, id="released_twice"),
        pytest.param(seen(None, roll(finished=True)), True, False, True, id="finished_twice"),
        pytest.param(seen(None, roll("B")), True, False, False, id="a_record_of_another"),
        pytest.param(seen(lock()), True, True, None, id="record_lost"),
    ],
)
def test_release(found, finished, changed, done):
    outcome = release(request(state="released", finished=finished), found)
    assert (outcome.lock, outcome.changed) == (None, changed)
    assert (outcome.roll.finished if outcome.roll else None) == done


# --- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [lock(reason="Замена «ключей»"), roll(arguments={"b": [1, None], "a": {"x": True}})])
def test_what_is_kept_comes_back(kept):
    assert decode(type(kept), "k", encode(kept)) == kept


@pytest.mark.parametrize("kind", [Lock, Roll])
@pytest.mark.parametrize("value", [b"", b"held by hand", b"[]", b"null", b"{}", b"\xff\xfe", b'{"owner": "A"}', b"7"])
def test_foreign_values_are_errors(kind, value):
    with pytest.raises(DriverError, match=r"rsp/locks/main holds .*which is none of ours"):
        decode(kind, "rsp/locks/main", value)


@pytest.mark.parametrize("change", [{"since": "yesterday"}, {"renewed": None}, {"lease_s": "10"}, {"owner": 7}])
def test_values_of_another_type_are_errors(change):
    with pytest.raises(DriverError, match="none of ours"):
        decode(Lock, "k", encode(replace(lock(), **change)))


# --- what Consul and etcd really answered ------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "left"), [(0.0, 20.0), (2.5, 17.5), (20.0, 0.0), (900.0, 0.0), (-5.0, 20.0)])
def test_recorded_consul(now, left):
    found = consul_seen(RECORDED["consul"]["lock"], RECORDED["consul"]["roll"], 1795572547.45 + now)
    assert found.held.lock == Lock("awx-4711", "Сертификаты", "restart", 1795572547.45, 1795572547.45, 10)
    assert (found.held.handle, found.held.version) == ("5733b296-4954-49c0-5ca7-e46f6a3c6f7e", 1336)
    assert found.held.expires_in_s == pytest.approx(left)
    assert found.roll == Roll("restart", {"members": ["a1", "b1"]}, 1795572547.45, "awx-4711")
    assert found.roll_version == 1336


def test_consul_key_without_a_session_is_no_lock():
    entry = {k: v for k, v in RECORDED["consul"]["lock"].items() if k != "Session"}
    assert consul_seen(entry, None, NOW) == Seen()


@pytest.mark.parametrize("value", [None, base64.b64encode(b"by hand").decode()])
def test_consul_session_of_another_tool_is_no_free_lock(value):
    with pytest.raises(DriverError, match="none of ours"):
        consul_seen({**RECORDED["consul"]["lock"], "Value": value}, None, NOW)


@pytest.mark.parametrize(
    ("name", "status", "done"),
    [
        ("committed", 200, True),
        ("deleted", 200, True),
        ("held_by_another", 409, False),
        ("changed_meanwhile", 409, False),
        ("session_gone", 409, False),
    ],
)
def test_recorded_transactions(name, status, done):
    assert committed(status, RECORDED["consul"][name]) is done


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (409, RECORDED["consul"]["denied"], "lacks permission 'key:write'"),
        (409, {"Results": None, "Errors": []}, "refuses to write"),
        (409, {"Errors": [{"OpIndex": 0, "What": "disk full"}]}, "disk full"),
        (200, "an HTML page", "an HTML page"),
        (200, None, "refuses to write"),
        (200, RECORDED["consul"]["denied"], "Permission denied"),
    ],
)
def test_what_consul_refuses_is_an_error(status, answer, message):
    with pytest.raises(DriverError, match=message):
        committed(status, answer)


def test_recorded_etcd():
    entries = parse_entries(RECORDED["etcd"]["both"])
    found = etcd_seen(entries["rsp/locks/zz-test"], entries["rsp/rolls/zz-test"], 9.0)
    assert found.held.lock == Lock("awx-4711", "Сертификаты", "restart", 1795572555.429, 1795572555.429, 10)
    assert (found.held.handle, found.held.version, found.held.expires_in_s) == ("5005929177405050139", 62, 9.0)
    assert (found.roll.arguments, found.roll_version) == ({"members": ["a1", "b1"]}, 62)


def test_recorded_etcd_without_keys():
    assert parse_entries(RECORDED["etcd"]["none"]) == {}
    assert etcd_seen(None, None, 0.0) == Seen()


def test_etcd_lock_without_a_lease_is_no_free_lock():
    entry = {k: v for k, v in parse_entries(RECORDED["etcd"]["both"])["rsp/locks/zz-test"].items() if k != "lease"}
    with pytest.raises(DriverError, match="rsp/locks/zz-test has no lease"):
        etcd_seen(entry, None, 0.0)


@pytest.mark.parametrize(
    "answer", [{}, {"responses": [{}]}, {"responses": None}, {"responses": [{"response_range": 7}]}]
)
def test_etcd_answers_that_make_no_sense(answer):
    with pytest.raises(DriverError, match="not understood"):
        parse_entries(answer)


# --- both stores, the whole way ----------------------------------------------------------------------------------


class World:
    """One store in memory and its clock; `clock` is also that of the module."""

    def __init__(self, kind):
        self.kind, self.clock = kind, Clock(NOW)
        self.server = Consul(self.clock) if kind == "consul" else Etcd(self.clock)
        # After a missed renewal: Consul's worst case is twice the TTL.
        self.lease_s = 120 if kind == "consul" else 60

    def store(self, password=PASSWORD):
        if self.kind == "consul":
            return ConsulLocks(self.server, self.clock)
        connection = Connection("https://e:2379", username="operations", password=password)
        return EtcdLocks(connection, self.server.connect)

    def ask(self, *args, check=False, **options) -> Outcome:
        return apply(request(*args, **options), self.store(), check, self.clock, self.clock.sleep)


@pytest.fixture(params=["consul", "etcd"])
def world(request):
    return World(request.param)


def test_take_renew_release(world):
    first = world.ask("A")
    assert (first.changed, first.resumed, first.lock.since, first.roll.since) == (True, False, NOW, NOW)
    world.clock.sleep(world.lease_s - 1)
    again = world.ask("A")
    assert (again.changed, again.lock.since, again.lock.renewed) == (False, NOW, NOW + world.lease_s - 1)
    world.clock.sleep(world.lease_s - 1)
    assert world.ask("A", must_hold=True).changed is False, "the renewal has to reach the lease as well"
    last = world.ask("A", "released", finished=True)
    assert (last.changed, last.lock, last.roll.finished) == (True, None, True)
    assert world.server.leases == {}
    assert world.ask("A", "released", finished=True).changed is False
    assert world.ask(state="read").roll.finished is True


def test_a_second_run_is_refused_until_the_lease_ends(world):
    world.ask("A")
    world.clock.sleep(world.lease_s - 2)
    with pytest.raises(DriverError, match=r"locked by A \(job restart\) .* at most about 2 s"):
        world.ask("B")
    world.clock.sleep(2)
    taken = world.ask("B")
    assert (taken.lock.owner, taken.resumed, taken.roll.since) == ("B", True, NOW)
    for options in ({}, {"must_hold": True}, {"state": "released"}):
        with pytest.raises(DriverError, match="locked by B"):
            world.ask("A", **options)
    assert world.ask(state="read").lock.owner == "B"


def test_a_lock_that_ended_is_taken_again_unless_it_must_be_held(world):
    world.ask("A")
    world.clock.sleep(world.lease_s)
    with pytest.raises(DriverError, match="not locked by A any more"):
        world.ask("A", must_hold=True)
    again = world.ask("A")
    assert (again.changed, again.resumed, again.lock.since) == (True, True, NOW + world.lease_s)


def test_the_lock_of_a_dead_run_is_freed_by_its_typed_owner(world):
    world.ask("A")
    with pytest.raises(DriverError, match="locked by A"):
        world.ask("a", "released")
    assert world.ask("A", "released").roll.finished is False
    assert world.ask("B").resumed is True


def test_an_abandoned_roll_is_told_and_replaced(world):
    world.ask("A", job="upgrade")
    world.ask("A", "released")
    taken = world.ask("B")
    assert (taken.abandoned.job, taken.abandoned.owner, taken.resumed) == ("upgrade", "A", False)
    assert world.ask("B").abandoned is None
    assert world.ask(state="read").roll.job == "restart"


def test_two_writers_only_one_wins(world):
    world.server.between = [lambda: world.ask("B")]
    with pytest.raises(DriverError, match="locked by B"):
        world.ask("A")
    assert world.ask(state="read").lock.owner == "B"
    assert len(world.server.leases) == 1, "the loser leaves no session behind"


def test_a_loser_takes_what_is_free_again(world):
    def quick():
        world.ask("B", job="upgrade")
        world.ask("B", "released", finished=True)

    world.server.between = [quick]
    taken = world.ask("A")
    assert (taken.lock.owner, taken.abandoned, taken.roll.job) == ("A", None, "restart")


def test_a_roll_that_was_written_meanwhile_is_not_overwritten(world):
    def interrupted():
        world.ask("B")
        world.ask("B", "released")

    world.server.between = [interrupted]
    world.clock.sleep(5)
    assert world.ask("A").resumed is True, "B's roll is resumed, not replaced by what A read before"


def test_a_lease_that_ends_between_reading_and_writing(world):
    world.ask("A")

    def late():
        world.clock.sleep(world.lease_s)
        world.ask("B")

    world.server.between = [late]
    with pytest.raises(DriverError, match="locked by B"):
        world.ask("A")
    world.server.between = [lambda: world.clock.sleep(10 * world.lease_s)]
    assert world.ask("B").changed is True


def test_a_release_does_not_take_the_next_ones_lock(world):
    world.ask("A")

    def late():
        world.clock.sleep(world.lease_s)
        world.ask("B")

    world.server.between = [late]
    with pytest.raises(DriverError, match="locked by B"):
        world.ask("A", "released", finished=True)
    found = world.ask(state="read")
    assert (found.lock.owner, found.roll.finished) == ("B", False)


def test_a_lock_that_never_rests_is_given_up(world):
    def other():
        world.ask("B")
        world.ask("B", "released")

    world.server.between = [event for _ in range(ATTEMPTS) for event in (other, lambda: None, lambda: None)]
    with pytest.raises(DriverError, match="changed hands 5 times meanwhile → run again"):
        world.ask("A")


@pytest.mark.parametrize("options", [{"state": "read"}, {}, {"state": "released"}, {"must_hold": True}])
def test_a_store_that_does_not_answer_is_never_free(world, options):
    world.server.down = True
    with pytest.raises(DriverError, match="Connection refused"):
        world.ask("A", **options)


def test_check_mode_predicts_and_only_reads(world):
    taken = world.ask("A", check=True)
    assert (taken.changed, taken.lock.owner) == (True, "A")
    assert (world.server.keys, world.server.leases) == ({}, {})
    world.ask("A")
    before = world.server.index
    assert world.ask("A", check=True).changed is False
    assert world.ask("A", "released", check=True, finished=True).roll.finished is True
    with pytest.raises(DriverError, match="locked by A"):
        world.ask("B", check=True)
    assert world.server.index == before


def test_clusters_do_not_meet(world):
    world.ask("A")
    other = apply(replace(request("B"), cluster="main2"), world.store(), False, world.clock, world.clock.sleep)
    assert other.lock.owner == "B"
    assert world.ask(state="read").lock.owner == "A"


def test_a_foreign_key_is_never_free(world):
    handle = "h" if world.kind == "consul" else ""
    world.server.leases["h"] = {"end": NOW + 1000, "ttl": 1000}
    world.server.put("rsp/locks/main", b"by hand", handle)
    for state in ("held", "released", "read"):
        with pytest.raises(DriverError, match="none of ours"):
            world.ask("A", state)


def test_consul_that_denies_is_an_error_and_no_lost_race():
    world = World("consul")
    world.server.denied = True
    with pytest.raises(DriverError, match="Permission denied"):
        world.ask("A")


def test_etcd_that_refuses_the_password():
    world = World("etcd")
    with pytest.raises(DriverError, match="refuses the user operations: etcdserver: authentication failed") as refused:
        apply(request(), world.store("canary-wrong"))
    assert "canary-wrong" not in str(refused.value)


def test_etcd_without_authentication():
    world = World("etcd")
    world.server.users = {}
    assert world.ask("A").changed is True


def test_etcd_without_a_user():
    world = World("etcd")
    store = EtcdLocks(Connection("https://e:2379"), world.server.connect)
    with pytest.raises(DriverError, match="user name is empty"):
        apply(request(), store)


# --- the module --------------------------------------------------------------------------------------------------


@pytest.fixture
def platform(world, monkeypatch):
    monkeypatch.setitem(module.STORES, world.kind, lambda _connection: world.store())
    return world


def asked(world, **options):
    return {"cluster": "main", "store": world.kind, "connection": {"url": "https://s:1"}, **options}


HELD = {"state": "held", "owner": "A", "reason": "why", "job": "restart"}


def test_module_takes_and_releases(platform, capsys):
    taken = call(module.main, capsys, **asked(platform, **HELD))
    assert (taken["rc"], taken["changed"], taken["resumed"], taken["abandoned"]) == (0, True, False, None)
    assert set(taken["lock"]) == {"owner", "reason", "job", "since", "renewed", "lease_s"}
    assert set(taken["roll"]) == {"job", "arguments", "since", "owner", "finished"}
    assert taken["lock"]["lease_s"] == 300
    released = call(module.main, capsys, **asked(platform, state="released", owner="A", finished=True))
    assert (released["lock"], released["roll"]["finished"]) == (None, True)


def test_module_tells_who_holds_it(platform, capsys):
    platform.ask("B")
    refused = call(module.main, capsys, check=True, **asked(platform, **HELD))
    assert (refused["rc"], refused["failed"], refused["lock"]["owner"]) == (1, True, "B")
    assert "locked by B" in refused["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "held"}, "owner, reason, job"),
        ({"state": "held", "owner": "A", "reason": "x"}, "missing: job"),
        ({"state": "released"}, "missing: owner"),
        ({**HELD, "lease_s": 5}, "lease_s is 5"),
        ({**HELD, "arguments": {"x": "y" * 5000}}, "4096 bytes"),
    ],
)
def test_module_refuses_bad_input_before_it_asks(platform, capsys, options, message):
    refused = call(module.main, capsys, **asked(platform, **options))
    assert refused["rc"] == 1
    assert message in refused["msg"]
    assert platform.server.log == []


class Away:
    """A member that is down."""

    def __init__(self, url):
        self.url = url

    def read(self, _cluster):
        raise DriverError(f"{self.url}: Connection refused")


@pytest.fixture
def members(world, monkeypatch):
    """A store of which s1 and s2 are down, and the addresses that were tried."""
    tried = []

    def connect(connection):
        tried.append(connection["url"])
        return Away(connection["url"]) if connection["url"] in ("https://s:1", "https://s:2") else world.store()

    monkeypatch.setitem(module.STORES, world.kind, connect)
    return tried


def test_members_that_are_away_do_not_stop_a_job(world, members, capsys):
    others = ["https://s:1", "https://s:2", "https://s:3", "https://s:4"]
    taken = call(module.main, capsys, **asked(world, others=others, **HELD))
    assert (taken["rc"], taken["lock"]["owner"]) == (0, "A")
    assert members == ["https://s:1", "https://s:2", "https://s:3"]


def test_nobody_answers_is_never_free_and_names_every_reason(world, members, capsys):
    refused = call(module.main, capsys, **asked(world, others=["https://s:2"], **HELD))
    assert refused["rc"] == 1
    assert refused["msg"] == (
        "nobody can be asked for the lock of main: https://s:1: Connection refused; https://s:2: Connection refused"
    )


def test_a_refusal_by_one_that_answers_is_not_asked_of_the_next(world, members, capsys):
    world.ask("B")
    refused = call(module.main, capsys, **asked(world, others=["https://s:3", "https://s:4"], **HELD))
    assert "locked by B" in refused["msg"]
    assert members == ["https://s:1", "https://s:3"]


def test_a_member_that_answers_is_asked_no_more_than_if_it_were_the_only_one(world):
    world.ask("A")
    world.server.log.clear()
    world.ask("A")
    alone = list(world.server.log)
    world.server.log.clear()
    store = AnyMember(Away("https://s:1"), iter([world.store(), Away("https://s:3")]))
    assert apply(request("A"), store, False, world.clock, world.clock.sleep).changed is False
    assert len(world.server.log) == len(alone)


def test_stores_connect_without_asking():
    connection = {"url": "https://s:1", "token": "canary", "username": "operations", "password": PASSWORD}
    assert isinstance(module.STORES["consul"](connection), ConsulLocks)
    assert isinstance(module.STORES["etcd"](connection), EtcdLocks)
