"""Forecast: plants so plain that the coming year is known by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from pue.outlook.baseline import DailyEnergy
from pue.outlook.forecast import Forecast, forecast

Float64 = npt.NDArray[np.float64]
IT_J = 1_000_000
COOL_C, HOT_C = 5.0, 14.0
UNKNOWN = float("nan")


def plant(overhead: Float64, wet_bulb_c: Float64 | float = COOL_C, it_j: int = IT_J) -> DailyEnergy:
    """A plant of constant load, one day per overhead."""
    count = len(overhead)
    load = np.full(count, it_j)
    total = np.round(it_j * (1 + overhead)).astype(np.int64)
    return DailyEnergy(18_000 + np.arange(count), total, load, np.full(count, wet_bulb_c), np.ones(count, np.bool_))


def steady(days: int, it_j: int = IT_J) -> DailyEnergy:
    return plant(np.full(days, 0.25), it_j=it_j)


def spiked(days: DailyEnergy, place: int, excess_j: int) -> DailyEnergy:
    total = days.total_j.copy()
    total[place] += excess_j
    return replace(days, total_j=total)


def weathered(days: int) -> DailyEnergy:
    """0.1, and 0.06 more on hot days, which come in no regular order but every year alike; the newest day is hot."""
    rank = np.arange(days - 1, -1, -1) % 365
    hot = rank * rank % 7 < 3
    return plant(np.where(hot, 0.16, 0.1), np.where(hot, HOT_C, COOL_C))


def test_a_steady_plant_stays_as_it_is_from_three_hundred_days_on() -> None:
    assert forecast(steady(300)).pue == pytest.approx(1.25, abs=1e-9)


def test_the_crossing_is_the_first_day_above_the_limit_of_the_estimate_or_an_end_of_the_interval() -> None:
    # estimate 1.25 1.375 1.5 1.625 1.75; upper end 1.3125 1.5 ...; lower end 1.1875 1.25 1.3125 1.375 1.4375
    ahead = np.arange(1, 6)
    year = Forecast(10 + ahead, 1.125 + ahead / 8, ahead / 16)
    limit = Fraction(11, 8)
    assert year.crossing_day(limit) == year.crossing_day(limit, 0) == 13
    assert (year.crossing_day(limit, 1), year.crossing_day(limit, -1)) == (12, 15)
    without_interval = replace(year, half_width=np.full(5, UNKNOWN))
    assert (without_interval.crossing_day(limit), without_interval.crossing_day(limit, 1)) == (13, None)


def test_the_fit_looks_back_two_years_and_no_day_further() -> None:
    days = steady(800)
    plain, last, further = (forecast(each).pue for each in (days, spiked(days, -730, IT_J), spiked(days, -731, IT_J)))
    assert (further == plain).all()
    assert (last != plain).all()


@pytest.mark.parametrize(
    ("count", "horizon", "known"),
    [(365, 365, slice(None)), (800, 1, slice(None)), (800, 30, slice(None)), (800, 30, slice(400, 700))],
)
def test_each_coming_day_has_the_weather_of_its_day_a_year_before(count: int, horizon: int, known: slice) -> None:
    days = weathered(count)
    # the day that leaves the trailing year was as hot as the one that enters it
    last = days.select(slice(-365, None))
    expected = float(Fraction(int(last.total_j.sum()), int(last.it_j.sum())))
    wet_bulb_c = np.full(count, UNKNOWN)
    wet_bulb_c[known] = days.wet_bulb_c[known]
    assert forecast(replace(days, wet_bulb_c=wet_bulb_c), horizon).pue == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("count", "known_days"), [(300, 300), (400, 364), (800, 320)])
@pytest.mark.parametrize("horizon", [1, 30, 365])
def test_coming_days_of_unknown_weather_have_the_overhead_of_the_season(
    count: int, known_days: int, horizon: int
) -> None:
    days = steady(count)
    days.wet_bulb_c[:-known_days] = UNKNOWN
    assert forecast(days, horizon).pue == pytest.approx(1.25, abs=1e-9)


def test_cold_days_without_weather_are_not_as_the_hot_ones_with_it() -> None:
    # a wave around 0.25 of a year's length, linear in the wet bulb; half a wave without weather leaves 0.05 2/pi more
    overhead = 0.25 + 0.05 * np.cos(2 * np.pi * (18_000 + np.arange(731)) / 365.25)
    hot = overhead > 0.25
    days = plant(overhead, np.where(hot, 8 + 50 * (overhead - 0.2), UNKNOWN))
    assert forecast(days).pue[-1] == pytest.approx(1.25, abs=1e-3)


def test_a_trend_is_carried_on_per_year_with_a_light_pull_towards_none() -> None:
    # sum of squares of n = 365 days around their middle, in years: n (n^2 - 1) / 12 / 365^2; the ridge adds 0.1.
    # The level is right in the middle of the last 30 days, 14.5 days ago; the middle of the coming year is 183 ahead.
    rise, n = Fraction(365, 1000), 365
    squares = Fraction(n * (n * n - 1), 12 * 365**2)
    slope = rise * squares / (squares + Fraction(1, 10))
    level = 1 + Fraction(1, 4) + rise * (n - 1 - Fraction(29, 2)) / 365
    expected = level + slope * (183 + Fraction(29, 2)) / 365
    days = plant(0.25 + float(rise) * np.arange(n) / 365)
    assert forecast(days).pue[-1] == pytest.approx(float(expected), abs=1e-5)


def test_days_that_are_not_usable_add_no_joule() -> None:
    days = steady(500, it_j=100)
    days.valid[-20:-10] = days.valid[-60:-50] = False
    year = forecast(days, 30)
    assert year.pue == pytest.approx(1.25, abs=1e-9)
    assert year.half_width == pytest.approx(0, abs=1e-7)


def test_an_interval_needs_three_origins_with_380_usable_days_behind_them() -> None:
    # 30, 60 and 90 days back
    assert np.isfinite(forecast(steady(380 + 90), 5).half_width).all()
    assert np.isnan(forecast(steady(380 + 89), 5).half_width).all()


@pytest.mark.parametrize("place", [-1, -2])
def test_the_interval_is_the_largest_error_per_day_of_forecasts_a_month_old_or_older(place: int) -> None:
    # 3.65 of overhead on one of 365 days is 0.01 of the year, which no origin foresaw, the newest 30 days before
    days = spiked(steady(470), place, 3_650_000)
    assert forecast(days, 60).half_width[[0, 29, 59]] == pytest.approx([0.01 / 30, 0.01, 0.02])
