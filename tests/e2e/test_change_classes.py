"""Each setting of PostgreSQL causes what it needs and nothing more: nothing, a reload, a restart in the right order."""

from __future__ import annotations

import json

import psycopg
import pytest
from lab import wait_until
from rolling import acted, job, measure

MEMBERS = ["a1", "b1", "c1"]


def starts(lab):
    query = "SELECT extract(epoch FROM pg_postmaster_start_time())"
    psql = ["runuser", "-u", "postgres", "--", "psql", "-h", "/var/run/postgresql", "-Atc", query]
    return {host: lab.on(host, *psql) for host in MEMBERS}


def setting(conninfo, name):
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0]


def put(playbook, **variables):
    return playbook("site", "--tags", "postgresql", "-e", json.dumps(variables))[1]


@pytest.fixture
def put_back(playbook):
    yield
    put(playbook)
    job("restart", "postgresql")


@pytest.mark.usefixtures("put_back")
def test_work_mem_takes_a_reload_only(lab, conninfo, playbook):
    before = starts(lab)
    assert put(playbook, postgresql_parameters={"work_mem": "9MB"})
    wait_until("it holds", lambda: setting(conninfo, "work_mem") == "9MB", 30)
    code, output = job("restart", "postgresql")
    assert (code, acted(output)) == (0, [])
    assert starts(lab) == before


@pytest.mark.usefixtures("put_back")
def test_max_connections_up_and_down(lab, conninfo, playbook):
    """Up: standbys first, the leader last. Down: the leader first and in place, then the standbys."""
    for value, first in ((220, False), (200, True)):
        wait_until("the cluster is whole", lab.whole)
        before, led = starts(lab), lab.primary()
        put(playbook, postgresql_max_connections=value)
        assert starts(lab) == before
        outcome = measure(lab, conninfo, "postgresql", "restart")
        print({key: val for key, val in vars(outcome).items() if key != "output"})
        assert outcome.rc == 0, outcome.output[-3000:]
        assert outcome.lost == 0
        after = starts(lab)
        assert [host for host in MEMBERS if after[host] != before[host]] == MEMBERS
        order = sorted(MEMBERS, key=lambda host: float(after[host]))
        assert (order[0] == led) is first
        assert setting(conninfo, "max_connections") == str(value)
        code, output = job("restart", "postgresql")
        assert (code, acted(output)) == (0, [])
        assert starts(lab) == after
