# SPDX-License-Identifier: Apache-2.0
"""What a fault does to a host, step by step, and how it is taken back. Stands alone: this very file is the undo script.

    python3 undo.py undo DIRECTORY    take it back once; 0 when the host is as it was, else systemd's lease tries again
    python3 undo.py watch DIRECTORY   a watchdog for hosts without systemd: waits for the deadline, then undoes

Every step is data ({"do": NAME, …}) and may run twice. deeds.py lies beside it; else only the standard library is used.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

deeds: Any
if __name__ == "__main__":  # the undo script: its neighbour lies beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    deeds = importlib.import_module("deeds")
else:
    from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds

PLAN, DEADLINE, UNDONE = "plan.json", "deadline", "undone.json"
TABLES = ("iptables", "ip6tables")
SETTLE_S, POLL_S, RETRY_S = 20.0, 0.2, 5.0
BLOCK = 1 << 20
PREFIX = "CHAOS-"  # of every chain of ours
Step = Mapping[str, Any]


class StepError(Exception):
    """A step could not be done."""


def run(argv: Sequence[str], ok: Iterable[int] = (0,), timeout_s: float = 60) -> str:
    """Standard output of a command. Raises StepError for another exit code, a missing program, or a timeout."""
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, check=False, timeout=timeout_s)
    except (OSError, subprocess.SubprocessError) as err:
        raise StepError(f"{argv[0]}: {err}") from err
    if done.returncode not in ok:
        raise StepError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def process_state(pid: int, start: int, proc: Path = Path("/proc")) -> str:
    """State letter of the process that began at tick `start`; empty when it is gone, also when its pid lives on."""
    try:
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return fields[0] if int(fields[19]) == start else ""


def _signal(step: Step) -> None:
    # A pidfd names this very process: its number can't be given to another one between the look and the signal.
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(step["pid"])
        try:
            if process_state(step["pid"], step["start"]):
                signal.pidfd_send_signal(handle, signal.Signals[step["signal"]])
        finally:
            os.close(handle)


def _chain(step: Step) -> None:
    for table in step["tables"]:
        run([table, "-w", "5", "-N", step["chain"]])
        for rule in step["rules"][table]:
            run([table, "-w", "5", "-A", step["chain"], *rule])
        for parent in step["parents"]:
            run([table, "-w", "5", "-I", parent, "1", "-j", step["chain"]])


def _no_chain(step: Step) -> None:
    chain = step["chain"]
    for table in step["tables"]:
        rules = run([table, "-w", "5", "-S"]).splitlines()
        for rule in rules:
            words = rule.split()
            if words[0] == "-A" and words[-2:] == ["-j", chain]:
                run([table, "-w", "5", "-D", *words[1:]])
        if f"-N {chain}" in rules:
            run([table, "-w", "5", "-F", chain])
            run([table, "-w", "5", "-X", chain])


def _fill(step: Step) -> None:
    """Takes blocks until the file is as long as asked or the floor is reached; the floor is looked at before each."""
    path, left = Path(step["path"]), int(step["bytes"])
    with path.open("wb") as file:
        while left > 0:
            seen = os.statvfs(path)
            size = min(left, BLOCK, seen.f_bavail * seen.f_frsize - int(step["floor"]))
            if size <= 0:
                break
            os.posix_fallocate(file.fileno(), file.tell(), size)
            file.seek(size, os.SEEK_CUR)
            left -= size


def _squeezed(path: str) -> list[str]:
    """Lines of a file of the kernel's, a single space between words."""
    return [" ".join(line.split()) for line in Path(path).read_text(encoding="ascii").splitlines()]


def _rlimit(step: Step) -> None:
    """What is as it should be is left alone: a host that forbids the change never had it."""
    row = f"Max open files {step['soft']} {step['hard']} files"
    if process_state(step["pid"], step["start"]) and row not in _squeezed(f"/proc/{step['pid']}/limits"):
        resource.prlimit(step["pid"], resource.RLIMIT_NOFILE, (step["soft"], step["hard"]))


def _clock(step: Step) -> None:
    """Wall time as an offset from the time since boot: setting it twice is setting it once."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_BOOTTIME) + step["offset_s"])


def _container(step: Step) -> None:
    status = container_status(step["name"])
    verbs = {"running": {"paused": "unpause", "exited": "start", "created": "start"}, "paused": {"running": "pause"},
             "exited": {"running": "kill"}}[step["want"]]  # fmt: skip
    if status != step["want"]:
        if status not in verbs:
            raise StepError(f"container {step['name']} is {status}, it cannot become {step['want']}")
        run(["docker", verbs[status], step["name"]])


def _patroni(step: Step) -> None:
    change = f"{step['setting']}={step['value']}"
    run(["patronictl", "-c", step["config"], "edit-config", "--quiet", "--force", "-s", change])


def patroni_value(config: str, setting: str) -> str:
    """Value of a key of Patroni's dynamic configuration; null when it is not set."""
    lines = run(["patronictl", "-c", config, "show-config"]).splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{setting}:")), "null")


