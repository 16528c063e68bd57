"""Readings kept by day: in order, each once, whatever the day."""

from __future__ import annotations

import numpy as np
import pytest

from pue.energy.days import DAY_MS, Days, Reading


def reading(time_ms: int, count: int = 0) -> Reading:
    return time_ms - 5, time_ms, count, 0, 7


def test_readings_appended_at_once_each_go_to_their_own_day() -> None:
    times = [DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, 3 * DAY_MS]
    rows = [reading(time, count) for count, time in enumerate(times)]
    days = Days()
    days.extend(np.array(rows, np.int64).T)
    assert list(days.since(0)) == rows
    assert [days.day(time).count.tolist() for time in times] == [[0], [1, 2], [1, 2], [3]]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_late_reading_takes_its_place_once(place: int) -> None:
    rows = [reading(DAY_MS + minute * 60_000, minute) for minute in range(3)]
    days = Days()
    assert all(days.insert(row) for row in rows[:place] + rows[place + 1 :])
    assert days.insert(rows[place])
    assert not days.insert(rows[place])
    assert list(days.since(0)) == rows
    assert list(days.before(2 * DAY_MS)) == rows[::-1]


def test_a_range_holds_the_readings_of_both_its_ends() -> None:
    times = [DAY_MS - 1, DAY_MS, DAY_MS + 1, 2 * DAY_MS, 2 * DAY_MS + 1]
    days = Days()
    for time in times:
        days.insert(reading(time))
    assert days.between(DAY_MS, 2 * DAY_MS).t1_ms.tolist() == times[1:4]
    assert days.between(DAY_MS + 2, 2 * DAY_MS - 1).t1_ms.tolist() == []


def test_a_range_without_a_day_is_empty() -> None:
    days = Days()
    days.insert(reading(5 * DAY_MS))
    assert days.between(0, DAY_MS).t1_ms.tolist() == []
    assert days.between(5 * DAY_MS + 1, 6 * DAY_MS).count.tolist() == []
