"""What became of every write, what a client suffered, and the verdict over both."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.chaos import history
from ansible_collections.rsp.platform.plugins.module_utils.chaos.ledger import (
    Findings,
    Operation,
    classify,
    expected_loss,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.measures import (
    clock_offset,
    longest_gap,
    measure,
    percentile,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.verdicts import Run, judge
from chaos_data import SPAN


def op(token, outcome="ok", start=None, took=0.01, error=""):
    start = token / 10 if start is None else start
    return Operation(SPAN + token, start, start + took, outcome, error)


def tokens(*numbers, writer=1):
    return [writer * SPAN + number for number in numbers]


CASES = {
    "all there": ([op(1), op(2)], tokens(1, 2), {}, {}),
    "lost": ([op(1), op(2)], tokens(1), {}, {"lost": 1}),
    "refused and absent": ([op(1), op(2, "fail"), op(3)], tokens(1, 3), {}, {}),
    "resurrected": ([op(1), op(2, "fail")], tokens(1, 2), {}, {"resurrected": 1}),
    "nobody can say, absent": ([op(1), op(2, "unknown"), op(3)], tokens(1, 3), {}, {}),
    "recovered": ([op(1), op(2, "unknown"), op(3)], tokens(1, 2, 3), {}, {"recovered": 1}),
    "in flight when the writer died": ([op(1)], tokens(1, 2), {}, {"recovered": 1}),
    "foreign": ([op(1)], tokens(1, 5), {}, {"foreign": 1}),
    "another writer's": ([op(1)], tokens(1) + tokens(1, writer=2), {}, {"foreign": 1}),
    "duplicated": ([op(1), op(2)], tokens(1, 2, 2), {}, {"duplicated": 1}),
    "reordered": ([op(1), op(2), op(3)], tokens(1, 3, 2), {}, {"reordered": 1}),
    "nobody could say, and late": ([op(1), op(2, "unknown"), op(3)], tokens(1, 3, 2), {}, {"recovered": 1}),
    "two writers side by side": (
        [op(1), op(2), Operation(2 * SPAN + 1, 0, 1, "ok")],
        [SPAN + 1, 2 * SPAN + 1, SPAN + 2],
        {},
        {},
    ),
    "diverged": ([op(1), op(2)], tokens(1, 2), {"b1": tokens(1), "c1": tokens(2, 1)}, {"diverged": 1}),
    "a row too many on one": ([op(1)], tokens(1), {"b1": tokens(1, 2)}, {"diverged": 1}),
    "unread": ([op(1)], tokens(1), {"b1": None}, {"unread": 1}),
    "all lost": ([op(n) for n in range(1, 11)], [], {}, {"lost": 10}),
}


@pytest.mark.parametrize("case", CASES)
def test_classes(case):
    operations, client, members, counts = CASES[case]
    found = {name: count for name, count in classify(operations, client, members).counts().items() if count}
    assert found == counts


def test_a_stale_read_is_counted_once_a_token_and_a_failed_read_is_none():
    asked = [("stale", 1, False), ("stale", 1, False), ("default", 2, None), ("default", 3, True)]
    reads = [{"how": how, "t": SPAN + number, "seen": seen} for how, number, seen in asked]
    found = classify([op(1)], tokens(1), {}, iter(reads))
    assert found.counts()["stale"] == 1
    assert found.as_dict()["reads"] == {
        "stale": {"answered": 2, "failed": 0, "stale": 2}, "default": {"answered": 1, "failed": 1, "stale": 0}
    }  # fmt: skip
    assert "reads" not in found.counts()
    assert "reads" not in found.as_dict()["tokens"]


@pytest.mark.parametrize("seed", range(40))
def test_property_every_token_is_in_the_classes_that_its_fate_asks_for(seed):
    rng = random.Random(seed)
    fates = {n: (rng.choice(["ok", "fail", "unknown"]), rng.random() < 0.7) for n in range(1, rng.randint(2, 60))}
    # The last one is acknowledged and there, so that nobody is in flight
    fates[len(fates) + 1] = ("ok", True)
    operations = [op(n, outcome) for n, (outcome, _there) in fates.items()]
    client = tokens(*(n for n, (_outcome, there) in fates.items() if there))
    found = classify(operations, client, {"x": list(reversed(client))})
    expected = {
        "lost": [n for n, fate in fates.items() if fate == ("ok", False)],
        "resurrected": [n for n, fate in fates.items() if fate == ("fail", True)],
        "recovered": [n for n, fate in fates.items() if fate == ("unknown", True)],
    }
    for name, numbers in expected.items():
        assert list(getattr(found, name)) == tokens(*numbers)
    assert sum(count for name, count in found.counts().items() if name not in expected) == 0


def test_a_report_shows_some_tokens_and_all_counts():
    shown = classify([op(n) for n in range(1, 101)], [], {}).as_dict()
    assert shown["counts"]["lost"] == 100
    assert len(shown["tokens"]["lost"]) == 20


@pytest.mark.parametrize(
    ("service", "synchronous", "most"),
    [("consul", False, 0), ("postgresql", True, 0), ("postgresql", False, 1048576 // 200 + 4000)],
)
def test_expected_loss_follows_the_live_configuration(service, synchronous, most):
    config = {"maximum_lag_bytes": 1048576, "row_bytes": 200, "ttl_s": 20}
    found, why = expected_loss(service, synchronous=synchronous, config=config, rate=200)
    assert found == most
    assert why


@pytest.mark.parametrize(
    ("acks", "since", "until", "gap"),
    [
        ([1, 2, 3, 9, 10], 3.5, 10, (3, 9)),
        ([1, 2, 3, 9, 10], 4, 5, (3, 9)),  # it reaches over the whole time asked for
        ([1, 2, 3], 2.5, 10, (3, 10)),  # still open: it is at least that long
        ([1, 9, 9.1, 9.2], 9.05, 9.2, (9, 9.1)),  # an earlier gap is none of the fault's
        ([5, 6], 1, 10, None),  # nobody knows whether the client could write before
        ([], 1, 10, None),
        ([1, 2], 2, 2, None),
    ],
)
def test_longest_gap(acks, since, until, gap):
    found = longest_gap(acks, since, until)
    assert found == (gap if gap is None else pytest.approx(gap))


@pytest.mark.parametrize("seed", range(30))
def test_property_the_longest_gap_is_what_a_stopwatch_sees(seed):
    rng = random.Random(seed)
    acks = sorted(rng.uniform(0, 100) for _ in range(rng.randint(5, 200)))
    since, until = acks[0] + rng.uniform(0, 30), 100.0
    times = [*acks, until]
    slow = max(b - a for a, b in pairwise(times) if b > since)
    left, right = longest_gap(acks, since, until)
    assert right - left == pytest.approx(slow)


@pytest.mark.parametrize(("share", "value"), [(50, 5.0), (99, 10.0), (0, 1.0), (100, 10.0), (10, 1.0), (11, 2.0)])
def test_percentile_is_a_value_that_was_seen(share, value):
    assert percentile([float(n) for n in range(1, 11)], share) == value
    assert percentile([], share) is None


def outage():
    """Ten writes a second; none between 10 and 14, when they fail with two kinds of error."""
    whole = [op(n) for n in range(100)] + [op(n) for n in range(140, 200)]
    return (
        whole
        + [op(n, "fail", error="refused") for n in range(100, 120)]
        + [op(n, "unknown", error="timeout") for n in range(120, 140)]
    )


def test_measures_of_an_outage():
    found = measure(outage(), injected=9.95, undone=15.0, end=20.0, whole=18.0)
    assert found.client_rto_s == pytest.approx(4.1, abs=0.02)
    assert found.redundancy_rto_s == pytest.approx(8.05)
    assert found.first_error_s == pytest.approx(0.06)
    assert found.errors == {"refused": 20, "timeout": 20}
    assert (found.before.ok, found.during.fail, found.during.unknown, found.after.ok) == (100, 20, 20, 50)
    assert found.before.p50_ms == found.before.p99_ms == 10
    assert found.last_ack_before < 0.1 < found.first_ack_after
    assert measure(outage(), 9.95, 15.0, 20.0, None).redundancy_rto_s is None


def test_the_clock_of_another_host_is_known_to_half_the_way_there_and_back():
    offset, error = clock_offset(10.0, 10.4, 110.25)
    assert (offset, error) == (pytest.approx(100.05), pytest.approx(0.2))


def run(**changes):
    measures = measure(outage(), 9.95, 15.0, 20.0, 18.0)
    defaults = {
        "expect": {"lost": 0, "client_rto_s": 5, "redundancy_rto_s": 10},
        "findings": Findings(),
        "measures": measures,
        "undone": {"x-0 on a1": []},
        "effective": {"x-0": True},
        "allowed_loss": 0,
    }
    return Run(**{**defaults, **changes})


def reading(reads):
    """A run that claims that at most one read of the members was stale."""
    return run(findings=Findings(stale=(1,), reads=reads), expect={"stale_max": {"stale": 1}})


FIGURES = measure(outage(), 9.95, 15.0, 20.0, None)
VERDICTS = {
    "held": (run(), "held", ""),
    "lost": (run(findings=Findings(lost=(1,))), "violated", "1 acknowledged writes are lost, 0 may be"),
    "lost as allowed": (run(findings=Findings(lost=(1, 2)), allowed_loss=2), "held", ""),
    "resurrected": (run(findings=Findings(resurrected=(1,))), "violated", "1 resurrected"),
    "recovered is no fault": (run(findings=Findings(recovered=(1,))), "held", ""),
    "stale, nobody asked": (run(findings=Findings(stale=(1,))), "held", ""),
    "stale": (
        reading({"stale": {"answered": 9, "failed": 0, "stale": 2}}),
        "violated",
        "2 stale reads in mode stale, 1",
    ),
    "stale as allowed": (reading({"stale": {"answered": 9, "failed": 5, "stale": 1}}), "held", ""),
    "stale, but nobody answered": (
        reading({"stale": {"answered": 0, "failed": 9, "stale": 0}}),
        "inconclusive",
        "no st",
    ),
    "stale, but nobody read": (reading({}), "inconclusive", "no stale read was answered"),
    "diverged": (run(findings=Findings(diverged={"b1": (1,)})), "violated", "1 diverged"),
    "unread": (run(findings=Findings(unread=("b1",))), "inconclusive", "the data of b1 could not be read"),
    "too slow": (run(expect={"client_rto_s": 3}), "violated", "the client's outage took 4.1 s, 3 s are allowed"),
    "never whole": (
        run(measures=FIGURES, expect={"redundancy_rto_s": 10}),
        "violated",
        "until the service was whole did not end",
    ),
    "too many errors": (run(expect={"errors_max": 10}), "violated", "40 writes failed, 10 may"),
    "it did not hurt": (run(expect={"outage_min_s": 10}), "inconclusive", "the fault did not reach it"),
    "no effect": (run(effective={"x-0": False}), "inconclusive", "nobody saw that x-0 took effect"),
    "no fault": (run(effective={}), "inconclusive", "no fault was injected"),
    "not read": (run(findings=None), "inconclusive", "the ledger was not read back"),
    "not measured": (run(measures=None), "inconclusive", "nothing was measured"),
    "too few writes": (
        run(measures=measure(outage(), 0.55, 15, 20, 18), expect={}),
        "inconclusive",
        "6 writes before the fault",
    ),
    "something unseen": (run(unseen=("a probe failed",)), "inconclusive", "a probe failed"),
    "aborted": (run(aborted="voters < 2"), "aborted", "voters < 2"),
    "not undone": (run(undone={"x-0 on a1": ["a rule is left"]}), "rollback_failed", "x-0 on a1: a rule is left"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdict(case):
    given, verdict, reason = VERDICTS[case]
    found = judge(given).as_dict()
    assert found["verdict"] == verdict
    assert found["green"] is (verdict == "held")
    assert reason in "\n".join(found["reasons"])
    assert bool(found["reasons"]) is (verdict != "held")


def test_the_loudest_reason_wins_and_the_others_are_told_too():
    everything = run(findings=Findings(lost=(1,)), aborted="stop", undone={"a": ["left"]}, unseen=("blind",))
    found = judge(everything).as_dict()
    assert [reason.split(":")[0] for reason in found["reasons"]] == [
        "rollback_failed",
        "aborted",
        "violated",
        "inconclusive",
    ]
    assert found["verdict"] == "rollback_failed"
    quieter = judge(run(findings=Findings(lost=(1,)), unseen=("blind",)))
    assert quieter.verdict == "violated"


def past(*rtos, **changes):
    return [
        {
            "experiment": "x",
            "control": False,
            "verdict": "held",
            "client_rto_s": rto,
            "redundancy_rto_s": 9.0,
            "lost": 0,
            **changes,
        }
        for rto in rtos
    ]


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (past(4, 4, 4, 4, 4, 5, 5), 5, False),
        (past(4, 4, 4, 4, 4, 7, 9), 6.1, True),
        (past(4, 4, 4, 4, 7, 9), 60, False),  # too few are known before them
        (past(0.2, 0.2, 0.2, 0.2, 0.2, 0.9, 0.9), 0.9, False),  # within a second it is noise
        (past(4, 4, 4, 4, 4, 7, 9, verdict="violated"), 60, False),
        (past(4, 4, 4, 4, 4, 7, 9, control=True), 60, False),
        (past(4, 4, 4, 4, 4, 7, 9), None, False),
        (past(*[60] * 5, *[4] * 10, 7, 7), 7, True),  # only ten before them count
        (past(5, 5, 5, 5, 5, 5, 10), 10.2, False),  # twice in a row a client waited for two timeouts: bad luck
        (past(5, 5, 5, 5, 5, 10, 5, 10), 10.2, False),
        (past(5, 5, 5, 5, 5, 10, 5, 10, 10), 10.2, True),
    ],
)
def test_regression(before, now, worse):
    assert (history.regression(before, past(now)[0]) is not None) is worse


def test_a_table_of_runs():
    rows = history.table([*past(4, 6), *past(None, verdict="violated", lost=None), *past(9, control=True)])
    assert rows[2:] == ["| x | 3 | 2 | 5.0 | 6.0 | 9.0 | 0 |"]
    assert history.table([*past(None, lost=None)])[2].count("?") == 3
    controls = history.table([*past(4), *past(9, 11, control=True, verdict="violated")], control=True)
    assert controls[2:] == ["| x | 2 | 2 | 10.0 | 11.0 | 9.0 | 0 |"]


def test_runs_of_two_machines_are_kept_once_each_in_the_order_of_their_time():
    ours, theirs = past(4)[0] | {"at": "2026-02", "run": "b"}, past(6)[0] | {"at": "2026-01", "run": "a"}
    old = past(5)[0] | {"at": None, "run": "c"}
    assert [run["run"] for run in history.merged([ours, old], [theirs, ours])] == ["c", "a", "b"]