def container_status(name: str) -> str:
    """running, paused, exited … as the engine says it."""
    return run(["docker", "inspect", "-f", "{{.State.Status}}", name]).strip()


def _deed(name: str) -> Callable[[Step], object]:
    return lambda step: deeds.DO[name](step, run)


DO: dict[str, Callable[[Step], object]] = {
    "signal": _signal, "unit": lambda step: run(["systemctl", step["verb"], step["unit"]], timeout_s=120),
    "chain": _chain, "no_chain": _no_chain,
    "fill": _fill, "no_file": lambda step: Path(step["path"]).unlink(missing_ok=True),
    "rlimit": _rlimit, "clock": _clock, "container": _container, "patroni": _patroni,
    **{name: _deed(name) for name in deeds.DO},
}  # fmt: skip


def see(item: Step) -> Any:
    """One thing of the fingerprint, as it is now: {"see": NAME, …}. JSON-serialisable."""
    kind = item["see"]
    if kind in ("text", "exists", "file"):
        return _see_file(item)
    looks: dict[str, Callable[[], Any]] = {
        "rules": lambda: {t: [r for r in run([t, "-w", "5", "-S"]).splitlines() if r] for t in item["tables"]},
        "unit": lambda: run(["systemctl", "is-active", item["unit"]], ok=range(256)).strip(),
        "stopped": lambda: process_state(item["pid"], item["start"]) == "T",
        "container": lambda: container_status(item["name"]),
        "clock": lambda: round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)),
        "patroni": lambda: patroni_value(item["config"], item["setting"]),
    }
    if kind in looks:
        return looks[kind]()
    if kind in deeds.SEE:
        return deeds.SEE[kind](item, run)
    raise StepError(f"unknown part of a fingerprint: {kind}")


def _see_file(item: Step) -> Any:
    path = Path(item["path"])
    if item["see"] == "exists":
        return path.exists()
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8") if item["see"] == "text" else hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(items: Sequence[Step]) -> list[Any]:
    """Everything that the fault may touch."""
    return [see(item) for item in items]


def of_chaos(rule: str) -> bool:
    """Whether a line of `iptables -S` makes, fills or calls a chain of ours; a comment that names one does not."""
    words = rule.split()
    return words[1].startswith(PREFIX) or (words[-2] == "-j" and words[-1].startswith(PREFIX))


def differences(items: Sequence[Step], before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    """What is not as it was, one sentence each. Rules that others added, or other faults took away, are none."""
    found = []
    for item, old, new in zip(items, before, after, strict=True):
        if item["see"] == "rules":
            for table in item["tables"]:
                found += [f"{table}: {rule} is left" for rule in new[table] if item["chain"] in rule.split()]
                lost = [rule for rule in old[table] if rule not in new[table] and not of_chaos(rule)]
                found += [f"{table}: {rule} is missing" for rule in lost]
        elif item["see"] == "text" and new is None:
            continue  # the control group of a process that ended
        elif item["see"] == "clock":
            found += [f"the clock is off by {new - old} s"] if abs(new - old) > 1 else []
        elif new != old:
            found.append(f"{item.get('path') or item.get('unit') or item.get('name') or item['see']}: {old} → {new}")
    return found


def undo(plan: Mapping[str, Any], settle_s: float = SETTLE_S) -> list[str]:
    """Take everything back, whatever fails, and compare; what is wrong afterwards, empty when the host is as it was."""
    failed = []
    for step in plan["undo"]:
        try:
            DO[step["do"]](step)
        except (StepError, OSError, ValueError) as err:
            failed.append(f"{step['do']}: {err}")
    end = time.monotonic() + settle_s
    while True:
        try:
            wrong = differences(plan["fingerprint"], plan["before"], fingerprint(plan["fingerprint"]))
        except (StepError, OSError) as err:
            wrong = [f"the host cannot be looked at: {err}"]
        if failed or not wrong or time.monotonic() >= end:
            return failed + wrong
        time.sleep(POLL_S)


def save(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that it is whole and on the disk, or not there at all."""
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def undo_directory(folder: Path) -> bool:
    """Undo what a directory holds and write down how it went; whether the host is as it was."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    wrong = undo(plan)
    save(folder / UNDONE, json.dumps({"at": time.time(), "wrong": wrong}))
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return not wrong


def watch(folder: Path, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until the deadline, which renewing moves, then undo until it succeeds. A deadline that is gone: disarmed."""
    while True:
        try:
            left = float((folder / DEADLINE).read_text(encoding="ascii")) - now()
        except FileNotFoundError:
            return
        if left <= 0:
            if undo_directory(folder):
                (folder / DEADLINE).unlink(missing_ok=True)
                return
            left = RETRY_S
        sleep(min(left, POLL_S * 5))


def main(argv: Sequence[str]) -> int:
    """Exit code of the script."""
    verb, folder = argv[0], Path(argv[1])
    if verb == "watch":
        watch(folder)
        return 0
    return 0 if undo_directory(folder) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
