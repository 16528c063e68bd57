"""What takes too long for every change: mutation tests, long searches, many kills.

python -m tests.soak [mutation] [fuzz] [kills]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.soak import mutation

ROOT = Path(__file__).parents[2]


def fuzz() -> int:
    """Every property and fuzz test with 5,000 examples instead of 60, on fresh random seeds."""
    return _pytest("tests/property", "tests/fuzz", HYPOTHESIS_PROFILE="soak")


def kills() -> int:
    """The kill test for long: 1,000 kills of collector, broker and agent, with and without retention."""
    return _pytest("tests/e2e/test_kill.py", PUE_KILL_ROUNDS="100")


def _pytest(*paths: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", *paths]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


PARTS = {"mutation": mutation.run, "fuzz": fuzz, "kills": kills}


def main(names: list[str]) -> int:
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"unknown part {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
        return 2
    return max(PARTS[name]() for name in names or PARTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
