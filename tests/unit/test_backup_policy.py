"""What is promised, and whether it is kept; the ladder; samples, copies, reports and the chain of proofs."""

from __future__ import annotations

import json

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import coverage, policy, record, report, stages
from ansible_collections.rsp.platform.plugins.module_utils.backup.copies import Copy, apart, copy_from
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    CHECKS,
    BackupError,
    Finding,
    Level,
    failed,
    found,
    judge,
    level_from,
    passed,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import DAY, Policy
from backup_data import NOW, point, repository

# --- the ladder

NEEDED = {
    Level.EXISTS: ("exists", "fresh"),
    Level.CHAIN: ("chain_complete",),
    Level.BYTES: ("bytes_match",),
    Level.ESCROW: ("escrow_decrypts",),
}
ALL = [passed(name) for names in NEEDED.values() for name in names]


def without(name):
    return [f for f in ALL if f.check != name]


@pytest.mark.parametrize(
    ("asked", "findings", "reached", "reason"),
    [
        (Level.ESCROW, ALL, Level.ESCROW, None),
        (Level.EXISTS, ALL, Level.EXISTS, None),
        (Level.EXISTS, [*ALL, failed("bytes_match", "rotten")], Level.EXISTS, None),
        (Level.ESCROW, [*ALL, failed("bytes_match", "rotten")], Level.CHAIN, "L2 bytes_match: rotten"),
        (
            Level.ESCROW,
            [*ALL, unknown("chain_complete", "nobody knows")],
            Level.EXISTS,
            "L1 chain_complete: nobody knows",
        ),
        (Level.ESCROW, without("fresh"), None, "L0 fresh: was not checked"),
        (Level.ESCROW, without("escrow_decrypts"), Level.BYTES, "L3 escrow_decrypts: was not checked"),
        (Level.ESCROW, [*without("exists"), unknown("exists", "no answer")], None, "L0 exists: no answer"),
        (Level.EXISTS, [], None, "L0 exists: was not checked"),
        (Level.RESTORED, ALL, Level.ESCROW, "L4 has no check for this service"),
        # A check that passes once and fails once has failed
        (Level.CHAIN, [*ALL, failed("chain_complete", "the second look")], Level.EXISTS, "the second look"),
    ],
)
def test_the_ladder(asked, findings, reached, reason):
    proof = judge(asked, findings, NEEDED)
    assert proof.reached == reached
    assert proof.verdict.open == (reason is None)
    assert reason is None or reason in proof.verdict.reason


def test_a_level_is_not_reached_over_a_broken_one():
    """Higher checks that pass do not repair a lower one: the reached level stays below."""
    proof = judge(Level.ESCROW, [*without("fresh"), failed("fresh", "old")], NEEDED)
    assert proof.reached is None
    assert proof.as_result()["meaning"] == "nothing is proved"


def test_a_service_without_checks_proves_nothing():
    assert judge(Level.EXISTS, ALL, {}).reached is None


@pytest.mark.parametrize(("text", "level"), [("L0", 0), ("L7", 7), ("3", 3)])
def test_levels(text, level):
    assert level_from(text) == level


@pytest.mark.parametrize("text", ["", "L8", "L-1", "high", "Lx"])
def test_no_levels(text):
    with pytest.raises(BackupError, match="is no level"):
        level_from(text)


@pytest.mark.parametrize(
    "make", [lambda: Finding("moon", "passed"), lambda: Finding("fresh", "failed"), lambda: failed("fresh", "")]
)
def test_findings_that_nobody_may_make(make):
    with pytest.raises(ValueError, match="no such check, or no reason"):
        make()


def test_found_and_results():
    assert found("fresh", []).outcome == "passed"
    assert found("fresh", ["a", "b"]).reason == "a; b"
    result = judge(Level.EXISTS, [passed("exists"), failed("fresh", "old", age_s=3)], NEEDED).as_result()
    assert result["tripped"] == ["fresh"]
    assert (result["asked"], result["reached"], result["proved"]) == ("L0", None, False)
    assert json.dumps(result)


def test_every_check_says_what_it_asks():
    assert all(about and isinstance(level, Level) for level, about in CHECKS.values())


