"""Back-ends of the secret store: one value for all writers, nothing lost, nothing readable by others."""

from __future__ import annotations

import base64
import multiprocessing
import os
import re
import signal
import time
import uuid
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.rsp.platform.plugins.plugin_utils import secret_base, secret_environment, secret_file
from ansible_collections.rsp.platform.plugins.plugin_utils.secret_store import (
    BACKENDS,
    EnvironmentStore,
    FileStore,
    SecretError,
    check_name,
    generate,
    open_store,
    unobtainable,
)

CANARY = "CANARY-7f3a"
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def settings(tmp_path):
    return {"backend": "file", "path": f"{tmp_path}/store/secrets.yml", "key_file": f"{tmp_path}/keys/secrets.key"}


@pytest.fixture
def store(settings):
    return open_store(settings)


@pytest.fixture
def path(settings):
    return Path(settings["path"])


@pytest.fixture
def key_file(settings):
    return Path(settings["key_file"])


def encrypted(key_file: Path, text: str) -> bytes:
    """What an operator's ansible-vault writes."""
    return VaultLib([("rsp", VaultSecret(key_file.read_bytes().strip()))]).encrypt(text, vault_id="rsp")


# --- names and new values


@pytest.mark.parametrize("name", ["a", "consul/gossip", "pki/a1/etcd_smoke/key", "x.y-z/0"])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "A", "a b", "../x", "a\n", "ключ", "{{ x }}", "-a"])
def test_bad_names(name):
    with pytest.raises(SecretError, match="is no name of a secret"):
        check_name(name)


@pytest.mark.parametrize(
    ("kind", "length", "pattern"),
    [
        ("password", 32, r"[A-Za-z0-9]{32}"),
        ("password", 1, r"[A-Za-z0-9]"),
        ("hex", 7, r"[0-9a-f]{7}"),
        ("hex", 64, r"[0-9a-f]{64}"),
        ("base64", 32, r"[A-Za-z0-9+/]{43}="),
    ],
)
def test_new_values(kind, length, pattern):
    made = {generate(kind, length) for _ in range(20)}
    assert all(re.fullmatch(pattern, value) for value in made)
    assert length < 8 or len(made) == 20


def test_a_gossip_key_is_32_bytes():
    assert len(base64.b64decode(generate("base64", 32))) == 32


def test_a_uuid_is_random():
    assert uuid.UUID(generate("uuid", 1)).version == 4


@pytest.mark.parametrize(
    ("kind", "length", "text"),
    [("pasword", 32, "one of password, hex, uuid, base64"), ("hex", 0, "at least 1"), ("password", -1, "at least 1")],
)
def test_impossible_values(kind, length, text):
    with pytest.raises(SecretError, match=text):
        generate(kind, length)


@pytest.mark.parametrize(
    ("known", "values", "once", "expected"),
    [
        ({}, {"a": "1"}, False, {"a": "1"}),
        ({"a": "1"}, {"a": "1"}, False, {}),
        ({"a": "1"}, {"a": "2", "b": "3"}, False, {"a": "2", "b": "3"}),
        ({"a": "1"}, {"a": "2", "b": "3"}, True, {}),  # a pair is never half new
        ({"c": "1"}, {"a": "2", "b": "3"}, True, {"a": "2", "b": "3"}),
    ],
)
def test_what_has_to_be_written(known, values, once, expected):
    assert secret_base.changes(known, values, once=once) == expected


# --- which back-end


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (None, "platform_secrets is not set → give it a backend of environment, file"),
        ({}, "has the back-end None"),
        ({"backend": "fiel"}, "has the back-end 'fiel'"),
        ({"backend": ["file"]}, r"has the back-end \['file'\]"),
        ("file", "has the back-end None"),
        ({"backend": "file", "path": "/x"}, "needs path and key_file"),
        ({"backend": "file", "path": "", "key_file": "/k"}, "needs path and key_file"),
    ],
)
def test_a_store_that_is_not_described(settings, text):
    with pytest.raises(SecretError, match=text):
        open_store(settings)


def test_every_backend_has_the_whole_interface(settings):
    for backend in BACKENDS:
        store = open_store({**settings, "backend": backend})
        assert isinstance(store.makes, bool)
        assert store.get("never/seen") is None
        assert "never/seen" in store.howto("never/seen") or store.howto("never/seen")


# --- the file


def test_reading_makes_nothing(store, path, key_file):
    assert store.get("a") is None
    assert not path.parent.exists()
    assert not key_file.parent.exists()


@pytest.mark.parametrize("value", ["x", "two\nlines\n", "{{ no_template }}", "007", "yes", "ключ", " spaced ", "a: b"])
def test_a_value_comes_back_as_it_was(store, settings, value):
    assert store.put({"a": value}) == {"a": value}
    secret_file._decrypted.clear()
    assert open_store(settings).get("a") == value


def test_files_are_private_and_encrypted(store, path, key_file):
    store.put({"a": CANARY})
    files = [*path.parent.iterdir(), *key_file.parent.iterdir()]
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    assert not any(CANARY in file.read_text() for file in files)
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;rsp\n")


