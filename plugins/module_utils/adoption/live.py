# SPDX-License-Identifier: Apache-2.0
"""The Patroni that runs on this host, whoever made it: its process, and the files and environment that it has read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

PROC = Path("/proc")
PREFIX = "PATRONI_"
# The stores that the role knows, by Patroni's names of their sections
STORES = {"etcd3": "etcd", "consul": "consul"}
# Where a secret of the store is in Patroni's files, and what the environment calls it
SECRETS = {
    "postgresql/superuser": ("postgresql.authentication.superuser.password", "SUPERUSER_PASSWORD"),
    "postgresql/replication": ("postgresql.authentication.replication.password", "REPLICATION_PASSWORD"),
    "postgresql/rewind": ("postgresql.authentication.rewind.password", "REWIND_PASSWORD"),
    "etcd/patroni": ("etcd3.password", "ETCD3_PASSWORD"),
    "consul/patroni": ("consul.token", "CONSUL_TOKEN"),
}
# What the role's files have as well, under its own values; everything else in a file goes away with it
KNOWN = {
    "bootstrap", "consul", "ctl", "etcd3", "name", "namespace", "restapi", "scope", "tags.nosync", "watchdog.mode",
    *(f"postgresql.{key}" for key in (
        "authentication", "basebackup", "bin_dir", "connect_address", "create_replica_methods", "data_dir", "listen",
        "parameters", "pg_hba", "pg_ident", "pgpass", "proxy_address", "use_unix_socket", "use_unix_socket_repl",
    )),
}  # fmt: skip
# What else matters here and may come from the environment
ENVIRONMENT = {
    "SCOPE": "scope",
    "NAME": "name",
    "NAMESPACE": "namespace",
    "RESTAPI_LISTEN": "restapi.listen",
    "RESTAPI_CONNECT_ADDRESS": "restapi.connect_address",
    "POSTGRESQL_LISTEN": "postgresql.listen",
    "POSTGRESQL_CONNECT_ADDRESS": "postgresql.connect_address",
    "POSTGRESQL_DATA_DIR": "postgresql.data_dir",
    "SUPERUSER_USERNAME": "postgresql.authentication.superuser.username",
    "REPLICATION_USERNAME": "postgresql.authentication.replication.username",
    "REWIND_USERNAME": "postgresql.authentication.rewind.username",
    **{name: path for path, name in SECRETS.values()},
}


@dataclass(frozen=True, slots=True)
class Live:
    """A running Patroni.

    Attributes:
        pid, uid, gid: its process.
        path: the file that it was started with, and reads again on a reload.
        config: what it has of its files and its environment; holds secrets, so it is never shown.
        environment: names of the variables that win over the files.
    """

    pid: int
    uid: int
    gid: int
    path: str
    config: Mapping[str, Any] = field(repr=False)
    environment: tuple[str, ...] = ()

    def get(self, dotted: str, default: Any = None) -> Any:
        """One value of the configuration by its dotted path."""
        found: Any = self.config
        for key in dotted.split("."):
            if not isinstance(found, Mapping) or key not in found:
                return default
            found = found[key]
        return found

    @property
    def store(self) -> str | None:
        """etcd or consul; None for what the role does not know."""
        return next((name for section, name in STORES.items() if self.get(section)), None)

    def secrets(self) -> dict[str, str]:
        """Values by their names in the secret store."""
        found = {name: self.get(path) for name, (path, _variable) in SECRETS.items()}
        return {name: str(value) for name, value in found.items() if value}

    def places(self) -> dict[str, str]:
        """Where on this host each of the secrets is."""
        variables = {name: f"{PREFIX}{variable}" for name, (_path, variable) in SECRETS.items()}
        return {
            name: f"environment of process {self.pid}: {variables[name]}"
            if variables[name] in self.environment
            else f"{self.path}: {SECRETS[name][0]}"
            for name in self.secrets()
        }

    def own_keys(self) -> list[str]:
        """Dotted names of what only a file that was made by hand has."""
        names = [
            (key, f"{key}.{part}")
            for key, value in self.config.items()
            for part in (value if isinstance(value, Mapping) and value else [""])
        ]
        return sorted(dotted.rstrip(".") for key, dotted in names if not {key, dotted} & KNOWN)

    def api(self) -> Connection:
        """How Patroni's API is reached, with its own user."""
        address = str(self.get("restapi.connect_address") or self.get("restapi.listen") or "")
        if not address:
            raise DriverError(f"{self.path} names no restapi.connect_address")
        scheme = "https" if self.get("restapi.certfile") else "http"
        return Connection(
            url=f"{scheme}://{address}",
            ca_path=(self.get("ctl.cacert") or self.get("restapi.cafile")) if scheme == "https" else None,
            cert_path=self.get("ctl.certfile") if scheme == "https" else None,
            key_path=self.get("ctl.keyfile") if scheme == "https" else None,
            username=self.get("restapi.authentication.username"),
            password=self.get("restapi.authentication.password"),
        )

    def server(self) -> tuple[str, int]:
        """Where its own PostgreSQL is reached from this host: host or directory of the socket, and port."""
        listen, _colon, port = str(self.get("postgresql.listen", "")).rpartition(":")
        if not port.isdigit():
            raise DriverError(f"{self.path}: postgresql.listen is {self.get('postgresql.listen')!r}, no host:port")
        sockets = self.get("postgresql.parameters.unix_socket_directories")
        if self.get("postgresql.use_unix_socket"):
            return str(sockets or "/var/run/postgresql").split(",", maxsplit=1)[0].strip(), int(port)
        first = listen.split(",", maxsplit=1)[0].strip().strip("[]")
        return ("localhost" if first.strip("0.:*") == "" else first), int(port)


