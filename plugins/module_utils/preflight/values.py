# SPDX-License-Identifier: Apache-2.0
"""Whether a value is what its option asks for: strictly, because YAML and `-e key=value` turn types into strings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option, shown

TRUTHY = {"yes", "true", "on", "y", "1"}
FALSY = {"no", "false", "off", "n", "0"}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}
WORDS = {
    "str": "a string",
    "path": "a path",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "list": "a list",
    "dict": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a value is refused: path of the part that is wrong, the rule, the fix, the part as shown (None: hidden)."""

    path: str
    rule: str
    fix: str
    value: str | None


def faults(path: str, option: Option, value: Any) -> Iterator[Fault]:
    """Everything that is wrong with `value` as the variable `path`, nested parts included."""
    wrong = _type_fault(path, option, value)
    if wrong:
        yield wrong
        return
    if isinstance(value, list):
        yield from _element_faults(path, option, value)
    elif isinstance(value, dict) and option.options is not None:
        yield from _key_faults(path, option.options, value)
    elif not isinstance(value, dict):
        yield from _scalar_faults(path, option, value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be, or None."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return close[0] if close else None


def _element_faults(path: str, option: Option, value: list[Any]) -> Iterator[Fault]:
    element = Option(
        type=option.elements or "raw",
        choices=option.choices,
        options=option.options,
        secret=option.secret,
        pattern=option.pattern,
        minimum=option.minimum,
        maximum=option.maximum,
    )
    for index, item in enumerate(value):
        yield from faults(f"{path}[{index}]", element, item)


def _key_faults(path: str, options: Mapping[str, Option], value: dict[str, Any]) -> Iterator[Fault]:
    for key, item in value.items():
        if key not in options:
            near = nearest(str(key), options)
            fix = f"did you mean {near}?" if near else f"keys are {', '.join(sorted(options))}"
            yield Fault(f"{path}.{key}", "unknown key", fix, None)
        elif item is not None:
            yield from faults(f"{path}.{key}", options[key], item)
    for key, option in options.items():
        if option.required and value.get(key) is None:
            yield Fault(f"{path}.{key}", "a required key is not set", f"set {key}", None)


def _scalar_faults(path: str, option: Option, value: Any) -> Iterator[Fault]:
    seen = None if option.secret else shown(value)
    if option.choices and value not in option.choices:
        near = nearest(str(value), [str(choice) for choice in option.choices])
        fix = f"did you mean {near}?" if near else "use one of them"
        yield Fault(path, f"must be one of {', '.join(map(str, option.choices))}", fix, seen)
    if option.pattern and isinstance(value, str) and not re.fullmatch(option.pattern, value):
        yield Fault(path, f"does not match {option.pattern}", "write it in that form", seen)
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = option.minimum, option.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            yield Fault(path, f"is outside {_range(low, high)}", f"use a value of {_range(low, high)}", seen)


def _type_fault(path: str, option: Option, value: Any) -> Fault | None:
    wanted = option.type
    types = PYTHON_TYPES.get(wanted)
    if types is None or (isinstance(value, types) and (wanted == "bool" or not isinstance(value, bool))):
        return None
    rule = f"must be {WORDS[wanted]}, not {_kind(value)}"
    return Fault(path, rule, _type_fix(path, wanted, value), None if _hidden(option) else shown(value))


def _hidden(option: Option) -> bool:
    """Whether a value of the wrong shape may hold a secret somewhere."""
    return option.secret or any(map(_hidden, (option.options or {}).values()))


def _type_fix(path: str, wanted: str, value: Any) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if wanted == "bool" and word in TRUTHY | FALSY:
        boolean = "true" if word in TRUTHY else "false"
        return f"write {boolean} without quotes (on the command line as JSON: -e '{{\"{path}\": {boolean}}}')"
    if wanted in ("int", "float") and re.fullmatch(r"-?\d+(\.\d+)?", word):
        return f"write the number without quotes (on the command line as JSON: -e '{{\"{path}\": …}}')"
    if wanted == "str" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if wanted == "list" and isinstance(value, str):
        return "write a YAML list, also for one element"
    return f"give it {WORDS[wanted]}"


def _kind(value: Any) -> str:
    for name in ("bool", "int", "float", "str", "list", "dict"):
        if isinstance(value, PYTHON_TYPES[name]):
            return WORDS[name]
    return f"a {type(value).__name__}"


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"{low} or more"
    if low is None:
        return f"{high} or less"
    return f"{low} to {high}"
