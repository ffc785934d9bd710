#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A restore of PostgreSQL on one host, up to a target."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_restore
short_description: Restore PostgreSQL from a repository up to a point, on one host
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Data that are there go aside under the same name with C(.damaged). Recovery runs without clients and without peers.
  - A target that is not reached, or a backup that does not lead there, is a failure; so is too little space.
  - Patroni must be stopped on every member. Run it as the user that owns the data.
options:
  state:
    description:
      - V(planned) only says from where the restore would begin, how much it is and about how long it takes.
      - V(restored) restores and recovers. The server is stopped afterwards unless O(keep_running).
      - V(returned) undoes, and brings the data back that are aside.
    type: str
    choices: [planned, restored, returned]
    required: true
  stanza: {description: Name of the stanza., type: str, required: true}
  data_dir: {description: Where the data go., type: path, required: true}
  bin_dir: {description: Directory of PostgreSQL's programs., type: path, required: true}
  socket_dir:
    description: A private directory for the socket while it recovers. It is made when it is missing.
    type: path
    required: true
  port: {description: 'Port, which names the socket.', type: int, default: 5432}
  repository: {description: Number of the repository; the first that leads there unless set., type: int}
  label: {description: The backup to begin with; the newest that leads there unless set., type: str}
  time: {description: 'End at this time, as ISO 8601 with a zone.', type: str}
  lsn: {description: End at this LSN., type: str}
  xid: {description: End at this transaction., type: str}
  name: {description: End at this restore point., type: str}
  immediate: {description: End as soon as the backup is consistent., type: bool, default: false}
  exclusive: {description: Stop just before the target., type: bool, default: false}
  timeline: {description: Timeline to follow; the latest unless set., type: str}
  databases: {description: Only these databases get their data., type: list, elements: str, default: []}
  archive: {description: Whether the restored server archives WAL., type: bool, default: true}
  fresh: {description: Refuse where data are; nothing goes aside., type: bool, default: false}
  keep_running: {description: Leave the recovered server running., type: bool, default: false}
  wait_s: {description: Seconds that recovery may take., type: float, default: 3600}
attributes:
  check_mode:
    description: As with O(state=planned).
    support: full
  diff_mode:
    description: RV(plan) says what is done.
    support: none
"""

EXAMPLES = r"""
- name: Restore | Back to just before the mistake
  rsp.platform.pgbackrest_restore:
    state: restored
    stanza: rsp-postgresql
    data_dir: /var/lib/postgresql/17/rsp
    bin_dir: /usr/lib/postgresql/17/bin
    socket_dir: /var/lib/pgbackrest/restore
    time: "2026-11-25T09:30:00Z"
  become: true
  become_user: postgres
"""

RETURN = r"""
plan:
  description: Repository, backup, megabytes, seconds.
  returned: with O(state=planned) and O(state=restored)
  type: dict
reached:
  description: Where recovery ended, in PostgreSQL's own words, and how long it took.
  returned: with O(state=restored)
  type: dict
system_id:
  description: Identifier of the restored cluster.
  returned: with O(state=restored)
  type: str
aside:
  description: Where the data are that were there; empty when there were none.
  returned: with O(state=restored)
  type: str
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.host import free_mb
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.commands import Pgbackrest
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.restore import Places, Restore
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.target import plan, target_from
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def options() -> dict[str, Any]:
    """Argument spec."""
    return {
        "state": {"type": "str", "choices": ["planned", "restored", "returned"], "required": True},
        "stanza": {"type": "str", "required": True},
        **{name: {"type": "path", "required": True} for name in ("data_dir", "bin_dir", "socket_dir")},
        "port": {"type": "int", "default": 5432},
        "repository": {"type": "int"},
        **{name: {"type": "str"} for name in ("label", "time", "lsn", "xid", "name", "timeline")},
        **{name: {"type": "bool", "default": False} for name in ("immediate", "exclusive", "fresh", "keep_running")},
        "databases": {"type": "list", "elements": "str", "default": []},
        "archive": {"type": "bool", "default": True},
        "wait_s": {"type": "float", "default": 3600},
    }


def carry_out(params: Mapping[str, Any], restore: Restore, check: bool) -> dict[str, Any]:
    """Keys of the result. Raises DriverError."""
    if params["state"] == "returned":
        there = restore.places.aside.exists()
        return {"changed": there if check else restore.put_back()}
    target = target_from(params)
    info = Pgbackrest(restore.run, restore.stanza).info()
    found = plan(info, target, params["repository"], time.time(), free_mb(str(restore.places.data)))
    result: dict[str, Any] = {"changed": params["state"] == "restored", "plan": found.as_dict()}
    if params["fresh"]:
        restore.refuse_data()
    if check or params["state"] == "planned":
        return result
    restore.refuse_leftovers()
    restore.places.socket_dir.mkdir(mode=0o700, exist_ok=True)
    result["aside"] = str(restore.places.aside) if restore.take_aside() else ""
    seconds = restore.fetch(found, target)
    result["reached"] = {**restore.recover(params["wait_s"]), "fetch_seconds": seconds}
    result["system_id"] = restore.system_id()
    if not params["keep_running"]:
        restore.stop()
    return result


def main() -> None:
    """Doorway: options to one restore."""
    exclusive = [("time", "lsn", "xid", "name")]
    module = AnsibleModule(argument_spec=options(), mutually_exclusive=exclusive, supports_check_mode=True)
    params = module.params

    data, programs, sockets = (Path(params[name]) for name in ("data_dir", "bin_dir", "socket_dir"))
    places = Places(data, programs, sockets, params["port"])
    restore = Restore(runner(module, cwd="/"), params["stanza"], places, params["databases"], params["archive"])
    try:
        result = carry_out(params, restore, module.check_mode)
    except (DriverError, OSError) as err:
        module.fail_json(msg=str(err), **getattr(err, "result", {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
