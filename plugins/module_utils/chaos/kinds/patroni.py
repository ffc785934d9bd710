# SPDX-License-Identifier: Apache-2.0
"""A setting of Patroni's that protects, switched off for a while: what a negative control needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import FaultPlan, Kind, UnavailableError
from ansible_collections.rsp.platform.plugins.module_utils.chaos.steps import patroni_value
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option


def setting(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
    """One key of the dynamic configuration; the undo writes the value that was there."""
    if not look.has("patronictl"):
        raise UnavailableError("patronictl is not installed on this host")
    what = {"config": params["config"], "setting": params["setting"]}
    old = patroni_value(params["config"], params["setting"])
    return FaultPlan(
        inject=({"do": "patroni", **what, "value": params["value"]},),
        undo=({"do": "patroni", **what, "value": old},),
        fingerprint=({"see": "patroni", **what},),
        effect=({"see": "patroni_is", **what, "value": params["value"]},),
    )


KINDS = (
    Kind("patroni_setting", "Gives a key of Patroni's dynamic configuration another value.",
         {"setting": Option(choices=("synchronous_mode", "failsafe_mode"), required=True),
          "value": Option(pattern=r"true|false", required=True),
          "config": Option(pattern=r"/[A-Za-z0-9/._-]+", default="/etc/patroni/rsp")}, setting),
)  # fmt: skip
