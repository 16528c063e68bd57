"""Expected overhead of a facility, learned from a year of days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pue.contract.errors import Fatal
from pue.energy.slots import Int64

MIN_VALID_DAYS = 300
"""Usable days a baseline is learned from, at least."""
KNOTS_C = (8.0, 14.0)
"""Wet-bulb temperatures above which cooling costs more per degree. [degC]"""
LOAD_MARGIN = 0.25
"""How far beyond the load it learned from a baseline is believed. [-]"""

_YEAR_DAYS = 365.25
_HARMONICS = (1, 2)
_BATCH_DAYS = 14
_LOAD_RIDGE = 1.0
_WEATHER_RIDGE = 0.1
_FIXED_SHARE = 1 / 3
"""Share of the overhead that does not follow the load, where the data do not say otherwise. [-]"""

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class DailyEnergy:
    """Local days of one facility as columns of shape (D,), ascending.

    Attributes
    ----------
    day
        Days since 1970-01-01, local.
    total_j, it_j
        E_DC and E_IT. [J]
    wet_bulb_c
        Mean wet-bulb temperature, NaN where there is none. [degC]
    valid
        Whether the day is covered well enough to learn from.
    """

    day: Int64
    total_j: Int64
    it_j: Int64
    wet_bulb_c: Float64
    valid: Bools

    @property
    def usable(self) -> Bools:
        """Valid days with IT energy."""
        return np.asarray(self.valid & (self.it_j > 0), np.bool_)

    @property
    def overhead(self) -> Float64:
        """Overhead per IT energy, PUE - 1; NaN on days that are not usable. [-]"""
        # 1 where it would divide by 0 or by what does not count; those days are NaN below.
        it_j = np.where(self.usable, self.it_j, 1)
        return np.where(self.usable, (self.total_j - self.it_j) / it_j, np.nan)

    def select(self, where: Bools | slice) -> DailyEnergy:
        """Days at a mask or slice."""
        return DailyEnergy(
            self.day[where], self.total_j[where], self.it_j[where], self.wet_bulb_c[where], self.valid[where]
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """Expected overhead per IT energy, learned from a year.

    Attributes
    ----------
    has_weather
        Whether it knows the wet-bulb temperature; otherwise the seasons stand for it.
    coefficients
        Of the columns of `columns`. [-]
    load_j
        Mean IT energy of a day. [J]
    load_low_j, load_high_j
        Range of daily IT energy in which it is believed. [J]
    noise
        Long-run standard deviation of its residual: what a mean over D days is off by, times sqrt(D). [-]
    r_squared
        Share of the year's variance it explains. [-]
    """

    has_weather: bool
    coefficients: tuple[float, ...]
    load_j: float
    load_low_j: float
    load_high_j: float
    noise: float
    r_squared: float

    def expected(self, days: DailyEnergy) -> Float64:
        """Expected overhead per IT energy; NaN without IT energy or, if needed, weather. [-]"""
        return weighted_sum(columns(days, self.load_j, has_weather=self.has_weather), self.coefficients)

    def believes(self, days: DailyEnergy) -> Bools:
        """Whether a day's load is in range."""
        return np.asarray((days.it_j >= self.load_low_j) & (days.it_j <= self.load_high_j), np.bool_)

    def residual(self, days: DailyEnergy) -> Float64:
        """Measured less expected PUE; NaN on days that are not usable or out of range. [-]"""
        return np.where(self.believes(days), days.overhead - self.expected(days), np.nan)


