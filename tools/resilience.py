"""Keeps runs of chaos in docs/resilience.jsonl, which outlives a lab; tools/docs.py makes tables of it.

python tools/resilience.py .lab/chaos/history.jsonl && python tools/docs.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "resilience.jsonl"
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.rsp.platform.plugins.module_utils.chaos.history import merged, parsed, table


def read(path: Path) -> list[dict[str, Any]]:
    """Runs of a file, a line each; the head of a chain means nothing away from its evidence."""
    runs = parsed(path.read_text(encoding="utf-8"))
    return [{key: value for key, value in run.items() if key != "head"} for run in runs]


def tables() -> str:
    """What docs/resilience.md shows of the runs that were kept."""
    runs = read(KEPT)
    controls = "\n## Negative controls: without what protects\n"
    return "\n".join(["\n## Experiments\n", *table(runs), controls, *table(runs, control=True), ""])


def main() -> int:
    """Take over the runs of the file that is named."""
    runs = merged(read(KEPT), read(Path(sys.argv[1])))
    KEPT.write_text("".join(json.dumps(run, sort_keys=True) + "\n" for run in runs), encoding="utf-8")
    print(f"{KEPT.relative_to(ROOT)}: {len(runs)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
