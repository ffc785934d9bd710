"""Runs every test of the project in order, from fast to slow, and counts: what `make test` does.

    python tools/test.py                  all stages but e2e, which takes an hour
    python tools/test.py --only unit,shape
    python tools/test.py --list

A stage that executed nothing has failed. Stages that read files only are cached by the content of their inputs; what
runs on real servers never is. The last line is `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ansible_test

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rsp-platform" / "test"
# Outside of the checkout: below it ansible-test would ask git for the files, and git ignores them.
BUILT = CACHE / "built" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
SANITY_FAILED = re.compile(r"The (\d+) sanity test\(s\) listed below")
CLOSING = re.compile(r"(\d+) (passed|failed|errors?)\b")
NAMED = re.compile(r"(FAILED|ERROR) (tests/\S+.*)")
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "RSP_BUILT": str(BUILT)}
COLLECTION = BUILT / "ansible_collections" / "rsp" / "platform"
# What failed, told again at the end: the beginning of a long log is often all that is lost of it.
FAILURES: list[str] = []


@dataclass(frozen=True)
class Count:
    """Cases of a stage."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)


@dataclass(frozen=True)
class Stage:
    """A named stage.

    Attributes:
        cached: its result depends on the tree's content alone.
        asked: it runs only when it is named.
    """

    name: str
    about: str
    run: Callable[[], Count]
    cached: bool = False
    asked: bool = False


def command(*argv: str | Path, cwd: Path = ROOT, **environment: str) -> bool:
    """Run one command with its output shown; whether it succeeded."""
    print(f"    $ {' '.join(Path(a).name if isinstance(a, Path) else a for a in argv)}", flush=True)
    succeeded = subprocess.run(argv, cwd=cwd, check=False, env={**ENVIRONMENT, **environment}).returncode == 0
    if not succeeded:
        FAILURES.append(" ".join(Path(a).name for a in argv))
    return succeeded


def each(*commands: tuple[str | Path, ...]) -> Count:
    """Run commands and count each as one case."""
    results = [command(*argv) for argv in commands]
    return Count(sum(results), len(results) - sum(results))


def watched(argv: Sequence[str], cwd: Path = ROOT) -> tuple[int, list[str]]:
    """Run one command with its output shown; exit code and lines."""
    print(f"    $ {Path(argv[0]).name} {' '.join(argv[1:])}", flush=True)
    lines = []
    with subprocess.Popen(
        argv, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(f"    {line}", end="", flush=True)
            lines.append(line)
    named = [found[2] for line in lines if (found := NAMED.match(line))]
    FAILURES.extend(named or ([" ".join(argv)] if process.returncode else []))
    return process.returncode, lines


def pytest(folder: str, *more: str) -> Count:
    """Run a folder of tests and count its cases from pytest's closing line."""
    code, lines = watched([str(BIN / "pytest"), folder, "--color=no", *more])
    closing = next((line for line in reversed(lines) if CLOSING.search(line)), "")
    cases = {word.rstrip("s"): int(number) for number, word in CLOSING.findall(closing)}
    bad = cases.get("failed", 0) + cases.get("error", 0)
    return Count(cases.get("passed", 0), bad or int(code != 0))


def lint() -> Count:
    """Linters of Python, YAML and documentation, with no exceptions."""
    return each(
        (BIN / "ruff", "check", "."),
        (BIN / "ruff", "format", "--check", "."),
        (BIN / "mypy", "plugins", "tools"),
        (BIN / "yamllint", "--strict", "."),
        # A home of its own: molecule leaves a copy of the collection in ~/.ansible, which would be read instead
        ("env", f"HOME={CACHE / 'home'}", BIN / "ansible-lint", "--strict", "--offline"),
        (BIN / "python", "tools/docs.py", "--check"),
        # Markup and references; a collection that galaxy.yml does not name may not be referred to.
        (
            BIN / "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "dependent",
            "--disallow-unknown-collection-refs", "--check-extra-docs-refs", ".",
        ),
    )  # fmt: skip


def build() -> bool:
    """Build the collection and install it into an empty path, as a user gets it."""
    galaxy = BIN / "ansible-galaxy"
    subprocess.run(["rm", "-rf", str(BUILT)], check=True)
    BUILT.mkdir(parents=True)
    if not command(galaxy, "collection", "build", "--force", "--output-path", str(BUILT)):
        return False
    archive = next(BUILT.glob("rsp-platform-*.tar.gz"))
    # Outside of the checkout, whose ansible.cfg would show that the collection is there already.
    install = (galaxy, "collection", "install", "--force", "--offline", "--no-deps", "-p", str(BUILT), str(archive))
    return command(*install, cwd=BUILT, ANSIBLE_COLLECTIONS_PATH=str(BUILT))


def lend_get_pip() -> None:
    """Put tools/get_pip.py where ansible-test looks for a get-pip.py that was downloaded before; an original stays."""
    needs = Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py"
    found = re.search(r"\bpip='([\d.]+)'", needs.read_text(encoding="utf-8"))
    if not found:
        raise LookupError(f"{needs} names no version of pip")
    wanted = Path.home() / ".ansible" / "test" / "cache" / f"get_pip_{found[1].replace('.', '_')}.py"
    if not wanted.exists():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "tools" / "get_pip.py", wanted)


