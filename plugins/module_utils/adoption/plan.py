# SPDX-License-Identifier: Apache-2.0
"""What taking over a Patroni cluster means: what the inventory must follow, what is kept, what changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Found = Mapping[str, Mapping[str, Any]]
LEADERS = ("leader", "standby_leader")
# Variable of the role → what of the running cluster it must be equal to
FOLLOWS = {
    "postgresql_cluster_name": "scope",
    "postgresql_version": "version",
    "postgresql_namespace": "namespace",
    "postgresql_dcs": "store",
    "postgresql_data_dir": "data_dir",
    "postgresql_port": "port",
    "postgresql_restapi_port": "restapi_port",
}
USERS = {"postgresql_replication_user": "replication", "postgresql_rewind_user": "rewind"}
# The role's files are readable for this user of the operating system
OWNER = "postgres"
# Set by Patroni itself, or by each member's own file
PATRONIS = ("listen_addresses", "port", "cluster_name", "unix_socket_directories", "hot_standby", "wal_log_hints")


def adoption(found: Found, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of a take-over.

    Args:
        found: by inventory name, what rsp.platform.patroni_adopt_info returned.
        wanted: what the inventory says: variables, members, superuser, socket_dir, config, roles, databases, passwords
            (role → the secret of it that the store lacks).

    Returns:
        refusals (empty when the take-over may go on), inventory (variables that must be written), lost (variables that
        keep what goes away otherwise), settings, objects, notes, secrets, leader, cluster, members, order and left (who
        is still to be taken).
    """
    leader = next((m["name"] for info in found.values() for m in info["members"] if m["role"] in LEADERS), None)
    follow = must_follow(found, wanted)
    asked = found.get(leader or "") or next(iter(found.values()))
    return {
        "refusals": [*_unlike(follow), *strangers(found, wanted), *unfit(found, wanted)],
        "inventory": {name: live for name, (_wanted, live) in follow.items()},
        "lost": lost(found, wanted),
        "settings": _by_need({name: info["settings"] for name, info in found.items()}),
        "top_level": _top_level(asked["config"], wanted["config"]),
        "objects": _objects(asked["database"], wanted),
        "notes": list(_notes(found, asked, wanted["config"]["postgresql"])),
        "secrets": asked["secrets"],
        "leader": leader,
        "cluster": {key: value for key, value in asked["identity"].items() if key != "name"},
        "members": [f"{m['name']}: {m['role']} at {m.get('host')}, {m.get('state')}" for m in asked["members"]],
        "order": sorted(found, key=lambda name: (name != leader, name)),
        "left": [name for name, info in sorted(found.items()) if not info["taken"]],
    }


