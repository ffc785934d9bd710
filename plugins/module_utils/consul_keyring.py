# SPDX-License-Identifier: Apache-2.0
"""The keys that Consul encrypts its gossip with: several at a time, one of which is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

PATH = "/v1/operator/keyring"
VERBS = {"install": "POST", "use": "PUT", "remove": "DELETE"}


@dataclass(frozen=True, slots=True)
class Pool:
    """One gossip pool: how many of its members have each key, and use it."""

    name: str
    members: int
    having: Mapping[str, int]
    using: Mapping[str, int]


def parse_pools(answer: Any) -> list[Pool]:
    """The answer of the API. A member that did not answer raises DriverError: its keys are unknown."""
    pools = []
    for entry in answer or ():
        name = f"{'WAN' if entry['WAN'] else 'LAN'} of {entry['Datacenter']}"
        if silent := entry.get("Messages"):
            raise DriverError(f"gossip pool {name}: {', '.join(sorted(silent))} did not answer")
        pools.append(Pool(name, entry["NumNodes"], entry.get("Keys") or {}, entry.get("PrimaryKeys") or {}))
    if not pools:
        raise DriverError("Consul knows no gossip pool: is its gossip encrypted?")
    return pools


def steps(pools: list[Pool], key: str, only: bool) -> list[tuple[str, str]]:
    """What is left to do, as (verb, key). A key is removed when no member uses it, and used when all have it."""
    todo = []
    if any(pool.having.get(key, 0) < pool.members for pool in pools):
        todo.append(("install", key))
    if any(pool.using.get(key, 0) < pool.members for pool in pools):
        todo.append(("use", key))
    if only:
        todo += [("remove", other) for other in sorted({other for pool in pools for other in pool.having} - {key})]
    return todo


def converge(client: JsonClient, key: str, *, only: bool, check: bool) -> list[str]:
    """Have every member use `key`, and with `only` know no other. Returns the verbs of what was done."""
    done: list[str] = []
    while todo := steps(parse_pools(client.get(PATH)), key, only):
        if check:
            return [verb for verb, _key in todo]
        verb, which = todo[0]
        if len(done) > len(VERBS) + len(todo):
            raise DriverError(f"the keyring does not take {verb}: some member does not keep it")
        client.call(VERBS[verb], PATH, json={"Key": which})
        done.append(verb)
    return done
