"""What ansible-test runs as get-pip.py in its empty environments: the original comes from a site that may be blocked.

Takes the interpreter's own pip and has it install what is asked for from the configured index.
"""

from __future__ import annotations

import subprocess
import sys

GET_PIP_ONLY = {"--no-setuptools", "--no-wheel"}


def main() -> int:
    """Install the packages named by the arguments; the exit code of what failed."""
    wanted = [argument for argument in sys.argv[1:] if argument not in GET_PIP_ONLY]
    for command in (["ensurepip"], ["pip", "install", *wanted]):
        if code := subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
