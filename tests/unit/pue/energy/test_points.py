"""Readings in order of time, and the pairs of them that need a closer look."""

from __future__ import annotations

import pytest

from pue.contract.quality import Flag
from pue.energy.points import MAX_POLL_MS, points_of, suspects_of
from pue.energy.slots import Samples
from tests.unit.pue.meters import MINUTE_MS, int64, samples, version


@pytest.mark.parametrize("readings", [[(0, 1), (1, 1)], [(1, 1), (0, 1)]], ids=["in order", "out of order"])
def test_readings_of_one_version_are_one_run(readings: list[tuple[int, int]]) -> None:
    points, _ = points_of(samples(*readings), [version()])
    assert list(points.runs()) == [(0, 0, 2)]


@pytest.mark.parametrize("readings", [[(0, 1), (1, 0)], [(1, 0), (0, 1)]], ids=["in order", "out of order"])
def test_a_gauge_may_do_what_it_likes(readings: list[tuple[int, int]]) -> None:
    assert points_of(samples(*readings), [version()], gauge=True)[1].tolist() == []
    assert points_of(samples(*readings), [version()])[1].tolist() == [0]


@pytest.mark.parametrize(
    ("before_w", "after_w", "expected"),
    [
        pytest.param(1000, 2000, [0, 1, 2], id="by the first only"),
        pytest.param(2000, 1000, [2, 3, 4], id="by the second only"),
    ],
)
def test_each_pair_is_judged_by_its_own_version(before_w: int, after_w: int, expected: list[int]) -> None:
    """100,000 J a minute are too much for 1 kW and not for 2 kW; where versions meet is always looked at."""
    moment = 3 * MINUTE_MS
    versions = [version(1, before_w, to_ms=moment), version(1, after_w, from_ms=moment, continues=False)]
    points, suspects = points_of(samples(*((place * MINUTE_MS, place * 100_000) for place in range(6))), versions)
    assert suspects.tolist() == suspects_of(points, versions).tolist() == expected


@pytest.mark.parametrize("gauge", [False, True], ids=["register", "gauge"])
def test_a_reading_that_took_more_than_a_minute_is_set_aside_with_a_mark(gauge: bool) -> None:
    """Asked for at 30 s: answered at 90 s it is used, a millisecond later it says too little."""
    assert MAX_POLL_MS == MINUTE_MS
    readings = samples((0, 1), (90_000, 5), (120_001, 7), (130_000, 9))
    took = Samples(int64(0, 30_000, 60_000, 130_000), readings.t1_ms, readings.count, readings.quality, readings.order)
    points, _ = points_of(took, [version()], gauge=gauge)
    assert points.t1_ms.tolist() == [0, 90_000, 130_000]
    assert (points.aside_ms.tolist(), points.aside.tolist()) == ([120_001], [Flag.SLOW])


def test_a_slow_reading_neither_contradicts_nor_replaces_another_of_its_time() -> None:
    readings = samples((0, 1), (90_000, 5), (90_000, 7))
    took = Samples(int64(0, 0, 90_000), readings.t1_ms, readings.count, readings.quality, readings.order)
    points, _ = points_of(took, [version()])
    assert points.count.tolist() == [1, 7]
    assert points.aside.tolist() == [Flag.SLOW]


@pytest.mark.parametrize("gauge", [False, True], ids=["register", "gauge"])
def test_a_request_later_than_its_reply_counts_as_made_with_it(gauge: bool) -> None:
    readings = samples((0, 1), (1000, 5))
    back = Samples(int64(0, 1500), readings.t1_ms, readings.count, readings.quality, readings.order)
    points, _ = points_of(back, [version()], gauge=gauge)
    assert points.t0_ms.tolist() == points.t1_ms.tolist() == [0, 1000]


@pytest.mark.parametrize(
    ("rise", "suspects"),
    [pytest.param(30_000, [], id="as from request to request"), pytest.param(30_001, [0], id="a count more")],
)
def test_a_pair_is_plain_if_its_rise_is_none_even_of_the_shorter_of_both_times(rise: int, suspects: list[int]) -> None:
    """Asked for at 0 and 30 s, answered at 0 and 60 s: 30 kJ of 1 kW are certainly no more than it can make."""
    readings = samples((0, 0), (60_000, rise))
    late = Samples(int64(0, 30_000), readings.t1_ms, readings.count, readings.quality, readings.order)
    assert points_of(late, [version(1, 1000)])[1].tolist() == suspects


def test_points_that_are_put_aside_leave_runs_in_place() -> None:
    """Points 1 of the first and 4 of the second version go: the second run starts at 2."""
    versions = [version(to_ms=3 * MINUTE_MS), version(2, from_ms=3 * MINUTE_MS)]
    points, _ = points_of(samples(*((place * MINUTE_MS, place) for place in range(6))), versions)
    assert (points.starts.tolist(), points.versions.tolist()) == ([0, 3], [0, 1])
    left = points.without(int64(1, 4), Flag.SPIKE)
    assert left.count.tolist() == [0, 2, 3, 5]
    assert left.starts.tolist() == [0, 2]
    assert (left.aside_ms.tolist(), left.aside.tolist()) == ([MINUTE_MS, 4 * MINUTE_MS], [Flag.SPIKE] * 2)
    assert points.without(int64(), Flag.SPIKE) is points
