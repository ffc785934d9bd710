"""Start times from systemctl's answer."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rsp.platform.plugins.module_utils.unit_times import started
from ansible_collections.rsp.platform.plugins.modules import unit_times

CONSUL = "Id=consul.service\nType=notify\nActiveEnterTimestampMonotonic=42\n"


@pytest.mark.parametrize(
    ("show", "units"),
    [
        (CONSUL, {"consul.service": 42}),
        (
            f"{CONSUL}\nId=ssh.service\nType=notify\nActiveEnterTimestampMonotonic=7\n",
            {"consul.service": 42, "ssh.service": 7},
        ),
        ("Id=a.service\nType=simple\nActiveEnterTimestampMonotonic=0\n", {}),
        ("Id=once.service\nType=oneshot\nActiveEnterTimestampMonotonic=3\n", {}),
        ("Id=user@0.service\nType=notify\nActiveEnterTimestampMonotonic=3\n", {}),
        ("", {}),
    ],
)
def test_started(show, units):
    assert started(show) == units


@pytest.mark.parametrize(("out", "failed"), [(CONSUL, False), ("", True)])
def test_an_empty_answer_is_an_error(out, failed, monkeypatch, capsys):
    monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda self, argv, check_rc: (0, out, ""))
    with patch_module_args({}), pytest.raises(SystemExit):
        unit_times.main()
    result = json.loads(capsys.readouterr().out)
    assert result.get("failed", False) is failed
    assert failed or (result["started"] == {"consul.service": 42} and result["changed"] is False)
