#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Takes a Patroni over without a restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_adopt
short_description: Take a Patroni that was made by hand over without a restart
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - V(prepare), once, on the leader, gives the users that Patroni needs what they lack, and patches the dynamic
    configuration.
  - V(take), on each member, lays a link to the role's directory of files in the place of the file that the running
    process reads, and makes it read them. Its PostgreSQL goes on; what needs a restart waits for one.
  - The file that was there is kept beside it, readable for its owner only.
options:
  step:
    description: Which part.
    type: str
    choices: [prepare, take]
    required: true
  unit:
    description: The unit that runs Patroni.
    type: str
    default: patroni.service
  directory:
    description: The role's own directory of Patroni's files. For V(take).
    type: path
  users:
    description: Patroni's users. For V(prepare).
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      kind: {description: What it is for., type: str, choices: [superuser, replication, rewind], required: true}
      password: {description: Its password., type: str, required: true}
  config:
    description: The dynamic configuration. For V(prepare).
    type: dict
    default: {}
  connection:
    description: How the API is reached once it has the role's files. For V(take).
    type: dict
    default: {}
  wait_s:
    description: Seconds that a change may take.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts the changes.
    support: full
  diff_mode:
    description: RV(actions) says what is done.
    support: none
"""

EXAMPLES = r"""
- name: Let the running Patroni read the role's files
  rsp.platform.patroni_adopt:
    step: take
    directory: /etc/patroni/rsp
    connection: {url: "https://10.0.0.11:8008", ca_path: /etc/patroni/tls/ca.crt}
"""

RETURN = r"""
actions:
  description: What was done, or would be.
  returned: success
  type: list
  elements: str
  sample: ["role rewind: create", "dynamic configuration: postgresql, ttl"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.adoption.database import missing_users
from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live
from ansible_collections.rsp.platform.plugins.module_utils.adoption.reach import open_live, open_psql
from ansible_collections.rsp.platform.plugins.module_utils.adoption.take import put_back, replaced, reread
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.patroni_config import PatroniApi, plan
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def prepare(module: AnsibleModule, live: Live) -> list[str]:
    """Users and dynamic configuration; what was done."""
    params, psql = module.params, open_psql(module, live)
    # Check mode has put none of the passwords in use into the store
    kept = live.secrets()
    wanted = [
        {**user, "password": kept.get(f"postgresql/{user['kind']}", user["password"])} for user in params["users"]
    ]
    users = missing_users(wanted, psql.verifiers())
    api = PatroniApi(JsonClient(live.api()))
    patch = plan(params["config"], api.read(params["wait_s"])).patch
    if not module.check_mode:
        for _what, statements in users:
            psql.execute(f"{statements};")
        if patch:
            api.change(patch)
            api.wait_until_taken(float(params["config"].get("loop_wait", 10)), params["wait_s"])
    return [*(what for what, _sql in users), *([f"dynamic configuration: {', '.join(sorted(patch))}"] if patch else [])]


def take(module: AnsibleModule, live: Live) -> list[str]:
    """The role's files in the place of the one that is read; what was done."""
    params = module.params
    if not replaced(live.path, params["directory"], check=module.check_mode):
        return []
    if not module.check_mode:
        try:
            reread(live.pid, JsonClient(Connection.from_params(params["connection"])), params["wait_s"])
        except DriverError:
            put_back(live.path)
            reread(live.pid)
            raise
    return [f"{live.path}: link to {params['directory']}, and reload"]


def adopt_options() -> dict[str, Any]:
    """Argument spec."""
    user = {
        "name": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": ["superuser", "replication", "rewind"], "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    }
    return {
        "step": {"type": "str", "choices": ["prepare", "take"], "required": True},
        "unit": {"type": "str", "default": "patroni.service"},
        "directory": {"type": "path"},
        "users": {"type": "list", "elements": "dict", "default": [], "options": user},
        "config": {"type": "dict", "default": {}},
        "connection": {"type": "dict", "default": {}},
        "wait_s": {"type": "float", "default": 60},
    }


def main() -> None:
    """Doorway: one of the two steps, one except."""
    required = [("step", "take", ["directory", "connection"]), ("step", "prepare", ["config"])]
    module = AnsibleModule(argument_spec=adopt_options(), required_if=required, supports_check_mode=True)
    try:
        live = open_live(module, module.params["unit"])
        actions = (prepare if module.params["step"] == "prepare" else take)(module, live)
    except (DriverError, UnitError) as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
