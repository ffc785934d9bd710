"""All rules, by the rooms they live in."""

from rules import plugins, roles, sizes, tasks
from rules.core import RULES

__all__ = ["RULES", "plugins", "roles", "sizes", "tasks"]
