# SPDX-License-Identifier: Apache-2.0
"""From the options of a module to drivers. A new service registers here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup import pgbackrest_config
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Driver, Expected, Run
from ansible_collections.rsp.platform.plugins.module_utils.backup.consul import ConsulSnapshots
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    Level,
    Point,
    Repository,
    failed,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy, policy_options
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import PgBackRest


def _postgresql(params: Mapping[str, Any], run: Run) -> Driver:
    if not params["stanza"]:
        raise BackupError("service=postgresql needs a stanza")
    try:
        remote = pgbackrest_config.remote(Path(params["config"]).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        raise BackupError(f"{params['config']}: {err}") from None
    return PgBackRest(run, params["stanza"], params["config"], tuple(params["options"]), remote=remote)


def _consul(params: Mapping[str, Any], run: Run) -> Driver:
    if not params["directories"]:
        raise BackupError("service=consul needs directories: repository to path")
    directories = {str(name): str(path) for name, path in params["directories"].items()}
    return ConsulSnapshots(run, directories, tuple(params["unseal"]), params["keys"] or {})


DRIVERS: Mapping[str, Callable[[Mapping[str, Any], Run], Driver]] = {"consul": _consul, "postgresql": _postgresql}


def source_options() -> dict[str, Any]:
    """Argument spec that the modules share: whose backups, and where."""
    return {
        "service": {"type": "str", "required": True, "choices": sorted(DRIVERS)},
        "stanza": {"type": "str"},
        "config": {"type": "path", "default": "/etc/pgbackrest/pgbackrest.conf"},
        "options": {"type": "list", "elements": "str", "default": []},
        "user": {"type": "str", "default": "postgres"},
        "directories": {"type": "dict", "default": {}},
        "unseal": {"type": "list", "elements": "str", "default": []},
        "keys": {"type": "dict", "no_log": True},
        "policy": policy_options(),
    }


def point_options() -> dict[str, Any]:
    """Argument spec of what is verified."""
    return {
        "repository": {"type": "str", "required": True},
        "point": {"type": "str", "default": "latest"},
        "identity": {"type": "str"},
        "escrow": {"type": "dict", "no_log": True},
    }


def open_driver(params: Mapping[str, Any], run: Run) -> Driver:
    """The driver of a service. Nothing is asked yet. Raises BackupError."""
    if bad := [o for o in params["options"] if not o.startswith("--") or "cipher-pass" in o]:
        raise BackupError(
            f"options {', '.join(bad)}: only --name=value, and never a key, which would be seen by everybody"
        )
    return DRIVERS[params["service"]](params, run)


def expected_from(params: Mapping[str, Any], now: float) -> Expected:
    """What points are held against. Raises BackupError."""
    escrow = {str(name): str(key) for name, key in (params.get("escrow") or {}).items()}
    return Expected(now, Policy.from_params(params["policy"]), params.get("identity"), escrow)


def repository_of(driver: Driver, name: str) -> Repository:
    """One repository. Raises BackupError."""
    repositories = driver.repositories()
    found = next((each for each in repositories if each.name == name), None)
    if found is None:
        raise BackupError(f"there is no repository {name} → one of {', '.join(r.name for r in repositories) or 'none'}")
    return found


def read_point(
    driver: Driver, repository: Repository, label: str, level: Level, expected: Expected
) -> tuple[Point | None, list[Finding]]:
    """A point with its findings of L0 to L3; a repository that shows no point is a finding, not an error."""
    if repository.latest is None:
        problem = repository.problem or "it has no point"
        said = failed("repository_answers", f"{repository.name} says: {problem}")
        return None, [
            said,
            failed("exists", f"{repository.name} has no point"),
            failed("fresh", "there is no point at all"),
        ]
    point = repository.point(label)
    return point, driver.verify(repository, point, level, expected)