def must_follow(found: Found, wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Variables that differ from what runs: variable → (wanted, live)."""
    identity = next(iter(found.values()))["identity"]
    variables = wanted["variables"]
    pairs = {name: (variables[name], identity[key]) for name, key in FOLLOWS.items()}
    live = {name: identity["users"][kind] for name, kind in USERS.items()}
    pairs |= {name: (variables[name], user) for name, user in live.items() if user}
    if identity["store"] == "etcd":
        pairs["postgresql_etcd_user"] = (variables["postgresql_etcd_user"], identity["store_user"])
    return {name: pair for name, pair in pairs.items() if str(pair[0]).rstrip("/") != str(pair[1]).rstrip("/")}


def _unlike(follow: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    for name, (here, live) in follow.items():
        yield f"{name} is {here}, the running cluster has {live} → {name}: {live}"


def strangers(found: Found, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Members that only one side knows, or knows at another address."""
    addresses = {member["name"]: member["address"] for member in wanted["members"]}
    live = {member["name"]: member for info in found.values() for member in info["members"]}
    for name in sorted(live.keys() - addresses.keys()):
        where = live[name].get("host")
        yield f"{name} ({where}) is a member of the running cluster and no host of the inventory → add it, by that name"
    for name in sorted(addresses.keys() - live.keys()):
        yield f"{name} is a member in the inventory and not in the running cluster → take it out; scale adds it later"
    for name in sorted(live.keys() & addresses.keys()):
        if live[name].get("host") != addresses[name]:
            yield f"{name} is at {live[name].get('host')}, the inventory says {addresses[name]} → platform_address"


def unfit(found: Found, wanted: Mapping[str, Any]) -> Iterator[str]:
    """What no variable can follow."""
    systems = sorted({info["identity"]["system"] for info in found.values()})
    if len(systems) != 1 or systems == ["None"]:
        yield f"the members are not of one cluster: system identifiers {', '.join(systems)}"
    for name, info in sorted(found.items()):
        identity = info["identity"]
        if identity["name"] != name:
            own = identity["name"]
            yield f"{name} calls itself {own} in Patroni → name the host {own} in the inventory"
        if identity["owner"] != OWNER:
            yield f"{name}: Patroni runs as {identity['owner']}, the role's files are for {OWNER}"
        if identity["users"]["superuser"] != wanted["superuser"]:
            yield f"{name}: Patroni's superuser is {identity['users']['superuser']} → let it be {wanted['superuser']}"
        # Debian's /var/run is a link to /run
        if not {wanted["socket_dir"], wanted["socket_dir"].removeprefix("/var")} & set(identity["sockets"]):
            yield f"{name}: PostgreSQL has no socket in {wanted['socket_dir']} → add it to unix_socket_directories"
        if info["directory"] and not info["taken"]:
            yield f"{name}: Patroni reads the directory {info['process']['path']}, only a single file can be replaced"
    first, *_others = found.values()
    kept_roles = first["database"]["roles"]
    for role, secret in sorted(wanted["passwords"].items()):
        if kept_roles.get(role) and secret:
            yield f"the store has no {secret}: role {role} would get another password → put the one in use there"
    for key in ("scope", "namespace", "store", "version", "data_dir", "port"):
        values = {str(info["identity"][key]) for info in found.values()}
        if len(values) > 1:
            yield f"the members differ in {key}: {', '.join(sorted(values))}"


def lost(found: Found, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that run and that the inventory does not name, as the variables that keep them."""
    known = set(wanted["config"]["postgresql"]["parameters"])
    parameters: dict[str, Any] = {}
    lines: list[str] = []
    for info in found.values():
        there = (info["config"].get("postgresql") or {}).get("parameters") or {}
        own = {} if info["taken"] else {k: v for k, v in info["local"].items() if k not in PATRONIS}
        parameters |= {name: value for name, value in {**there, **own}.items() if name not in known}
        lines += [line for line in info["database"]["hba"] if line not in lines]
    asked = {" ".join(line.split()) for line in wanted["config"]["postgresql"]["pg_hba"]}
    lines = [line for line in lines if line not in asked]
    return {
        **({"postgresql_parameters": dict(sorted(parameters.items()))} if parameters else {}),
        **({"postgresql_hba": lines} if lines else {}),
    }


def _by_need(settings: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """What each change needs → one line for each setting and value, with its members when they are not all."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for member, rows in sorted(settings.items()):
        for row in rows:
            key = tuple(str(row[part]) for part in ("name", "live", "wanted", "needs"))
            grouped.setdefault(key, []).append(member)
    result: dict[str, list[str]] = {}
    for (name, live, wanted, needs), members in sorted(grouped.items()):
        who = "" if len(members) == len(settings) else f" ({', '.join(members)})"
        result.setdefault(needs, []).append(f"{name}: {live} → {wanted}{who}")
    return result


def _top_level(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Patroni's own settings that change, or that nobody asked for."""
    changes = [
        f"{key}: {there.get(key)} → {value}"
        for key, value in wanted.items()
        if key != "postgresql" and str(there.get(key)).lower() != str(value).lower()
    ]
    return changes + [f"{key}: nobody asked for it, it stays" for key in sorted(there.keys() - wanted.keys())]


def _objects(database: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        *(f"role:{name}" for name in sorted(set(database["roles"]) - set(wanted["roles"]))),
        *(f"database:{name}" for name in sorted(set(database["databases"]) - set(wanted["databases"]))),
    ]


def _notes(found: Found, asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    database = asked["database"]
    weak = sorted(name for name, kind in database["roles"].items() if kind == "md5")
    if weak:
        yield f"passwords as MD5, which the endpoints refuse until they are set anew: {', '.join(weak)}"
    known = {" ".join(line.split()) for line in wanted.get("pg_ident", [])}
    maps = [line for line in database["ident"] if line not in known]
    keys = sorted(f"postgresql.{key}" for key in (asked["config"].get("postgresql") or {}).keys() - wanted.keys())
    if maps or keys:
        yield f"goes away, the role has no variable for it: {', '.join([*keys, *maps])}"
    for name, info in sorted(found.items()):
        if info["own_keys"] and not info["taken"]:
            yield f"{name}: goes away with {info['process']['path']}: {', '.join(info['own_keys'])}"
        if info["process"]["environment"]:
            variables = ", ".join(info["process"]["environment"])
            yield f"{name}: the unit's environment wins over every file, take these out of it: {variables}"
