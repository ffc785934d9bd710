# SPDX-License-Identifier: Apache-2.0
"""The kinds of faults. A new kind registers here and nowhere else."""

from __future__ import annotations

from ansible_collections.rsp.platform.plugins.module_utils.chaos.kinds import (
    certificate,
    clock,
    disk,
    host,
    network,
    patroni,
    pressure,
    process,
    proxy,
    storage,
)
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *process.KINDS,
        *network.KINDS,
        *pressure.KINDS,
        *disk.KINDS,
        *clock.KINDS,
        *host.KINDS,
        *patroni.KINDS,
        *certificate.KINDS,
        *storage.KINDS,
        *proxy.KINDS,
    )
}

# What nobody can have here, and why: said, never faked.
UNAVAILABLE = {
    "packet_delay": "needs tc netem, which this kernel lacks; latency puts a proxy in the path of one port",
    "lost_unsynced_writes": "needs LazyFS, which needs FUSE mounts on members",
    "file_corruption": "use data_corruption: a page of one replica of PostgreSQL",
    "zone_power_off": "use host_kill with a whole zone as target",
}