# --- policy


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_age_s": -1}, "max_age_s = -1: must not be below 0"),
        ({"size_tolerance": float("nan")}, "must not be below 0"),
        ({"max_keep_s": 86400}, "both can't be kept"),
        ({"max_keep_s": 7 * DAY, "min_span_s": 7 * DAY}, "both can't be kept"),
        ({"max_age": 5}, "policy has no max_age"),
        ({"rto_s": "1h"}, "rto_s must be a number"),
        ({"rto_s": True}, "rto_s must be a number"),
    ],
)
def test_policies_that_contradict_themselves(params, said):
    with pytest.raises(BackupError, match=said):
        Policy.from_params(params)


def test_a_policy_from_options():
    assert Policy.from_params({"rto_s": 60, "rpo_s": None}) == Policy(rto_s=60)
    assert set(policy.policy_options()["options"]) >= {"max_age_s", "rpo_s", "rto_s", "max_keep_s"}


def outcome(finding):
    return finding.outcome


@pytest.mark.parametrize(
    ("age", "promised", "said"),
    [
        (10, 100, "passed"),
        (100, 100, "passed"),
        (101, 100, "failed"),
        (10**9, 0, "passed"),
        (-60, 100, "passed"),
        (-3600, 100, "failed"),
    ],
)
def test_fresh(age, promised, said):
    assert outcome(policy.fresh(point(stopped=NOW - age), Policy(max_age_s=promised), NOW)) == said


def test_no_point_is_not_fresh():
    assert outcome(policy.fresh(None, Policy(), NOW)) == "failed"


@pytest.mark.parametrize(("age", "said"), [(10, "passed"), (300, "passed"), (301, "failed"), (None, "unknown")])
def test_advancing(age, said):
    assert outcome(policy.advancing(None if age is None else NOW - age, Policy(), NOW)) == said


@pytest.mark.parametrize(
    ("size", "others", "said"),
    [
        (100, [], "passed"),
        (0, [], "failed"),
        (10, [100, 100], "passed"),
        (10, [100, 100, 100], "failed"),
        (151, [100, 100, 100], "failed"),
        (149, [100, 100, 100], "passed"),
        (51, [100, 100, 100], "passed"),
        (49, [100, 100, 100], "failed"),
        # One giant among them does not move the median
        (100, [100, 100, 100, 10**9], "passed"),
    ],
)
def test_size_usual(size, others, said):
    points = [point(f"o{n}", size=s) for n, s in enumerate(others)]
    assert outcome(policy.size_usual(point(size=size), points, Policy())) == said


def test_sizes_of_other_kinds_are_not_compared():
    others = [point(f"o{n}", size=10**6) for n in range(5)]
    assert outcome(policy.size_usual(point(kind="incr", size=10), others, Policy())) == "passed"


def days(*ages):
    return [point(f"p{n}", stopped=NOW - age * DAY) for n, age in enumerate(ages)]


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        ((1, 8), None),
        ((1,), "1 points are kept"),
        ((1, 2), "the oldest point is 2.0 days old"),
        ((), "0 points are kept"),
    ],
)
def test_retention_too_short(ages, said):
    finding = policy.enough_points(days(*ages), Policy(), NOW)
    assert (finding.outcome == "passed") if said is None else (said in finding.reason)


@pytest.mark.parametrize(
    ("ages", "keep", "log", "said"),
    [
        ((1, 29), 30, None, None),
        ((1, 31), 30, None, "p1 should have been deleted after 30 days"),
        ((31, 40), 30, None, "p0, p1"),
        ((1,), 30, 31, "the log archive reaches behind the term"),
        ((1, 400), 0, None, None),
    ],
)
def test_retention_too_long(ages, keep, log, said):
    promised = Policy(max_keep_s=keep * DAY)
    finding = policy.not_too_old(days(*ages), promised, NOW, None if log is None else NOW - log * DAY)
    assert (finding.outcome == "passed") if said is None else (said in finding.reason)


