# SPDX-License-Identifier: Apache-2.0
"""What a restored copy is asked: canaries, counts and sums, destroyed subjects, the application's own question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.backup.canary import (
    CanaryError,
    Token,
    exact,
    measured_rpo,
    problems,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.canary_stores import TABLE
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Finding,
    failed,
    found,
    unknown,
)

Sql = Callable[[str, str], str]


def ask(sql: Sql, questions: Mapping[str, Any]) -> list[Finding]:
    """Findings of L6 and L7. A question that was not put leaves its check unknown."""
    findings = []
    if questions.get("canary"):
        findings.append(_guarded("canaries_exact", lambda: _canaries(sql, questions["canary"])))
    if questions.get("content"):
        findings.append(_guarded("content_expected", lambda: _answers(sql, "content_expected", questions["content"])))
    if questions.get("application"):
        asked = questions["application"]
        findings.append(_guarded("application_answers", lambda: _answers(sql, "application_answers", asked)))
    if questions.get("destroyed"):
        findings.append(_guarded("destroyed_absent", lambda: _destroyed(sql, questions["destroyed"])))
    return findings


def canary_finding(tokens: Sequence[Token], canary: Mapping[str, Any]) -> Finding:
    """Tokens of a copy against the client's ledger.

    Args:
        canary: store, key (bytes), ledger (tokens), k (the last token before the target; None: the newest possible),
            disaster_at.
    """
    key, store, k = canary["key"], canary["store"], canary.get("k")
    rpo = measured_rpo(tokens, canary["disaster_at"])
    evidence = {"store": store, "tokens": len(tokens), "last": max((t.seq for t in tokens), default=None), "rpo_s": rpo}
    if not tokens:
        return failed("canaries_exact", "the copy has no canary", **evidence)
    if k is not None:
        return found("canaries_exact", exact(tokens, canary["ledger"], k, key, store), **evidence, k=k)
    wrong = problems(tokens, key, store)
    known, last = {t.seq: t.mac for t in canary["ledger"]}, max(tokens, key=lambda t: t.seq)
    if canary["ledger"] and last.seq in known and known[last.seq] != last.mac:
        wrong.append(f"token {last.seq} is another one than was acknowledged")
    promised = canary.get("rpo_s")
    if promised and rpo is not None and rpo > promised:
        wrong.append(f"{rpo:.0f} s of writes are lost, {promised} s are promised")
    return found("canaries_exact", wrong, **evidence)


def _canaries(sql: Sql, canary: Mapping[str, Any]) -> Finding:
    lines = sql(canary["database"], " ".join(["select token from", TABLE, "order by seq"])).splitlines()
    return canary_finding([Token.parse(line) for line in lines if line], canary)


def _answers(sql: Sql, check: str, questions: Sequence[Mapping[str, Any]]) -> Finding:
    return found(check, _expected(sql, questions), asked=len(questions))


def _expected(sql: Sql, questions: Sequence[Mapping[str, Any]]) -> list[str]:
    wrong = []
    for each in questions:
        answer = sql(each["database"], each["query"]).strip()
        if each.get("equals") is not None and answer != str(each["equals"]):
            wrong.append(f"{each['name']} is {answer or 'nothing'}, not {each['equals']}")
        if each.get("at_least") is not None and not _reaches(answer, float(each["at_least"])):
            wrong.append(f"{each['name']} is {answer or 'nothing'}, less than {each['at_least']}")
        if each.get("equals") is None and each.get("at_least") is None and not answer:
            wrong.append(f"{each['name']} has no answer")
    return wrong


def _reaches(answer: str, least: float) -> bool:
    """Whether an answer is at least that much; what is no number never is."""
    try:
        return float(answer) >= least
    except ValueError:
        return False


def _destroyed(sql: Sql, register: Sequence[Mapping[str, Any]]) -> Finding:
    """Nobody of the register of destroyed data may be back: restored data are data that are processed again."""
    back = []
    for each in register:
        count = sql(each["database"], destroyed_query(each)).strip()
        if count != "0":
            back.append(f"{count} of {len(each['values'])} destroyed subjects are in {each['table']}")
    return found("destroyed_absent", back, subjects=sum(len(each["values"]) for each in register))


def destroyed_query(entry: Mapping[str, Any]) -> str:
    """How many of the destroyed subjects are there."""
    values = ", ".join(literal(value) for value in entry["values"])
    table, column = ident(entry["table"]), ident(entry["column"])
    return " ".join(["select count(*) from", table, "where", f"{column}::text in ({values})"])


def ident(name: str) -> str:
    """A name, or schema.name, in quotes."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(value: Any) -> str:
    """A text in quotes, whatever standard_conforming_strings says."""
    text = str(value)
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'"


def _guarded(check: str, question: Callable[[], Finding]) -> Finding:
    try:
        return question()
    except (BackupError, CanaryError) as err:
        return unknown(check, str(err))
