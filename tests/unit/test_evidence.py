"""Evidence: one canonical form, a chain that shows every change, and a verifier that needs nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils import evidence
from ansible_collections.rsp.platform.plugins.module_utils.evidence import (
    FIRST,
    Chain,
    EvidenceError,
    canonical,
    verify,
)
from ansible_collections.rsp.platform.plugins.modules import evidence_verify
from module_call import call

KEY = b"the key of this chain"


def chain(count=3, key=KEY):
    made = Chain(key)
    for n in range(count):
        made.add("proof", f"2026-11-25T09:0{n}:00+00:00", {"label": f"b{n}", "proved": n % 2 == 0})
    return made


LINES = chain().text().splitlines()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"b": 1, "a": 2}, b'{"a":2,"b":1}'),
        ({"ц": "ё"}, '{"ц":"ё"}'.encode()),
        ([1, 2.5, None, True], b"[1,2.5,null,true]"),
        ((1, 2), b"[1,2]"),
    ],
)
def test_one_way_to_write_it(data, text):
    assert canonical(data) == text


@pytest.mark.parametrize("data", [float("nan"), float("inf"), {1, 2}, object(), b"x"])
def test_what_no_json_holds(data):
    with pytest.raises(EvidenceError, match="no JSON"):
        canonical(data)


def test_a_chain_holds():
    made = chain()
    seen = verify(made.text().splitlines(), KEY, made.head)
    assert (seen.good, seen.records, seen.head) == (True, 3, made.head)
    assert made.records[0]["previous"] == FIRST
    assert made.records[2]["previous"] == made.records[1]["hash"]


def test_what_is_added_can_not_be_changed_through_a_reference():
    body = {"list": [1]}
    made = Chain(KEY)
    made.add("proof", "t", body)
    body["list"].append(2)
    assert verify(made.text().splitlines(), KEY).good


def replaced(number, old, new):
    return [line.replace(old, new) if n == number else line for n, line in enumerate(LINES)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "there is no record"),
        (replaced(1, '"b1"', '"b9"'), "record 1 was changed"),
        (replaced(0, "false", "true") if "false" in LINES[0] else replaced(0, "true", "false"), "record 0 was changed"),
        (replaced(2, ":02:", ":03:"), "record 2 was changed"),
        (LINES[1:], "record 0 says that it is number 1"),
        ([LINES[0], LINES[2]], "record 1 does not follow the one before it"),
        ([LINES[1], LINES[0], LINES[2]], "record 0 does not follow the one before it"),
        ([*LINES, LINES[2]], "record 3 says that it is number 2"),
        (["", *LINES], "record 0 is no record"),
        (["{}", *LINES], "record 0 is no record"),
        ([*LINES[:2], "[]"], "record 2 is no record"),
        ([LINES[0].replace(",", ", "), *LINES[1:]], "record 0 is not written canonically"),
    ],
)
def test_every_change_is_seen(lines, said):
    seen = verify(lines, KEY)
    assert not seen.good
    assert any(said in problem for problem in seen.problems), seen.problems


@pytest.mark.parametrize("key", [b"", b"another key"])
def test_another_key(key):
    assert not verify(LINES, key).good


def test_a_cut_end_is_seen_with_the_head_only():
    head = chain().records[0]["hash"]
    assert verify(LINES[:2], KEY).good
    cut = verify(LINES[:2], KEY, json.loads(LINES[2])["hash"])
    assert "records were cut off or added" in cut.problems[0]
    assert head != cut.head


def test_without_a_key_it_is_a_plain_hash():
    made = chain(key=b"")
    assert verify(made.text().splitlines()).good
    assert not verify(made.text().splitlines(), KEY).good


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "evidence.jsonl"
    path.write_text(chain().text(), encoding="utf-8")
    (tmp_path / "key").write_bytes(KEY + b"\n")
    return path


def test_an_auditor_needs_one_file_and_python(file):
    script = Path(evidence.__file__)
    argv = [sys.executable, "-I", str(script), str(file), "--key-file", str(file.parent / "key")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "3 records hold")
    file.write_text(file.read_text(encoding="utf-8").replace('"b1"', '"b9"'), encoding="utf-8")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "record 1 was changed" in done.stdout


def test_the_module(file, capsys):
    result = call(evidence_verify.main, capsys, path=str(file), key=KEY.decode())
    assert (result["rc"], result["changed"], result["records"], result["problems"]) == (0, False, 3, [])
    assert call(evidence_verify.main, capsys, check=True, path=str(file), key=KEY.decode())["head"] == result["head"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": "another key of a chain"}, "the key is another one"),
        ({"head": "0" * 64, "key": KEY.decode()}, "records were cut off or added"),
        ({"path": "/none/evidence.jsonl"}, "No such file"),
        ({"path": None}, "missing required arguments: path"),
    ],
)
def test_the_module_fails(arguments, said, file, capsys):
    given = {name: value for name, value in {"path": str(file), **arguments}.items() if value is not None}
    result = call(evidence_verify.main, capsys, **given)
    assert (result["rc"], said in result["msg"]) == (1, True), result["msg"]
