#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Looks at a Patroni that was made by hand."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_adopt_info
short_description: See what a Patroni that was made by hand is, and what it runs
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Reads the configuration of the running process, asks its API and its PostgreSQL, and changes nothing.
  - Passwords are used to ask and are never returned; RV(secrets) says where they are.
options:
  unit:
    description: The unit that runs Patroni.
    type: str
    default: patroni.service
  directory:
    description: The role's own directory of Patroni's files; a Patroni that reads it is taken over already.
    type: path
    required: true
  parameters:
    description: Settings that the inventory wants on this member; those that differ are returned.
    type: dict
    default: {}
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: What runs here?
  rsp.platform.patroni_adopt_info:
    directory: /etc/patroni/rsp
    parameters: {max_connections: 200}
  register: found
"""

RETURN = r"""
identity:
  description: Name, scope, namespace, store, its user, data directory, ports, users, owner, version and system.
  returned: success
  type: dict
process:
  description: Process, file that it was started with, and names of variables of its environment that win over it.
  returned: success
  type: dict
taken:
  description: Whether it reads the role's files already.
  returned: success
  type: bool
directory:
  description: Whether Patroni reads a directory of files.
  returned: success
  type: bool
members:
  description: The cluster's members as Patroni's C(/cluster) names them.
  returned: success
  type: list
  elements: dict
config:
  description: The dynamic configuration.
  returned: success
  type: dict
local:
  description: Settings that this member's own file adds.
  returned: success
  type: dict
own_keys:
  description: Dotted names of what only a file that was made by hand has, and the role has no setting for.
  returned: success
  type: list
  elements: str
settings:
  description: What differs of O(parameters), with C(name), C(live), C(wanted) and what the change C(needs).
  returned: success
  type: list
  elements: dict
database:
  description: Roles with the kind of their passwords, databases, and lines of C(pg_hba.conf) and C(pg_ident.conf).
  returned: success
  type: dict
secrets:
  description: Secrets of the store by name, and where on this host each of them is.
  returned: success
  type: dict
connection:
  description: How its API is reached, for O(rsp.platform.service_gate#module:connection).
  returned: success
  type: dict
"""

import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.adoption.database import Psql
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live
from ansible_collections.rsp.platform.plugins.module_utils.adoption.reach import open_live, open_psql
from ansible_collections.rsp.platform.plugins.module_utils.adoption.settings import differing
from ansible_collections.rsp.platform.plugins.module_utils.http_client import JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError

ANSWERS = (200, 503)
KINDS = ("superuser", "replication", "rewind")


def owner_of(uid: int) -> str:
    """Name of a user of the operating system; the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def look(live: Live, psql: Psql, params: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the module's result."""
    connection = live.api()
    client = JsonClient(connection)
    try:
        status = client.call("GET", "/patroni", accept=ANSWERS).data
        members, config = client.get("/cluster")["members"], client.get("/config")
    finally:
        client.close()
    database = psql.ask()
    sockets = next(row["setting"] for row in database["settings"] if row["name"] == "unix_socket_directories")
    users = {kind: live.get(f"postgresql.authentication.{kind}.username") for kind in KINDS}
    return {
        "identity": {
            "name": live.get("name"),
            "scope": live.get("scope"),
            "namespace": f"/{str(live.get('namespace', '/service/')).strip('/')}/",
            "store": live.store,
            "store_user": live.get("etcd3.username"),
            "data_dir": str(live.get("postgresql.data_dir", "")).rstrip("/"),
            "port": live.server()[1],
            "restapi_port": int(connection.url.rsplit(":", 1)[1]),
            "sockets": [path.strip() for path in sockets.split(",")],
            "users": users,
            "owner": owner_of(live.uid),
            "version": str(int(status["server_version"]) // 10000),
            "system": str(status.get("database_system_identifier")),
        },
        "process": {"pid": live.pid, "path": live.path, "environment": list(live.environment)},
        "directory": Path(live.path).is_dir(),
        "taken": Path(live.path).resolve() == Path(params["directory"]).resolve(),
        "members": members,
        "config": config,
        "local": dict(live.get("postgresql.parameters") or {}),
        "own_keys": live.own_keys(),
        "settings": differing(database.pop("settings"), params["parameters"]),
        "database": database,
        "secrets": live.places(),
        "connection": {
            key: getattr(connection, key)
            for key in ("url", "ca_path", "cert_path", "key_path")
            if getattr(connection, key)
        },
    }


def main() -> None:
    """Doorway: the running Patroni to a result, one except."""
    options = {
        "unit": {"type": "str", "default": "patroni.service"},
        "directory": {"type": "path", "required": True},
        "parameters": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        live = open_live(module, module.params["unit"])
        result = look(live, open_psql(module, live), module.params)
    except (DriverError, UnitError) as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
