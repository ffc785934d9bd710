"""Every rule over the real tree: it must look at something and find nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from rules import RULES

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_tree_keeps_the_rule(name):
    report = RULES[name](ROOT)
    assert report.checked > 0, f"{name} looked at nothing"
    assert not report.violations, "\n".join(report.violations)
