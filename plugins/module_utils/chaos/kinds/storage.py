# SPDX-License-Identifier: Apache-2.0
"""A page of PostgreSQL's that rots on one replica while others have a good one. The undo clones the replica anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos import deeds
from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

PAGE, WHERE, BYTES = 8192, 4096, 64  # the middle of the second page: rows, no header
ASK = (
    "SELECT current_setting('data_checksums') || '|' || pg_is_in_recovery()::text || '|'"
    " || current_setting('data_directory') || '/' || pg_relation_filepath('{relation}')"
)


def corrupt(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """Flips the bits of some bytes of a relation that nobody writes, where checksums tell, and good copies exist."""
    if not look.has("patronictl"):
        raise UnavailableError("patronictl is not installed on this host")
    if not params.get("address") or not params.get("port"):
        raise UnavailableError("this service does not say where its server listens")

    def run(argv: Any, **_options: Any) -> str:
        code, out, err = look.run(list(argv))
        if code != 0:
            raise ChaosError(f"{argv[0]}: {err.strip() or out.strip() or code}")
        return out

    server = {key: params[key] for key in ("socket", "port", "database")}
    who = {"config": params["config"], "address": params["address"]}
    _must_have_copies(deeds.members(run, who), params["address"])
    answer = deeds.sql(run, server, ASK.format(relation=params["relation"]))
    checksums, recovery, path = answer.split("|", 2)
    if checksums != "on":
        raise UnavailableError("data checksums are off: nobody could see the damage, nor who has it")
    if recovery != "true":
        raise ChaosError("this member leads: only a replica may be damaged")
    place = look.root / path.lstrip("/")
    if not place.is_file() or place.stat().st_size < 2 * PAGE:
        raise ChaosError(f"{path} is too short to be damaged → choose another relation")
    with place.open("rb") as file:
        file.seek(PAGE + WHERE)
        good = file.read(BYTES)
    bad = bytes(byte ^ 0xFF for byte in good).hex()
    spot = {"path": path, "offset": PAGE + WHERE, "bad": bad}
    return FaultPlan(
        inject=({"do": "damage", **spot},),
        undo=({"do": "rebuild", **spot, "good": good.hex(), **who},),
        fingerprint=({"see": "copy", **spot, **who},),
        effect=({"see": "unreadable", **server, "relation": params["relation"]},),
        notes=(f"{BYTES} bytes of {params['relation']}; a page that is in memory is not read anew: inconclusive",),
    )


def _must_have_copies(found: list[dict[str, Any]], address: str) -> None:
    """Raise ChaosError unless this member streams, somebody leads, and a third one streams too."""
    me = deeds.own(found, address)
    others = [each for each in found if each is not me]
    leads = [each for each in others if each["Role"] == "Leader" and each["State"] == "running"]
    copies = [each for each in others if each["Role"] != "Leader" and each["State"] == "streaming"]
    if me["State"] != "streaming":
        raise ChaosError(f"{me['Member']} is {me['State']}, not streaming: only a replica that is whole may be damaged")
    if not leads or not copies:
        raise ChaosError(
            f"{len(leads) + len(copies)} good copies would be left, a leader and a replica that streams are needed"
        )


NAME = r"[a-z_][a-z0-9_]*"
KINDS = (
    Kind("data_corruption", "Damages a page of one replica's data, and clones the replica anew.",
         {"relation": Option(pattern=rf"{NAME}\.{NAME}", default="information_schema.sql_features"),
          "database": Option(pattern=NAME, default="postgres"),
          "config": Option(pattern=r"/[A-Za-z0-9/._-]+", default="/etc/patroni/rsp"),
          "socket": Option(pattern=r"/[A-Za-z0-9/._-]+", default="/var/run/postgresql"),
          "port": Option(type="int", minimum=1, maximum=65535),
          "address": Option()}, corrupt, filled=("address", "port"), single=True),
)  # fmt: skip
