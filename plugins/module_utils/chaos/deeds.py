# SPDX-License-Identifier: Apache-2.0
"""Steps of the undo script that take more than a line: control groups, what a listener serves, a damaged data file.

Stands alone beside undo.py: nothing but the standard library is imported. `run` is steps.run: it raises for what fails.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Step = Mapping[str, Any]
Run = Callable[..., str]
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL's request for TLS
TIMEOUT_S = 5.0
ROWS = "SELECT count(*) FROM "


def write(step: Step, _run: Run) -> None:
    """A value of the kernel's. One whose control group is gone went with it."""
    path = Path(step["path"])
    if path.parent.is_dir():
        path.write_text(step["text"], encoding="utf-8")


def group(step: Step, _run: Run) -> None:
    """A control group with values, that takes processes."""
    path = Path(step["path"])
    path.mkdir(exist_ok=True)
    for name, text in step["files"].items():
        (path / name).write_text(text, encoding="utf-8")
    _move(step["pids"], path)


def no_group(step: Step, _run: Run) -> None:
    """Its processes go back to where they came from."""
    path = Path(step["path"])
    if path.is_dir():
        # A process may fork between the list and the move: until nobody is left.
        for _turn in range(50):
            if not (pids := (path / "cgroup.procs").read_text(encoding="ascii").split()):
                break
            _move(pids, path.parent)
        path.rmdir()


