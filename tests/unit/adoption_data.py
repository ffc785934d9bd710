"""A hand-made cluster of three members as rsp.platform.patroni_adopt_info sees it, and an inventory that fits."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

NAMES = ("a1", "b1", "c1")
ADDRESSES = dict(zip(NAMES, ("10.0.0.11", "10.0.1.11", "10.0.2.11"), strict=True))
HBA = ["local all all peer", "host all all 10.0.0.0/8 scram-sha-256"]


def member(name: str) -> dict[str, Any]:
    """What one member is."""
    return {
        "identity": {
            "name": name,
            "scope": "shop",
            "namespace": "/db/",
            "store": "etcd",
            "store_user": "dba",
            "data_dir": "/srv/pg/shop",
            "port": 5432,
            "restapi_port": 8008,
            "sockets": ["/run/postgresql"],
            "users": {"superuser": "postgres", "replication": "repl", "rewind": None},
            "owner": "postgres",
            "version": "17",
            "system": "7400000000000000001",
        },
        "process": {"pid": 7, "path": "/etc/patroni/config.yml", "environment": []},
        "directory": False,
        "taken": False,
        "members": [
            {"name": other, "host": address, "role": "leader" if other == "b1" else "replica"}
            for other, address in ADDRESSES.items()
        ],
        "config": {
            "ttl": 30,
            "slots": {"x": {"type": "physical"}},
            "postgresql": {
                "use_pg_rewind": True,
                "recovery_conf": {"restore_command": "x"},
                "parameters": {"max_connections": 150, "work_mem": "7MB"},
            },
        },
        "own_keys": ["tags.nofailover"],
        "local": {"checkpoint_timeout": "7min", "port": 5432},
        "settings": [{"name": "max_connections", "live": "150", "wanted": "200", "needs": "restart"}],
        "database": {
            "roles": {"postgres": "scram", "repl": "scram", "app": "scram"},
            "databases": ["postgres", "shop"],
            "hba": list(HBA),
            "ident": ["map joe app"],
        },
        "secrets": {"postgresql/superuser": "/etc/patroni/config.yml: postgresql.authentication.superuser.password"},
        "connection": {"url": f"http://{ADDRESSES[name]}:8008"},
    }


def cluster() -> dict[str, dict[str, Any]]:
    """All three."""
    return {name: member(name) for name in NAMES}


WANTED: dict[str, Any] = {
    "variables": {
        "postgresql_cluster_name": "shop",
        "postgresql_version": "17",
        "postgresql_namespace": "/db/",
        "postgresql_dcs": "etcd",
        "postgresql_etcd_user": "dba",
        "postgresql_data_dir": "/srv/pg/shop",
        "postgresql_port": 5432,
        "postgresql_restapi_port": 8008,
        "postgresql_replication_user": "repl",
        "postgresql_rewind_user": "rewind",
    },
    "members": [{"name": name, "address": address, "zone": name[0]} for name, address in ADDRESSES.items()],
    "superuser": "postgres",
    "socket_dir": "/var/run/postgresql",
    "config": {
        "ttl": 20,
        "postgresql": {
            "use_pg_rewind": True,
            "parameters": {"max_connections": 200},
            "pg_hba": ["local all  all peer", "hostssl all all 10.0.0.0/8 scram-sha-256"],
        },
    },
    "roles": ["postgres", "repl", "rewind"],
    "databases": ["postgres"],
    "passwords": {},
}


def wanted(**variables: Any) -> dict[str, Any]:
    """The inventory with other variables."""
    result = deepcopy(WANTED)
    result["variables"] |= variables
    return result
