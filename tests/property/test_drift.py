"""What holds for every baseline, detector and forecast."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pue.outlook.baseline import DailyEnergy, fit_baseline
from pue.outlook.drift import PageHinkley, assess, watch
from pue.outlook.forecast import forecast
from tests.bench.fleet import YEAR, Plant, fleet, ramp

PLANTS = fleet(3, 3, 7)
PLANT = st.sampled_from(PLANTS)
RESIDUALS = st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=200)


def moved(days: DailyEnergy, by: int) -> DailyEnergy:
    return dataclasses.replace(days, day=days.day + by)


@given(RESIDUALS)
def test_the_excess_is_the_cumulative_sum_over_its_minimum(residuals: list[float]) -> None:
    state, level, weight, total, lowest = PageHinkley(), 0.0, 30, 0.0, 0.0
    for value in residuals:
        state = state.update(value)
        weight = min(weight + 1, 180)
        level += (value - level) / weight
        total += value - level - 0.005
        lowest = min(lowest, total)
        assert state.excess == pytest.approx(total - lowest, abs=1e-12)


@given(RESIDUALS, st.integers(0, 199))
def test_watching_in_two_parts_is_watching_once_if_no_alarm_falls(residuals: list[float], cut: int) -> None:
    days, values = np.arange(len(residuals)), np.array(residuals)
    calm = PageHinkley(threshold=math.inf)
    first, _ = watch(days[:cut], values[:cut], calm)
    assert watch(days[cut:], values[cut:], first)[0] == watch(days, values, calm)[0]


@given(st.floats(0, 0.1), RESIDUALS)
def test_a_higher_threshold_never_alarms_earlier(threshold: float, residuals: list[float]) -> None:
    days, values = np.arange(len(residuals)), np.array(residuals)
    _, early = watch(days, values, PageHinkley(threshold=threshold))
    _, late = watch(days, values, PageHinkley(threshold=threshold * 2))
    assert not late or early[0].day <= late[0].day


@given(PLANT, st.integers(-3_000, 3_000))
@settings(max_examples=10, deadline=None)
def test_with_weather_the_calendar_does_not_matter(plant: Plant, by: int) -> None:
    days = plant.days(ramp(3 * YEAR, 500))
    here, there = assess(days), assess(moved(days, by))
    assert [alarm.day + by for alarm in here.alarms] == [alarm.day for alarm in there.alarms]
    assert here.excess_pue == there.excess_pue


@given(st.integers(0, 2), st.integers(2, 50))
@settings(max_examples=10, deadline=None)
def test_a_facility_twice_as_large_drifts_alike(index: int, factor: int) -> None:
    days = PLANTS[index].days()
    large = dataclasses.replace(days, total_j=days.total_j * factor, it_j=days.it_j * factor)
    small_residual, large_residual = (fit_baseline(d.select(slice(0, YEAR))).residual(d)[YEAR:] for d in (days, large))
    assert np.allclose(small_residual, large_residual, atol=1e-9, equal_nan=True)


@given(st.integers(0, 2), st.floats(0.001, 0.05))
@settings(max_examples=10, deadline=None)
def test_a_lasting_excess_is_seen_as_itself(index: int, height: float) -> None:
    plant = PLANTS[index]
    baseline = fit_baseline(plant.days().select(slice(0, YEAR)))
    plain, worse = (baseline.residual(plant.days(excess))[YEAR:] for excess in (0.0, height))
    assert np.nanmax(np.abs(worse - plain - height)) < 1e-9


@given(st.integers(0, 2), st.integers(500, 1_095), st.integers(1, 400))
@settings(max_examples=20, deadline=None)
def test_a_forecast_begins_where_the_past_ends_and_widens(index: int, known: int, horizon: int) -> None:
    days = PLANTS[index].days().select(slice(0, known))
    year = forecast(days, horizon)
    last = days.select(slice(-YEAR, None))
    assert len(year.pue) == horizon
    assert abs(year.pue[0] - last.total_j.sum() / last.it_j.sum()) < 0.002
    assert np.isnan(year.half_width).all() or (np.diff(year.half_width) > 0).all()
    assert np.isfinite(year.pue).all()
