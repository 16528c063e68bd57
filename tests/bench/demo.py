"""Figures of the whole demo: time to the first finding, import, memory of all processes.

Its times are a visitor's, by the clock on the wall: most of them is work of processes that wait for each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.rows import Row, row
from tests.support.servers import free_port

PUE_DEMO = str(Path(sys.executable).parent / "pue-demo")
FIRST_FINDING = "seconds to first finding"
IMPORT = "import seconds"
MEMORY = "peak resident memory of all processes, MiB"
GB_IN_MIB = 1e9 / (1 << 20)


def rows() -> list[Row]:
    """One checked run of the demo on the embedded store, installed already."""
    figures = run()
    return [
        row("demo: start to first finding, without installation", figures[FIRST_FINDING], "s", "< 60"),
        row("demo: import of 400 days of five facilities", figures[IMPORT], "s", "< 30"),
        row("demo: peak resident memory of all processes", figures[MEMORY], "MiB", f"< {round(GB_IN_MIB)}"),
    ]


def run() -> dict[str, float]:
    """Figures of one run; an error if its check fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ("--check", "--for", "10s", "--port", str(free_port()), "--json", str(report), "--broker", "iotcore")
        subprocess.run([PUE_DEMO, *options], check=True, stdout=subprocess.DEVNULL, timeout=300)
        figures: dict[str, float] = json.loads(report.read_text("utf-8"))["figures"]
        return figures
