"""Reports from one model with equal counts, evidence that shows every change, and history on the disk."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import evidence
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.document import (
    SCHEMA,
    as_json,
    as_junit,
    as_prometheus,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.reports.html import page, timeline
from ansible_collections.rsp.platform.plugins.modules import evidence_verify
from ansible_collections.rsp.platform.plugins.plugin_utils.chaos_reports import compared, game_day, read_history, write
from module_call import call

VERIFIER = Path(evidence.__file__)


def report(verdict="held", **changes):
    defaults = {
        "schema": SCHEMA, "experiment": "leader_killed", "service": "consul", "title": "The <leader> is killed",
        "hypothesis": "Another server leads & nothing is lost", "run": "ab12", "at": "2026-01-01T00:00:00+00:00",
        "control": False, "verdict": verdict, "green": verdict == "held", "seconds": 12.5, "targets": ["a1"],
        "reasons": [] if verdict == "held" else [f"{verdict}: because of <this>"],
        "measures": {"client_rto_s": 3.25, "redundancy_rto_s": 9.0, "errors": {}},
        "findings": {"counts": {"lost": 0}, "reads": {"stale": {"answered": 9, "failed": 1, "stale": 2}}},
        "timeline": {"step_s": 0.5, "rates": [5, 0, 4], "events": [{"at": 0.4, "what": "kill"}]},
    }  # fmt: skip
    return {**defaults, **changes}


MIX = [report(), report("violated"), report("inconclusive"), report("aborted"), report("rollback_failed")]


def test_only_held_passes_in_junit():
    suite = ET.fromstring(as_junit(MIX))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "3")
    cases = list(suite)
    assert list(cases[0]) == []
    assert [next(iter(case)).tag for case in cases[1:]] == ["failure", "error", "error", "error"]
    assert "because of <this>" in next(iter(cases[1])).text


def test_a_run_that_held_but_is_worse_than_before_fails_in_junit():
    [case] = ET.fromstring(as_junit([report(worse="slow", reasons=["slow"])]))
    assert [(each.tag, each.get("message"), each.text) for each in case] == [
        ("failure", "held, but worse than before", "slow")
    ]


def test_all_forms_have_the_same_counts():
    data = json.loads(as_json(MIX))
    assert len(data["reports"]) == len(list(ET.fromstring(as_junit(MIX)))) == page(MIX, "x").count("<h2 ")
    assert data["schema"] == SCHEMA


@pytest.mark.parametrize("broken", [{"verdict": "passed"}, {"green": False}, {"verdict": "violated", "green": True}])
def test_a_report_that_contradicts_itself_is_refused(broken):
    with pytest.raises(ValueError, match="no report"):
        as_json([{**report(), **broken}])
    with pytest.raises(ValueError, match="hypothesis"):
        as_json([{key: value for key, value in report().items() if key != "hypothesis"}])


def test_prometheus_has_no_sample_for_what_nobody_saw():
    text = as_prometheus([report(), report("inconclusive", experiment='q"uote', measures=None, findings=None)])
    assert 'rsp_chaos_client_rto_seconds{experiment="leader_killed",service="consul",control="false"} 3.25' in text
    assert text.count("rsp_chaos_client_rto_seconds{") == 1
    assert text.count("rsp_chaos_lost_writes{") == 1
    assert 'experiment="q\\"uote"' in text
    verdicts = re.findall(r'rsp_chaos_verdict\{[^}]*verdict="(\w+)"\} 1', text)
    assert verdicts == ["held", "inconclusive"]
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z_]+\{[^{}]*\} [0-9.]+", line), line


def test_the_page_is_whole_and_quotes_what_others_wrote():
    text = page(MIX, "Game day & more")
    assert "reads, stale: {&#x27;answered&#x27;: 9, &#x27;failed&#x27;: 1, &#x27;stale&#x27;: 2}" in text
    assert "<leader>" not in text
    assert "The &lt;leader&gt; is killed" in text
    assert "<title>Game day &amp; more</title>" in text
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text), "it loads nothing"
    assert "no picture: nothing was written" in page([report(timeline=None, measures=None, findings=None)], "x")


def test_the_picture_is_sound_and_shows_gaps():
    picture = timeline([5, 0, 0, 5], [{"at": 0.6, "what": "<kill>"}, {"at": 99, "what": "late"}], 0.5)
    root = ET.fromstring(picture)
    bars = [e for e in root if e.tag.endswith("rect")]
    assert len([b for b in bars if b.get("fill") == "#5b8def"]) == 2
    assert len([b for b in bars if b.get("fill") == "#b3261e"]) == 2
    lines = [float(e.get("x1")) for e in root if e.tag.endswith("line")]
    assert all(0 <= x <= 900 for x in lines)
    assert ET.fromstring(timeline([], [], 1)) is not None


# --- evidence ----------------------------------------------------------------------------------------------------


def chain(key=b""):
    made = evidence.Chain(key)
    for number in range(4):
        made.add("seen", f"2026-01-01T00:00:0{number}+00:00", {"n": number, "ы": [1.5, None, True]})
    return made


@pytest.mark.parametrize("key", [b"", b"secret"])
def test_a_chain_holds(key):
    made = chain(key)
    checked = evidence.verify(made.text().splitlines(), key, made.head)
    assert checked.good
    assert (checked.records, checked.head) == (4, made.head)


def changed(lines, number, **fields):
    record = {**json.loads(lines[number]), **fields}
    return [*lines[:number], evidence.canonical(record).decode(), *lines[number + 1 :]]


TAMPERED = {
    "a value changed": lambda lines: changed(lines, 1, body={"n": 9}),
    "a time changed": lambda lines: changed(lines, 1, at="2027-01-01T00:00:00+00:00"),
    "one left out": lambda lines: lines[:1] + lines[2:],
    "the first left out": lambda lines: lines[1:],
    "the last left out": lambda lines: lines[:-1],
    "two swapped": lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    "one twice": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "all left out": lambda _lines: [],
    "written otherwise": lambda lines: [json.dumps(json.loads(lines[0])), *lines[1:]],
    "no record": lambda lines: [*lines, "{}"],
    "no JSON": lambda lines: ["x", *lines[1:]],
    "a key too many": lambda lines: changed(lines, 1, more=1),
    "rehashed alone": lambda lines: changed(
        lines, 1, body={"n": 9}, hash=evidence.digest({**json.loads(lines[1]), "body": {"n": 9}})
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_every_change_is_seen(case):
    made = chain()
    checked = evidence.verify(TAMPERED[case](made.text().splitlines()), head=made.head)
    assert not checked.good
    assert checked.problems


def test_another_key_is_seen():
    assert not evidence.verify(chain(b"one").text().splitlines(), b"two").good
    assert not evidence.verify(chain().text().splitlines(), b"two").good


def test_what_is_no_json_is_no_evidence():
    with pytest.raises(evidence.EvidenceError):
        evidence.Chain().add("x", "now", {"n": float("nan")})
    with pytest.raises(evidence.EvidenceError):
        evidence.canonical({1, 2})
    assert evidence.canonical({"b": 1, "a": "ы"}) == '{"a":"ы","b":1}'.encode()


def test_the_verifier_runs_alone(tmp_path):
    path, key = tmp_path / "e.jsonl", tmp_path / "key"
    path.write_text(chain(b"secret").text(), encoding="utf-8")
    key.write_text("secret\n")
    argv = [sys.executable, "-I", str(VERIFIER), str(path)]
    good = subprocess.run([*argv, "--key-file", key], capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert "4 records hold" in good.stdout
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


def test_the_module_tells_the_same(tmp_path, capsys):
    path = tmp_path / "e.jsonl"
    made = chain()
    path.write_text(made.text(), encoding="utf-8")
    found = call(evidence_verify.main, capsys, path=str(path), head=made.head)
    assert (found["rc"], found["changed"], found["records"]) == (0, False, 4)
    found = call(evidence_verify.main, capsys, path=str(path), head="0" * 64)
    assert found["rc"] == 1
    assert "records were cut off or added" in found["msg"]
    assert call(evidence_verify.main, capsys, path=str(tmp_path / "none"))["problems"]


# --- on the disk -------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_reports_and_its_history(tmp_path):
    for number in range(7):
        usual = compared(tmp_path, report(run=f"r{number}"))
        files = write(tmp_path, usual, chain())
        assert (usual["worse"], usual["reasons"]) == (None, [])
    assert sorted(files) == ["evidence", "html", "json", "prom", "xml"]
    assert all(Path(path).stat().st_size for path in files.values())
    assert evidence.verify(Path(files["evidence"]).read_text(encoding="utf-8").splitlines()).good
    slow = report(run="slow", measures={"client_rto_s": 30.0, "redundancy_rto_s": 1.0, "errors": {}})
    for number in range(2):
        once = compared(tmp_path, {**slow, "run": f"slow{number}"})
        assert once["worse"] is None
        write(tmp_path, once, chain())
    worse = compared(tmp_path, slow)
    assert worse["worse"] == (
        "the client's last outages were 30.0, 30.0, 30.0 s, the median of the 7 runs before is 3.2 s"
    )
    assert worse["reasons"] == [worse["worse"]]
    assert len(read_history(tmp_path)) == 9
    assert read_history(tmp_path / "none") == []


def test_a_report_that_is_changed_no_longer_fits_its_evidence(tmp_path):
    key = b"a key"
    files = write(tmp_path, report(), chain(key))
    lines = Path(files["evidence"]).read_text(encoding="utf-8").splitlines()
    assert evidence.verify(lines, key, read_history(tmp_path)[-1]["head"]).good, "the head is kept beside the chain too"
    assert not evidence.verify(lines).good, "it is signed"
    digests = json.loads(lines[-1])["body"]
    assert set(digests) == {"report.json", "junit.xml", "chaos.prom", "report.html"}
    path = Path(files["json"])
    assert digests["report.json"] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text(encoding="utf-8").replace('"lost": 0', '"lost": 1'), encoding="utf-8")
    assert digests["report.json"] != hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_game_day_is_one_report(tmp_path):
    files = game_day(tmp_path, MIX, "Game day", b"a key")
    lines = Path(files["evidence"]).read_text(encoding="utf-8").splitlines()
    assert evidence.verify(lines, b"a key").good
    assert not evidence.verify(lines, b"another").good
    assert [json.loads(line)["body"]["verdict"] for line in lines[:-1]] == [each["verdict"] for each in MIX]
    assert len(json.loads(Path(files["json"]).read_text(encoding="utf-8"))["reports"]) == 5
