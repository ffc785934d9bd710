# SPDX-License-Identifier: Apache-2.0
"""Faults that are made in a restored copy of PostgreSQL, to see the check trip that must: what a verified backup may
hold because its source was rotten already. It knows nothing but the scratch copy that is handed to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.rsp.platform.plugins.module_utils.backup.canary_stores import TABLE
from ansible_collections.rsp.platform.plugins.module_utils.backup.content import ident, literal
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError

PAGE = 8192
INDEX = (
    "create table rsp_planted (id int); create index on rsp_planted (id);"
    " insert into rsp_planted select generate_series(1, 9);"
    " update pg_index set indisready = false, indisvalid = false where indrelid = 'rsp_planted'::regclass;"
    " insert into rsp_planted values (10);"
    " update pg_index set indisready = true, indisvalid = true where indrelid = 'rsp_planted'::regclass;"
)
HEAP = (
    "create table rsp_planted as select generate_series(1, 999) as id; checkpoint;"
    " select pg_relation_filepath('rsp_planted')"
)


class Copy(Protocol):
    """What a planted fault may use."""

    sandbox: Any

    def sql(self, database: str, text: str) -> str:
        """Answer of a query."""

    def restart(self, between: Callable[[], None]) -> None:
        """Do something to the files of the stopped engine."""


def page_torn(copy: Copy, questions: Mapping[str, Any]) -> None:
    """The second half of a page is of another time: its checksum is wrong."""
    name = copy.sql("postgres", HEAP).strip().splitlines()[-1]
    path = Path(copy.sandbox.root) / "data" / name
    copy.restart(lambda: tear(path))


def tear(path: Path) -> None:
    """Overwrite the end of the first page, where its rows are."""
    with path.open("r+b") as file:
        file.seek(PAGE - 256)
        file.write(b"\x5a" * 128)


def index_broken(copy: Copy, questions: Mapping[str, Any]) -> None:
    """A row that its index does not know; every checksum is right."""
    copy.sql("postgres", INDEX)


def collation_changed(copy: Copy, questions: Mapping[str, Any]) -> None:
    """The indexes were built with another version of the collation."""
    copy.sql("postgres", "update pg_database set datcollversion = 'planted' where datname = 'postgres'")


def table_emptied(copy: Copy, questions: Mapping[str, Any]) -> None:
    """The table of the first question has lost its rows."""
    entry = next((each for each in questions.get("content") or [] if each.get("table")), None)
    if entry is None:
        raise BackupError("table_emptied needs a question of content that names its table")
    copy.sql(entry["database"], " ".join(["delete from", ident(entry["table"])]))


def canary_removed(copy: Copy, questions: Mapping[str, Any]) -> None:
    """The last token is gone."""
    text = " ".join(["delete from", TABLE, "where seq = (select max(seq) from", f"{TABLE})"])
    copy.sql(_canary(questions)["database"], text)


def destroyed_is_back(copy: Copy, questions: Mapping[str, Any]) -> None:
    """A subject of the register of destroyed data is there."""
    entry = next(iter(questions.get("destroyed") or []), None)
    if entry is None:
        raise BackupError("destroyed_is_back needs a register of destroyed subjects")
    values = f"values ({literal(entry['values'][0])})"
    row = " ".join(["insert into", ident(entry["table"]), f"({ident(entry['column'])})", values])
    copy.sql(entry["database"], row)


def _canary(questions: Mapping[str, Any]) -> Mapping[str, Any]:
    if not questions.get("canary"):
        raise BackupError("canary_removed needs the canaries to be asked")
    canary: Mapping[str, Any] = questions["canary"]
    return canary


PLANTS: Mapping[str, Callable[[Copy, Mapping[str, Any]], None]] = {
    "page_torn": page_torn,
    "index_broken": index_broken,
    "collation_changed": collation_changed,
    "table_emptied": table_emptied,
    "canary_removed": canary_removed,
    "destroyed_is_back": destroyed_is_back,
}
