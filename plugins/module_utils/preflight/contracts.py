# SPDX-License-Identifier: Apache-2.0
"""Reads what roles promise: `meta/argument_specs.yml`, and `meta/rules.yml` for what specs can't say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Contract, Option

VOTERS = ("odd", "any")
RULE_KEYS = {"voters", "ranges", "removed", "versions", "ports", "everywhere", "secrets"}


class ContractError(Exception):
    """A role's own data is malformed. A fault of the collection, not of the inventory."""


def read_contracts(roles: Path, read: Callable[[Path], Any]) -> dict[str, Contract]:
    """The contract of every role below `roles` that has argument specs.

    Args:
        roles: the collection's directory of roles.
        read: parses one YAML file.
    """
    contracts = {}
    for specs in sorted(roles.glob("*/meta/argument_specs.yml")):
        rules = specs.with_name("rules.yml")
        role = specs.parent.parent.name
        contracts[role] = contract_from(role, read(specs), read(rules) if rules.is_file() else None)
    return contracts


def contract_from(role: str, specs: Any, rules: Any) -> Contract:
    """A contract of the parsed files. Raises ContractError when they don't fit together."""
    entry_points = (specs or {}).get("argument_specs") or {}
    # Only main asks an inventory for something; what another entry point requires, its playbook hands over.
    raw = {
        name: entry if point == "main" else {**entry, "required": False}
        for point, spec in sorted(entry_points.items(), key=lambda item: item[0] == "main")
        for name, entry in (spec.get("options") or {}).items()
    }
    rules = rules or {}
    if unknown := set(rules) - RULE_KEYS:
        raise ContractError(f"role {role}: meta/rules.yml has unknown keys {', '.join(sorted(unknown))}")
    if rules.get("voters", "odd") not in VOTERS:
        raise ContractError(f"role {role}: meta/rules.yml: voters must be one of {', '.join(VOTERS)}")
    ranges = rules.get("ranges") or {}
    for key in ("ranges", "versions", "ports"):
        if strangers := set(rules.get(key) or ()) - set(raw):
            raise ContractError(f"role {role}: meta/rules.yml: {key} names no variable: {', '.join(sorted(strangers))}")
    if kept := set(rules.get("removed") or ()) & set(raw):
        raise ContractError(f"role {role}: meta/rules.yml: removed, but still specified: {', '.join(sorted(kept))}")
    return Contract(
        role=role,
        options={name: option_from(entry, ranges.get(name)) for name, entry in raw.items()},
        voters=rules.get("voters"),
        removed=rules.get("removed") or {},
        versions=rules.get("versions") or {},
        ports=tuple(rules.get("ports") or ()),
        everywhere=bool(rules.get("everywhere", False)),
        secrets=dict(map(_secret, rules.get("secrets") or ())),
    )


def option_from(entry: Mapping[str, Any], span: Mapping[str, float] | None = None) -> Option:
    """An Option from one entry of argument specs, with the range that rules.yml gives it."""
    nested = entry.get("options")
    return Option(
        type=entry.get("type", "str"),
        elements=entry.get("elements"),
        choices=tuple(entry.get("choices") or ()),
        options=None if nested is None else {name: option_from(part) for name, part in nested.items()},
        required=bool(entry.get("required", False)),
        secret=bool(entry.get("no_log", False)),
        default=_literal(entry.get("default")),
        minimum=(span or {}).get("min"),
        maximum=(span or {}).get("max"),
    )


def _secret(entry: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name of a secret, and with which values of variables it is needed."""
    return (entry, {}) if isinstance(entry, str) else (entry["name"], entry["when"])


def _literal(default: Any) -> Any:
    """The default, unless the role computes it on the member: then it is unknown here."""
    return None if "{{" in str(default) else default
