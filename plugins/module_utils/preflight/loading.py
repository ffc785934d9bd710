# SPDX-License-Identifier: Apache-2.0
"""Turns Ansible's variables into plain hosts: templates what the rules look at, and keeps why something failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Host

CONNECTION = ("ansible_host",)
REASON_LENGTH = 160


def load_host(name: str, raw: Mapping[str, Any], relevant: Iterable[str], template: Callable[[Any], Any]) -> Host:
    """A host with its relevant variables templated.

    Args:
        name: inventory name of the host.
        raw: its variables as written.
        relevant: names of the variables to look at.
        template: computes one value in the context of the host; raises when it can't.
    """
    variables, broken = {}, {}
    for variable in relevant:
        try:
            variables[variable] = plain(template(raw[variable]))
        except Exception as err:  # a lookup of the inventory may raise anything: each is a problem to tell
            broken[variable] = root_cause(err)
    return Host(name=name, variables=variables, broken=broken)


def relevant_names(names: Iterable[str], contracts: Mapping[str, Contract]) -> list[str]:
    """The variables that preflight judges: shared ones, those of roles, and addresses."""
    prefixes = ("platform_", "chaos_", *(f"{mark}{role}_" for role in contracts for mark in ("", "__")))
    return sorted(name for name in names if name.startswith(prefixes) or name in CONNECTION)


def plain(value: Any) -> Any:
    """Built-in types only: what Ansible returns may be subclasses that carry tags, or lazy containers."""
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def root_cause(err: BaseException) -> str:
    """The innermost message of a chain of template errors, on one line."""
    while err.__cause__ is not None:
        err = err.__cause__
    text = re.sub(r"\s+", " ", str(err)).strip().rstrip(".") or type(err).__name__
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 1] + "…"