def sanity() -> Count:
    """ansible-test sanity on the built collection, nothing skipped; counts its tests."""
    if not build():
        return Count(failed=1)
    lend_get_pip()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    code, lines = watched([str(BIN / "ansible-test"), "sanity", "--color", "no", "--python", version], cwd=COLLECTION)
    ran = sum("Running sanity test" in line for line in lines)
    failed = sum(int(found[1]) for line in lines if (found := SANITY_FAILED.search(line)))
    bad = failed or int(code != 0)
    return Count(max(ran - bad, 0), bad)


def installed() -> Count:
    """The built collection works by its full names from an empty path, also under ansible-runner."""
    if not build():
        return Count(failed=1)
    return pytest("tests/installed")


def unit() -> Count:
    """Unit tests, two at a time."""
    return pytest("tests/unit", "-n", "2")


def lab() -> Count:
    """`make up` from this checkout, then tests on the running platform."""
    started = command("make", "up")
    return Count(int(started), int(not started)) + (pytest("tests/lab") if started else Count())


def e2e() -> Count:
    """Jobs that change clusters, on a lab that is brought up when it is not: too long for `make test`."""
    started = command("make", "up")
    return Count(int(started), int(not started)) + (pytest("tests/e2e") if started else Count())


def molecule() -> Count:
    """Every scenario, one after the other; one without tests has failed: Molecule would skip its verification."""
    scenarios = sorted(path.parent for path in (ROOT / "molecule").glob("*/molecule.yml"))
    results = [
        any(folder.glob("tests/test_*.py")) and command(BIN / "molecule", "test", "-s", folder.name)
        for folder in scenarios
    ]
    return Count(sum(results), len(results) - sum(results))


STAGES = (
    Stage("lint", "linters, types, documentation", lint, cached=True),
    Stage("shape", "the project's own lints", lambda: pytest("tests/shape"), cached=True),
    Stage("unit", "unit tests", unit),
    Stage("sanity", "ansible-test sanity on the built collection", sanity, cached=True),
    Stage("installed", "the built collection by its full names", installed),
    Stage("lab", "make up, and tests on real servers", lab),
    Stage("e2e", "jobs that change the running clusters, under a client's writes", e2e, asked=True),
    Stage("molecule", "scenarios on real containers", molecule),
)


def tree_digest() -> str:
    """Digest of everything that git would commit, and of the Python that runs it."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    digest = hashlib.sha256(sys.version.encode())
    for name in sorted(set(names)):
        path = ROOT / os.fsdecode(name)
        if name and path.is_file():
            digest.update(name + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def run_stage(stage: Stage, digest: str) -> Count:
    """Run a stage, or take its green result of the same tree."""
    note = CACHE / f"{stage.name}-{digest}.json"
    if stage.cached and note.is_file():
        count = Count(**json.loads(note.read_text(encoding="utf-8")))
        print(f"=== {stage.name}: {count.passed} passed on this very tree before (cached)", flush=True)
        return count
    print(f"=== {stage.name}: {stage.about}", flush=True)
    start = time.monotonic()
    count = stage.run()
    if count.passed + count.failed == 0:
        print(f"=== {stage.name}: nothing was executed", flush=True)
        count = Count(failed=1)
    if stage.cached and not count.failed:
        CACHE.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(count.__dict__), encoding="utf-8")
    took = time.monotonic() - start
    print(f"=== {stage.name}: {count.passed} passed, {count.failed} failed, {took:.0f} s", flush=True)
    return count


def main() -> int:
    """Run the chosen stages; 0 only when something ran and nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated stages")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    wanted = [name for name in args.only.split(",") if name]
    if unknown := set(wanted) - {stage.name for stage in STAGES}:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; --list shows all")
    if args.list:
        print("\n".join(f"{stage.name:10} {stage.about}" for stage in STAGES))
        return 0
    total = Count()
    for stage in STAGES:
        if stage.name in wanted or not (wanted or stage.asked):
            total += run_stage(stage, tree_digest())
    for name in FAILURES:
        print(f"    failed: {name}", flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
