# SPDX-License-Identifier: Apache-2.0
"""How the modules of a take-over reach this host: systemd, the process of Patroni, and its database through psql."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.adoption.database import Psql
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live, find
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.units import show

try:
    import yaml
except ImportError:
    LOADS_YAML = False
else:
    LOADS_YAML = True


def open_live(module: Any, unit: str) -> Live:
    """The running Patroni of a unit.

    Raises:
        DriverError: it does not run, or cannot be read.
    """
    state = show(runner(module), [unit])[unit]
    if not state.running or not state.main_pid:
        raise DriverError(f"{unit} is {state.active}: there is no running Patroni to take over")
    if not LOADS_YAML:
        raise DriverError("Python's yaml, which Patroni itself needs, is not there")
    return find(state.main_pid, load_yaml)


def load_yaml(text: str) -> Any:
    """Data of a YAML text. Raises ValueError without the text, which may hold secrets."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise ValueError(type(err).__name__) from None


def open_psql(module: Any, live: Live) -> Psql:
    """The database of that Patroni."""

    def run(argv: Sequence[str], text: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
        return runner(module, data=text, environ_update=dict(environment))(argv)

    return Psql(live, run)