def find(pid: int, load: Callable[[str], Any], proc: Path = PROC) -> Live:
    """The Patroni whose process is `pid`; `load` reads YAML.

    Raises:
        DriverError: the process is none, or its configuration cannot be read.
    """
    try:
        argv = (proc / str(pid) / "cmdline").read_text(encoding="utf-8").split("\0")
        pairs = (proc / str(pid) / "environ").read_text(encoding="utf-8", errors="replace").split("\0")
        owner = (proc / str(pid)).stat()
    except OSError as err:
        raise DriverError(f"the process {pid} of Patroni cannot be read: {err}") from err
    path = next((word for word in reversed(argv) if word.startswith("/") and word.endswith((".yml", ".yaml"))), None)
    path = path or next((word for word in reversed(argv[1:]) if word.startswith("/") and Path(word).is_dir()), None)
    if path is None:
        raise DriverError(f"Patroni was not started with a file: {' '.join(argv).strip()}")
    variables = dict(pair.split("=", 1) for pair in pairs if pair.startswith(PREFIX) and "=" in pair)
    config = _merged({}, *(_mapping(load, name) for name in files(path)))
    for name, dotted in ENVIRONMENT.items():
        if variables.get(PREFIX + name):
            _put(config, dotted, variables[PREFIX + name])
    return Live(pid, owner.st_uid, owner.st_gid, path, config, tuple(sorted(variables)))


def files(path: str) -> list[str]:
    """The files that Patroni reads: the one, or those of a directory in order."""
    if not Path(path).is_dir():
        return [path]
    return [str(found) for found in sorted(Path(path).iterdir()) if found.suffix in (".yml", ".yaml")]


def _mapping(load: Callable[[str], Any], name: str) -> Mapping[str, Any]:
    try:
        found = load(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DriverError(f"{name} cannot be read: {type(err).__name__}") from err
    if not isinstance(found, Mapping):
        raise DriverError(f"{name} is no mapping")
    return found


def _merged(into: dict[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    for other in others:
        for key, value in other.items():
            there = into.get(key)
            both = isinstance(value, Mapping) and isinstance(there, dict)
            into[key] = _merged(dict(there or {}), value) if both and isinstance(value, Mapping) else value
    return into


def _put(config: dict[str, Any], dotted: str, value: str) -> None:
    *parents, last = dotted.split(".")
    for key in parents:
        there = config.get(key)
        config[key] = dict(there) if isinstance(there, Mapping) else {}
        config = config[key]
    config[last] = value
