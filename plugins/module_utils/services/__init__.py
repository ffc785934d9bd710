# SPDX-License-Identifier: Apache-2.0
"""The drivers by service. A new service registers here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.services.base import Driver, KnownMember, known_members
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import ConsulDriver
from ansible_collections.rsp.platform.plugins.module_utils.services.etcd import EtcdDriver
from ansible_collections.rsp.platform.plugins.module_utils.services.postgresql import PostgresqlDriver
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# service → constructor of its driver: (connection, members of the inventory, name of the cluster)
DRIVERS: dict[str, Callable[[Connection, tuple[KnownMember, ...], str], Driver]] = {
    "consul": ConsulDriver.connect,
    "etcd": EtcdDriver.connect,
    "postgresql": PostgresqlDriver.connect,
}


def open_driver(service: str, params: Mapping[str, Any]) -> Driver:
    """The driver of a service from the options of a module (see base.service_options). Nothing is contacted yet."""
    if service not in DRIVERS:
        raise DriverError(f"no driver for service {service!r}; there are {', '.join(sorted(DRIVERS))}")
    connection = Connection.from_params(params["connection"])
    return DRIVERS[service](connection, known_members(params.get("members") or []), params.get("cluster") or service)