@pytest.mark.parametrize(
    ("took", "factor", "said"), [(10, 1, "passed"), (60, 1, "passed"), (61, 1, "failed"), (10, 7, "failed")]
)
def test_within_rto(took, factor, said):
    assert outcome(policy.within_rto(took, Policy(rto_s=60), factor)) == said


@pytest.mark.parametrize(
    ("age", "said"), [(1, None), (8 * DAY, None), (9 * DAY, "9.0 days old"), (None, "it was never proved by a restore")]
)
def test_the_age_of_a_proof(age, said):
    reason = policy.proof_fresh(None if age is None else NOW - age, Policy(), NOW)
    assert (reason is None) if said is None else (said in reason)


# --- samples and coverage

POINTS = days(5, 4, 3, 2, 1)


def test_every_second_drill_takes_the_newest():
    assert {coverage.choose(POINTS, {}, "s", turn).label for turn in (0, 2, 4)} == {"p4"}


def test_old_points_get_their_turn():
    """Whoever is chosen is proved; after as many turns as needed nobody is left."""
    proved = {}
    for turn in range(10):
        proved[coverage.choose(POINTS, proved, "seed", turn).label] = NOW + turn
    assert set(proved) == {p.label for p in POINTS}


def test_a_choice_is_repeatable_and_depends_on_the_seed():
    first = [coverage.choose(POINTS, {}, "a", turn).label for turn in range(1, 40, 2)]
    assert first == [coverage.choose(POINTS, {}, "a", turn).label for turn in range(1, 40, 2)]
    assert first != [coverage.choose(POINTS, {}, "b", turn).label for turn in range(1, 40, 2)]
    assert set(first) == {"p0", "p1", "p2", "p3"}


def test_when_all_are_proved_the_oldest_proof_is_renewed():
    proved = {"p0": NOW - 5, "p1": NOW - 50, "p2": NOW - 1, "p3": NOW - 2}
    assert coverage.choose(POINTS, proved, "s", 1).label == "p1"


def test_nothing_to_choose_from():
    with pytest.raises(BackupError, match="no point to choose from"):
        coverage.choose([], {}, "s", 0)
    assert coverage.choose(POINTS[:1], {}, "s", 1).label == "p0"


@pytest.mark.parametrize(
    ("labels", "proved", "share", "week", "never"),
    [
        ([], {}, None, None, []),
        (["a", "b"], {}, 0.0, 0.0, ["a", "b"]),
        (["a", "b"], {"a": NOW}, 0.5, 0.5, ["b"]),
        (["a", "b"], {"a": NOW - 8 * DAY, "b": NOW}, 1.0, 0.5, []),
        # What was proved and has expired since does not count
        (["a"], {"gone": NOW}, 0.0, 0.0, ["a"]),
    ],
)
def test_coverage(labels, proved, share, week, never):
    seen = coverage.coverage(labels, proved, NOW)
    assert (seen["share"], seen["within"]["7d"], seen["never"]) == (share, week, never)


# --- 3-2-1-1-0

PRODUCTION = Copy("live", "zone-a", "disk", production=True)
NEAR = Copy("repo1", "zone-m", "disk", errors=0)
FAR = Copy("repo2", "cloud", "object", off_site=True, immutable=True, errors=0)


@pytest.mark.parametrize(
    ("copies", "reason"),
    [
        ([PRODUCTION, NEAR, FAR], None),
        ([PRODUCTION, FAR], "the copies fall with 2 failure domains"),
        ([PRODUCTION, Copy("repo1", "zone-a", "disk", errors=0), FAR], "the copies fall with 2 failure domains"),
        ([PRODUCTION, NEAR, Copy("repo2", "cloud", "disk", True, True, 0)], "all copies are on one kind of medium"),
        ([PRODUCTION, NEAR, Copy("repo2", "zone-c", "object", False, True, 0)], "no copy is off site"),
        ([PRODUCTION, NEAR, Copy("repo2", "cloud", "object", True, False, 0)], "no copy has refused a delete"),
        ([PRODUCTION, NEAR, Copy("repo2", "cloud", "object", True, None, 0)], "(not tried: repo1, repo2)"),
        ([PRODUCTION, NEAR, Copy("repo2", "cloud", "object", True, True, None)], "never verified: repo2"),
        ([PRODUCTION, NEAR, Copy("repo2", "cloud", "object", True, True, 2)], "errors in repo2"),
        ([PRODUCTION], "there is no backup at all"),
        ([], "there is no backup at all"),
    ],
)
def test_copies_apart(copies, reason):
    finding = apart(copies)
    assert (finding.outcome == "passed") if reason is None else (reason in finding.reason)


