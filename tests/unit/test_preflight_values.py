"""Types are checked strictly, because YAML and the command line turn them into strings."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults, nearest

PERSON = {"name": Option(required=True), "age": Option(type="int", minimum=0)}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (Option(), "text"),
        (Option(), ""),
        (Option(type="path"), "/var/lib"),
        (Option(type="int"), 0),
        (Option(type="float"), 1),
        (Option(type="float"), 1.5),
        (Option(type="bool"), False),
        (Option(type="list"), ["a", 1, None]),
        (Option(type="list", elements="str"), []),
        (Option(type="dict"), {"any": "thing"}),
        (Option(type="raw"), object()),
        (Option(type="raw"), True),
        (Option(choices=("new", "existing")), "new"),
        (Option(type="int", choices=(1, 2)), 2),
        (Option(type="int", minimum=1, maximum=3), 1),
        (Option(type="int", minimum=1, maximum=3), 3),
        (Option(pattern="[a-z]+"), "abc"),
        (Option(type="dict", options=PERSON), {"name": "x"}),
        (Option(type="dict", options=PERSON), {"name": "x", "age": None}),
        (Option(type="list", elements="dict", options=PERSON), [{"name": "x", "age": 3}]),
        (Option(type="list", elements="str", choices=("a", "b")), ["a", "b"]),
    ],
)
def test_what_fits_is_accepted(option, value):
    assert list(faults("x", option, value)) == []


@pytest.mark.parametrize(
    ("option", "value", "path", "rule", "fix"),
    [
        (Option(type="bool"), "yes", "x", "must be a boolean, not a string", "write true without quotes"),
        (Option(type="bool"), "False", "x", "must be a boolean, not a string", "write false without quotes"),
        (Option(type="bool"), " on ", "x", "must be a boolean, not a string", "write true without quotes"),
        (Option(type="bool"), "maybe", "x", "must be a boolean, not a string", "give it a boolean"),
        (Option(type="bool"), 1, "x", "must be a boolean, not an integer", "give it a boolean"),
        (Option(type="int"), "30", "x", "must be an integer, not a string", "write the number without quotes"),
        (Option(type="int"), "-3", "x", "must be an integer, not a string", "write the number without quotes"),
        (Option(type="int"), True, "x", "must be an integer, not a boolean", "give it an integer"),
        (Option(type="int"), 1.5, "x", "must be an integer, not a number", "give it an integer"),
        (Option(type="float"), "0.5", "x", "must be a number, not a string", "write the number without quotes"),
        (Option(type="str"), 1.20, "x", "must be a string, not a number", "put it in quotes"),
        (Option(type="str"), 17, "x", "must be a string, not an integer", "put it in quotes"),
        (Option(type="str"), True, "x", "must be a string, not a boolean", "put it in quotes"),
        (Option(type="str"), ["a"], "x", "must be a string, not a list", "give it a string"),
        (Option(type="path"), 5, "x", "must be a path, not an integer", "give it a path"),
        (Option(type="list"), "a,b", "x", "must be a list, not a string", "write a YAML list"),
        (Option(type="list"), {"a": 1}, "x", "must be a list, not a mapping", "give it a list"),
        (Option(type="dict"), [], "x", "must be a mapping, not a list", "give it a mapping"),
        (Option(choices=("report", "delete")), "delet", "x", "must be one of report, delete", "did you mean delete?"),
        (Option(choices=("report", "delete")), "zzz", "x", "must be one of report, delete", "use one of them"),
        (Option(type="int", minimum=1, maximum=3), 4, "x", "is outside 1 to 3", "use a value of 1 to 3"),
        (Option(type="int", minimum=1), 0, "x", "is outside 1 or more", "use a value of 1 or more"),
        (Option(type="float", maximum=0.5), 0.6, "x", "is outside 0.5 or less", "use a value of 0.5 or less"),
        (Option(pattern="[a-z]+"), "aB", "x", "does not match [a-z]+", "write it in that form"),
        (Option(type="list", elements="int", maximum=9), [1, 10], "x[1]", "is outside 9 or less", "use a value"),
        (Option(type="list", elements="str"), ["a", 1], "x[1]", "must be a string, not an integer", "put it in quotes"),
        (Option(type="dict", options=PERSON), {"age": 1}, "x.name", "a required key is not set", "set name"),
        (Option(type="dict", options=PERSON), {"name": "x", "agee": 1}, "x.agee", "unknown key", "did you mean age?"),
        (Option(type="dict", options=PERSON), {"name": "x", "q": 1}, "x.q", "unknown key", "keys are age, name"),
        (
            Option(type="list", elements="dict", options=PERSON),
            [{"name": "x"}, {"name": "y", "age": "3"}],
            "x[1].age",
            "must be an integer, not a string",
            "write the number without quotes",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_path_and_fix(option, value, path, rule, fix):
    [fault] = faults("x", option, value)
    assert (fault.path, fault.rule) == (path, rule)
    assert fault.fix.startswith(fix)


def test_the_fix_of_a_string_from_the_command_line_can_be_pasted():
    [fault] = faults("consul_ui", Option(type="bool"), "true")
    assert """-e '{"consul_ui": true}'""" in fault.fix


def test_every_fault_of_a_nested_value_is_told():
    option = Option(type="list", elements="dict", options=PERSON)
    found = [fault.path for fault in faults("x", option, [{"age": -1}, {"nam": "y"}, "z"])]
    assert found == ["x[0].age", "x[0].name", "x[1].nam", "x[1].name", "x[2]"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (Option(type="int", secret=True), "hunter2"),
        (Option(secret=True, choices=("a",)), "hunter2"),
        (Option(secret=True, pattern="x"), "hunter2"),
        (Option(type="list", elements="int", secret=True), ["hunter2"]),
        (Option(type="dict", options={"password": Option(type="int", secret=True)}), {"password": "hunter2"}),
        (Option(type="list", elements="dict", options={"password": Option(secret=True)}), "password=hunter2"),
    ],
)
def test_a_secret_is_never_shown(option, value):
    [fault] = faults("x", option, value)
    assert fault.value is None
    assert "hunter2" not in fault.rule + fault.fix


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("max_conection", ["max_connections", "min_size"], "max_connections"),
        ("zzz", ["max_connections"], None),
        ("anything", [], None),
    ],
)
def test_nearest(name, known, found):
    assert nearest(name, known) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", '"a"'), (3, "3"), (True, "true"), (None, "null"), ("зона", '"зона"'), ("x" * 80, '"' + "x" * 46 + "…")],
)
def test_shown_is_short_and_on_one_line(value, text):
    assert shown(value) == text
