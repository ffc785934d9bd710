# SPDX-License-Identifier: Apache-2.0
"""Rules of `chaos_policy`, what an environment allows experiments to do: a limit that is misspelt limits nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import LONGEST_LEASE_S, SHORTEST_LEASE_S
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory, Option, Problem, shown
from ansible_collections.rsp.platform.plugins.module_utils.preflight.values import faults, nearest

_NAME, _HOUR = "chaos_policy", r"([01]\d|2[0-3]):[0-5]\d"
_POLICY = Option(
    type="dict",
    options={
        "longest_lease_s": Option(type="int", minimum=SHORTEST_LEASE_S, maximum=LONGEST_LEASE_S),
        "window": Option(pattern=rf"({_HOUR}-{_HOUR})?"),
        "reports": Option(type="path"),
        "engine": Option(),
        "containers": Option(type="dict"),
        "consul_key": Option(pattern=r"([^/\s]+(/[^/\s]+)*)?"),
        "proof_max_age_s": Option(type="int", minimum=0),
        "experiments": Option(type="dict"),
    },
)


def chaos_policy(inventory: Inventory) -> Iterator[Problem]:
    """`chaos_policy` has known keys of the right type, is one for all hosts, and nothing else is called `chaos_…`."""
    first = inventory.first(_NAME)
    for host in inventory.hosts:
        value = host.variables.get(_NAME)
        for fault in faults(_NAME, _POLICY, value) if value is not None else ():
            yield Problem((host.name,), fault.path, fault.rule, fault.fix, fault.value)
        if first is not None and _NAME not in host.broken and value != first:
            rule = "differs from that of other hosts, but is one for the whole platform"
            yield Problem((host.name,), _NAME, rule, "set it once, in group_vars/all", shown(value))
        for name in [*host.variables, *host.broken]:
            if name.startswith("chaos_") and name != _NAME:
                fix = f"an inventory sets {_NAME} only; docs/chaos.md lists its keys"
                yield Problem((host.name,), name, "unknown variable", fix)


def chaos_policy_names(inventory: Inventory) -> Iterator[Problem]:
    """Hosts that `chaos_policy.engine` and `.containers` name exist, and so do the services of `.experiments`."""
    value = inventory.first(_NAME)
    policy = value if isinstance(value, dict) else {}
    hosts = [host.name for host in inventory.hosts]
    engine, containers, files = (policy.get(key) for key in ("engine", "containers", "experiments"))
    named = [(f"{_NAME}.engine", engine, [*hosts, "localhost"])] if engine and isinstance(engine, str) else []
    named += [(f"{_NAME}.containers", name, hosts) for name in (containers if isinstance(containers, dict) else ())]
    services = list(inventory.contracts)
    named += [(f"{_NAME}.experiments", name, services) for name in (files if isinstance(files, dict) else ())]
    for path, name, known in named:
        if name not in known:
            near = nearest(str(name), known)
            fix = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
            kind = "service" if path.endswith("experiments") else "host"
            yield Problem((), path, f"names no {kind} of this inventory", fix, shown(name))
    for service, path in (files if isinstance(files, dict) else {}).items():
        if not isinstance(path, str) or not path:
            rule = "must be the path of a YAML file of experiments"
            yield Problem((), f"{_NAME}.experiments.{service}", rule, "give a path, from the inventory", shown(path))