def test_an_unchanged_value_is_not_written(store, path):
    store.put({"a": "1"})
    before = path.stat()
    assert store.put({"a": "1"}) == {}
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_key_is_made_once(store, key_file):
    store.put({"a": "1"})
    key = key_file.read_text()
    store.put({"b": "2"})
    assert key_file.read_text() == key
    assert len(key.strip()) == 64


def test_a_prepared_key_is_used(store, key_file, path):
    key_file.parent.mkdir()
    key_file.write_text("prepared\n")
    key_file.chmod(0o600)
    store.put({"a": "1"})
    assert key_file.read_text() == "prepared\n"
    assert b"1" in VaultLib([("rsp", VaultSecret(b"prepared"))]).decrypt(path.read_bytes())


def test_what_an_operator_edits_is_seen(store, key_file, path):
    store.put({"a": "1"})
    path.write_bytes(encrypted(key_file, "a: by hand\nb: new\n"))
    assert (store.get("a"), store.get("b")) == ("by hand", "new")


def test_a_file_is_decrypted_once(store, monkeypatch):
    store.put({"a": "1", "b": "2"})
    count = []
    real = VaultLib.decrypt
    monkeypatch.setattr(VaultLib, "decrypt", lambda *given, **named: count.append(1) or real(*given, **named))
    assert [store.get(name) for name in "abab"] == ["1", "2", "1", "2"]
    assert len(count) == 1


def test_a_linked_store_stays_a_link(store, path, tmp_path):
    path.parent.mkdir()
    target = tmp_path / "elsewhere.yml"
    path.symlink_to(target)
    linked = FileStore(path, tmp_path / "keys/k")
    linked.put({"a": "1"})
    assert path.is_symlink()
    assert target.read_text().startswith("$ANSIBLE_VAULT")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777])
@pytest.mark.parametrize("which", ["path", "key_file"])
def test_files_that_others_may_use_are_refused(store, settings, which, mode):
    store.put({"a": CANARY})
    file = Path(settings[which])
    file.chmod(mode)
    before = Path(settings["path"]).read_bytes()
    for act in (lambda: store.get("a"), lambda: store.put({"b": "1"})):
        with pytest.raises(SecretError, match=f"has mode 0{mode:o}.*chmod 600 {file}"):
            act()
    assert Path(settings["path"]).read_bytes() == before


def wrong_key(path, key_file):
    key_file.write_text("another key\n")
    return "can't be decrypted"


def no_key(path, key_file):
    key_file.unlink()
    return "bring the key back"


def empty_key(path, key_file):
    key_file.write_text("\n")
    return "is empty"


def plain_text(path, key_file):
    path.write_text(f"a: {CANARY}\n")
    return "can't be decrypted"


def cut_off(path, key_file):
    path.write_bytes(path.read_bytes()[:200])
    return "can't be decrypted"


def empty(path, key_file):
    path.write_bytes(b"")
    return "can't be decrypted"


def a_list(path, key_file):
    path.write_bytes(encrypted(key_file, f"[{CANARY}]"))
    return "no mapping of names to strings"


def a_number(path, key_file):
    path.write_bytes(encrypted(key_file, f"a: {CANARY}\nb: 12\n"))
    return "no mapping of names to strings"


def bad_yaml(path, key_file):
    path.write_bytes(encrypted(key_file, f"a: '{CANARY}\n b: ]"))
    return "no mapping of names to strings"


@pytest.mark.parametrize(
    "spoil", [wrong_key, no_key, empty_key, plain_text, cut_off, empty, a_list, a_number, bad_yaml]
)
def test_a_spoilt_store_is_an_error_and_left_alone(store, path, key_file, spoil):
    store.put({"a": CANARY})
    text = spoil(path, key_file)
    secret_file._decrypted.clear()
    before = path.read_bytes()
    key = key_file.read_bytes() if key_file.exists() else None
    for act in (lambda: store.get("a"), lambda: store.put({"b": "1"}), lambda: store.put({"b": "1"}, once=True)):
        with pytest.raises(SecretError, match=text) as caught:
            act()
        shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert CANARY not in shown
    assert path.read_bytes() == before
    assert (key_file.read_bytes() if key_file.exists() else None) == key


def test_a_full_disk_loses_nothing(store, path, monkeypatch):
    store.put({"a": "1"})
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_file.os, "fsync", full)
    with pytest.raises(SecretError, match="No space left on device; it is as it was"):
        store.put({"b": "2"})
    assert path.read_bytes() == before
    assert not path.with_name(".secrets.yml.new").exists()


def test_a_directory_that_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match="can't be written"):
        FileStore(tmp_path / "file/secrets.yml", tmp_path / "key").put({"a": "1"})


def test_how_to_set_a_secret_by_hand(store, path, key_file):
    assert "rsp.platform.secret_set" in store.howto("a")
    store.put({"a": "1"})
    assert store.howto("b") == f"add it with ansible-vault edit --vault-id rsp@{key_file} {path}"


# --- several at a time


