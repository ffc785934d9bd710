# SPDX-License-Identifier: Apache-2.0
"""What a database that was made by hand is asked, and the users that Patroni needs in it. Talks through psql."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.adoption.live import Live
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.scram import matches, verifier
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# argv, standard input, environment → return code, stdout, stderr
Run = Callable[[Sequence[str], str, Mapping[str, str]], tuple[int, str, str]]

# The server's log must keep neither these statements nor the verifiers in them.
QUIET = "SET log_min_error_statement = panic; SET log_statement = 'none'; SET log_min_duration_statement = -1;"
ASKED = """
SELECT json_build_object(
  'settings', (SELECT json_agg(json_build_object('name', name, 'setting', setting, 'unit', unit, 'vartype', vartype,
                 'context', context, 'shown', current_setting(name))) FROM pg_settings),
  'roles', (SELECT json_object_agg(rolname, CASE WHEN rolpassword LIKE 'md5%' THEN 'md5'
              WHEN rolpassword IS NOT NULL THEN 'scram' END) FROM pg_authid WHERE rolname !~ '^pg_'),
  'databases', (SELECT json_agg(datname) FROM pg_database WHERE NOT datistemplate),
  'hba', pg_read_file(current_setting('hba_file')),
  'ident', pg_read_file(current_setting('ident_file')))"""
KINDS = {"superuser": "SUPERUSER", "replication": "REPLICATION", "rewind": ""}
# What pg_rewind calls on the primary
REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


class Psql:
    """psql as the user of the operating system that Patroni runs as, with Patroni's own superuser."""

    def __init__(self, live: Live, run: Run) -> None:
        """Nothing is opened."""
        self._live, self._run = live, run

    def ask(self) -> dict[str, Any]:
        """Settings, roles, databases and access rules at this moment. Raises DriverError."""
        found: dict[str, Any] = json.loads(self.execute(f"{ASKED};"))
        return {**found, "hba": rules(found["hba"]), "ident": rules(found["ident"])}

    def verifiers(self) -> dict[str, str | None]:
        """What the server keeps of each role's password."""
        found: dict[str, str | None] = json.loads(
            self.execute("SELECT json_object_agg(rolname, rolpassword) FROM pg_authid;")
        )
        return found

    def execute(self, text: str) -> str:
        """Output of statements. Raises DriverError with psql's words."""
        host, port = self._live.server()
        user = str(self._live.get("postgresql.authentication.superuser.username") or "postgres")
        identity = [f"--reuid={self._live.uid}", f"--regid={self._live.gid}", "--clear-groups"]
        argv = ["setpriv", *identity, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", str(port)]
        environment = {"PGPASSWORD": self._live.secrets().get("postgresql/superuser", ""), "PGCONNECT_TIMEOUT": "5"}
        code, out, err = self._run([*argv, "-U", user, "-d", "postgres"], f"{QUIET}\n{text}\n", environment)
        if code != 0:
            raise DriverError(f"PostgreSQL at {host}:{port} as {user}: {err.strip()}")
        return out.strip()


def rules(text: str) -> list[str]:
    """Lines of pg_hba.conf or pg_ident.conf, with one blank between words."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def missing_users(users: Iterable[Mapping[str, str]], kept: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """What Patroni's users lack: a sentence and the statements. A password that fits is left alone.

    Args:
        users: name, kind (superuser, replication or rewind) and password of each.
        kept: role → verifier of its password.
    """
    todo = []
    for user in users:
        name, sql = _identifier(user["name"]), []
        if user["name"] not in kept:
            sql.append(f"CREATE ROLE {name} LOGIN {KINDS[user['kind']]}")
            if user["kind"] == "rewind":
                sql += [f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {name}" for function in REWIND]
            todo.append((f"role {user['name']}: create", ";\n".join(sql)))
        if not matches(user["password"], kept.get(user["name"])):
            new = verifier(user["password"])
            todo.append((f"role {user['name']}: password as SCRAM", f"ALTER ROLE {name} PASSWORD '{new}'"))
    return todo


def _identifier(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
