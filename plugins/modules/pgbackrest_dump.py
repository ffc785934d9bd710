#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Dumps of single databases of a restored copy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_dump
short_description: Dump single databases of a restored copy of PostgreSQL
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - One file a database in C(pg_dump)'s own format, for C(pg_restore). Files that are there are never overwritten.
options:
  bin_dir: {description: Directory of PostgreSQL's programs., type: path, required: true}
  socket_dir: {description: Directory of the copy's socket., type: path, required: true}
  port: {description: Port of the copy., type: int, required: true}
  databases: {description: The databases., type: list, elements: str, required: true}
  directory: {description: Where the files go; it is made when it is missing., type: path, required: true}
attributes:
  check_mode:
    description: Predicts; whether the databases are there is not asked.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Side | Dump the shop
  rsp.platform.pgbackrest_dump:
    bin_dir: /usr/lib/postgresql/17/bin
    socket_dir: /var/lib/pgbackrest/before_sale
    port: 15432
    databases: [shop]
    directory: /var/lib/postgresql/17/before_sale.dump
  become: true
  become_user: postgres
"""

RETURN = r"""
files:
  description: The dumps.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.command import runner
from ansible_collections.rsp.platform.plugins.module_utils.pgbackrest.dump import Source, dump
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: databases to files."""
    spec = {
        **{name: {"type": "path", "required": True} for name in ("bin_dir", "socket_dir", "directory")},
        "port": {"type": "int", "required": True},
        "databases": {"type": "list", "elements": "str", "required": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params

    source = Source(runner(module, cwd="/"), Path(params["bin_dir"]), Path(params["socket_dir"]), params["port"])
    try:
        files = dump(source, params["databases"], Path(params["directory"]), module.check_mode)
    except (DriverError, OSError) as err:
        module.fail_json(msg=str(err))
    module.exit_json(changed=bool(files), files=files)


if __name__ == "__main__":
    main()
