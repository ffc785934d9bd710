"""Canaries: signed, numbered, of one branch; what they prove about a copy; and how stores take them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import canary, canary_stores, content
from ansible_collections.rsp.platform.plugins.module_utils.backup.canary import CanaryError, Token, exact, following
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import BackupError
from ansible_collections.rsp.platform.plugins.modules import backup_canary
from module_call import call

KEY = b"a key of sixteen bytes or more"
STORE = "postgresql/rsp-local"
T0 = 1795598000.0


def chain(count, start=T0, key=KEY, store=STORE, last=None):
    tokens = []
    for n in range(count):
        last = following(key, store, last, start + 10 * n)
        tokens.append(last)
    return tokens


TEN = chain(10)


# --- one token


def test_tokens_are_numbered_without_a_gap_and_each_signs_the_one_before():
    assert [t.seq for t in TEN] == list(range(1, 11))
    assert TEN[0].previous == canary.FIRST
    assert all(after.previous == before.mac for before, after in pairwise(TEN))
    assert len({t.nonce for t in TEN}) == 10


def test_time_never_goes_back():
    """A clock that was set back must not make a token older than the one before it."""
    later = following(KEY, STORE, TEN[-1], T0 - 3600)
    assert later.at == TEN[-1].at


def test_a_token_survives_its_json():
    assert Token.parse(TEN[3].text()) == TEN[3]
    assert canary.signed(Token.parse(TEN[3].text()), KEY)


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"store": "a"}', '{"store": "a", "seq": "one"}', "null", "1"])
def test_what_is_no_token(text):
    with pytest.raises(CanaryError, match="is no canary"):
        Token.parse(text)


def test_a_key_that_is_too_short():
    with pytest.raises(CanaryError, match="16 bytes"):
        following(b"short", STORE, None, T0)


# --- what is wrong with many

OTHER_BRANCH = chain(3, start=T0 + 1000, last=TEN[4])


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (TEN, []),
        ([], []),
        (TEN[3:], []),
        (list(reversed(TEN)), []),
        (TEN[:4] + TEN[6:], ["tokens 5 to 6 are missing"]),
        ([TEN[0], TEN[9]], ["tokens 2 to 9 are missing"]),
        ([*TEN, TEN[9]], ["token 10 is there twice"]),
        ([*TEN[:5], replace(TEN[5], at=TEN[5].at + 1), *TEN[6:]], ["token 6 is forged, or the key is another one"]),
        ([*TEN[:5], replace(TEN[5], store="postgresql/other")], ["token 6 is of postgresql/other"]),
        ([*TEN[:5], *OTHER_BRANCH, *TEN[8:]], ["token 9 does not follow token 8: it is of another branch"]),
        (
            chain(2, key=b"another key of sixteen bytes"),
            ["token 1 is forged, or the key is another one", "token 2 is forged, or the key is another one"],
        ),
    ],
)
def test_problems(tokens, said):
    assert canary.problems(tokens, KEY, STORE) == said


# --- k is there, k + 1 is not


@pytest.mark.parametrize(
    ("restored", "k", "reason"),
    [
        (TEN[:5], 5, None),
        (TEN[:1], 1, None),
        (TEN[:4], 5, "token 5 is missing: the copy ends with token 4"),
        (TEN[:6], 5, "token 6 is there, it was written behind the target"),
        (TEN, 5, "token 6 is there"),
        ([], 5, "token 5 is missing: the copy ends with token 0"),
        (TEN[:2] + TEN[3:5], 5, "tokens 3 to 3 are missing"),
        (TEN, 10, "token 11 is not in the client's ledger"),
        (TEN[:5], 50, "token 50 is not in the client's ledger"),
        # The same number on another timeline: the writes that were acknowledged are not in this copy
        ([*TEN[:5], OTHER_BRANCH[0]], 6, "token 6 is another one than was acknowledged: the copy is of another branch"),
        (chain(5, store="postgresql/other"), 5, "token 1 is of postgresql/other"),
    ],
)
def test_a_restore_between_two_tokens(restored, k, reason):
    wrong = exact(restored, TEN, k, KEY, STORE)
    assert (wrong == []) if reason is None else any(reason in each for each in wrong), wrong


def test_across_a_failover():
    """Tokens 1 to 5 on timeline 1, the rest on timeline 2: one chain, so a copy of either side is told."""
    whole = [*TEN[:5], *OTHER_BRANCH]
    assert exact(whole[:7], whole, 7, KEY, STORE) == []
    assert exact(TEN[:7], whole, 7, KEY, STORE) != []


@pytest.mark.parametrize(("at", "k", "middle"), [(T0 + 45, 5, T0 + 45), (T0 + 1, 1, T0 + 5), (T0 + 89.9, 9, T0 + 85)])
def test_the_place_between_two_tokens(at, k, middle):
    assert canary.around(TEN, at) == (k, middle)


@pytest.mark.parametrize("at", [T0 - 1, T0 + 90, T0 + 1000])
def test_a_time_without_tokens_on_both_sides(at):
    with pytest.raises(CanaryError, match="no token on both sides"):
        canary.around(TEN, at)


def test_rpo():
    assert canary.measured_rpo(TEN[:5], T0 + 100) == 60.0
    assert canary.measured_rpo([], T0) is None


# --- the client's ledger


class Memory:
    """A store in memory; it can refuse."""

    def __init__(self, tokens=(), refuse=False):
        self.name, self.kept, self.refuse = STORE, list(tokens), refuse

    def last(self):
        return self.kept[-1] if self.kept else None

    def tokens(self):
        return self.kept

    def put(self, token):
        if self.refuse:
            raise CanaryError("no space left")
        self.kept.append(token)


def test_what_was_acknowledged_is_in_the_ledger(tmp_path):
    store, ledger = Memory(), tmp_path / "deep" / "postgresql.jsonl"
    for n in range(3):
        canary.write(store, KEY, ledger, T0 + n)
    assert canary.read_ledger(ledger) == store.kept


def test_what_was_refused_is_not_in_the_ledger(tmp_path):
    ledger = tmp_path / "l.jsonl"
    canary.write(Memory(), KEY, ledger, T0)
    with pytest.raises(CanaryError, match="no space left"):
        canary.write(Memory(TEN, refuse=True), KEY, ledger, T0)
    assert len(canary.read_ledger(ledger)) == 1


def test_a_write_without_an_answer_is_found_by_the_next_one(tmp_path):
    """The store has token 2, and nobody was told: the ledger must not have a hole for ever."""
    store, ledger = Memory(), tmp_path / "l.jsonl"
    canary.write(store, KEY, ledger, T0)
    store.put(following(KEY, STORE, store.last(), T0 + 1))
    canary.write(store, KEY, ledger, T0 + 2)
    assert canary.read_ledger(ledger) == store.kept
    assert canary.problems(canary.read_ledger(ledger), KEY, STORE) == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_store_that_went_back_begins_another_ledger(tmp_path, kept):
    """A restore, or a failover that lost what was acknowledged: the old ledger stays as the proof of it."""
    store, ledger = Memory(), tmp_path / "l.jsonl"
    for n in range(3):
        canary.write(store, KEY, ledger, T0 + n)
    store.kept = store.kept[:kept]
    canary.write(store, KEY, ledger, T0 + 9)
    assert len(canary.read_ledger(tmp_path / f"l.jsonl.{round(T0 + 9)}")) == 3
    assert canary.read_ledger(ledger) == store.kept[-2:]
    assert canary.problems(canary.read_ledger(ledger), KEY, STORE) == []


def test_another_branch_with_the_same_numbers_begins_another_ledger(tmp_path):
    ledger = tmp_path / "l.jsonl"
    canary.write(Memory(), KEY, ledger, T0)
    other = Memory()
    other.put(following(KEY, STORE, None, T0 + 1))
    canary.write(other, KEY, ledger, T0 + 2)
    assert canary.read_ledger(ledger) == other.kept
    assert len(list(tmp_path.glob("l.jsonl.*"))) == 1


def test_a_cut_off_line_goes_before_the_next_is_written(tmp_path):
    store, ledger = Memory(), tmp_path / "l.jsonl"
    canary.write(store, KEY, ledger, T0)
    with ledger.open("a", encoding="utf-8") as out:
        out.write('{"store": "cut o')
    canary.write(store, KEY, ledger, T0 + 1)
    assert canary.read_ledger(ledger) == store.kept


def test_a_ledger_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(canary, "LEDGER_BYTES", 2000)
    store, ledger = Memory(), tmp_path / "l.jsonl"
    for n in range(40):
        canary.write(store, KEY, ledger, T0 + n)
    found = canary.read_ledger(ledger)
    assert 2 <= len(found) < 12
    assert found == store.kept[-len(found) :]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    """The writer died while it wrote: the token may be in the store, but nobody was told."""
    ledger = tmp_path / "l.jsonl"
    ledger.write_text(TEN[0].text() + "\n" + TEN[1].text()[:40], encoding="utf-8")
    assert canary.read_ledger(ledger) == [TEN[0]]


def test_a_ledger_that_is_none(tmp_path):
    with pytest.raises(CanaryError, match="can't be read"):
        canary.read_ledger(tmp_path / "none")
    (tmp_path / "x").write_text("no token\n", encoding="utf-8")
    with pytest.raises(CanaryError, match="is no canary"):
        canary.read_ledger(tmp_path / "x")


# --- stores


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "no store of the kind None"),
        ({"kind": "kafka", "store": "x"}, "no store of the kind kafka → one of postgresql, consul"),
        ({"kind": "postgresql", "store": "x", "conninfo": "host=a"}, "store x: password_file is missing"),
        (
            {"kind": "postgresql", "store": "x", "conninfo": "host=a password=p", "password_file": "/f"},
            "would be seen in the list of processes",
        ),
        ({"kind": "consul", "store": "x", "urls": ["https://a:1"]}, "store x: token_file is missing"),
        ({"kind": "consul", "store": "x", "urls": ["https://a:1"], "token_file": "/none/x"}, "consul: "),
    ],
)
def test_stores_that_can_not_be_opened(entry, said):
    with pytest.raises(CanaryError, match=said):
        canary_stores.open_store(entry)


def test_consul_is_asked_over_tls_only(tmp_path):
    (tmp_path / "token").write_text("t", encoding="utf-8")
    with pytest.raises(CanaryError, match="must begin with https"):
        canary_stores.open_store(
            {
                "kind": "consul",
                "store": "x",
                "urls": ["https://b:1", "http://a:1"],
                "token_file": str(tmp_path / "token"),
            }
        )


@pytest.fixture
def psql(monkeypatch):
    """psql that keeps what it was told, and answers with tokens."""
    seen = []

    def run(argv, **options):
        seen.append((argv, options))
        text = options["input"]
        if "select token" in text:
            tokens = TEN[-1:] if "limit 1" in text else TEN
            return subprocess.CompletedProcess(argv, 0, "".join(t.text() + "\n" for t in tokens), "")
        code = 3 if "boom" in " ".join(argv) else 0
        return subprocess.CompletedProcess(argv, code, "", "ERROR: duplicate key" if code else "")

    monkeypatch.setattr(canary_stores.subprocess, "run", run)
    return seen


def postgresql(conninfo="host=a dbname=smoke"):
    entry = {"kind": "postgresql", "store": STORE, "conninfo": conninfo, "password_file": "/etc/rsp/pgpass"}
    return canary_stores.open_store(entry)


def test_postgresql(psql):
    store = postgresql()
    assert store.tokens() == TEN
    assert store.last() == TEN[-1]
    store.put(TEN[2])
    argv, options = psql[-1]
    assert TEN[2].text() in options["input"]
    assert "synchronous_commit = on" in options["input"]
    assert not any(TEN[2].mac in word for word in argv), "statements go by the standard input"
    assert options["env"]["PGPASSFILE"] == "/etc/rsp/pgpass"


def test_a_second_writer_is_refused(psql):
    with pytest.raises(CanaryError, match="duplicate key"):
        postgresql("host=boom").put(TEN[0])


@pytest.mark.parametrize("error", [FileNotFoundError(2, "no psql"), subprocess.TimeoutExpired("psql", 20)])
def test_psql_that_does_not_come_back(monkeypatch, error):
    def run(*_args, **_options):
        raise error

    monkeypatch.setattr(canary_stores.subprocess, "run", run)
    with pytest.raises(CanaryError, match="psql: "):
        postgresql().last()


class Kv:
    """Consul's keys behind the one method that talks to it."""

    def __init__(self, tokens=()):
        self.keys = {f"rsp/canary/{t.seq:012d}": t.text() for t in tokens}
        self.status = None

    def __call__(self, method, path, body=None):
        name, _mark, query = path.partition("?")
        if method == "PUT":
            if name in self.keys:
                return False
            self.keys[name] = body
            return True
        if method == "DELETE":
            return self.keys.pop(name, None) is not None
        if "keys=true" in query:
            return sorted(self.keys) or None
        return json.loads(self.keys[name])


