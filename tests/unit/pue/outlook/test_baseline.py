"""Baseline: what a year teaches, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from pue.outlook.baseline import Baseline, DailyEnergy, fit_baseline, least_squares
from tests.unit.pue.meters import int64

Float64 = npt.NDArray[np.float64]
IT_J = 1_000_000
UNKNOWN = float("nan")
BASELINE = Baseline(
    has_weather=True,
    coefficients=(0.3, 0.1, 0.01, 0.02),
    load_j=100.0,
    load_low_j=75.0,
    load_high_j=125.0,
    noise=0.0,
    r_squared=1.0,
)


def plant(overhead: Float64, wet_bulb_c: Float64 | float = 5.0) -> DailyEnergy:
    """A plant of constant load, one day per overhead."""
    count = len(overhead)
    total = np.round(IT_J * (1 + overhead)).astype(np.int64)
    return DailyEnergy(
        18_000 + np.arange(count), total, np.full(count, IT_J), np.full(count, wet_bulb_c), np.ones(count, np.bool_)
    )


def loaded(*it_j: int, wet_bulb_c: float = 5.0) -> DailyEnergy:
    """Days of so much IT energy."""
    count, load = len(it_j), int64(*it_j)
    return DailyEnergy(18_000 + np.arange(count), 2 * load, load, np.full(count, wet_bulb_c), np.ones(count, np.bool_))


def test_the_expected_overhead_is_the_sum_of_load_and_weather_terms() -> None:
    # load: 0.3 + 0.1 (100 / I - 1); weather at 16 degC: 0.01 (16 - 8) + 0.02 (16 - 14) = 0.12
    assert BASELINE.expected(loaded(50, 100, 200)) == pytest.approx([0.4, 0.3, 0.25])
    assert BASELINE.expected(loaded(50, wet_bulb_c=16)) == pytest.approx([0.52])
    assert replace(BASELINE, load_j=1.0).expected(loaded(1)) == pytest.approx([0.3])


def test_a_day_without_it_energy_has_no_expected_overhead() -> None:
    assert np.isnan(BASELINE.expected(loaded(0))).all()


def test_loads_at_both_ends_of_the_range_are_believed() -> None:
    assert BASELINE.believes(loaded(74, 75, 125, 126)).tolist() == [False, True, True, False]


def test_days_without_weather_teach_a_baseline_with_weather_nothing() -> None:
    wet_bulb_c = 8 + np.linspace(0, 364, 365) % 11
    days = plant(0.1 + 0.01 * (wet_bulb_c - 8), wet_bulb_c)
    days.wet_bulb_c[300:] = UNKNOWN
    assert fit_baseline(days).coefficients == fit_baseline(days.select(slice(0, 300))).coefficients


def test_r_squared_is_the_explained_share_of_the_variance() -> None:
    # half of the variance follows the weather, 8 or 12 degC on alternate days, half a sign that changes every two days
    day = np.arange(364)
    weather, other = np.where(day % 2, 0.02, -0.02), np.where(day // 2 % 2, 0.02, -0.02)
    wet_bulb_c = np.where(day % 2, 12.0, 8.0)
    assert fit_baseline(plant(0.2 + weather + other, wet_bulb_c)).r_squared == pytest.approx(0.5, abs=1e-4)
    assert fit_baseline(plant(0.2 + other)).r_squared == pytest.approx(0, abs=1e-9)


def test_noise_is_the_spread_of_means_over_two_weeks_of_which_half_are_usable() -> None:
    # 24 whole batches at 0.1, one of 7 days at 0.2, one of 6 days that does not count: a share of 1/25 is 0.1 higher
    days = plant(np.repeat([0.1, 0.2, 0.9], [24 * 14, 14, 14]))
    days.valid[24 * 14 : 24 * 14 + 7] = days.valid[-8:] = False
    variance = Fraction(1, 25) * Fraction(24, 25) * Fraction(1, 100)
    assert fit_baseline(days).noise == pytest.approx(math.sqrt(14 * variance), abs=1e-6)


def test_a_first_column_that_says_nothing_leaves_the_others_their_say() -> None:
    # ridge 1 and prior 0.6 / 3 on the load, ridge 0.1 on the other:
    # (2 + 1) x + 2 y = 1.2 + 0.2 and 2 x + (2 + 0.1) y = 1.2, with determinant 6.3 - 4
    design = np.stack([np.zeros(2), np.ones(2), np.ones(2)])
    assert least_squares(design, np.full(2, 0.6)) == pytest.approx((0.0, 0.54 / 2.3, 0.8 / 2.3))
