"""Readings in order of time, and the pairs of them that need a closer look."""

from __future__ import annotations

import pytest

from pue.energy.points import points_of, suspects_of
from tests.unit.pue.meters import MINUTE_MS, samples, version


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
