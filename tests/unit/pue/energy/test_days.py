"""Readings kept by day: in order, each once, whatever the day."""

from __future__ import annotations

import numpy as np
import pytest

from pue.energy.days import DAY_MS, FOREVER_MS, Days, Reading, one_per_time


def reading(time_ms: int, count: int = 0) -> Reading:
    return time_ms - 5, time_ms, count, 0, 7


def test_readings_appended_at_once_each_go_to_their_own_day() -> None:
    times = [DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, 3 * DAY_MS]
    rows = [reading(time, count) for count, time in enumerate(times)]
    days = Days()
    days.extend(np.array(rows, np.int64).T)
    assert list(days.since(0)) == rows
    assert [days.day(time).count.tolist() for time in times] == [[0], [1, 2], [1, 2], [3]]


def test_a_reading_is_appended_to_a_day_as_a_good_one() -> None:
    days = Days()
    days.insert(reading(DAY_MS, 3))
    days.day(DAY_MS).append(DAY_MS + 10, DAY_MS + 20, 4, 8)
    assert list(days.since(0)) == [reading(DAY_MS, 3), (DAY_MS + 10, DAY_MS + 20, 4, 0, 8)]


def test_the_first_reading_is_that_of_the_first_day() -> None:
    days = Days()
    assert days.first_ms() == FOREVER_MS
    for time in (DAY_MS + 5, DAY_MS + 7, -DAY_MS, DAY_MS):
        days.insert(reading(time))
    assert days.first_ms() == -DAY_MS


@pytest.mark.parametrize(
    "one_later",
    [
        pytest.param((5, 10, 1, 0, 8), id="by order"),
        pytest.param((5, 10, 2, 0, 7), id="then by count"),
        pytest.param((6, 10, 1, 0, 7), id="then by request"),
        pytest.param((5, 10, 1, 1, 7), id="then by quality"),
    ],
)
def test_of_readings_of_one_time_the_first_by_rank_stays_in_either_direction(one_later: Reading) -> None:
    stays = (5, 10, 1, 0, 7)
    days = Days()
    for row in (one_later, stays, reading(9), reading(11)):
        days.insert(row)
    assert list(one_per_time(days.since(0))) == [reading(9), stays, reading(11)]
    assert list(one_per_time(days.before(12))) == [reading(11), stays, reading(9)]
    assert list(one_per_time([])) == []


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
