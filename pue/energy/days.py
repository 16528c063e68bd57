"""Readings of one series kept by day, so that a late one moves a day and not a year."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

import numpy as np

from pue.energy.slots import Int64, Samples

DAY_MS = 24 * 3_600_000
FOREVER_MS = 1 << 62
"""Later than any reading, and before any with a minus."""

Reading = tuple[int, int, int, int, int]
"""t0_ms, t1_ms, count, quality, order: a row of `Samples`."""


class Day:
    """Readings of one day as columns, ascending by time and rank."""

    __slots__ = ("count", "order", "quality", "t0", "t1")

    def __init__(self) -> None:
        self.t0, self.t1, self.count, self.quality, self.order = (array("q") for _ in range(5))

    @property
    def columns(self) -> tuple[array[int], ...]:
        """In the order of `Samples`."""
        return self.t0, self.t1, self.count, self.quality, self.order

    def append(self, t0_ms: int, t1_ms: int, count: int, order: int) -> None:
        """Add a good reading that is later than all others."""
        self.t0.append(t0_ms)
        self.t1.append(t1_ms)
        self.count.append(count)
        self.quality.append(0)
        self.order.append(order)

    def insert(self, reading: Reading) -> bool:
        """Put a reading in its place; False if it is there already."""
        place = bisect_left(self.t1, reading[1])
        end = bisect_right(self.t1, reading[1])
        # Of one time there are few: those that conflict. They stand by rank, so that an equal one is met where the new
        # one would go.
        while place < end and rank(self.row(place)) < rank(reading):
            place += 1
        if place < end and self.row(place) == reading:
            return False
        for column, value in zip(self.columns, reading, strict=True):
            column.insert(place, value)
        return True

    def row(self, place: int) -> Reading:
        """One reading."""
        return self.t0[place], self.t1[place], self.count[place], self.quality[place], self.order[place]


def rank(reading: Reading) -> Reading:
    """Which of several readings of one time stays: that with the lower order, count, t0, quality."""
    t0, t1, count, quality, order = reading
    return t1, order, count, t0, quality


def one_per_time(readings: Iterable[Reading]) -> Iterator[Reading]:
    """Of readings in order of time, up or down, those that stay."""
    best: Reading | None = None
    for reading in readings:
        # Held back until the time changes: walked downwards, the one that stays comes last.
        if best is not None and reading[1] != best[1]:
            yield best
            best = reading
        elif best is None or rank(reading) < rank(best):
            best = reading
    if best is not None:
        yield best


class Days:
    """All readings of one series."""

    def __init__(self) -> None:
        self._days: dict[int, Day] = {}
        self._numbers: list[int] = []

    def day(self, time_ms: int) -> Day:
        """The day a time falls in."""
        number = time_ms // DAY_MS
        if number not in self._days:
            self._days[number] = Day()
            insort(self._numbers, number)
        return self._days[number]

    def first_ms(self) -> int:
        """Time of the first reading; `FOREVER_MS` if there is none."""
        return next((reading[1] for reading in self.since(-FOREVER_MS)), FOREVER_MS)

    def insert(self, reading: Reading) -> bool:
        """Put a reading in its place; False if it is there already."""
        return self.day(reading[1]).insert(reading)

    def extend(self, columns: Int64) -> None:
        """Append readings that ascend and are later than all others; columns as in `Samples`, of shape (5, N)."""
        start = 0
        while start < columns.shape[1]:
            first_ms = int(columns[1, start])
            end = int(np.searchsorted(columns[1], (first_ms // DAY_MS + 1) * DAY_MS))
            # tobytes lays the five rows one behind the other, `size` bytes each.
            rows = memoryview(columns[:, start:end].tobytes())
            size = (end - start) * columns.itemsize
            for place, mine in enumerate(self.day(first_ms).columns):
                mine.frombytes(rows[place * size : (place + 1) * size])
            start = end

    def before(self, time_ms: int) -> Iterator[Reading]:
        """Readings before a time, the latest first."""
        for number in reversed(self._numbers[: bisect_right(self._numbers, time_ms // DAY_MS)]):
            day = self._days[number]
            yield from (day.row(place) for place in reversed(range(bisect_left(day.t1, time_ms))))

    def since(self, time_ms: int) -> Iterator[Reading]:
        """Readings at and after a time, the earliest first."""
        for number in self._numbers[bisect_left(self._numbers, time_ms // DAY_MS) :]:
            day = self._days[number]
            yield from (day.row(place) for place in range(bisect_left(day.t1, time_ms), len(day.t1)))

    def between(self, first_ms: int, last_ms: int) -> Samples:
        """Readings of [first, last]."""
        numbers = self._numbers[
            bisect_left(self._numbers, first_ms // DAY_MS) : bisect_right(self._numbers, last_ms // DAY_MS)
        ]
        parts = [_part(self._days[number], first_ms, last_ms) for number in numbers]
        # (5, N), also without any day.
        return Samples(*np.concatenate([np.empty((5, 0), np.int64), *parts], axis=1))


def _part(day: Day, first_ms: int, last_ms: int) -> Int64:
    """Copies of a day's columns: a view would lock them against growing. (5, N)"""
    start = bisect_left(day.t1, first_ms)
    end = bisect_right(day.t1, last_ms)
    return np.array([column[start:end] for column in day.columns], np.int64)
