# SPDX-License-Identifier: Apache-2.0
"""Where secrets are kept. One interface, one small class a back-end; runs on the controller only."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import secrets
import stat
import string
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
PRIVATE = 0o077
VAULT_ID = "rsp"


class SecretError(Exception):
    """A secret is missing, or the store can't be read or written. Never carries a value."""


class SecretStore(Protocol):
    """What every back-end offers."""

    def get(self, name: str) -> str | None:
        """The value, or None when the store has no such secret."""

    def put(self, values: Mapping[str, str]) -> None:
        """Keep values; all of them or none."""

    def make(self, name: str, maker: Callable[[], str]) -> str:
        """The value; made and kept if it is missing, once, however many ask at the same time."""

    def howto(self, name: str) -> str:
        """How an operator sets this secret by hand."""


class FileStore:
    """One YAML mapping, encrypted with Ansible Vault; the key file is made with the store.

    Args:
        path: the encrypted file; made when the first secret is.
        key_file: the file with the vault's key.
    """

    _cache: dict[tuple[str, int, int], dict[str, str]] = {}  # noqa: RUF012

    def __init__(self, path: Path, key_file: Path) -> None:
        self._path = path
        self._key_file = key_file

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._read().get(name)

    def put(self, values: Mapping[str, str]) -> None:
        """Keep values in one atomic replacement."""
        with self._locked():
            self._write({**self._read(), **values})

    def make(self, name: str, maker: Callable[[], str]) -> str:
        """Read again under the lock, so that two forks agree on one value."""
        with self._locked():
            known = self._read()
            if name not in known:
                known = {**known, name: maker()}
                self._write(known)
            return known[name]

    def howto(self, name: str) -> str:
        """A command that sets the secret."""
        return f"ansible localhost -m rsp.platform.secret_set with secrets={{{name!r}: …}}"

    def _vault(self) -> VaultLib:
        if not self._key_file.exists():
            if self._path.exists():
                raise SecretError(f"{self._path} exists, its key {self._key_file} does not: bring the key back")
            self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(secrets.token_urlsafe(48) + "\n")
        _refuse_public(self._key_file)
        return VaultLib([(VAULT_ID, VaultSecret(self._key_file.read_bytes().strip()))])

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        _refuse_public(self._path)
        status = self._path.stat()
        key = (str(self._path), status.st_mtime_ns, status.st_ino)
        if key not in self._cache:
            try:
                content = yaml.safe_load(self._vault().decrypt(self._path.read_bytes()))
            except AnsibleError as error:
                raise SecretError(f"{self._path} can't be decrypted with {self._key_file}: {error.message}") from error
            if not isinstance(content, dict):
                raise SecretError(f"{self._path} holds no mapping of secrets; restore it from its backup")
            self._cache.clear()
            self._cache[key] = content
        return self._cache[key]

    def _write(self, content: Mapping[str, str]) -> None:
        text = yaml.safe_dump(dict(content), default_flow_style=False)
        encrypted = self._vault().encrypt(text, vault_id=VAULT_ID)
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encrypted)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise SecretError(f"{self._path} can't be written: {error.strerror}; nothing was lost") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_name(f".{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class EnvironmentStore:
    """Secrets from the controller's environment, as a CI system or AWX injects them; read-only."""

    def __init__(self, prefix: str, environment: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environment = os.environ if environment is None else environment

    def variable(self, name: str) -> str:
        """Environment variable of a secret: consul/bootstrap-token → RSP_SECRET_CONSUL_BOOTSTRAP_TOKEN."""
        return self._prefix + re.sub(r"[^A-Z0-9]", "_", name.upper())

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._environment.get(self.variable(name))

    def put(self, values: Mapping[str, str]) -> None:
        """Refused: an environment keeps nothing."""
        raise SecretError("the environment back-end keeps nothing: set " + ", ".join(map(self.variable, values)))

    def make(self, name: str, maker: Callable[[], str]) -> str:
        """The value; a missing one can't be made here."""
        value = self.get(name)
        if value is None:
            raise SecretError(f"secret {name} is not set: {self.howto(name)}")
        return value

    def howto(self, name: str) -> str:
        """The variable to set."""
        return f"set the environment variable {self.variable(name)}"


def open_store(settings: Mapping[str, Any] | None) -> SecretStore:
    """The back-end that `platform_secrets` names.

    Raises:
        SecretError: the variable is missing, incomplete, or names an unknown back-end.
    """
    match settings:
        case {"backend": "file", "path": str(path), "key_file": str(key_file)}:
            return FileStore(Path(path), Path(key_file))
        case {"backend": "environment"}:
            return EnvironmentStore(str((settings or {}).get("prefix", "RSP_SECRET_")))
    raise SecretError(
        "platform_secrets must be {backend: file, path: …, key_file: …} or {backend: environment, prefix: …}"
    )


def check_name(name: str) -> str:
    """The name itself; an error when it is not made of lower-case path segments."""
    if not NAME.fullmatch(name):
        raise SecretError(
            f"{name!r} is no name of a secret: lower-case letters, digits, . _ - in segments divided by /"
        )
    return name


def generate(kind: str, length: int) -> str:
    """A new random value.

    Args:
        kind: password (letters and digits), hex, uuid, or base64 (of `length` random bytes).
        length: characters, or bytes for base64; ignored for uuid.
    """
    alphabet = string.ascii_letters + string.digits
    makers: dict[str, Callable[[], str]] = {
        "password": lambda: "".join(secrets.choice(alphabet) for _ in range(length)),
        "hex": lambda: secrets.token_hex(length)[:length],
        "uuid": lambda: str(uuid.uuid4()),
        "base64": lambda: base64.b64encode(secrets.token_bytes(length)).decode(),
    }
    if kind not in makers:
        raise SecretError(f"generate={kind!r} is unknown: one of {', '.join(makers)}")
    return makers[kind]()


def _refuse_public(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & PRIVATE:
        raise SecretError(f"{path} can be read by others: chmod 600 {path}")
