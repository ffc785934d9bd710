# SPDX-License-Identifier: Apache-2.0
"""Finds an experiment by its name: among those of the collection, and those that the platform brings itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.experiment import (
    Experiment,
    experiment_from,
    problems,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.loading import plain
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import nearest


def chosen(load: Callable[[str], Any], arguments: Mapping[str, Any]) -> Experiment:
    """The experiment that a task's arguments name: experiment, service, file, own_file, control.

    Raises:
        AnsibleActionFail: there is none of that name, a file can't be read, or the experiment is no sound one.
    """
    name = arguments["experiment"]
    known = known_by_name(load, arguments["file"], arguments["own_file"])
    if name not in known:
        near = nearest(name, known)
        fix = f"did you mean {near}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
        raise AnsibleActionFail(f"{arguments['service']} has no experiment {name} → {fix}")
    wrong = problems(name, known[name])
    if wrong:
        rows = [f"  {w.path}{'' if w.value is None else f' = {w.value}'}  {w.rule} → {w.fix}" for w in wrong]
        heading = f"experiment {name}: {len(wrong)} problem{'' if len(wrong) == 1 else 's'}, nothing was touched"
        raise AnsibleActionFail("\n".join([heading, *rows]))
    try:
        return experiment_from(name, arguments["service"], known[name], arguments["control"])
    except ValueError as err:
        raise AnsibleActionFail(str(err)) from err


def known_by_name(load: Callable[[str], Any], library: str, own: str) -> dict[str, Any]:
    """Experiments of the service and of the platform. A name stands for one: evidence and history go by it."""
    known: dict[str, Any] = plain(load(library) or {})
    if not own:
        return known
    try:
        more = plain(load(own) or {})
    except AnsibleError as err:
        raise AnsibleActionFail(f"chaos_policy.experiments: {err} → name a YAML file, from the inventory") from err
    if not isinstance(more, dict) or not more:
        raise AnsibleActionFail(f"chaos_policy.experiments: {own} holds no experiments → write NAME: {{title, …}}")
    twice = sorted(set(known) & set(more))
    if twice:
        rule = f"{', '.join(twice)} of {own} is the name of an experiment of the collection"
        raise AnsibleActionFail(f"chaos_policy.experiments: {rule} → give it another one")
    return {**known, **more}
