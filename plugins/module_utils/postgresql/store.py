# SPDX-License-Identifier: Apache-2.0
"""Patroni's store after a restore: what it remembers of the data before must go, its configuration must stay."""

from __future__ import annotations

# Patroni's own library, with its own configuration and credentials. While nobody leads and nobody runs, nothing else
# writes there. Positions, the synchronous standby and the history are of the time before: with them the restored member
# would count as lagging, and never lead.
RESET = """
import json, sys
from patroni.config import Config
from patroni.dcs import get_dcs
directory, system_id, check = sys.argv[1:]
config = Config(directory, None).copy()
config.update(patronictl=True)
dcs = get_dcs(config)
cluster = dcs.get_cluster()
if not cluster.is_unlocked():
    sys.exit("%s leads: stop Patroni everywhere first" % cluster.leader.name)
if check == "check":
    sys.exit(0)
kept = cluster.config.data if cluster.config else None
dcs.delete_cluster()
if kept and not dcs.set_config_value(json.dumps(kept, separators=(",", ":"))):
    sys.exit("the store did not take the configuration back; it was: " + json.dumps(kept))
sys.exit(0 if dcs.initialize(create_new=False, sysid=system_id) else "the store did not take the identifier")
"""


def reset_argv(patroni_dir: str, system_id: str, check: bool = False) -> list[str]:
    """Make the store remember the restored cluster and nothing of the one before. It may run twice."""
    return ["/usr/bin/python3", "-c", RESET, patroni_dir, system_id, "check" if check else "reset"]
