#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Sets passwords of roles on the primary, over its own socket."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_passwords
short_description: Set passwords of PostgreSQL's roles over the primary's socket
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - For passwords with which the collection itself logs in. The socket needs none, so that a change can't lock out.
  - What the server gets is a SCRAM verifier; a password that is the same already is left alone.
  - Run it on the primary as the system user of the superuser.
options:
  socket_dir:
    description: Directory of PostgreSQL's socket.
    type: path
    default: /var/run/postgresql
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  user:
    description: Superuser that the system user logs in as.
    type: str
    default: postgres
  passwords:
    description: Passwords by the names of roles, which have to be there.
    type: dict
    required: true
attributes:
  check_mode:
    description: Says which roles would get another password.
    support: full
  diff_mode:
    description: Passwords are never shown.
    support: none
"""

EXAMPLES = r"""
- name: Give replication its next password
  rsp.platform.postgresql_passwords:
    passwords:
      replicator: "{{ lookup('rsp.platform.secret', 'postgresql/replication.next') }}"
  become: true
  become_user: postgres
"""

RETURN = r"""
roles:
  description: Roles whose password is another one now.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.rsp.platform.plugins.module_utils.postgresql import scram
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import Ident, Literal, Statement
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.session import Session, available
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

VERIFIERS = "SELECT rolname, rolpassword FROM pg_catalog.pg_authid"


def statements(passwords: Mapping[str, str], kept: Mapping[str, str | None]) -> dict[str, Statement]:
    """What gives each role its password, where it has another one. A role that is not there raises DriverError."""
    if strangers := sorted(passwords.keys() - kept.keys()):
        raise DriverError(f"there is no role {', '.join(strangers)}")
    return {
        role: Statement(
            f"role {role}: set password",
            "ALTER ROLE {} PASSWORD {}",
            (Ident(role), Literal(scram.verifier(password), secret=True)),
        )
        for role, password in passwords.items()
        if not scram.matches(password, kept[role])
    }


def main() -> None:
    """Doorway: passwords to roles."""
    options = {
        "socket_dir": {"type": "path", "default": "/var/run/postgresql"},
        "port": {"type": "int", "default": 5432},
        "user": {"type": "str", "default": "postgres"},
        "passwords": {"type": "dict", "required": True, "no_log": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params
    if not available():
        module.fail_json(msg=missing_required_lib("psycopg2"))
    session = Session(
        {
            "hosts": [params["socket_dir"]],
            "port": params["port"],
            "user": params["user"],
            "password": None,
            "ca_path": None,
        }
    )
    try:
        kept = {str(name): verifier for name, verifier in session.query("postgres", VERIFIERS)}
        todo = statements(params["passwords"], kept)
        for statement in () if module.check_mode else todo.values():
            session.execute(statement)
    except (DriverError, ValueError) as err:
        module.fail_json(msg=str(err))
    finally:
        session.close()
    module.exit_json(changed=bool(todo), roles=sorted(todo))


if __name__ == "__main__":
    main()