def make_in_child(settings, gate, results):
    gate.wait()
    store = open_store(settings)
    mine = generate("password", 24)
    kept = store.put({"shared": mine}, once=True)
    store.put({f"own/{os.getpid()}": "kept"})
    results.put((os.getpid(), kept.get("shared") or store.get("shared")))


def test_many_processes_agree_on_one_value_and_lose_no_write(settings, store):
    gate, results = FORK.Event(), FORK.Queue()
    children = [FORK.Process(target=make_in_child, args=(settings, gate, results)) for _ in range(6)]
    for child in children:
        child.start()
    gate.set()
    found = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
    assert len({value for _, value in found}) == 1
    assert store.get("shared") == found[0][1]
    assert all(store.get(f"own/{pid}") == "kept" for pid, _ in found)


def hang_before_rename(settings, reached):
    def stop(*_: object) -> None:
        reached.set()
        time.sleep(600)

    secret_file.Path.replace = stop  # only in this child
    open_store(settings).put({"a": "new", "b": "new"})


def test_killed_between_write_and_rename_keeps_the_old_file_and_frees_the_lock(settings, store, path):
    store.put({"a": "old"})
    before = path.read_bytes()
    reached = FORK.Event()
    child = FORK.Process(target=hang_before_rename, args=(settings, reached))
    child.start()
    assert reached.wait(timeout=60)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=60)
    assert path.read_bytes() == before
    assert store.get("a") == "old"
    assert store.put({"c": "after"}) == {"c": "after"}  # the leftover is in nobody's way
    assert (store.get("a"), store.get("b"), store.get("c")) == ("old", None, "after")
    assert sorted(file.name for file in path.parent.iterdir()) == [".secrets.yml.lock", "secrets.yml"]


# --- the environment


@pytest.mark.parametrize(
    ("prefix", "name", "variable"),
    [
        ("RSP_SECRET_", "consul/gossip", "RSP_SECRET_CONSUL_GOSSIP"),
        ("RSP_SECRET_", "pki/a1/etcd_smoke/key", "RSP_SECRET_PKI_A1_ETCD_SMOKE_KEY"),
        ("X_", "consul/bootstrap-token", "X_CONSUL_BOOTSTRAP_TOKEN"),
    ],
)
def test_names_of_variables(prefix, name, variable):
    store = EnvironmentStore(prefix, {variable: "value"})
    assert store.variable(name) == variable
    assert store.get(name) == "value"
    assert store.howto(name) == f"set the environment variable {variable}"


def test_an_empty_variable_is_missing():
    assert EnvironmentStore("X_", {"X_A": ""}).get("a") is None


def test_the_prefix_has_a_default(monkeypatch):
    monkeypatch.setenv("RSP_SECRET_A", "1")
    assert open_store({"backend": "environment"}).get("a") == "1"
    assert secret_environment.PREFIX == "RSP_SECRET_"


@pytest.mark.parametrize(
    ("values", "once", "missing"),
    [
        ({"a": "1"}, False, None),
        ({"a": "other"}, True, None),
        ({"a": "other"}, False, "X_A"),
        ({"a": "1", "c": "3", "b": "2"}, False, "X_B, X_C"),
        ({"b": "2"}, True, "X_B"),
    ],
)
def test_an_environment_keeps_nothing(values, once, missing):
    store = EnvironmentStore("X_", {"X_A": "1"})
    if missing is None:
        assert store.put(values, once=once) == {}
        return
    with pytest.raises(SecretError, match=f"set the environment variables {missing}$") as caught:
        store.put(values, once=once)
    assert "other" not in str(caught.value)


def test_an_environment_forgets_nothing():
    store = EnvironmentStore("X_", {"X_A": "1"})
    assert store.put({}, absent=["b"]) == {}
    with pytest.raises(SecretError, match=r"forgets nothing → unset X_A$"):
        store.put({}, absent=["a", "b"])


@pytest.mark.parametrize(
    ("values", "once", "left"),
    [
        ({}, False, {"b": "2"}),
        ({}, True, {"b": "2"}),
        ({"a.next": "3"}, False, {"b": "2", "a.next": "3"}),
        ({"a.next": "3"}, True, {"b": "2", "a.next": "3"}),
        ({"b": "3"}, True, {"a": "1", "b": "2"}),  # not kept, so nothing is forgotten either
    ],
)
def test_a_file_keeps_and_forgets_in_one_step(store, values, once, left):
    store.put({"a": "1", "b": "2"})
    store.put(values, once=once, absent=["a", "never"])
    assert {name: store.get(name) for name in ("a", "b", "a.next") if store.get(name)} == left


# --- what preflight asks


def test_what_nobody_can_make_is_reported(settings, monkeypatch):
    monkeypatch.setenv("X_A", "1")
    environment = {"backend": "environment", "prefix": "X_"}
    assert unobtainable(environment, ["a", "b/c"]) == {"b/c": "set the environment variable X_B_C"}
    assert unobtainable(environment, ["a"]) == {}
    assert unobtainable(settings, ["a", "b/c"]) == {}
    assert not Path(settings["path"]).exists()