def _move(pids: Iterable[Any], path: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (path / "cgroup.procs").write_text(str(pid), encoding="ascii")


# --- what a listener serves --------------------------------------------------------------------------------------


def put(step: Step, _run: Run) -> None:
    """A file with this text, owner and mode, whole at every moment."""
    path = Path(step["path"])
    fresh = path.with_name(f".{path.name}.rsp-chaos")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(step["text"].encode("ascii"))
        os.fchown(file.fileno(), step["uid"], step["gid"])
        os.fchmod(file.fileno(), step["mode"])
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def node(item: Step, _run: Run) -> Any:
    """Content, owner and mode of a file; None when there is none."""
    path = Path(item["path"])
    if not path.is_file():
        return None
    seen = path.stat()
    return [hashlib.sha256(path.read_bytes()).hexdigest(), seen.st_uid, seen.st_gid, seen.st_mode & 0o7777]


def reread(step: Step, run: Run) -> None:
    """Tell a unit to read its files again. One that still starts takes a signal; one that is down reads them anyway."""
    state = run(["systemctl", "is-active", step["unit"]], ok=range(256)).strip()
    if state == "active":
        run(["systemctl", "reload", step["unit"]])
    elif state in ("activating", "reloading"):
        run(["systemctl", "kill", "--kill-whom=main", "--signal=HUP", step["unit"]])


def served(item: Step, _run: Run | None = None) -> str:
    """SHA-256 of the certificate that a listener shows now; a sentence when it shows none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return hashlib.sha256(_handshake(item, context)).hexdigest()
    except OSError as err:
        return f"nothing: {err}"


def refusal(item: Step) -> str | None:
    """Why a client that knows the platform's CA refuses the listener; None: it does not, or nobody answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(item["ca_path"])
    try:
        _handshake(item, context)
    except ssl.SSLCertVerificationError as err:
        return str(err.verify_message)
    except OSError:
        return None
    return None


def _handshake(item: Step, context: ssl.SSLContext) -> bytes:
    with socket.create_connection((item["address"], item["port"]), timeout=TIMEOUT_S) as plain:
        if item["protocol"] == "postgresql":
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise OSError("it offers no TLS")
        with context.wrap_socket(plain) as tls:
            return tls.getpeercert(binary_form=True) or b""


# --- a data file of PostgreSQL's ---------------------------------------------------------------------------------


def sql(run: Run, item: Step, text: str) -> str:
    """What the server of this host answers, as its superuser. Raises what `run` raises, with the server's words."""
    argv = ["runuser", "-u", "postgres", "--", "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At", "-h"]
    return run([*argv, item["socket"], "-p", str(item["port"]), "-d", item["database"], "-c", text]).strip()


def members(run: Run, item: Step) -> list[dict[str, Any]]:
    """The cluster's members as Patroni lists them."""
    found: list[dict[str, Any]] = json.loads(run(["patronictl", "-c", item["config"], "list", "-f", "json"]))
    return found


def own(found: Iterable[Mapping[str, Any]], address: str) -> Mapping[str, Any]:
    """The member of an address. Raises OSError when Patroni knows none."""
    for each in found:
        if str(each["Host"]).partition(":")[0] == address:
            return each
    raise OSError(f"Patroni knows no member at {address}")


def damaged(item: Step) -> bool:
    """Whether the damage is still in the file; not when the file is gone, as in a rebuild."""
    bad = bytes.fromhex(item["bad"])
    try:
        with Path(item["path"]).open("rb") as file:
            return os.pread(file.fileno(), len(bad), item["offset"]) == bad
    except FileNotFoundError:
        return False


def damage(step: Step, _run: Run) -> None:
    """Other bytes in the middle of a page; its checksum does not know them."""
    with Path(step["path"]).open("r+b") as file:
        data = bytes.fromhex(step["bad"])
        os.pwrite(file.fileno(), data, step["offset"])
        os.fsync(file.fileno())


def rebuild(step: Step, run: Run) -> None:
    """Let Patroni clone the member anew. One that leads by now can't be cloned: it gets its own bytes back."""
    if not damaged(step):
        return
    me = own(members(run, step), step["address"])
    if me["Role"] in ("Leader", "Standby Leader"):
        damage({**step, "bad": step["good"]}, run)
    else:
        run(["patronictl", "-c", step["config"], "reinit", "--force", me["Cluster"], me["Member"]], timeout_s=120)


def copy_of(item: Step, run: Run) -> str:
    """Whether this member has a sound copy: damaged, or what Patroni says of it."""
    if damaged(item):
        return "damaged"
    me = own(members(run, item), item["address"])
    return "whole" if str(me["State"]) in ("streaming", "running") else str(me["State"])


# --- a proxy in the path -----------------------------------------------------------------------------------------


def ask_proxy(port: int, path: str, body: Any = None) -> str:
    """An answer of toxiproxy's API on this host; a body is posted. Raises OSError for anything but a yes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, {"User-Agent": "rsp-chaos"})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as err:
        raise OSError(f"toxiproxy gave no answer: {type(err).__name__}") from err
    finally:
        connection.close()
    if answer.status not in (200, 201):
        raise OSError(f"toxiproxy: http {answer.status} {text[:100]}")
    return text


def proxy(step: Step, run: Run) -> None:
    """A proxy as a unit of its own, with what is wrong with it."""
    run(["systemd-run", f"--unit={step['unit']}", "--collect", "--property=User=nobody", *step["argv"]])
    end = time.monotonic() + TIMEOUT_S * 2
    while True:
        try:
            ask_proxy(step["api"], "/version")
            break
        except OSError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
    ask_proxy(step["api"], "/proxies", {key: step[key] for key in ("name", "listen", "upstream")})
    for toxic in step["toxics"]:
        ask_proxy(step["api"], f"/proxies/{step['name']}/toxics", toxic)


def no_proxy(step: Step, run: Run) -> None:
    """The proxy ends, and with it every connection that goes through it."""
    run(["systemctl", "stop", step["unit"]], ok=(0, 5))  # 5: there is none any more


def redirect(step: Step, run: Run) -> None:
    """New connections go to another port of this host."""
    nat = ["iptables", "-w", "5", "-t", "nat"]
    run([*nat, "-N", step["chain"]])
    for rule in step["rules"]:
        run([*nat, "-A", step["chain"], *rule])
    run([*nat, "-I", "PREROUTING", "1", "-j", step["chain"]])


def no_redirect(step: Step, run: Run) -> None:
    """Our chain is gone, whatever was there of it."""
    nat, chain = ["iptables", "-w", "5", "-t", "nat"], step["chain"]
    rules = run([*nat, "-S"]).splitlines()
    for rule in rules:
        words = rule.split()
        if words[0] == "-A" and words[-2:] == ["-j", chain]:
            run([*nat, "-D", *words[1:]])
    if f"-N {chain}" in rules:
        run([*nat, "-F", chain])
        run([*nat, "-X", chain])


def redirected(item: Step, run: Run) -> list[str]:
    """Rules of ours in the table nat; those of others are none of our business."""
    rules = run(["iptables", "-w", "5", "-t", "nat", "-S"]).splitlines()
    return [rule for rule in rules if item["chain"] in rule.split()]


DO: dict[str, Callable[[Step, Run], None]] = {
    "write": write, "group": group, "no_group": no_group, "put": put, "reread": reread, "damage": damage,
    "rebuild": rebuild, "proxy": proxy, "no_proxy": no_proxy, "redirect": redirect, "no_redirect": no_redirect,
}  # fmt: skip
SEE: dict[str, Callable[[Step, Run], Any]] = {"node": node, "served": served, "copy": copy_of, "redirected": redirected}
