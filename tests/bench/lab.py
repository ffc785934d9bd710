"""The lab as the benchmarks see it: containers, Patroni's view, and faults against our own containers only."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S = 180


def run(*argv: str, check: bool = True, stdin: str | None = None) -> str:
    """Standard output of a command; its error text is part of the exception, what it was given is not."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def secret(name: str) -> str:
    """A secret of the store, read by the collection's own lookup."""
    expression = f"{{{{ lookup('rsp.platform.secret', '{name}') }}}}"
    out = run(".venv/bin/ansible", "ops", "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": expression}))
    return out.split("msg:", 1)[1].strip().strip("'\"")


def wait_until(what: str, question: Callable[[], bool], timeout_s: float = WAIT_S) -> float:
    """Seconds until `question` is true; a timeout is an error."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if question():
            return time.monotonic() - start
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {timeout_s} s")


@dataclass(frozen=True)
class Lab:
    """Containers and endpoints of this checkout's lab."""

    id: str
    ca: str
    services: dict[str, Any]

    @classmethod
    def load(cls) -> Lab:
        """Read .lab/; `make up` writes it."""
        endpoints = json.loads((ROOT / ".lab" / "endpoints.json").read_text())
        return cls((ROOT / ".lab" / "id").read_text().strip(), endpoints["ca"], endpoints["services"])

    def container(self, host: str) -> str:
        """Name of a host's container."""
        return f"rsp-{self.id}-{host}"

    def address(self, host: str) -> str:
        """IP address of a host's container."""
        found = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run("docker", "inspect", "-f", found, self.container(host))

    def conninfo(self, role: str = "rw") -> str:
        """libpq string of an endpoint, with TLS verified and nothing else set."""
        postgresql = self.services["postgresql"]
        host, port = postgresql[role][0].rsplit(":", 1)
        password = secret(postgresql["password"]["secret"])
        return (
            f"host={host} port={port} dbname={postgresql['database']} user={postgresql['user']} password={password} "
            f"sslmode=verify-full sslrootcert={self.ca}"
        )

    def restapi(self) -> dict[str, str]:
        """URL of each member's Patroni."""
        postgresql = self.services["postgresql"]
        return dict(zip(postgresql["members"], postgresql["restapi"], strict=True))

    def patroni(self) -> list[dict[str, Any]]:
        """Members as the first Patroni that answers sees them; empty when none does."""
        context = ssl.create_default_context(cafile=self.ca)
        for url in self.restapi().values():
            try:
                with urllib.request.urlopen(f"{url}/cluster", timeout=2, context=context) as answer:
                    members: list[dict[str, Any]] = json.load(answer)["members"]
                    return members
            except (urllib.error.URLError, TimeoutError, OSError):
                continue
        return []

    def primary(self) -> str:
        """Name of the running leader; an error when there is none."""
        for member in self.patroni():
            if member["role"] == "leader" and member["state"] == "running":
                return str(member["name"])
        raise RuntimeError("PostgreSQL has no running leader")

    def whole(self) -> bool:
        """One running leader, all others streaming, at least one of them synchronous."""
        members = self.patroni()
        roles = [member["role"] for member in members]
        return (
            len(members) == len(self.services["postgresql"]["members"])
            and roles.count("leader") == 1
            and "sync_standby" in roles
            and all(m["state"] in ("running", "streaming") for m in members)
            and all(m["role"] == "leader" or m["state"] == "streaming" for m in members)
        )

    def on(self, host: str, *argv: str, stdin: str | None = None) -> str:
        """Run a command inside a host's container, with a text for its standard input where one is given."""
        interactive = [] if stdin is None else ["-i"]
        return run("docker", "exec", *interactive, self.container(host), *argv, stdin=stdin)

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run SQL as the superuser on the primary."""
        psql = ["runuser", "-u", "postgres", "--", "psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]
        return self.on(self.primary(), *psql)

    def consul_url(self, host: str) -> str:
        """HTTPS address of a member of Consul."""
        return f"https://{self.services['consul']['members'][host]}"

    def consul_put(self, host: str, key: str, value: str) -> bool:
        """Write a key through one member, with the endpoint's own token."""
        token = secret(self.services["consul"]["password"]["secret"])
        request = urllib.request.Request(
            f"{self.consul_url(host)}/v1/kv/{key}",
            data=value.encode(),
            method="PUT",
            headers={"X-Consul-Token": token},
        )
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return bool(json.load(answer))

    def netns(self, host: str, *argv: str) -> str:
        """Run a command of this machine in the network namespace of a host."""
        pid = run("docker", "inspect", "-f", "{{.State.Pid}}", self.container(host))
        return run("nsenter", "-t", pid, "-n", *argv)

    def rest(self, host: str, method: str, path: str, body: dict[str, Any]) -> str:
        """An authorised call of Patroni's REST API."""
        token = base64.b64encode(f"patroni:{secret('postgresql/restapi')}".encode()).decode()
        request = urllib.request.Request(
            f"{self.restapi()[host]}{path}",
            data=json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return str(answer.read().decode())
