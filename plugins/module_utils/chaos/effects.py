# SPDX-License-Identifier: Apache-2.0
"""Whether a fault took effect. What cannot be seen is not proved, and what is not proved makes a run inconclusive."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import (
    BLOCK,
    StepError,
    container_status,
    patroni_value,
    process_state,
    run,
)

RECEIVED = "toxiproxy_proxy_received_bytes_total"


def prove(proofs: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()) -> tuple[bool, list[str]]:
    """Whether every proof holds now, and one sentence about each.

    Args:
        proofs: the plan's `effect`.
        before: items of the fingerprint with their `value` before the fault.
    """
    old = {item["path"]: item["value"] for item in before if "path" in item}
    answers = []
    for proof in proofs:
        try:
            answers.append(_one(proof, old))
        except (StepError, OSError, ValueError, IndexError) as err:
            answers.append((False, f"{proof['see']} cannot be seen: {err}"))
    return bool(answers) and all(good for good, _text in answers), [text for _good, text in answers]


def _one(proof: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[bool, str]:
    kind = proof["see"]
    if kind == "packets":
        count = sum(packets(run([t, "-w", "5", "-v", "-S", proof["chain"]]), proof["chain"]) for t in proof["tables"])
        return count > 0, f"{count} packets met the rules of {proof['chain']}"
    if kind in ("gone", "stopped"):
        state = process_state(proof["pid"], proof["start"])
        return state in (("", "Z") if kind == "gone" else ("T",)), f"process {proof['pid']} is {state or 'gone'}"
    if kind == "unit_is":
        state = run(["systemctl", "is-active", proof["unit"]], ok=range(256)).strip()
        return state in proof["state"], f"{proof['unit']} is {state}"
    if kind == "container_is":
        status = container_status(proof["name"])
        return status == proof["status"], f"container {proof['name']} is {status}"
    if kind == "refused":
        return _refused(proof)
    return _file(proof, old) if "path" in proof else _state(proof)


def _refused(proof: Mapping[str, Any]) -> tuple[bool, str]:
    """The listener shows our certificate, and a client that knows the platform's CA refuses it for the right reason."""
    where = f"{proof['address']}:{proof['port']}"
    if (shown := deeds.served(proof)) != proof["sha256"]:
        return False, f"{where} does not show the certificate that was put there, but {shown}"
    why = deeds.refusal(proof)
    if why is None:
        return False, f"{where} is not refused"
    return proof["because"] in why, f"{where} is refused: {why}"


def _state(proof: Mapping[str, Any]) -> tuple[bool, str]:
    kind = proof["see"]
    if kind == "patroni_is":
        value = patroni_value(proof["config"], proof["setting"])
        return value == proof["value"], f"{proof['setting']} is {value}"
    if kind == "unreadable":
        try:
            rows = deeds.sql(run, proof, deeds.ROWS + proof["relation"])
        except StepError as err:
            said = str(err).partition(": ")[2]
            return "invalid page" in said, f"{proof['relation']}: {said}"
        return False, f"{proof['relation']} is read as before, {rows} rows: its pages are in memory"
    if kind == "proxied":
        return _proxied(proof)
    if kind == "clock_off":
        off = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - proof["offset_s"]
        return abs(off) >= proof["least_s"], f"the clock is off by {off:.1f} s"
    raise StepError(f"unknown proof {kind}")


def _proxied(proof: Mapping[str, Any]) -> tuple[bool, str]:
    """The proxy has what is wrong with it, and bytes of the peers came in."""
    listed = json.loads(deeds.ask_proxy(proof["api"], f"/proxies/{proof['name']}/toxics"))
    missing = sorted(set(proof["toxics"]) - {toxic["name"] for toxic in listed})
    if missing:
        return False, f"the proxy lacks {', '.join(missing)}"
    # The proxy counts a connection when it ends, the kernel those that are open.
    count = received(deeds.ask_proxy(proof["api"], "/metrics"), proof["name"])
    sockets = run(["ss", "-tinH", "state", "established", "sport", "=", f":{proof['listen']}"])
    count += sum(int(number) for number in re.findall(r"bytes_received:(\d+)", sockets))
    return count > 0, f"{count} bytes came to the proxy"


def received(metrics: str, name: str) -> int:
    """Bytes that clients sent to a proxy, in what toxiproxy's metrics say."""
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in metrics.splitlines()
        if line.startswith(f"{RECEIVED}{{") and f'proxy="{name}"' in line and 'direction="upstream"' in line
    )


def _file(proof: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[bool, str]:
    kind, path = proof["see"], Path(proof["path"])
    if kind == "full":
        seen = os.statvfs(path)
        free, size = seen.f_bavail * seen.f_frsize, path.stat().st_size
        return size > 0 and (free <= proof["floor"] + BLOCK or size >= proof["bytes"]), f"{free >> 20} MiB are free"
    text = path.read_text(encoding="utf-8")
    if kind == "changed":
        return text != old.get(str(path)), f"{path} {'differs' if text != old.get(str(path)) else 'is as before'}"
    name = "nr_throttled" if kind == "throttled" else proof["name"]
    count = next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)
    return count > proof["before"], f"{name} went from {proof['before']} to {count}"


def packets(listing: str, chain: str) -> int:
    """Packets that rules of a chain took, without those that only returned, in what `iptables -v -S CHAIN` says."""
    total = 0
    for line in listing.splitlines():
        words = line.split()
        if words[:2] == ["-A", chain] and "-c" in words and words[words.index("-j") + 1] != "RETURN":
            total += int(words[words.index("-c") + 1])
    return total