def test_a_copy_from_options():
    entry = {"name": "x", "domain": "a", "medium": "disk", "off_site": True, "immutable": None, "errors": None}
    assert copy_from(entry) == Copy("x", "a", "disk", True)


# --- stages


def test_stages_are_measured_also_when_they_fail():
    ticks = iter([0.0, 2.0, 2.0, 5.0, 5.0, 6.0])
    timed = stages.Stages(clock=lambda: next(ticks))
    with timed.stage("fetch"):
        timed.moved["fetch"] = 200 * stages.MIB
    with pytest.raises(ValueError, match="x"), timed.stage("recover"):
        raise ValueError("x")
    with timed.stage("checks"):
        pass
    assert timed.as_result() == {
        "stages_s": {"fetch": 2.0, "recover": 3.0, "checks": 1.0},
        "bytes": {"fetch": 200 * stages.MIB},
        "mib_per_s": {"fetch": 100.0},
    }
    assert (timed.until("recover"), timed.total, timed.until("nowhere")) == (5.0, 6.0, 6.0)


@pytest.mark.parametrize(
    ("size", "real", "seconds", "doubt"),
    [
        (100, 100, 10.0, "measured at its real size"),
        (100, 50, 10.0, "measured at its real size"),
        (100, 200, 20.0, "linear"),
        (100, 1000, 100.0, "linear, beyond twice the measured size"),
        (0, 100, None, "no size is known"),
    ],
)
def test_what_production_would_take(size, real, seconds, doubt):
    seen = stages.extrapolated(10.0, size, real)
    assert (seen["seconds"], seen["uncertainty"]) == (seconds, doubt)


# --- evidence


def body(label="a", level=6, proved=True, **more):
    return {"label": label, "level": level, "proved": proved, "ended_at": NOW, "reasons": [], **more}


def test_a_chain_grows_and_holds(tmp_path):
    path = tmp_path / "proofs" / "postgresql.jsonl"
    assert record.proofs(path, b"k") == []
    heads = [record.append(path, "2026-11-25", body(label), b"k")["hash"] for label in ("a", "b", "c")]
    assert len(set(heads)) == 3
    assert [each["label"] for each in record.proofs(path, b"k")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"proved":false', '"proved":true'), "was changed"),
        (lambda text: text.splitlines(keepends=True)[1], "says that it is number|does not follow"),
        (lambda text: text + "no record\n", "is no record"),
        (lambda text: text.replace('"a"', '"z"', 1), "was changed"),
    ],
)
def test_a_chain_that_was_changed_is_neither_read_nor_continued(tmp_path, change, said):
    path = tmp_path / "p.jsonl"
    record.append(path, "t", body("a", proved=False), b"k")
    record.append(path, "t", body("b"), b"k")
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    for act in (lambda: record.proofs(path, b"k"), lambda: record.append(path, "t", body("c"), b"k")):
        with pytest.raises(BackupError, match=said):
            act()
    assert path.read_text(encoding="utf-8") == before


def test_another_key_is_noticed(tmp_path):
    path = tmp_path / "p.jsonl"
    record.append(path, "t", body(), b"k")
    with pytest.raises(BackupError, match="the key is another one"):
        record.proofs(path, b"other")


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (body(), True),
        (body(level=4), True),
        (body(level=3), False),
        (body(level=None), False),
        (body(proved=False), False),
        (body(plant="page_torn"), False),
    ],
)
def test_what_counts_as_proved(one, counts):
    assert record.proved([one]) == ({"a": NOW} if counts else {})


