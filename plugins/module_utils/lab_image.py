# SPDX-License-Identifier: Apache-2.0
"""The lab's node image: a distribution made by mmdebstrap, kept in a cache by the content of its recipe."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
LOCAL_CAS = "usr/local/share/ca-certificates"
KEPT_ARCHIVES = 3
# What a recipe's key can't see: raise it when the way of building changes.
GENERATION = 2


class ImageError(Exception):
    """The image can't be made; the text says what to do."""


class Run(Protocol):
    """Runs a command in an environment and returns its output.

    Raises:
        ImageError: the command failed.
    """

    def __call__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what is in the image.

    Attributes:
        suite: the distribution's release, such as trixie.
        packages: what is installed on top of the minimal system.
        masked_units: units that make no sense in a container.
        sources: apt sources in deb822 form.
        files: path in the image → content: the role's files, this machine's certificate authorities and apt settings.
    """

    suite: str
    packages: tuple[str, ...]
    masked_units: tuple[str, ...]
    sources: str
    files: Mapping[str, bytes]

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits; equal recipes have equal keys."""
        parts = asdict(self) | {"files": {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}}
        return hashlib.sha256(json.dumps([GENERATION, parts], sort_keys=True).encode()).hexdigest()[:12]


def debian_uris(lists: Iterable[str]) -> tuple[str, str | None]:
    """The URIs of Debian's archive and of its security archive in the texts of this machine's source lists.

    Raises:
        ImageError: no list names Debian's archive.
    """
    found: dict[str, str] = {}
    for text in lists:
        plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        one_line = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s.*\bmain\b", plain, re.M)
        stanzas = [dict(re.findall(r"^(\w[\w-]*):[ \t]*(.+)$", part, re.M)) for part in re.split(r"\n\s*\n", plain)]
        deb822 = [
            (item["URIs"].split()[0], item["Suites"].split()[0])
            for item in stanzas
            if {"URIs", "Suites"} <= item.keys() and "main" in item.get("Components", "").split()
        ]
        for uri, suite in one_line + deb822:
            if re.fullmatch(r"(bookworm|trixie)-security", suite):
                found.setdefault("security", uri)
            elif re.fullmatch(r"bookworm|trixie|stable", suite):
                found.setdefault("main", uri)
    if "main" not in found:
        raise ImageError("/etc/apt names no Debian archive (bookworm or trixie, main): add one")
    return found["main"], found.get("security")


def apt_sources(suite: str, main: str, security: str | None) -> str:
    """The image's apt sources in deb822 form."""
    stanzas = [(main, f"{suite} {suite}-updates")] + ([(security, f"{suite}-security")] if security else [])
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
        for uri, suites in stanzas
    )


def apt_settings(dump: str) -> str:
    """Those statements of `apt-config dump` that say how archives are reached and how old they may be."""
    wanted = re.compile(
        r'Acquire::(https?(::[\w.:-]+)?::(Proxy\S*|Timeout)|Check-\S+|Retries|ForceIPv\d)\s+"[^"]', re.I
    )
    return "".join(f"{line}\n" for line in dump.splitlines() if wanted.match(line))


def read_tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory by its relative path; a directory that is absent has none."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def machine_files(apt_dump: str, root: Path = Path("/")) -> dict[str, bytes]:
    """What the nodes need to reach what this machine reaches: its apt settings and its certificate authorities."""
    files = {f"{LOCAL_CAS}/{path}": data for path, data in read_tree(root / LOCAL_CAS).items()}
    bundle = root / CA_BUNDLE
    files |= {CA_BUNDLE: bundle.read_bytes()} if bundle.exists() else {}
    return files | {"etc/apt/apt.conf.d/80machine": apt_settings(apt_dump).encode()}


