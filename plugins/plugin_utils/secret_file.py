# SPDX-License-Identifier: Apache-2.0
"""Secrets in one YAML file that is encrypted with Ansible Vault; its key file is made with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.yaml import yaml_dump, yaml_load
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_base import SecretError, changes
from yaml import YAMLError

VAULT_ID = "rsp"
OTHERS = stat.S_IRWXG | stat.S_IRWXO

# What this process decrypted last: (path, change time, size, inode) of the file, and its secrets.
_decrypted: dict[tuple[str, int, int, int], dict[str, str]] = {}


class FileStore:
    """A mapping of names to values. Writers wait for each other, readers see the old file or the new one.

    Args:
        path: the encrypted file; made with the first secret.
        key_file: the file with the vault's key; made with the encrypted file.
    """

    makes = True

    def __init__(self, path: Path, key_file: Path) -> None:
        # A link stays one: what it points to is replaced.
        self._path = path.expanduser().resolve()
        self._key_file = key_file.expanduser().resolve()

    @classmethod
    def open(cls, settings: Mapping[str, Any]) -> FileStore:
        """The store that `platform_secrets` describes."""
        match settings:
            case {"path": str(path), "key_file": str(key_file)} if path and key_file:
                return cls(Path(path), Path(key_file))
        raise SecretError("platform_secrets with the back-end file needs path and key_file")

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._read().get(name)

    def put(self, values: Mapping[str, str], *, once: bool = False, absent: Collection[str] = ()) -> dict[str, str]:
        """Keep and forget in one atomic replacement."""
        try:
            with self._locked():
                known = self._read()
                changed = changes(known, values, once=once)
                gone = set(absent) & known.keys() if changed or not (once and values) else set[str]()
                if changed or gone:
                    self._write({name: value for name, value in {**known, **changed}.items() if name not in gone})
        except OSError as error:
            raise SecretError(f"{self._path} can't be written: {error.strerror}; it is as it was") from error
        return changed

    def howto(self, name: str) -> str:
        """A command that adds the secret; the value is typed into an editor, never into a command line."""
        if self._path.exists():
            return f"add it with ansible-vault edit --vault-id {VAULT_ID}@{self._key_file} {self._path}"
        return f"{self._path} does not exist yet: keep it with the action rsp.platform.secret_set"

    def _read(self) -> dict[str, str]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return {}
        _refuse_others(self._path)
        _refuse_others(self._key_file, f"{self._path} exists, its key {self._key_file} does not → bring the key back")
        state = (str(self._path), status.st_mtime_ns, status.st_size, status.st_ino)
        if state not in _decrypted:
            content = self._parsed()
            _decrypted.clear()
            _decrypted[state] = content
        return _decrypted[state]

    def _parsed(self) -> dict[str, str]:
        try:
            text = self._vault().decrypt(self._path.read_bytes())
        except AnsibleError as error:
            reason = f"{self._path} can't be decrypted with {self._key_file}: {error.message}"
            raise SecretError(f"{reason} → restore the file or its key from a backup; it was left as it is") from error
        except OSError as error:
            raise SecretError(f"{self._path} can't be read: {error.strerror}") from error
        try:
            content = yaml_load(text)
        except YAMLError:
            content = None  # the parser's message would quote secrets
        if not isinstance(content, dict) or not all(isinstance(item, str) for pair in content.items() for item in pair):
            raise SecretError(f"{self._path} is no mapping of names to strings → correct it: {self.howto('')}")
        return content

    def _write(self, content: Mapping[str, str]) -> None:
        if not self._key_file.exists():
            self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _replace(self._key_file, secrets.token_urlsafe(48).encode() + b"\n")
        text = yaml_dump(dict(content), default_flow_style=False)
        _replace(self._path, self._vault().encrypt(text, vault_id=VAULT_ID))

    def _vault(self) -> VaultLib:
        _refuse_others(self._key_file)
        key = self._key_file.read_bytes().strip()
        if not key:
            raise SecretError(f"{self._key_file} is empty → bring the key back")
        return VaultLib([(VAULT_ID, VaultSecret(key))])

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for other forks and other runs. The lock ends with the process, however that ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(_beside(self._path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _beside(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}")


def _replace(path: Path, content: bytes) -> None:
    """Put a private file in place, whole or not at all. Runs under the lock: one name for the new file is enough."""
    new = _beside(path, "new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _refuse_others(path: Path, missing: str = "") -> None:
    """An error when group or others may do anything with a file, or when it is missing and must not be."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise SecretError(missing or f"{path} is missing") from None
    if mode & OTHERS:
        raise SecretError(f"{path} has mode {mode:04o}, others than its owner may use it → chmod 600 {path}")
