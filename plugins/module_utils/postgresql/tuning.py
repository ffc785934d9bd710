# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's sizes, computed from what a host has."""

from __future__ import annotations

SMALLEST_MEMORY_MB = 256


def tuning(memory_mb: int, cpus: int, max_connections: int) -> dict[str, str | int]:
    """Settings that follow from memory and processors; cluster-wide ones are not among them.

    A quarter of the memory is shared buffers; the rest is the kernel's cache, which the planner counts on, and the
    working memory of queries: a third of the rest, if every connection sorts at once.

    Args:
        memory_mb: memory in MiB that PostgreSQL may count on.
        cpus: processors.
        max_connections: most connections that the server takes.
    """
    if memory_mb < SMALLEST_MEMORY_MB or cpus < 1 or max_connections < 1:
        raise ValueError(f"PostgreSQL cannot be sized for {memory_mb} MiB, {cpus} CPUs, {max_connections} connections")
    memory = _stable(memory_mb)
    shared = min(memory // 4, 32768)
    rest = memory - shared
    return {
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{memory * 7 // 10}MB",
        "work_mem": f"{_between(4, rest // 3 // max_connections, 256)}MB",
        "maintenance_work_mem": f"{_between(64, memory // 16, 2048)}MB",
        "max_wal_size": f"{_between(512, memory // 4, 16384)}MB",
        "max_parallel_workers": cpus,
        "max_parallel_workers_per_gather": _between(0, cpus // 2, 4),
        "max_parallel_maintenance_workers": _between(1, cpus // 2, 4),
    }


def _stable(memory_mb: int) -> int:
    """Memory rounded down by at most 6 %, so that a new kernel's few MiB change no setting."""
    step: int = 2 ** max(0, memory_mb.bit_length() - 5)
    return memory_mb // step * step


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
