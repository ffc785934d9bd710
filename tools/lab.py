"""The lab of this checkout: up, down, status, shell, clean-cache. `make help` lists the commands."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import summary
from stages import Journal, Stage, run_stage

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".lab"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rsp-platform"
# The S3 store's objects, a volume of its host: what make down KEEP=repositories leaves
KEPT = "s3"
PLAY = str(ROOT / ".venv/bin/ansible-playbook")
STAGES = (
    Stage("bootstrap", "packages, container engine, Python environment", ("tools/bootstrap.sh",)),
    Stage("image", "the node image, from the archive of the distribution", (PLAY, "playbooks/lab.yml", "--tags=image")),
    Stage("lab", "three zones of containers", (PLAY, "playbooks/lab.yml")),
    Stage("mirror", "artifacts by sha256, built or fetched once", (PLAY, "playbooks/mirror.yml")),
    Stage("converge", "the platform", (PLAY, "playbooks/environments/local.yml")),
    Stage("verify", "every service, from its members and from a client", (PLAY, "playbooks/verify.yml")),
    Stage("endpoints", "addresses and names of secrets for clients", (PLAY, "playbooks/endpoints.yml")),
)


class LabError(Exception):
    """The lab can't do what was asked; one line that says what to do."""


def lab_id(root: Path = ROOT) -> str:
    """Six hexadecimal digits of the checkout; names of its containers and networks carry them."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:6]


def docker(*argv: str) -> list[str]:
    """Lines of a docker command's output.

    Raises:
        LabError: there is no engine, or it refused.
    """
    try:
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise LabError("there is no container engine here: run make up") from err
    if done.returncode != 0:
        raise LabError(f"docker {argv[0]}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def of_this_checkout() -> str:
    """Docker's filter for what belongs to this checkout: its lab and those of its tests."""
    return f"label=rsp.lab.checkout={lab_id()}"


