"""Variables become plain values; what can't be computed is kept with its reason."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import (
    REASON_LENGTH,
    load_host,
    plain,
    relevant_names,
    root_cause,
)
from fixtures.preflight.builders import CONTRACTS


class Tagged(str):
    """A string as Ansible's templating returns it: a subclass."""

    __slots__ = ()


class TaggedInt(int):
    """A number as Ansible's templating returns it."""


def template(value):
    if value == "broken":
        raise ValueError("outer") from KeyError("'lab_prefix'   is\nundefined.")
    return Tagged(value) if isinstance(value, str) else value


def test_relevant_variables_are_computed_and_failures_kept():
    raw = {"consul_ui": True, "consul_datacenter": "rsp", "platform_zone": "broken", "other": "broken"}
    host = load_host("a1", raw, relevant_names(raw, CONTRACTS), template)
    assert host.name == "a1"
    assert host.variables == {"consul_ui": True, "consul_datacenter": "rsp"}
    assert list(host.broken) == ["platform_zone"]
    assert "lab_prefix" in host.broken["platform_zone"]


@pytest.mark.parametrize(
    ("name", "relevant"),
    [
        ("platform_zone", True),
        ("chaos_policy", True),
        ("consul_ui", True),
        ("consul_typo", True),
        ("__consul_files", True),
        ("ansible_host", True),
        ("ansible_user", False),
        ("consulate", False),
        ("lab_prefix", False),
        ("my_consul_ui", False),
    ],
)
def test_what_is_looked_at(name, relevant):
    assert (name in relevant_names([name], CONTRACTS)) is relevant


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Tagged("x"), "x"),
        (TaggedInt(3), 3),
        (True, True),
        (None, None),
        (1.5, 1.5),
        ({"a": [Tagged("b"), (TaggedInt(1), None)]}, {"a": ["b", [1, None]]}),
    ],
)
def test_values_are_of_built_in_types(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_nested_values_are_of_built_in_types():
    assert type(plain({"a": [Tagged("b")]})["a"][0]) is str


def test_what_is_no_data_stays_as_it_is():
    marker = object()
    assert plain(marker) is marker


def chained():
    error = ValueError("Error while resolving value for 'consul_members'")
    error.__cause__ = RuntimeError("'lab_prefix'   is\n undefined.")
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one  line."), "one line"),
        (chained(), "'lab_prefix' is undefined"),
        (ValueError(""), "ValueError"),
        (ValueError("x" * 300), "x" * (REASON_LENGTH - 1) + "…"),
    ],
)
def test_the_innermost_reason_on_one_line(error, text):
    assert root_cause(error) == text
