# SPDX-License-Identifier: Apache-2.0
"""Questions of a major upgrade to the old and the new server."""

from __future__ import annotations

DATABASES = (
    "SELECT d.*, pg_encoding_to_char(d.encoding) AS encoding_name, pg_database_size(d.oid) AS size FROM pg_database d"
)
AS_JSON = "SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM (?) q"
OUTDATED = """
SELECT x.extname AS name, x.extversion AS version, a.default_version AS offered, n.nspname AS schema,
  EXISTS (SELECT FROM pg_extension_update_paths(x.extname) p
    WHERE p.source = x.extversion AND p.target = a.default_version AND p.path IS NOT NULL) AS path
FROM pg_extension x JOIN pg_available_extensions a ON a.name = x.extname JOIN pg_namespace n ON n.oid = x.extnamespace
WHERE a.default_version <> x.extversion"""
