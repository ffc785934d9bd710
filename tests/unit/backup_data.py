"""A repository of pgBackRest in a directory, and a stand-in for its commands that answers as 2.55.1 was seen to do."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.rsp.platform.plugins.module_utils.backup.model import Point, Repository

FIXTURES = Path(__file__).parent / "fixtures" / "backup"
NOW = 1795598700.0
IDENTITY = "7712035128809379128"
FULL, DIFF, INCR = "20261125-091508F", "20261125-091508F_20261125-091522D", "20261125-091508F_20261125-091529I"
KEY = "first-key-of-the-repository"
HISTORY = "1\t0/130000A0\tno recovery target specified\n"
# As the archive of the recorded cluster: timeline 1 up to 12, left in the middle of 13 for timeline 2
SEGMENTS = [f"00000001000000000000{n:04X}" for n in range(1, 0x13)] + [
    f"00000002000000000000{n:04X}" for n in (0x13, 0x14)
]
HEAD = '[backrest]\nbackrest-format=5\nbackrest-version="2.55.1"\n\n'


def recorded(name):
    return (FIXTURES / name).read_text(encoding="utf-8")


def snapshot(index):
    return base64.b64decode(recorded(f"consul_{index}.snap.b64"))


def point(label="x", **changes):
    fields = {"repository": "repo1", "kind": "full", "started": NOW - 20, "stopped": NOW - 10, "size": 100}
    return Point(label, **{**fields, **changes})


def repository(*points, name="repo1", **changes):
    return Repository(name, tuple(points), **changes)


def signed(text):
    """A catalogue file with its checksum at the end."""
    return f'{text}\n[backrest]\nbackrest-checksum="{hashlib.sha1(text.encode()).hexdigest()}"\n'


def sealed(path: Path, text: str) -> None:
    """Write a file as if it were encrypted: the stand-in reads it back only when no byte of it has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(hashlib.sha256(data).digest() + data)


def unsealed(path: Path) -> str | None:
    data = path.read_bytes() if path.is_file() else b""
    return data[32:].decode() if hashlib.sha256(data[32:]).digest() == data[:32] and data else None


def build(root: Path) -> Path:
    """A whole repository: three backups in a chain, an archive over two timelines."""
    for label in (FULL, DIFF, INCR):
        folder = root / "backup" / "rsp" / label
        files = {f"pg_data/base/5/{n}": f"{label} {n} " * 40 for n in (1259, 16403)}
        lines = "".join(f"{name}={hashlib.sha1(text.encode()).hexdigest()}\n" for name, text in files.items())
        manifest = signed(f'{HEAD}[backup]\nbackup-label="{label}"\n\n[target:file]\n{lines}')
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        for name in ("backup.manifest", "backup.manifest.copy"):
            sealed(folder / name, manifest)
    for name in ("backup/rsp/backup.info", "archive/rsp/archive.info"):
        for each in (name, f"{name}.copy"):
            sealed(root / each, signed(f"{HEAD}[db]\ndb-system-id={IDENTITY}\n"))
    archive = root / "archive" / "rsp" / "17-1"
    for name in SEGMENTS:
        text = f"segment {name} " * 30
        place = archive / name[:16]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}-{hashlib.sha1(text.encode()).hexdigest()}.gz").write_text(text, encoding="utf-8")
    for start in ("03", "07", "0C"):
        (archive / "0000000100000000" / f"0000000100000000000000{start}.00000028.backup").write_text(
            "label\n", encoding="utf-8"
        )
    (archive / "00000002.history").write_text(HISTORY, encoding="utf-8")
    return root


def command_of(argv):
    """pgBackRest's command, whatever it runs under."""
    return next(word for word in argv[list(argv).index("pgbackrest") + 1 :] if not word.startswith("--"))


@dataclass
class Tool:
    """`pgbackrest` over a directory. It ends with 0 on errors that it finds, as the real one does."""

    root: Path
    key: str = field(default=KEY, repr=False)
    newest: float = NOW - 60
    calls: list[list[str]] = field(default_factory=list)

    def __call__(self, argv, env):
        words = list(argv)
        self.calls.append(words)
        assert "cipher-pass" not in " ".join(words), "a key in a list of words is seen by everybody"
        key = next((value for name, value in env.items() if name.endswith("CIPHER_PASS")), self.key)
        rest = [word for word in words[words.index("pgbackrest") + 1 :] if not word.startswith("--")]
        command, names = rest[0], rest[1:]
        if command == "info":
            return 0, self.info(), ""
        if command == "verify":
            assert words[0] == "timeout"
            return 0, self.verify(), ""
        if command == "repo-ls":
            return 0, self.listing(names[0]), ""
        if command == "repo-get":
            return self.get(names[0], key)
        raise AssertionError(words)

    def info(self):
        data = json.loads(recorded("info.json"))
        entry = data[0]
        for part in ("backup", "archive", "db"):
            entry[part] = [e for e in entry[part] if e.get("repo-key", (e.get("database") or {}).get("repo-key")) == 1]
        entry["repo"] = entry["repo"][:1]
        files = [self.root / "backup" / "rsp" / name for name in ("backup.info", "backup.info.copy")]
        if not any(unsealed(path) for path in files):
            entry["backup"], entry["repo"][0]["status"] = [], {"code": 3, "message": "missing stanza data"}
        return json.dumps(data)

    def listing(self, path):
        base, found = self.root / path, {".": {"type": "path"}}
        for each in sorted(base.rglob("*")):
            name = str(each.relative_to(base))
            if each.is_dir():
                found[name] = {"type": "path"}
            else:
                found[name] = {"type": "file", "size": each.stat().st_size, "time": self.newest}
        return json.dumps(found)

    def get(self, name, key):
        path = self.root / name
        if name.endswith(".history"):
            return (0, path.read_text(encoding="utf-8"), "") if path.is_file() else (1, "", "")
        text = unsealed(path)
        if key != self.key or text is None:
            return 29, "", "ERROR: [029]: unable to load info file\n"
        return 0, text, ""

    def verify(self):
        """Checksums of every file; a segment that is gone from the middle is not seen, nor is a rotten copy of two."""
        wal = list((self.root / "archive").rglob("0000*-*.gz"))
        good = [p for p in wal if hashlib.sha1(p.read_bytes()).hexdigest() == p.name.split("-")[1].removesuffix(".gz")]
        lines = [f"archiveId: 17-1, total WAL checked: {len(wal)}, total valid WAL: {len(good)}"]
        lines += [f"  other: {len(wal) - len(good)}"] if len(wal) != len(good) else []
        bad = len(wal) != len(good)
        for folder in sorted((self.root / "backup" / "rsp").iterdir()):
            if not folder.is_dir():
                continue
            manifest = unsealed(folder / "backup.manifest") or unsealed(folder / "backup.manifest.copy") or ""
            listed = dict(line.split("=") for line in manifest.splitlines() if line.startswith("pg_data"))
            valid = [n for n, sha in listed.items() if self._sha(folder / n) == sha]
            state = "valid" if len(valid) == len(listed) else "invalid"
            bad |= state == "invalid"
            lines.append(f"backup: {folder.name}, status: {state}, total files checked: {len(listed)}, "
                         f"total valid files: {len(valid)}")  # fmt: skip
            lines += [f"  checksum invalid: {len(listed) - len(valid)}"] if state == "invalid" else []
        return "\n".join(["stanza: rsp", f"status: {'error' if bad else 'ok'}", *(f"  {line}" for line in lines), ""])

    @staticmethod
    def _sha(path):
        return hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else None
