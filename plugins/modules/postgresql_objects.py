#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Keeps PostgreSQL's roles, databases, schemas, extensions, functions and privileges as data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_objects
short_description: Keep PostgreSQL's roles, databases, schemas, extensions and privileges as data
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - One call for all objects of a cluster, on whichever member is the primary. It reads what is there, plans,
    runs what differs, and looks again. A statement that fails ends the run with the object and the SQLSTATE.
  - Passwords reach the server as SCRAM verifiers, made here; a password that fits is left alone.
  - A role that the data names is owned whole. An entry of O(grants) owns all privileges of its role on its target.
  - Nothing is dropped with C(CASCADE). What is still in use fails the run.
requirements:
  - psycopg2 on the host that runs it
options:
  connection:
    description: How to reach the cluster as a superuser, with a verified certificate.
    type: dict
    required: true
    suboptions:
      hosts: {description: Addresses of the members., type: list, elements: str, required: true}
      port: {description: Port., type: int, default: 5432}
      user: {description: Superuser., type: str, default: postgres}
      password: {description: Its password., type: str, required: true}
      ca_path: {description: PEM file of the CA that signed the members' certificates., type: path, required: true}
  passwords:
    description: Passwords by the names that O(roles[].password_secret) gives.
    type: dict
    default: {}
  roles:
    description: Roles.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      login: {description: May log in., type: bool, default: true}
      superuser: {description: May do everything., type: bool, default: false}
      createdb: {description: May create databases., type: bool, default: false}
      createrole: {description: May create roles., type: bool, default: false}
      inherit: {description: Has the privileges of the roles that it is a member of., type: bool, default: true}
      replication: {description: May replicate., type: bool, default: false}
      bypassrls: {description: Is not bound by row security., type: bool, default: false}
      connection_limit: {description: Most connections; V(-1) is no limit., type: int, default: -1}
      password_secret: {description: Entry of O(passwords). Without one the password is left as it is., type: str}
      member_of: {description: All roles that it is a member of., type: list, elements: str, default: []}
      settings: {description: All settings of its sessions., type: dict, default: {}}
      state: &state {description: Whether it shall be there., type: str, choices: [present, absent], default: present}
  databases:
    description: Databases.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name., type: str, required: true}
      owner: &owner {description: Role that owns it; the superuser by default., type: str}
      connection_limit: {description: Most connections; V(-1) is no limit., type: int, default: -1}
      state: *state
  schemas:
    description: Schemas.
    type: list
    elements: dict
    default: []
    suboptions:
      database: &database {description: Database that it is in., type: str, required: true}
      name: {description: Name., type: str, required: true}
      owner: *owner
      state: *state
  extensions:
    description: Extensions.
    type: list
    elements: dict
    default: []
    suboptions:
      database: *database
      name: {description: Name., type: str, required: true}
      schema: {description: Schema of its objects., type: str}
      version: {description: Version to go to., type: str}
      library:
        description: Library that the server must have loaded when it started. Until then it is left out and reported.
        type: str
      state: *state
  functions:
    description: Functions, for what administration needs; an application brings its own.
    type: list
    elements: dict
    default: []
    suboptions:
      database: *database
      schema: {description: Schema., type: str, required: true}
      name: {description: Name., type: str, required: true}
      arguments: {description: Arguments as PostgreSQL writes them., type: list, elements: str, default: []}
      returns: {description: What it returns., type: str}
      language: {description: Language., type: str, default: sql}
      body: {description: Its body., type: str}
      security_definer: {description: Runs as its owner., type: bool, default: false}
      settings: {description: Settings while it runs., type: dict, default: {}}
      state: *state
  grants:
    description: Privileges.
    type: list
    elements: dict
    default: []
    suboptions:
      database: *database
      kind:
        description: What it is about.
        type: str
        choices: [database, schema, table, sequence, function]
        required: true
      schema: {description: 'Schema of the tables, sequences or functions.', type: str}
      name:
        description: The object, functions with argument types. Without it all that are in O(grants[].schema).
        type: str
      role: &role {description: Role that has them; V(public) is everybody., type: str, required: true}
      privileges: &privileges
        description: All privileges that it has; V(ALL) is every one, none is none.
        type: list
        elements: str
        default: []
      state: &grant_state
        description: V(absent) takes every privilege away.
        type: str
        choices: [present, absent]
        default: present
  default_privileges:
    description: Privileges on what is still to be made.
    type: list
    elements: dict
    default: []
    suboptions:
      database: *database
      kind: {description: What it is about., type: str, choices: [table, sequence, function, type], required: true}
      owner: {description: Role that will make it., type: str, required: true}
      schema: {description: Schema; any by default., type: str}
      role: *role
      privileges: *privileges
      state: *grant_state
  prune:
    description:
      - What to do with roles and databases, and with schemas and extensions of the databases that are looked at, that
        the data does not name. V(report) names them, V(delete) drops them.
    type: str
    choices: [report, delete]
    default: report
  protected:
    description: What O(prune) leaves alone, such as V(role:x), V(database:x), V(schema:database/x).
    type: list
    elements: str
    default: []
  fresh:
    description: There is no cluster yet. In check mode everything is reported as to be made and nothing is contacted.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts the statements and runs none.
    support: full
  diff_mode:
    description: The statements, with passwords masked.
    support: full
"""

EXAMPLES = r"""
- name: A role, its database and what a reader may do
  rsp.platform.postgresql_objects:
    connection:
      hosts: [10.0.0.11, 10.0.1.11, 10.0.2.11]
      password: "{{ lookup('rsp.platform.secret', 'postgresql/superuser') }}"
      ca_path: /etc/patroni/tls/ca.crt
    passwords:
      shop: "{{ lookup('rsp.platform.secret', 'postgresql/shop', generate='password') }}"
    roles:
      - {name: shop, password_secret: shop, settings: {statement_timeout: 5s}}
      - {name: analyst, login: false}
    databases:
      - {name: shop, owner: shop}
    grants:
      - {database: shop, kind: table, schema: public, role: analyst, privileges: [SELECT]}
    default_privileges:
      - {database: shop, kind: table, owner: shop, role: analyst, privileges: [SELECT]}
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, by database.
  returned: success
  type: list
  elements: str
  sample: ['postgres: role shop: create']
unmanaged:
  description: What is there though the data does not name it.
  returned: success
  type: list
  elements: str
  sample: ['role:somebody']
waiting:
  description: What cannot be made before the server was restarted with its library.
  returned: success
  type: list
  elements: str
  sample: ['extension:postgres/pgaudit']
object:
  description: The object whose statement failed.
  returned: when a statement failed
  type: str
sqlstate:
  description: Why, as PostgreSQL's code.
  returned: when a statement failed
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.converge import converge
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import DataError
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.parse import parse
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.session import Session, available
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.spec import object_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=object_options(), supports_check_mode=True)
    params: dict[str, Any] = module.params
    if not available() and not (module.check_mode and params["fresh"]):
        module.fail_json(msg=missing_required_lib("psycopg2"))
    server = Session(params["connection"])
    try:
        outcome = converge(parse(params), server, fresh=params["fresh"], check=module.check_mode)
    except DataError as err:
        module.fail_json(msg=str(err))
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    finally:
        server.close()
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
