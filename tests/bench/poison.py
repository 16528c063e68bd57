"""What one wrong time costs: 20 series of today, each with one reading of long ago."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

from tests.bench.rows import Row, row
from tests.support.collectors import bench
from tests.support.plants import START_MS, FakeAgent

SERIES = 20
MIB = 1024 * 1024
NAME = "poison: CPU and memory of 20 series with a reading of"
YEARS_MS = {"1970": 86_400_000, "2001": 978_307_200_000}


def rows() -> list[Row]:
    """All figures of this part."""
    return [line for year, time_ms in YEARS_MS.items() for line in _poisoned(year, time_ms)]


def _poisoned(year: str, time_ms: int) -> list[Row]:
    agent = FakeAgent(meters=tuple(f"m-{number}" for number in range(SERIES)))
    points = list(range(SERIES))
    live_ms = [START_MS + cycle * 60_000 for cycle in range(60) for _ in points]
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), [agent]) as desk:
        desk.take([agent.configure(), agent.read(live_ms, [1] * len(live_ms), points * 60)])
        poison = agent.read([time_ms] * SERIES, [1] * SERIES, points)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start_s = time.process_time()
        desk.take([poison])
        spent_s = time.process_time() - start_s
        more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    return [
        row(f"{NAME} {year}, CPU", spent_s, "s", "<= 1"),
        row(f"{NAME} {year}, memory", more_kib * 1024 / MIB, "MiB", "<= 50"),
    ]