def fit_baseline(days: DailyEnergy) -> Baseline:
    """Least squares of the overhead per IT energy on 1/load and the weather, or the seasons where there is none.

    A light ridge pulls the weather terms towards 0 and the load term towards a third of the overhead, for years in
    which load hardly changed.

    Raises
    ------
    Fatal
        If fewer than `MIN_VALID_DAYS` days are usable.
    """
    days = days.select(days.usable)
    if len(days.day) < MIN_VALID_DAYS:
        raise Fatal(f"a baseline needs {MIN_VALID_DAYS} usable days and got {len(days.day)}; wait for more data")
    measured = np.isfinite(days.wet_bulb_c)
    has_weather = bool(measured.sum() >= MIN_VALID_DAYS)
    days = days.select(measured) if has_weather else days
    load_j = float(np.mean(days.it_j))
    design = columns(days, load_j, has_weather=has_weather)
    overhead = days.overhead
    coefficients = least_squares(design, overhead)
    residual = overhead - weighted_sum(design, coefficients)
    # Not the extremes: a day of outage or of test would widen the range for a year.
    low, high = np.quantile(days.it_j, (0.01, 0.99))
    return Baseline(
        has_weather=has_weather,
        coefficients=coefficients,
        load_j=load_j,
        load_low_j=float(low) * (1 - LOAD_MARGIN),
        load_high_j=float(high) * (1 + LOAD_MARGIN),
        noise=_long_run_noise(days.day, residual),
        r_squared=float(1 - float(np.var(residual)) / max(float(np.var(overhead)), 1e-12)),
    )


def columns(days: DailyEnergy, load_j: float, *, has_weather: bool) -> Float64:
    """Regressors of the overhead per IT energy: 1, relative 1/load, and wet-bulb hinges or seasons. (C, D)"""
    it_j = np.where(days.it_j > 0, days.it_j, np.nan)
    # Overhead = fixed + proportional: per IT energy the fixed part goes with 1 / load. At the mean load the column is
    # 0.
    rows = [np.ones(len(days.day)), load_j / it_j - 1]
    if has_weather:
        rows += [np.maximum(0, days.wet_bulb_c - knot) for knot in KNOTS_C]
    else:
        phase = 2 * math.pi * days.day / _YEAR_DAYS
        rows += [wave(n * phase) for n in _HARMONICS for wave in (np.sin, np.cos)]
    return np.stack(rows)


def least_squares(design: Float64, overhead: Float64) -> tuple[float, ...]:
    """Ridge regression of the overhead on its columns: 1, load, and others.

    By normal equations and elimination: small, and without BLAS.
    """
    others = len(design) - 2
    ridge = np.array([0.0, _LOAD_RIDGE, *[_WEATHER_RIDGE] * others])
    # Least squares with ridge x (c - prior)^2 added for each coefficient: `ridge` comes onto the diagonal, ridge x
    # prior to the right side. (C,), (C, C), (C,)
    prior = np.array([0.0, _FIXED_SHARE * float(np.mean(overhead)), *[0.0] * others])
    matrix = np.einsum("id,jd->ij", design, design) + np.diag(ridge)
    right = np.einsum("id,d->i", design, overhead) + ridge * prior
    return _solve(matrix.tolist(), right.tolist())


def weighted_sum(design: Float64, coefficients: Sequence[float]) -> Float64:
    """Sum of columns times coefficients, in a fixed order. (D,)"""
    result = np.zeros(design.shape[1])
    # One column after the other, so that every machine adds in the same order and gets the same digits.
    for column, coefficient in zip(design, coefficients, strict=True):
        result = result + column * coefficient
    return result


def _long_run_noise(day: Int64, residual: Float64) -> float:
    """From the spread of means over two weeks, which autocorrelated noise does not average out."""
    # By the calendar and not by place: days that are not usable leave a batch with fewer, and half is enough.
    batch = (day - day[0]) // _BATCH_DAYS
    count = np.bincount(batch)
    full = count >= _BATCH_DAYS // 2
    means = np.bincount(batch, weights=residual)[full] / count[full]
    # For independent noise of variance v a mean over 14 days has v / 14, and this is sqrt v; noise that lasts gives
    # more.
    return math.sqrt(_BATCH_DAYS * float(np.var(means)))


def _solve(matrix: list[list[float]], right: list[float]) -> tuple[float, ...]:
    """Gaussian elimination with pivots; a column that says nothing gets 0."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        if abs(rows[column][column]) < 1e-12:
            continue
        # All other rows, above and below: what is left is a diagonal, and nothing has to be put in backwards.
        for row in range(size):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [x - factor * y for x, y in zip(rows[row], rows[column], strict=True)]
    return tuple(rows[n][size] / rows[n][n] if abs(rows[n][n]) >= 1e-12 else 0.0 for n in range(size))