def source_lists(root: Path = Path("/etc/apt")) -> list[str]:
    """The texts of this machine's source lists."""
    paths = [root / "sources.list", *sorted((root / "sources.list.d").glob("*"))]
    return [
        path.read_text(encoding="utf-8") for path in paths if path.suffix in {".list", ".sources"} and path.exists()
    ]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time builds; the lock goes away with its process."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def unmount_below(root: Path, mounts: str, run: Run) -> None:
    """Unmount what a build that was cut off has left mounted below `root`; deepest first."""
    points = [line.split()[1] for line in mounts.splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{root}/")), reverse=True):
        run(["umount", point])


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes the image of a recipe, or takes it from the cache.

    Attributes:
        repository: the image's name without its tag, which is the recipe's key.
        cache: directory of archives and of builds in progress.
        run: runs commands.
    """

    repository: str
    cache: Path
    run: Run

    def name(self, recipe: Recipe) -> str:
        """The image's full name."""
        return f"{self.repository}:{recipe.key}"

    def present(self, recipe: Recipe) -> bool:
        """Whether the engine has the image."""
        return self.run(["docker", "image", "ls", "--quiet", self.name(recipe)]).strip() != ""

    def provide(self, recipe: Recipe) -> str:
        """Make the engine have the image; says how: `present`, `cache` or `built`."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with locked(self.cache / f"{self.repository}.lock"):
            if self.present(recipe):
                return "present"
            archive = self.cache / f"{self.repository}-{recipe.key}.tar.gz"
            cached = archive.exists()
            if not cached:
                self._build(recipe, archive)
            changes = ["--change", f"LABEL rsp.lab.recipe={recipe.key}", "--change", 'CMD ["/sbin/init"]']
            self.run(["docker", "import", *changes, str(archive), self.name(recipe)])
            archive.touch()
            self._forget_old(recipe)
            return "cache" if cached else "built"

    def _forget_old(self, recipe: Recipe) -> None:
        """Bound the cache: the archives used last stay, and images of other recipes that no container of late uses."""
        archives = sorted(self.cache.glob(f"{self.repository}-*.tar.gz"), key=lambda path: path.stat().st_mtime)
        for archive in archives[:-KEPT_ARCHIVES]:
            archive.unlink()
        others = ["label=rsp.lab.recipe", f"label!=rsp.lab.recipe={recipe.key}", "until=24h"]
        self.run(["docker", "image", "prune", "--all", "--force", *(f"--filter={other}" for other in others)])

    def _build(self, recipe: Recipe, archive: Path) -> None:
        work = self.cache / f"{self.repository}.build"
        unmount_below(work, Path("/proc/mounts").read_text(encoding="utf-8"), self.run)
        shutil.rmtree(work, ignore_errors=True)
        write_tree(work / "tree", recipe)
        (work / "debian.sources").write_text(recipe.sources, encoding="utf-8")
        unfinished = work / "image.tar.gz"
        self.run(bootstrap_command(recipe, work, unfinished), {"TMPDIR": str(work), "LC_ALL": "C.UTF-8"})
        unfinished.replace(archive)
        shutil.rmtree(work)


def write_tree(tree: Path, recipe: Recipe) -> None:
    """Write what the recipe puts into the image on top of its packages."""
    for relative, content in recipe.files.items():
        (tree / relative).parent.mkdir(parents=True, exist_ok=True)
        (tree / relative).write_bytes(content)
    units = tree / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in recipe.masked_units:
        (units / unit).symlink_to("/dev/null")


def bootstrap_command(recipe: Recipe, work: Path, archive: Path) -> list[str]:
    """The call of mmdebstrap: settings of the tree hold while it builds; host keys are never part of an image."""
    tree = work / "tree"
    settings = {"--aptopt": "etc/apt/apt.conf.d", "--dpkgopt": "etc/dpkg/dpkg.cfg.d"}
    options = [f"{option}={path}" for option, below in settings.items() for path in sorted((tree / below).glob("*"))]
    remove = 'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap'
    copy = f'cp -R --no-dereference --no-preserve=mode {shlex.quote(str(tree))}/. "$1"'
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(sorted(recipe.packages))}",
        *options,
        "--skip=cleanup/apt/lists",
        f"--customize-hook={remove}",
        f"--customize-hook={copy}",
        recipe.suite,
        str(archive),
        str(work / "debian.sources"),
    ]
