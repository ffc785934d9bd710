"""What people read at the end of `make up` and `make status`."""

from __future__ import annotations

import json

import pytest
import summary
from stages import Record

ENDPOINTS = {
    "platform": "rsp-local",
    "ca": "/somewhere/.lab/ca.crt",
    "services": {
        "postgresql": {
            "rw": ["10.20.3.11:5000"],
            "ro": ["10.20.3.11:5001"],
            "user": "app",
            "password": {"secret": "postgresql/app"},
        },
        "etcd": {"rw": ["10.20.0.11:2379", "10.20.1.11:2379"], "user": None},
    },
}


def test_columns_are_aligned():
    assert summary.table(("a", "bb"), [("ccc", "d"), ("", "e")]) == "a    bb\nccc  d\n     e"


def test_times_add_up():
    text = summary.times({"image": Record("done", "t", 1.5, 1.0, 1), "lab": Record("failed", "t", 2.0, 0.5)})
    rows = [line.split() for line in text.strip().splitlines()]
    assert rows == [
        ["stage", "state", "seconds", "CPU-s", "changed"],
        ["image", "done", "1.5", "1.0", "1"],
        ["lab", "failed", "2.0", "0.5", "0"],
        ["all", "3.5", "1.5"],
    ]


def test_containers_and_their_memory():
    text = summary.containers([("rsp-x-a1", "Up 3 minutes", 7), ("rsp-x-b1", "Exited (137)", None)])
    assert text.splitlines()[1].split() == ["rsp-x-a1", "Up", "3", "minutes", "7"]
    assert text.splitlines()[-1].split() == ["all", "7"]


def test_without_a_lab_it_says_how_to_start_one():
    assert "make up" in summary.containers([])


def test_endpoints(tmp_path):
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps(ENDPOINTS))
    text = summary.endpoints(path)
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines() if line}
    assert rows["postgresql"] == ["postgresql", "10.20.3.11:5000", "10.20.3.11:5001", "app", "postgresql/app"]
    assert rows["etcd"] == ["etcd", "10.20.0.11:2379,", "10.20.1.11:2379", "-", "-", "-"]
    assert "/somewhere/.lab/ca.crt" in text
    assert str(tmp_path / "secrets.yml") in text


def test_endpoints_before_they_were_written(tmp_path):
    assert summary.endpoints(tmp_path / "none.json") == ""


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_broken_contract_is_not_passed_over(tmp_path, content):
    (tmp_path / "endpoints.json").write_text(content)
    with pytest.raises((ValueError, KeyError)):
        summary.endpoints(tmp_path / "endpoints.json")