@contextmanager
def alone(patience_s: float = 30.0) -> Iterator[int]:
    """Only one run in a checkout; yields the lock's descriptor, which playbooks keep open.

    Raises:
        LabError: another run, or a playbook that outlived it, is still at work after `patience_s`.
    """
    STATE.mkdir(mode=0o700, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with (STATE / "lock").open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    raise LabError("another run is at work in this checkout: wait for it, or stop it") from err
                time.sleep(0.2)
        yield handle.fileno()


def chosen(first: str | None, last: str | None) -> tuple[Stage, ...]:
    """All stages, or those from `first` to `last`.

    Raises:
        LabError: there is no such stage.
    """
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name is not None and name not in names:
            raise LabError(f"there is no stage {name}: take one of {', '.join(names)}")
    return STAGES[names.index(first) if first else 0 : names.index(last) + 1 if last else None]


def up(first: str | None, last: str | None) -> int:
    """Run the stages in order; stop at the first that fails."""
    stages = chosen(first, last)
    journal, logs = Journal(STATE / "stages.json"), STATE / "log"
    with alone() as lock:
        (STATE / "id").write_text(f"{lab_id()}\n", encoding="utf-8")
        logs.mkdir(exist_ok=True)
        unfinished = [name for name, record in journal.read().items() if record.state in {"running", "interrupted"}]
        if unfinished:
            print(f"the run before was cut off in stage {unfinished[-1]}; every stage is safe to repeat")
        for number, stage in enumerate(stages, 1):
            print(f"[{number}/{len(stages)}] {stage.name}: {stage.about}", flush=True)
            if not run_stage(stage, journal, logs, environment(), lock):
                print(f"stage {stage.name} failed; everything it said is in {logs / stage.name}.log; "
                      "when the cause is gone, make up goes on from here")  # fmt: skip
                return 1
    print(summary.endpoints(STATE / "endpoints.json"), end="")
    print(summary.times(journal.read()))
    return 0


def down(keep: str | None = None) -> int:
    """Remove containers, networks and state of this checkout; other checkouts' and the caches stay.

    Args:
        keep: `repositories` leaves the backups of one zone where the next `make up` mounts them.
    """
    with alone():
        if shutil.which("docker"):
            containers = docker("ps", "--all", "--quiet", "--filter", of_this_checkout())
            networks = docker("network", "ls", "--quiet", "--filter", of_this_checkout())
            if containers:
                docker("rm", "--force", "--volumes", *containers)
            if networks:
                docker("network", "rm", *networks)
            print(f"removed {len(containers)} containers and {len(networks)} networks")
        for path in STATE.iterdir():
            if keep and path.name == KEPT:
                print(
                    f"kept {path.parent.name}/{path.name}: the repositories of one zone; the keys to them are not kept"
                )
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not any(STATE.iterdir()):
            STATE.rmdir()
    return 0


def status() -> int:
    """Show the containers with their memory, and the time of each stage."""
    columns = "{{.ID}}\t{{.Names}}\t{{.Status}}"
    rows = docker("ps", "--all", "--no-trunc", "--filter", of_this_checkout(), "--format", columns)
    found = [
        (name, state, memory_mib(container)) for container, name, state in (row.split("\t") for row in sorted(rows))
    ]
    print(summary.containers(found), summary.times(Journal(STATE / "stages.json").read()), sep="\n")
    return 0


def memory_mib(container: str, root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """MiB of memory that a container's processes hold, page cache left out; None when it does not run."""
    for path, key in ((f"memory/docker/{container}", "total_rss"), (f"system.slice/docker-{container}.scope", "anon")):
        accounts = root / path / "memory.stat"
        if accounts.exists():
            lines = (line.split() for line in accounts.read_text(encoding="utf-8").splitlines())
            return int({name: int(value) for name, value in lines}.get(key, 0) / 2**20)
    return None


def shell(name: str | None) -> int:
    """Open a shell on a host; the exit code is the shell's."""
    if not name:
        raise LabError("name a host: make shell HOST=a1")
    argv = ["docker", "exec", "--interactive", *(["--tty"] if sys.stdin.isatty() else [])]
    return subprocess.run([*argv, f"rsp-{lab_id()}-{name}", "bash", "--login"], check=False).returncode


def secret(name: str | None) -> int:
    """Print a secret of the store; the collection's own lookup reads it."""
    if not name:
        raise LabError("name a secret: make secret NAME=<from the column password of make up>")
    message = json.dumps({"msg": f"{{{{ lookup('rsp.platform.secret', '{name}') }}}}"})
    argv = [str(ROOT / ".venv/bin/ansible"), "ops", "--one-line", "-m", "ansible.builtin.debug", "-a", message]
    settings = environment() | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=settings)
    if done.returncode != 0:
        raise LabError(f"the secret {name} can't be read: {(done.stderr or done.stdout).strip()}")
    print(json.loads(done.stdout.split("=>", 1)[1])["msg"])
    return 0


def clean_cache() -> int:
    """Remove what all checkouts share; the next `make up` fetches and builds it again."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").split()
    if any(path.startswith(f"{CACHE}/") for path in mounts) or docker("ps", "--quiet", "--filter", "label=rsp.lab"):
        raise LabError("a lab on this machine uses the cache: make down first, in every checkout")
    shutil.rmtree(CACHE, ignore_errors=True)
    images = docker("image", "ls", "--quiet", "--filter", "label=rsp.lab.recipe")
    if images:
        docker("image", "rm", "--force", *images)
    print(f"removed {CACHE} and {len(images)} images")
    return 0


def environment() -> dict[str, str]:
    """Ansible's environment: this checkout's settings wherever the command is run from, and output that can be read."""
    fixed = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        # Without it a task is named when it ends, not when it begins.
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **fixed, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}


COMMANDS: dict[str, Callable[..., int]] = {
    "up": up,
    "down": down,
    "status": status,
    "shell": shell,
    "secret": secret,
    "clean-cache": clean_cache,
}


def main() -> int:
    """One command; 0 when it did what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stages = commands.add_parser("up")
    stages.add_argument("--from", dest="first", metavar="STAGE", help="start with this stage")
    stages.add_argument("--to", dest="last", metavar="STAGE", help="end with this stage")
    for name in ("shell", "secret"):
        commands.add_parser(name).add_argument("name", nargs="?")
    commands.add_parser("down").add_argument("--keep", choices=["repositories"], help="leave the backups of one zone")
    for name in ("status", "clean-cache"):
        commands.add_parser(name)
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return COMMANDS[command](**arguments)
    except LabError as err:
        print(err, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; make up goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
