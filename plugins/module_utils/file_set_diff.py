# SPDX-License-Identifier: Apache-2.0
"""What a user may see of changes: diffs without secrets, and a validator's words without secrets."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Iterable

from ansible_collections.rsp.platform.plugins.module_utils.file_node import Node, sha256
from ansible_collections.rsp.platform.plugins.module_utils.file_set import Change, FileSet

DIFF_LIMIT = 100_000
MASK = "<secret>"
# Shorter words are no secrets, and hiding them would hide the validator's own sentence.
SHORTEST_SECRET = 6
_WORDS = re.compile(rb"[^\s\"'`=:,;{}\[\]()]+")


def diff(changes: Iterable[Change]) -> list[dict[str, str]]:
    """Diff entries as Ansible shows them, one a path; one more where owner, group or mode differ."""
    entries: list[dict[str, str]] = []
    for change in changes:
        header = {"before_header": change.dest, "after_header": change.dest}
        if change.kind != "attributes" and change.is_file:
            before, after = _text(change.before, change.secret), _text(change.after, change.secret)
            entries.append({**header, "before": before, "after": after})
        attributes = _attributes(change.before), _attributes(change.after)
        if attributes[0] != attributes[1] and (change.kind in ("updated", "attributes") or not change.is_file):
            entries.append({**header, "before": attributes[0], "after": attributes[1]})
    return entries


def _text(node: Node, secret: bool) -> str:
    if node.kind == "absent":
        return ""
    if secret:
        return f"<secret, sha256 {sha256(node.content)[:8]}>\n"
    if node.kind == "link":
        return f"<link to {os.fsdecode(node.content)}>\n"
    if b"\0" in node.content[:8192] or len(node.content) > DIFF_LIMIT:
        return _digest(node)
    try:
        return node.content.decode()
    except UnicodeDecodeError:
        return _digest(node)


def _digest(node: Node) -> str:
    return f"<{len(node.content)} bytes, sha256 {sha256(node.content)[:8]}>\n"


def _attributes(node: Node) -> str:
    if node.kind == "absent":
        return ""
    return f"owner: {_user(node.uid)}\ngroup: {_group(node.gid)}\nmode: {node.mode:04o}\n"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return "not known here yet" if uid < 0 else str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return "not known here yet" if gid < 0 else str(gid)


def mask(text: str, wanted: FileSet) -> str:
    """The text with every line and word of the set's secret files hidden.

    A word that also stands in a file that is no secret, such as a key's name, is left readable.
    """
    open_words: set[bytes] = set()
    secrets: set[bytes] = set()
    for file in wanted.files:
        if file.content is None:
            continue
        words = set(_WORDS.findall(file.content))
        if file.secret:
            secrets |= words | {line.strip() for line in file.content.splitlines()}
        else:
            open_words |= words
    for secret in sorted(secrets - open_words, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret.decode(errors="replace"), MASK)
    return text
