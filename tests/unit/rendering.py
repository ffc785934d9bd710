"""Renders a role's template with its own defaults and vars, as Ansible does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[2] / "roles"
TOPOLOGY = {
    "ansible_managed": "Ansible managed",
    "inventory_hostname": "a1",
    "platform_name": "rsp-test",
    "platform_domain": "rsp.internal",
    "platform_zone": "a",
    "platform_address": "10.0.0.11",
    "platform_nofile": 16384,
}


def render(role: str, template: str, **variables: Any) -> str:
    """The text of a template of a role; `variables` win over defaults."""
    return _templar(role, variables).template(trust_as_template((ROLES / role / "templates" / template).read_text()))


def value(role: str, name: str, **variables: Any) -> Any:
    """A variable of a role; `variables` win over defaults."""
    return _templar(role, variables).template(trust_as_template("{{ " + name + " }}"))


def _templar(role: str, variables: dict[str, Any]) -> Templar:
    known: dict[str, Any] = dict(TOPOLOGY)
    for part in ("defaults", "vars"):
        main = ROLES / role / part / "main.yml"
        for file in [main] if main.is_file() else sorted(main.with_suffix("").glob("*.yml")):
            known.update(trusted(yaml.safe_load(file.read_text())))
    return Templar(loader=DataLoader(), variables={**known, **variables})


def trusted(value: Any) -> Any:
    """A value whose strings Ansible may template, as those of a role's own files are."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return [trusted(item) for item in value] if isinstance(value, list) else value
