"""The hosts of a scenario for testinfra, and the products' own clients on its client host. Molecule runs this."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import testinfra

PROJECT = Path(__file__).resolve().parent.parent
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = SCENARIO / "inventory"
STATE = PROJECT / ".lab" / "molecule" / SCENARIO.name
LAB = f"rsp-{hashlib.sha256(str(STATE).encode()).hexdigest()[:6]}"
CLIENT = "ops"


def output(*argv: str, **environment: str) -> str:
    """Standard output of a command; its error text is part of the failure."""
    done = subprocess.run(
        argv, env={**os.environ, **environment}, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout[-4000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def member():
    """A host of the scenario as testinfra sees it."""
    return lambda name: testinfra.get_host(f"docker://{LAB}-{name}")


@pytest.fixture(scope="session")
def client():
    """Runs a product's client on the client host. Its environment carries the secrets, no process argument does."""

    def run(*argv, **environment):
        names = [word for name in environment for word in ("--env", name)]
        return output("docker", "exec", *names, f"{LAB}-{CLIENT}", *argv, **environment).strip()

    return run


@pytest.fixture(scope="session")
def secret():
    """A secret of the scenario's store, read by the collection's own lookup."""

    def read(name):
        message = json.dumps({"msg": f"{{{{ lookup('rsp.platform.secret', '{name}') }}}}"})
        said = output(
            "ansible", CLIENT, "-i", str(INVENTORY), "--one-line", "-m", "ansible.builtin.debug", "-a", message,
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        )  # fmt: skip
        # Callbacks may say something after the result
        return json.JSONDecoder().raw_decode(said.split("=>", 1)[1].lstrip())[0]["msg"]

    return read


@pytest.fixture(scope="session")
def address():
    """Addresses of the scenario's hosts by name: a network of its own, a subnet a zone."""
    prefix = (STATE / "prefix").read_text().strip()
    return {"a1": f"{prefix}.0.11", "b1": f"{prefix}.1.11", "c1": f"{prefix}.2.11", "ops": f"{prefix}.3.11"}


@pytest.fixture(scope="session")
def playbook():
    """Runs a playbook of the collection on the scenario's inventory; its output."""
    return lambda name, *more: output("ansible-playbook", "-i", str(INVENTORY), f"playbooks/{name}.yml", *more)


@pytest.fixture(scope="session")
def listening(member):
    """Ports at which a host listens on TCP, by address."""

    def read(name):
        found = {}
        for socket in member(name).socket.get_listening_sockets():
            protocol, _, place = socket.partition("://")
            address, _, port = place.rpartition(":")
            if protocol == "tcp":
                found.setdefault(address, set()).add(int(port))
        return found

    return read
