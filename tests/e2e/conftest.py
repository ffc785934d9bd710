"""Slow tests on the running lab: they change its clusters and put them back. The fixtures are those of tests/lab."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent / "lab" / "conftest.py"
_spec = importlib.util.spec_from_file_location("lab_conftest", PATH)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

lab, conninfo, playbook, unit_times = _module.lab, _module.conninfo, _module.playbook, _module.unit_times
