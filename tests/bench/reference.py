"""Reference seconds: times and rates that can be compared between machines, and between a quiet hour and a busy one.

A time in reference seconds is the CPU time of the job, divided by the CPU time that one fixed workload takes in the
same process, times `WORKLOAD_S`: what the workload took where the first figures were made. On that machine a reference
second is a second; on one half as fast both times double and the figure stays. Rates are the other way round.

The workload is mixed like ours: plain Python (dictionaries, text, whole numbers), SHA-256 over blocks as long as a
batch, and numpy over arrays too large for any cache. Each takes about a third of the time. It must never change: a
figure from before a change could not be compared with one from after it. Ratios of two jobs in one process need no
reference and have none.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import numpy as np

from tests.bench.rows import Row, meets, significant

WORKLOAD_S = 0.5
"""CPU time of the workload where the first figures were made. [s]"""

TIMES = ("s", "ms", "us", "ns")

_WORDS = 270_000
_BLOCKS, _BLOCK_BYTES = 1_200, 200_000
_NUMBERS, _ROUNDS = 8_000_000, 2


def workload() -> int:
    """The fixed mixed work; the answer is always the same, so that nobody can leave a part out."""
    return _plain() + _hashed() + _arrays()


def _plain() -> int:
    counts: dict[str, int] = {}
    total = 0
    for number in range(_WORDS):
        word = f"m{number * 7919 % 10_007}"
        counts[word] = counts.get(word, 0) + number
        total += len(word) * (number & 7)
    return total + max(counts.values())


def _hashed() -> int:
    block = bytes(range(256)) * (_BLOCK_BYTES // 256)
    digest = b""
    for _ in range(_BLOCKS):
        digest = hashlib.sha256(digest + block).digest()
    return int.from_bytes(digest[:4], "big")


def _arrays() -> int:
    total = 0
    for _ in range(_ROUNDS):
        times = np.arange(_NUMBERS, dtype=np.int64)
        energy = np.cumsum(times % 1_013)
        rise = energy[1:] - energy[:-1]
        total += int(rise.sum() + energy[::4_099].sum() + (rise > 500).sum())
    return total


def measured_s(
    times: int = 3, clock: Callable[[], float] = time.process_time, job: Callable[[], object] = workload
) -> float:
    """Least CPU time of the workload: as jobs are measured too. [s]"""
    result = float("inf")
    for _ in range(times):
        start = clock()
        job()
        result = min(result, clock() - start)
    return result


def scaled(line: Row, workload_s: float) -> Row:
    """A row in reference seconds; one that is neither a time nor a rate stays as it is.

    Parameters
    ----------
    line
        A row as measured.
    workload_s
        What the workload takes in this process. [s]
    """
    unit, slower = line["unit"], workload_s / WORKLOAD_S
    if unit in TIMES:
        figure = line["figure"] / slower
        unit = f"ref {unit}"
    elif unit.endswith("/s"):
        figure = line["figure"] * slower
        unit = f"{unit[:-1]}ref s"
    else:
        return line
    return Row(
        name=line["name"],
        figure=significant(figure),
        unit=unit,
        goal=line["goal"],
        meets=meets(figure, line["goal"]),
        raw=line["figure"],
    )
