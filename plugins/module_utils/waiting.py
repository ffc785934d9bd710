# SPDX-License-Identifier: Apache-2.0
"""Waits for a gate inside one module call: it polls a semantic signal, and what cannot be asked is closed."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.module_utils.verdict import Verdict, closed


def wait_until_open(
    ask: Callable[[], Verdict],
    wait_s: float,
    interval_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """The first open verdict, or the last closed one when `wait_s` is over; it asks at least once.

    A DriverError counts as closed: a service that restarts comes back within the wait.
    """
    end = clock() + wait_s
    while True:
        try:
            verdict = ask()
        except DriverError as err:
            verdict = closed(str(err))
        if verdict.open or clock() >= end:
            return verdict
        sleep(min(interval_s, max(0.0, end - clock())))
