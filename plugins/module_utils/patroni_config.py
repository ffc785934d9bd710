# SPDX-License-Identifier: Apache-2.0
"""Patroni's dynamic configuration as data. The plan is pure, `PatroniApi` does the talking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import HttpError, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.postgresql import LEADER_ROLES
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# Below this key everything is ours: what is not wanted is taken away.
OWNED = "postgresql"
POLL_S = 0.5
# Patroni looks at the configuration once a loop; the first look may have begun before the change.
LOOPS_TO_TAKE_IT = 2
NOT_INITIALISED = (502, 503)


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """The way from the actual to the wanted configuration.

    Attributes:
        patch: body of PATCH /config; None takes a key away, empty when nothing differs.
        unmanaged: top-level keys that nobody asked for; they are left alone.
    """

    patch: dict[str, Any]
    unmanaged: tuple[str, ...]


def plan(wanted: Mapping[str, Any], actual: Mapping[str, Any], whole: bool = True) -> ConfigPlan:
    """What to change so that every wanted key has its value and, as a `whole`, `postgresql` holds nothing else."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        if key == OWNED and isinstance(value, Mapping):
            inner = _difference(value, actual.get(key) or {}, whole)
            if inner:
                patch[key] = inner
        elif not _same(value, actual.get(key)):
            patch[key] = value
    return ConfigPlan(patch, tuple(sorted(set(actual) - set(wanted))))


def applied(patch: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration after the patch, as Patroni merges it."""
    result = dict(actual)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = applied(value, result[key])
        else:
            result[key] = value
    return result


def _difference(wanted: Mapping[str, Any], actual: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in actual if whole and key not in wanted}
    for key, value in wanted.items():
        there = actual.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            inner = _difference(value, there, whole)
            if inner:
                patch[key] = inner
        elif not _same(value, there):
            patch[key] = value
    return patch


def _same(wanted: object, there: object) -> bool:
    """Settings are text to PostgreSQL: 100 and "100" are the same, and so are true and "true"."""
    if isinstance(wanted, Mapping | list) or isinstance(there, Mapping | list) or there is None:
        return wanted == there
    return str(wanted).lower() == str(there).lower()


class PatroniApi:
    """Patroni's REST API as far as the configuration needs it. Time is injected."""

    def __init__(
        self,
        client: JsonClient,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`client` holds the user for PATCH."""
        self._client = client
        self._now = now
        self._sleep = sleep

    def read(self, wait_s: float) -> dict[str, Any]:
        """The dynamic configuration; waits for a cluster that is being made. Raises DriverError after `wait_s`."""
        end = self._now() + wait_s
        while True:
            try:
                return self._read_led()
            except DriverError as err:
                if isinstance(err, HttpError) and err.status not in NOT_INITIALISED:
                    raise
                if self._now() >= end:
                    raise DriverError(f"Patroni's configuration could not be read in {wait_s:g} s: {err}") from err
            self._sleep(POLL_S)

    def change(self, patch: Mapping[str, Any]) -> None:
        """PATCH /config. Raises DriverError when Patroni refuses it."""
        self._client.call("PATCH", "/config", json=patch)

    def members(self) -> list[dict[str, Any]]:
        """Entries of /cluster."""
        return list(self._client.get("/cluster").get("members") or [])

    def pending_restart(self) -> dict[str, Any]:
        """By member that waits for a restart: the settings it waits with, as Patroni gives them."""
        waiting = [member for member in self.members() if member.get("pending_restart")]
        return {member["name"]: member.get("pending_restart_reason") or {} for member in waiting}

    def wait_until_taken(self, loop_wait_s: float, wait_s: float) -> None:
        """Wait until the member that is asked has looked at the DCS twice more; others look as often.

        Raises DriverError when it has not within `wait_s`.
        """
        end, looks = self._now() + wait_s, 0
        seen = self._last_look()
        while looks < LOOPS_TO_TAKE_IT:
            if self._now() >= end:
                raise DriverError(f"Patroni has not looked at its configuration for {wait_s:g} s")
            self._sleep(min(POLL_S, loop_wait_s))
            look = self._last_look()
            looks, seen = looks + (look != seen), look

    def _read_led(self) -> dict[str, Any]:
        """The configuration of a cluster that has a leader: without one nothing takes a change."""
        config = self._client.get("/config")
        if not isinstance(config, dict):
            raise DriverError("Patroni's /config answered no object")
        if not any(member.get("role") in LEADER_ROLES for member in self.members()):
            raise DriverError("the cluster has no leader")
        return config

    def _last_look(self) -> object:
        return self._client.call("GET", "/patroni", accept=(200, 503)).data.get("dcs_last_seen")