@pytest.fixture
def consul(tmp_path):
    (tmp_path / "token").write_text("t\n", encoding="utf-8")
    entry = {"kind": "consul", "store": STORE, "urls": ["https://a:8501"], "token_file": str(tmp_path / "token")}
    store = canary_stores.open_store(entry)

    def with_tokens(tokens):
        store._call = Kv(tokens)
        return store

    return with_tokens


def test_consul(consul):
    store = consul(TEN)
    assert store.tokens() == TEN
    assert store.last() == TEN[-1]
    eleven = following(KEY, STORE, TEN[-1], T0 + 100)
    store.put(eleven)
    assert store.last() == eleven
    with pytest.raises(CanaryError, match="somebody else writes canaries"):
        store.put(eleven)


def test_the_first_server_of_consul_that_answers_is_asked(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t\n", encoding="utf-8")
    entry = {
        "kind": "consul",
        "store": STORE,
        "urls": ["https://a:1", "https://b:1"],
        "token_file": str(tmp_path / "token"),
    }
    store, asked = canary_stores.open_store(entry), []

    def ask(url, *_what):
        asked.append(url)
        if url == "https://a:1":
            raise ConnectionRefusedError("refused")
        return []

    monkeypatch.setattr(store, "_ask", ask)
    assert store.tokens() == []
    assert asked == ["https://a:1", "https://b:1"]
    monkeypatch.setattr(store, "_urls", ["https://a:1"])
    with pytest.raises(CanaryError, match="https://a:1: refused"):
        store.last()


def test_an_empty_consul(consul):
    store = consul([])
    assert (store.tokens(), store.last()) == ([], None)


def test_consul_keeps_the_newest(consul, monkeypatch):
    monkeypatch.setattr(canary_stores, "KEPT", 10)
    store = consul(TEN)
    store.put(following(KEY, STORE, TEN[-1], T0 + 100))
    assert [t.seq for t in store.tokens()] == list(range(2, 12))
    assert canary.problems(store.tokens(), KEY, STORE) == [], "a chain may begin anywhere"


def test_the_script_writes_into_every_store_and_says_who_failed(tmp_path, monkeypatch, capsys):
    stores = {"a": Memory(), "b": Memory(refuse=True)}
    monkeypatch.setattr(canary_stores, "open_store", lambda entry: stores[entry["store"]])
    (tmp_path / "key").write_bytes(KEY + b"\n")
    config = {"key_file": str(tmp_path / "key"), "stores": [{"store": n, "ledger": str(tmp_path / n)} for n in stores]}
    (tmp_path / "c.json").write_text(json.dumps(config), encoding="utf-8")
    assert canary_stores.main([str(tmp_path / "c.json")]) == 1
    said = capsys.readouterr()
    assert said.out == f"{STORE} 1\n"
    assert said.err == "b: no space left\n"
    assert len(canary.read_ledger(tmp_path / "a")) == 1


# --- questions to a copy


def question(**changes):
    return {"store": STORE, "key": KEY, "database": "smoke", "ledger": TEN, "k": 5, "disaster_at": T0 + 100, **changes}


@pytest.mark.parametrize(
    ("tokens", "changes", "outcome", "said"),
    [
        (TEN[:5], {}, "passed", ""),
        (TEN[:6], {}, "failed", "token 6 is there"),
        ([], {}, "failed", "the copy has no canary"),
        (TEN, {"k": None}, "passed", ""),
        (TEN[:5], {"k": None}, "passed", ""),
        (TEN[:5], {"k": None, "rpo_s": 59}, "failed", "60 s of writes are lost, 59 s are promised"),
        (TEN[:5], {"k": None, "rpo_s": 60}, "passed", ""),
        ([*TEN[:5], OTHER_BRANCH[0]], {"k": None}, "failed", "another one than was acknowledged"),
        (TEN[:3] + TEN[4:], {"k": None}, "failed", "tokens 4 to 4 are missing"),
        (TEN, {"k": None, "ledger": []}, "passed", ""),
    ],
)
def test_the_finding_about_canaries(tokens, changes, outcome, said):
    finding = content.canary_finding(tokens, question(**changes))
    assert finding.outcome == outcome
    assert said in finding.reason


def answers(table):
    def sql(database, text):
        for part, answer in table.items():
            if part in text:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(text)

    return sql


ROWS = {"name": "rows", "database": "shop", "query": "select count(*) from orders"}


@pytest.mark.parametrize(
    ("expected", "answer", "reason"),
    [
        ({"equals": "7"}, "7\n", None),
        ({"equals": "7"}, "8\n", "rows is 8, not 7"),
        ({"equals": "7"}, "\n", "rows is nothing, not 7"),
        ({"at_least": 5}, "5\n", None),
        ({"at_least": 5}, "4\n", "rows is 4, less than 5"),
        ({"at_least": 5}, "none\n", "rows is none, less than 5"),
        ({"at_least": 5}, "nan\n", "rows is nan, less than 5"),
        ({}, "x", None),
        ({}, "\n", "rows has no answer"),
    ],
)
@pytest.mark.parametrize(("key", "check"), [("content", "content_expected"), ("application", "application_answers")])
def test_expected_content(expected, answer, reason, key, check):
    [finding] = content.ask(answers({"count": answer}), {key: [{**ROWS, **expected}]})
    assert finding.check == check
    assert (finding.outcome == "passed") if reason is None else (reason in finding.reason)


def test_a_question_that_fails_is_unknown_and_not_asked_is_not_there():
    [finding] = content.ask(answers({"count": BackupError("no such table")}), {"content": [ROWS]})
    assert (finding.outcome, finding.reason) == ("unknown", "no such table")
    assert content.ask(answers({}), {}) == []
    assert content.ask(answers({}), {"content": [], "canary": None, "destroyed": []}) == []


def test_canaries_of_a_database():
    text = "".join(t.text() + "\n" for t in TEN[:5])
    [finding] = content.ask(answers({"rsp_canary": text}), {"canary": question()})
    assert (finding.check, finding.outcome) == ("canaries_exact", "passed")
    [finding] = content.ask(answers({"rsp_canary": "junk\n"}), {"canary": question()})
    assert finding.outcome == "unknown"


REGISTER = {"database": "shop", "table": "public.people", "column": "id", "values": ["7", "O'Hara", "a\\b"]}


@pytest.mark.parametrize(("answer", "outcome"), [("0\n", "passed"), ("1\n", "failed"), ("\n", "failed")])
def test_destroyed_subjects(answer, outcome):
    [finding] = content.ask(answers({"count": answer}), {"destroyed": [REGISTER]})
    assert (finding.check, finding.outcome) == ("destroyed_absent", outcome)


def test_values_of_the_register_are_quoted():
    query = content.destroyed_query(REGISTER)
    assert query == ("select count(*) from \"public\".\"people\" where \"id\"::text in (E'7', E'O''Hara', E'a\\\\b')")
    assert content.ident('a"b') == '"a""b"'


# --- the module

ARGUMENTS = {
    "store": STORE,
    "kind": "postgresql",
    "key": KEY.decode(),
    "conninfo": "host=a",
    "password_file": "/f",
}


@pytest.fixture
def store(monkeypatch):
    memory = Memory(TEN[:3])
    monkeypatch.setattr(backup_canary, "open_store", lambda _entry: memory)
    return memory


def test_the_module_writes(store, tmp_path, capsys):
    ledger = tmp_path / "l.jsonl"
    predicted = call(backup_canary.main, capsys, check=True, ledger=str(ledger), **ARGUMENTS)
    assert (predicted["seq"], predicted["changed"], len(store.kept), ledger.exists()) == (4, True, 3, False)
    done = call(backup_canary.main, capsys, ledger=str(ledger), **ARGUMENTS)
    assert (done["seq"], done["changed"], len(store.kept)) == (4, True, 4)
    assert done["diff"] == predicted["diff"] == {"before": {"seq": 3}, "after": {"seq": 4}}


def test_the_module_reads(store, tmp_path, capsys):
    assert call(backup_canary.main, capsys, state="read", **ARGUMENTS)["tokens"] == 3
    ledger = tmp_path / "l.jsonl"
    ledger.write_text("".join(t.text() + "\n" for t in TEN[:5]), encoding="utf-8")
    lost = call(backup_canary.main, capsys, state="read", ledger=str(ledger), **ARGUMENTS)
    assert lost["rc"] == 1
    assert "2 acknowledged tokens are lost, the first is 4" in lost["msg"]
    store.kept = []
    assert "there is no token" in call(backup_canary.main, capsys, state="read", **ARGUMENTS)["msg"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conninfo": None}, "conninfo"),
        ({"kind": "consul"}, "urls, token_file|token_file|urls"),
        ({"kind": "redis"}, "must be one of"),
        ({"state": "written"}, "ledger"),
        ({"key": None}, "key"),
        ({"key": "short", "ledger": "/x"}, "16 bytes"),
    ],
)
def test_bad_input_of_the_module(store, changes, said, capsys):
    arguments = {**ARGUMENTS, **changes}
    result = call(backup_canary.main, capsys, **{n: v for n, v in arguments.items() if v is not None})
    assert result["rc"] == 1
    assert any(part in result["msg"] for part in said.split("|"))
