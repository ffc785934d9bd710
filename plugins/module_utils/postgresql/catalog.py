# SPDX-License-Identifier: Apache-2.0
"""What a cluster has, read from PostgreSQL's catalogs. Queries and the pure turning of rows into `Actual`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.postgresql.model import (
    Actual,
    Database,
    DefaultTarget,
    Extension,
    Function,
    Inside,
    Role,
    Target,
)

Row = Sequence[Any]
# Rows of a query in a database.
Query = Callable[[str, str], Iterable[Row]]

ROLES = """
SELECT r.rolname, pg_catalog.array_remove(ARRAY[
         CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
         CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
         CASE WHEN r.rolinherit THEN 'INHERIT' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
         CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
       r.rolconnlimit, r.rolpassword,
       ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_authid g ON g.oid = m.roleid
             WHERE m.member = r.oid),
       (SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0)
FROM pg_catalog.pg_authid r"""
LIBRARIES = "SELECT pg_catalog.current_setting('shared_preload_libraries')"
DATABASES = "SELECT datname, pg_catalog.pg_get_userbyid(datdba), datconnlimit FROM pg_catalog.pg_database"
SCHEMAS = """
SELECT nspname, pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'"""
EXTENSIONS = """
SELECT e.extname, n.nspname, e.extversion
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"""
# What belongs to an extension is the extension's
FUNCTIONS = """
SELECT n.nspname, p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
       pg_catalog.pg_get_function_result(p.oid), l.lanname, p.prosrc, p.prosecdef, p.proconfig
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.prokind = 'f' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e'
                  AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)"""
PRIVILEGES = """
SELECT o.kind, o.schema, o.name, CASE a.grantee WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
       pg_catalog.array_agg(DISTINCT a.privilege_type)
FROM (
  SELECT 'database' AS kind, '' AS schema, datname::text AS name,
         coalesce(datacl, pg_catalog.acldefault('d', datdba)) AS acl
  FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
  UNION ALL
  SELECT 'schema', '', nspname, coalesce(nspacl, pg_catalog.acldefault('n', nspowner))
  FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname,
         coalesce(c.relacl,
                  pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'function', n.nspname, p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
         coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prokind = 'f' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
) o CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
GROUP BY 1, 2, 3, 4"""
DEFAULTS = """
SELECT CASE d.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'function' ELSE 'type' END,
       pg_catalog.pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''),
       CASE a.grantee WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
       pg_catalog.array_agg(DISTINCT a.privilege_type)
FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a
WHERE d.defaclobjtype IN ('r', 'S', 'f', 'T')
GROUP BY 1, 2, 3, 4"""


def read(query: Query, databases: Collection[str]) -> Actual:
    """The cluster's roles and databases, and what is in those of `databases` that are there."""
    there = {row[0]: Database(*row) for row in query("postgres", DATABASES)}
    return Actual(
        roles={row[0]: _role(row) for row in query("postgres", ROLES)},
        databases=there,
        inside={name: _inside(query, name) for name in sorted(databases) if name in there},
        libraries=frozenset(word.strip() for (text,) in query("postgres", LIBRARIES) for word in text.split(",")),
    )


def _role(row: Row) -> Role:
    name, flags, limit, verifier, member_of, settings = row
    return Role(name, frozenset(flags), limit, frozenset(member_of), _settings(settings), verifier)


def _inside(query: Query, database: str) -> Inside:
    privileges: dict[Target, dict[str, frozenset[str]]] = defaultdict(dict)
    for kind, schema, name, role, names in query(database, PRIVILEGES):
        privileges[Target(kind, name, schema)][role] = frozenset(names)
    defaults: dict[DefaultTarget, dict[str, frozenset[str]]] = defaultdict(dict)
    for kind, owner, schema, role, names in query(database, DEFAULTS):
        defaults[DefaultTarget(kind, owner, schema)][role] = frozenset(names)
    functions = [_function(row) for row in query(database, FUNCTIONS)]
    return Inside(
        schemas={row[0]: row[1] for row in query(database, SCHEMAS)},
        extensions={row[0]: Extension(*row) for row in query(database, EXTENSIONS)},
        functions={(function.schema, function.signature): function for function in functions},
        privileges=dict(privileges),
        defaults=dict(defaults),
    )


def _function(row: Row) -> Function:
    schema, signature, returns, language, body, security_definer, settings = row
    return Function(schema, signature, returns, language, body, security_definer, _settings(settings))


def _settings(entries: Iterable[str] | None) -> dict[str, str]:
    """`name=value` as pg_db_role_setting and pg_proc keep them."""
    return dict(entry.split("=", 1) for entry in entries or ())