def test_the_newest_proof_and_the_newest_rate_count():
    bodies = [
        body(ended_at=NOW - 9, stages={"mib_per_s": {"fetch": 80.0}}),
        body(ended_at=NOW - 1),
        body(ended_at=NOW - 5),
    ]
    assert record.proved(bodies) == {"a": NOW - 1}
    assert record.last_rate(bodies) == 80.0
    assert record.last_rate([]) is None


def test_what_no_json_can_hold_is_refused(tmp_path):
    with pytest.raises(BackupError, match="no JSON"):
        record.append(tmp_path / "p.jsonl", "t", {"x": float("nan")})


# --- the report

STORE = "postgresql/rsp"


def entry(**changes):
    base = {
        "store": STORE,
        "reached": "L6",
        "level": 6,
        "reasons": [],
        "proved_at": NOW - 60,
        "rto_s": 12.5,
        "rpo_s": 3.0,
        "coverage": {"points": 4, "proved": 2, "share": 0.5},
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("entries", "good", "reason"),
    [
        ([entry()], True, None),
        ([], False, None),
        ([entry(proved_at=None)], False, "never proved"),
        ([entry(proved_at=NOW - 9 * DAY)], False, "9.0 days old"),
        ([entry(reasons=["repo1 can't be read"])], False, "repo1 can't be read"),
        ([entry(), entry(store="consul/x", reasons=["x"])], False, "x"),
    ],
)
def test_the_document(entries, good, reason):
    data = report.document(entries, {}, NOW)
    assert data["good"] == good
    assert data["counts"]["stores"] == len(entries) == data["counts"]["good"] + data["counts"]["bad"]
    assert reason is None or any(reason in r for store in data["stores"] for r in store["reasons"])


def test_all_forms_count_alike():
    data = report.document([entry(), entry(store="consul/x", reasons=["<b>rotten</b>"], proved_at=None)], {}, NOW)
    page, metrics = report.page(data, "Backups & proofs"), report.textfile(data)
    assert "1 of 2 stores" in page
    assert "Backups &amp; proofs" in page
    assert "&lt;b&gt;rotten&lt;/b&gt;" in page
    assert "<b>rotten" not in page
    assert metrics.count("rsp_backup_problems{") == 2
    assert 'rsp_backup_problems{store="consul/x"} 2' in metrics


def test_metrics():
    lines = report.textfile(report.document([entry()], {}, NOW)).splitlines()
    assert f'rsp_backup_last_proven_timestamp_seconds{{store="{STORE}"}} {NOW - 60:.0f}' in lines
    assert f'rsp_backup_proven_level{{store="{STORE}"}} 6' in lines
    assert f'rsp_backup_coverage_ratio{{store="{STORE}"}} 0.5' in lines
    assert all(line.startswith(("# HELP ", "# TYPE ", "rsp_backup_")) for line in lines)


def test_what_is_not_known_has_no_metric():
    """A zero would look like a value; the alert fires on what is absent."""
    text = report.textfile(report.document([entry(proved_at=None, rto_s=None, rpo_s=None, level=None)], {}, NOW))
    assert "last_proven_timestamp_seconds{" not in text
    assert "rto_seconds{" not in text
    assert f'rsp_backup_proven_level{{store="{STORE}"}} -1' in text


def test_a_name_can_not_break_the_metrics():
    text = report.textfile(report.document([entry(store='a"b\\c\nd')], {}, NOW))
    assert '{store="a\\"b\\\\c d"}' in text


def test_the_dead_mans_alert():
    rules = report.alert_rules({STORE: Policy(proof_max_age_s=99)})["groups"][0]["rules"]
    metric = f'rsp_backup_last_proven_timestamp_seconds{{store="{STORE}"}}'
    assert rules[0]["expr"] == f"time() - {metric} > 99 or absent({metric})"
    assert rules[-1]["alert"] == "BackupProblems"


def test_files_are_swapped_only_when_they_change(tmp_path):
    path = tmp_path / "new" / "x.json"
    assert report.write({path: "a"}, check=True) == [str(path)]
    assert not path.exists()
    assert report.write({path: "a"}, check=False) == [str(path)]
    assert report.write({path: "a"}, check=False) == []
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_repository_without_points():
    assert repository().latest is None
    with pytest.raises(BackupError, match="it has none"):
        repository().point("latest")
