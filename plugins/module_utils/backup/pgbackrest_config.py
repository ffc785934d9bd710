# SPDX-License-Identifier: Apache-2.0
"""pgBackRest's configuration of a host, and what of it a drill may have. Pure.

A drill has one repository, no cluster of production, and no key of this host: the escrow's comes by the environment,
as do all other secrets.
"""

from __future__ import annotations

import configparser
import re

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError

SECRET = re.compile(r"(cipher-pass|s3-key|s3-key-secret|s3-token|azure-key|gcs-key|sftp-private-key-passphrase)$")
REPOSITORY = re.compile(r"repo(\d+)-(.+)")
KEPT = ("process-max", "compress-level-network", "buffer-size", "io-timeout", "protocol-timeout")


def settings(text: str) -> dict[str, str]:
    """Settings of the section `global`. Raises BackupError."""
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False)
    try:
        parser.read_string(text)
        return dict(parser.items("global"))
    except configparser.Error as err:
        raise BackupError(f"pgBackRest's configuration can't be read: {type(err).__name__}") from None


def remote(text: str) -> frozenset[str]:
    """Repositories that this host reaches through another one, which decrypts: no key of ours opens them here."""
    found = (REPOSITORY.fullmatch(name) for name in settings(text))
    return frozenset(f"repo{match[1]}" for match in found if match and match[2] == "host")


def for_drill(text: str, repository: str, stanza: str, data: str) -> tuple[str, dict[str, str]]:
    """Configuration and environment of a drill; its repository is number 1 there. The environment has the secrets."""
    number = repository.removeprefix("repo")
    lines, env = [], {}
    for name, value in settings(text).items():
        match = REPOSITORY.fullmatch(name)
        if match and match[1] == number and not match[2].startswith("retention"):
            if SECRET.search(match[2]):
                env[f"PGBACKREST_REPO1_{match[2].upper().replace('-', '_')}"] = value
            else:
                lines.append(f"repo1-{match[2]}={value}")
        elif name in KEPT:
            lines.append(f"{name}={value}")
    if not any(line.startswith("repo1-") for line in lines):
        raise BackupError(f"this host's configuration has no {repository}")
    env.pop("PGBACKREST_REPO1_CIPHER_PASS", None)
    return "\n".join(["[global]", *lines, f"[{stanza}]", f"pg1-path={data}", ""]), env
