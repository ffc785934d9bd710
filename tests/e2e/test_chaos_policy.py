"""Who may break what, when it stops, and what counts as worse: with experiments that an inventory brings itself."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import pytest
import yaml
from breaking import (
    MEMBERS,
    RUN_S,
    chaos,
    left,
    newest,
)
from lab import wait_until
from rolling import job

FLAG, PAGE = "/run/rsp-e2e-stop", "http://127.0.0.1:18099/go"
SERVE = ["systemd-run", "--unit=rsp-e2e-page", "-p", "RuntimeMaxSec=600", "-p", "WorkingDirectory=/run/rsp-e2e"]
CUT = {
    "title": "A follower is cut off from the other members",
    "hypothesis": "Nobody who asks the leader notices it",
    "targets": {"role": "replica"},
    "faults": [{"kind": "partition", "from": "members", "lease_s": 60}],
    "hold_s": 120,
    "load": {"writers": 2, "rate": 50, "timeout_s": 5},
    "abort": [{"kind": "no_writes_s", "above": 60}],
    "expect": {"lost": 0},
}
STOPS = {
    "command": {"argv": ["test", "!", "-e", FLAG]},
    "http": {"url": PAGE},
    "sql": {"query": "SELECT count(*) FROM pg_tables WHERE tablename = 'e2e_stop'", "when": ">", "value": 0},
}


@pytest.fixture
def own(policy, tmp_path):
    """Arguments of a run on a service with one more experiment, e2e_own, and other keys of the policy."""

    def write(service, experiment, **keys):
        (tmp_path / "own.yml").write_text(yaml.safe_dump({"e2e_own": experiment}), encoding="utf-8")
        return policy(experiments={service: str(tmp_path / "own.yml")}, **keys)

    return write


@pytest.mark.parametrize("kind", STOPS)
def test_a_condition_that_holds_twice_ends_the_fault_at_once(lab, conninfo, own, kind):
    """It is asked once a second: two answers, the question that is under way, and the undo."""
    service = "postgresql" if kind == "sql" else "consul"
    arguments = own(service, {**CUT, "abort": [{"kind": kind, "times": 2, **STOPS[kind]}]})

    def cut():
        return any("CHAOS" in line for host in MEMBERS for line in left(lab, host))

    def say_stop():
        if kind == "sql":
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute("CREATE TABLE e2e_stop ()")
        else:
            lab.on("ops", *(["touch", FLAG] if kind == "command" else ["rm", "/run/rsp-e2e/go"]))

    lab.on("ops", "sh", "-c", f"rm -f {FLAG}; mkdir -p /run/rsp-e2e; echo go > /run/rsp-e2e/go")
    lab.on("ops", *SERVE, "python3", "-m", "http.server", "--bind", "127.0.0.1", "18099")
    since = time.time()
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(chaos, service, "e2e_own", *arguments)
            wait_until("somebody is cut off", cut, 180)
            time.sleep(5)  # the condition is asked, and nothing happens
            assert cut()
            say_stop()
            said = time.monotonic()
            wait_until("nobody is cut off", lambda: not cut(), 60)
            took = time.monotonic() - said
            code, output = running.result(RUN_S)
    finally:
        lab.on("ops", "systemctl", "stop", "rsp-e2e-page")
        lab.on("ops", "rm", "-rf", FLAG, "/run/rsp-e2e")
        if kind == "sql":
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute("DROP TABLE IF EXISTS e2e_stop")
    assert code != 0
    report, _folder = newest(since)
    assert report["verdict"] == "aborted", output[-3000:]
    assert report["reasons"][0].startswith(f"aborted: abort condition holds 2 times in a row: {kind}")
    assert report["findings"]["counts"]["lost"] == 0
    assert took < 12


@pytest.mark.parametrize(
    ("change", "keys", "text"),
    [
        ({"targets": {"role": "all", "count": 2}}, {}, "1 healthy voters of consul would be left, 2 are needed"),
        ({}, {"longest_lease_s": 30}, "a lease of 60 s is longer than 30 s"),
        ({}, {"window": "{:%H:%M}-{:%H:%M}"}, "faults are allowed within"),
        ({"targets": {"role": "replica", "zone": "d"}}, {}, "0 hosts fit"),
    ],
)
def test_what_quorum_window_and_lease_forbid_is_refused_and_nothing_is_done(lab, own, change, keys, text):
    later = [datetime.now() + timedelta(hours=hours) for hours in (2, 3)]
    keys = {key: value.format(*later) if key == "window" else value for key, value in keys.items()}
    code, output = chaos("consul", "e2e_own", *own("consul", {**CUT, **change}, **keys))
    assert code != 0
    assert text in output, output[-3000:]
    assert [left(lab, host) for host in MEMBERS] == [[], [], []]


def test_a_policy_that_says_nothing_is_refused_before_anybody_is_asked(policy):
    code, output = chaos("consul", "consul_follower_killed", *policy(longest_lease=30))
    assert code != 0
    assert "did you mean longest_lease_s?" in output, output[-3000:]
    assert "Hold the cluster's lock" not in output


@pytest.mark.parametrize("service", ["consul", "postgresql"])
def test_the_planted_violation_a_member_that_hears_nobody_answers_from_the_past(own, service):
    """Its own answers are stale, as reads of that kind may be; those by the client path are not."""
    ways = {"consul": ["default", "consistent", "stale"], "postgresql": ["default", "stale"]}[service]
    load, expect = {**CUT["load"], "reads": ways}, {"lost": 0, "stale_max": {"stale": 0}}
    claim = {**CUT, "hold_s": 20, "load": load, "expect": expect}
    since = time.time()
    code, output = chaos(service, "e2e_own", *own(service, claim))
    assert code != 0
    report, _folder = newest(since)
    assert report["verdict"] == "violated", output[-3000:]
    [reason] = report["reasons"]
    assert "stale reads in mode stale, 0 may be" in reason
    reads = report["findings"]["reads"]
    assert sorted(reads) == sorted(ways)
    assert all(seen["answered"] > 20 for seen in reads.values())
    assert [how for how in ways if reads[how]["stale"]] == ["stale"]


def test_three_long_outages_after_short_ones_fail_a_game_day(policy, tmp_path):
    """The runs before are planted, the last one is real: it holds, and is worse than what was."""
    reports = tmp_path / "reports"
    reports.mkdir()
    for number, outage in enumerate([0.2] * 5 + [9.0] * 2):
        entry = {
            "experiment": "consul_leader_paused", "control": False, "at": f"2026-01-0{number + 1}T00:00:00+00:00",
            "run": f"{number}", "verdict": "held", "client_rto_s": outage, "redundancy_rto_s": 30.0, "lost": 0,
        }  # fmt: skip
        with (reports / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    arguments = ["-e", "experiments=consul_leader_paused", *policy(reports=str(reports))]
    code, output = job("game_day", "consul", *arguments, timeout_s=RUN_S)
    assert code != 0
    assert "consul_leader_paused: the client's last outages were 9.0, 9.0, " in output, output[-3000:]
    [run] = reports.glob("consul_leader_paused-*/report.json")
    report = json.loads(run.read_text(encoding="utf-8"))["reports"][0]
    assert (report["verdict"], report["worse"] is None) == ("held", False)
    assert len((reports / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 8
