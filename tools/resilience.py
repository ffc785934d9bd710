"""Prints the table of docs/resilience.md from a history of chaos runs.

python tools/resilience.py .lab/chaos/history.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.rsp.platform.plugins.module_utils.chaos.history import table


def main() -> int:
    """Print one row an experiment."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    print("\n".join(table([json.loads(line) for line in lines])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
