"""Sizes from memory and processors."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.rsp.platform.plugins.filter.postgresql import FilterModule
from ansible_collections.rsp.platform.plugins.module_utils.postgresql.tuning import tuning

postgresql_tuning = FilterModule().filters()["postgresql_tuning"]


@pytest.mark.parametrize(
    ("memory", "cpus", "connections", "expected"),
    [
        (1024, 1, 200, {"shared_buffers": "256MB", "work_mem": "4MB", "max_parallel_workers_per_gather": 0}),
        (2048, 2, 100, {"shared_buffers": "512MB", "work_mem": "5MB", "max_parallel_workers_per_gather": 1}),
        (32768, 8, 200, {"shared_buffers": "8192MB", "work_mem": "40MB", "effective_cache_size": "22937MB"}),
        (262144, 64, 200, {"shared_buffers": "32768MB", "work_mem": "256MB", "max_parallel_workers": 64}),
        (262144, 64, 5000, {"maintenance_work_mem": "2048MB", "work_mem": "15MB", "max_wal_size": "16384MB"}),
    ],
)
def test_sizes(memory, cpus, connections, expected):
    found = tuning(memory, cpus, connections)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("memory", [256, 1000, 2048, 7777, 32768, 100000, 500000])
@pytest.mark.parametrize("connections", [1, 100, 2000])
def test_everything_together_fits_into_memory(memory, connections):
    found = {k: int(str(v).removesuffix("MB")) for k, v in tuning(memory, 4, connections).items()}
    assert found["shared_buffers"] <= memory // 4
    assert found["effective_cache_size"] < memory
    if found["work_mem"] > 4:
        assert found["shared_buffers"] + found["work_mem"] * connections <= memory


@pytest.mark.parametrize("memory", [32100, 32099, 31800])
def test_a_few_mebibytes_more_or_less_change_nothing(memory):
    assert tuning(memory, 4, 100) == tuning(32000, 4, 100)


@pytest.mark.parametrize(("memory", "cpus", "connections"), [(255, 1, 10), (1024, 0, 10), (1024, 1, 0), (-1, 1, 1)])
def test_what_cannot_be_is_refused(memory, cpus, connections):
    with pytest.raises(ValueError, match="cannot be sized"):
        tuning(memory, cpus, connections)
    with pytest.raises(AnsibleFilterError, match="cannot be sized"):
        postgresql_tuning(memory, cpus, connections)


def test_the_filter_takes_text():
    assert postgresql_tuning("2048", "2", "100") == tuning(2048, 2, 100)
