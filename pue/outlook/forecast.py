"""PUE of the trailing year ahead, with the day a limit will be crossed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from pue.contract.errors import Fatal
from pue.energy.slots import Int64
from pue.energy.uncertainty import required_pue
from pue.outlook.baseline import MIN_VALID_DAYS, DailyEnergy, Float64, columns, least_squares, weighted_sum

YEAR_DAYS = 365

_FIT_DAYS = 2 * YEAR_DAYS
_WEATHER_YEARS = (1, 2)
_RECENT_DAYS = 30
_ORIGIN_STEP_DAYS = 30
_MIN_ORIGINS = 3
_LEAST_PAST_DAYS = 380


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """PUE of the 365 days that end with each coming day, if load, trend and weather go on as they were.

    Attributes
    ----------
    day
        Coming days. (H,) [days since 1970-01-01]
    pue
        Estimate. (H,) [-]
    half_width
        Half of the interval: the largest error back-testing shows, in proportion to the days ahead; NaN without
        enough past to test. (H,) [-]
    """

    day: Int64
    pue: Float64
    half_width: Float64

    def crossing_day(self, limit: Fraction, side: int = 0) -> int | None:
        """First coming day on which PUE is above a limit, None if there is none.

        Parameters
        ----------
        limit
            The limit. [-]
        side
            0 for the estimate, +1 for the upper end of the interval (the earliest day), -1 for the lower (the latest).
        """
        value = self.pue + side * self.half_width if side else self.pue
        above = np.flatnonzero(value > float(limit))
        return int(self.day[above[0]]) if len(above) else None


class Attainability(StrEnum):
    """Whether a year can still meet its limit."""

    ON_TRACK = "on_track"
    AT_RISK = "at_risk"
    """It needs a better PUE than the best month had."""
    UNATTAINABLE = "unattainable"
    """It would need a PUE below 1."""


def forecast(days: DailyEnergy, horizon_days: int = YEAR_DAYS) -> Forecast:
    """Project the trailing year.

    Parameters
    ----------
    days
        The facility's days up to today, ascending. A coming day has the weather its day had one and two years before;
        one without takes the season's overhead.
    horizon_days
        How far ahead. [days]

    Raises
    ------
    Fatal
        If fewer than 300 days are usable.

    References
    ----------
    METHOD.md, "Forecast".
    """
    overhead, it_j = _project(days, horizon_days)
    ahead = np.arange(1, horizon_days + 1)
    return Forecast(
        day=days.day[-1] + ahead,
        pue=_trailing(days, overhead, it_j),
        # (H,): the interval opens in proportion to the days ahead; NaN times anything is NaN.
        half_width=ahead * np.float64(_error_per_day(days)),
    )


def attainability(
    limit: Fraction, total_j: int, it_j: int, it_remaining_j: int, best_month_pue: Fraction | None
) -> tuple[Attainability, Fraction]:
    """State of a running year, with the PUE its rest may have.

    Parameters
    ----------
    limit
        Limit of the whole year. [-]
    total_j, it_j, it_remaining_j
        E_DC and E_IT so far, E_IT expected in the rest. [J]
    best_month_pue
        Lowest PUE of a month of the last twelve; None if there is none. [-]

    References
    ----------
    METHOD.md, "Required PUE".
    """
    required = required_pue(limit, total_j, it_j, it_remaining_j)
    if required < 1:
        return Attainability.UNATTAINABLE, required
    if best_month_pue is None or required < best_month_pue:
        return Attainability.AT_RISK, required
    return Attainability.ON_TRACK, required


def _project(days: DailyEnergy, horizon: int) -> tuple[Float64, float]:
    """Overhead per IT energy of each coming day, and the IT energy of each. [-, J]"""
    known = days.select(days.usable)
    if len(known.day) < MIN_VALID_DAYS:
        raise Fatal(f"a forecast needs {MIN_VALID_DAYS} usable days and got {len(known.day)}; wait for more data")
    # By the calendar: two years back from the newest usable day, however many of them are usable.
    known = known.select(known.day > known.day[-1] - _FIT_DAYS)
    it_j = float(np.mean(known.it_j[-_RECENT_DAYS:]))
    coming = _coming_days(days, horizon, it_j)
    today = int(days.day[-1])
    overhead = _overhead(known, coming, today, has_weather=False)
    with_weather = known.select(np.isfinite(known.wet_bulb_c))
    if len(with_weather.day) >= MIN_VALID_DAYS:
        by_weather = _overhead(with_weather, coming, today, has_weather=True)
        # Day by day, so that a hole in last year's weather costs that day only.
        overhead = np.where(np.isfinite(by_weather), by_weather, overhead)
    return overhead, it_j


def _overhead(known: DailyEnergy, coming: list[DailyEnergy], today: int, *, has_weather: bool) -> Float64:
    """Overhead of coming days as that of known ones, the mean over scenarios; NaN where none has the weather. (H,)"""
    load_j = float(np.mean(known.it_j))
    design = _with_trend(known, load_j, today, has_weather=has_weather)
    coefficients = least_squares(design, known.overhead)
    # What the fit leaves of the last days is taken to last: the fit over two years is slow to see a step.
    level = float(np.mean((known.overhead - weighted_sum(design, coefficients))[-_RECENT_DAYS:]))
    designs = [_with_trend(scenario, load_j, today, has_weather=has_weather) for scenario in coming]
    return level + _mean_of_known(np.stack([weighted_sum(each, coefficients) for each in designs]))


def _with_trend(days: DailyEnergy, load_j: float, today: int, *, has_weather: bool) -> Float64:
    # In years from today, so that the coefficient is the change of overhead in a year.
    trend = (days.day - today) / YEAR_DAYS
    return np.vstack([columns(days, load_j, has_weather=has_weather), trend])


def _coming_days(days: DailyEnergy, horizon: int, it_j: float) -> list[DailyEnergy]:
    """The coming days, once with the weather of each past year."""
    day = days.day[-1] + np.arange(1, horizon + 1)
    # As total, too: a coming day's overhead is what is looked for, its total is never read.
    load = np.full(horizon, round(it_j))
    valid = np.ones(horizon, np.bool_)
    return [DailyEnergy(day, load, load, _weather_of(days, day - years * YEAR_DAYS), valid) for years in _WEATHER_YEARS]


def _weather_of(days: DailyEnergy, wanted: Int64) -> Float64:
    # A day behind the last one is cut to it, and differs: no weather.
    place = np.minimum(np.searchsorted(days.day, wanted), len(days.day) - 1)
    return np.where(days.day[place] == wanted, days.wet_bulb_c[place], np.nan)


def _mean_of_known(values: Float64) -> Float64:
    """Mean over scenarios, leaving out unknown ones; NaN where all are unknown. (H,)"""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.asarray(np.where(known, values, 0).sum(0) / np.where(count > 0, count, np.nan), np.float64)


def _trailing(days: DailyEnergy, overhead: Float64, it_j: float) -> Float64:
    """PUE of the year that ends with each coming day: measured days, then projected ones. (H,)"""
    ahead = np.arange(1, len(overhead) + 1)
    usable = days.usable
    total = np.concatenate((np.where(usable, days.total_j, 0), it_j * (1 + overhead)))
    it = np.concatenate((np.where(usable, days.it_j, 0), np.full(len(overhead), it_j)))
    day = np.concatenate((days.day, days.day[-1] + ahead))
    # The year that ends with day d is (d - 365, d]: "right" begins behind the day a year before. By days, not by
    # places, for past days can be missing; coming ones are complete, so `last` can be counted.
    first = np.searchsorted(day, day[-len(ahead) :] - YEAR_DAYS, side="right")
    last = len(days.day) + ahead
    return np.asarray(_sums(total, first, last) / _sums(it, first, last), np.float64)


def _sums(values: Float64, first: Int64, last: Int64) -> Float64:
    running = np.concatenate((np.zeros(1), np.cumsum(values)))
    return np.asarray(running[last] - running[first])


def _error_per_day(days: DailyEnergy) -> float:
    """Largest error per day ahead of forecasts from this facility's own past; NaN with fewer than three. [1/day]"""
    backs = range(_ORIGIN_STEP_DAYS, len(days.day), _ORIGIN_STEP_DAYS)
    # What was known `back` days ago, and as many days to compare with since.
    pasts = [(days.select(days.day <= days.day[-1] - back), back) for back in backs]
    errors = [_worst_error(days, past, back) for past, back in pasts if past.usable.sum() >= _LEAST_PAST_DAYS]
    return max(errors) if len(errors) >= _MIN_ORIGINS else float("nan")


def _worst_error(days: DailyEnergy, past: DailyEnergy, horizon: int) -> float:
    predicted = _trailing(past, *_project(past, horizon))
    ends = int(past.day[-1]) + np.arange(1, horizon + 1)
    first, last = (np.searchsorted(days.day, edge, side="right") for edge in (ends - YEAR_DAYS, ends))
    usable = days.usable
    total, it = (_sums(np.where(usable, column, 0), first, last) for column in (days.total_j, days.it_j))
    ahead = np.arange(1, horizon + 1)
    # From the 30th day ahead: before that one day's error divided by few days says nothing of the year.
    return float(np.max((np.abs(predicted - total / it) / ahead)[_RECENT_DAYS - 1 :]))
