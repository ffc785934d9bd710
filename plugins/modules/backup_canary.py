#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Numbered, signed tokens in every store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_canary
short_description: Write a numbered and signed token into a store, or read all of them back
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - A token goes through the endpoint that clients use, and into the client's O(ledger) once the store has acknowledged
    it. M(rsp.platform.restore_drill) holds a restored copy against that ledger.
  - Tokens are numbered without a gap, each signed together with the one before it. A backup host must not have the key.
  - Role C(backup) has one written every few seconds by a timer of systemd, see C(docs/backup-proofs.md).
options:
  state:
    description: V(written) writes one more token. V(read) reads all and fails when they are not a chain without a gap.
    type: str
    choices: [written, read]
    default: written
  store:
    description: Name of the store, such as V(postgresql/rsp-local-postgresql).
    type: str
    required: true
  kind:
    description: What the store is.
    type: str
    choices: [consul, postgresql]
    required: true
  key:
    description: Key that signs, 16 bytes or more.
    type: str
    required: true
  ledger:
    description: File of the tokens that were acknowledged. Needed with O(state=written).
    type: path
  conninfo:
    description: libpq's string of the endpoint without a password. Needed with O(kind=postgresql).
    type: str
  password_file:
    description: libpq's password file. Needed with O(kind=postgresql).
    type: path
  urls:
    description: V(https://host:port) of Consul's servers; the first that answers is asked. Needed with O(kind=consul).
    type: list
    elements: str
  ca_path:
    description: PEM file of the CA that signed Consul's certificate.
    type: path
  token_file:
    description: File with a token of Consul that may write V(rsp/canary/). Needed with O(kind=consul).
    type: path
attributes:
  check_mode:
    description: Predicts the number and writes nothing.
    support: full
  diff_mode:
    description: The last number before and after.
    support: full
"""

EXAMPLES = r"""
- name: Write a token
  rsp.platform.backup_canary:
    store: postgresql/rsp-local-postgresql
    kind: postgresql
    key: "{{ lookup('rsp.platform.secret', 'backup/canary', generate='password') }}"
    ledger: /var/lib/rsp/canary/postgresql.jsonl
    conninfo: host=10.0.0.5 port=5000 dbname=smoke user=smoke sslmode=verify-full sslrootcert=/etc/rsp/ca.crt
    password_file: /etc/rsp/canary.pgpass
"""

RETURN = r"""
seq: {description: Number of the newest token., returned: success, type: int}
at: {description: When it was made in seconds since the epoch., returned: success, type: float}
tokens: {description: How many tokens are there., returned: with O(state=read), type: int}
problems: {description: What is wrong with them., returned: with O(state=read), type: list, elements: str}
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup.canary import (
    CanaryError,
    following,
    problems,
    read_ledger,
    write,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.canary_stores import Store, open_store

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["written", "read"], "default": "written"},
    "store": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["consul", "postgresql"], "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "ledger": {"type": "path"},
    "conninfo": {"type": "str"},
    "password_file": {"type": "path", "no_log": False},
    "urls": {"type": "list", "elements": "str"},
    "ca_path": {"type": "path"},
    "token_file": {"type": "path", "no_log": False},
}


def written(store: Store, key: bytes, ledger: Path, check: bool) -> dict[str, Any]:
    """One more token; keys of the result."""
    last = store.last()
    token = following(key, store.name, last, time.time()) if check else write(store, key, ledger, time.time())
    diff = {"before": {"seq": last.seq if last else 0}, "after": {"seq": token.seq}}
    return {"changed": True, "seq": token.seq, "at": token.at, "diff": diff}


def read(store: Store, params: Mapping[str, Any]) -> dict[str, Any]:
    """All tokens, against the ledger where one is given; keys of the result."""
    tokens = store.tokens()
    wrong = problems(tokens, params["key"].encode(), store.name) if tokens else ["there is no token"]
    if params["ledger"]:
        there = {token.seq: token.mac for token in tokens}
        first = min(there, default=0)
        lost = [t.seq for t in read_ledger(Path(params["ledger"])) if t.seq >= first and there.get(t.seq) != t.mac]
        wrong += [f"{len(lost)} acknowledged tokens are lost, the first is {lost[0]}"] if lost else []
    last = max(tokens, key=lambda t: t.seq, default=None)
    place = {"seq": last.seq if last else 0, "at": last.at if last else 0.0}
    return {"changed": False, "tokens": len(tokens), "problems": wrong, **place}


def main() -> None:
    """Doorway: options to a store."""
    needs = [("kind", "postgresql", ["conninfo", "password_file"]), ("kind", "consul", ["urls", "token_file"])]
    needs.append(("state", "written", ["ledger"]))
    module = AnsibleModule(argument_spec=OPTIONS, required_if=needs, supports_check_mode=True)
    params = module.params
    try:
        store = open_store({name: value for name, value in params.items() if value is not None})
        if params["state"] == "read":
            result = read(store, params)
        else:
            result = written(store, params["key"].encode(), Path(params["ledger"]), module.check_mode)
    except (CanaryError, OSError) as err:
        module.fail_json(msg=f"{params['store']}: {err}")
    if result.get("problems"):
        module.fail_json(msg=f"{params['store']}: {'; '.join(result['problems'])}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
