"""Lasting excess of a facility's overhead over its baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pue.energy.slots import Int64
from pue.outlook.baseline import MIN_VALID_DAYS, Baseline, DailyEnergy, Float64, fit_baseline

__all__ = ["Alarm", "DailyEnergy", "Drift", "DriftState", "PageHinkley", "assess", "fit_baseline", "tuned", "watch"]

TRAINING_DAYS = 365
"""Days a baseline is learned from."""
MEMORY_DAYS = 180
"""Longest memory of the level a test expects."""

_PRIOR_DAYS = 30
_RECENT_DAYS = 30
_STATE_DAYS = 14


@dataclass(frozen=True, slots=True)
class PageHinkley:
    """State of a one-sided Page-Hinkley test for a rise, in PUE-days.

    Attributes
    ----------
    delta
        Dead band: a rise smaller than this is never reported. [-]
    threshold
        Excess at which it alarms. [PUE-days]
    mean
        Level it expects, moving slowly after the data. [-]
    days
        Weight of that level, at most `MEMORY_DAYS`. [days]
    excess
        How much the residual has summed up over the level and the dead band since it last was not above them.
        [PUE-days]
    """

    delta: float = 0.005
    threshold: float = 0.3
    mean: float = 0.0
    days: int = _PRIOR_DAYS
    excess: float = 0.0

    @property
    def alarm(self) -> bool:
        """Whether the excess has passed the threshold."""
        return self.excess > self.threshold

    def update(self, residual: float) -> PageHinkley:
        """State after one more day."""
        # At first a mean of all days since the start; from 180 on one that forgets, in which the newest weighs 1/180.
        days = min(self.days + 1, MEMORY_DAYS)
        mean = self.mean + (residual - self.mean) / days
        return replace(self, days=days, mean=mean, excess=max(0.0, self.excess + residual - mean - self.delta))

    def restart(self, level: float) -> PageHinkley:
        """State after an alarm: only a further rise over the level reached alarms again."""
        return replace(self, mean=level, days=_PRIOR_DAYS, excess=0.0)


class DriftState(StrEnum):
    """What can be said of a facility today."""

    LEARNING = "learning"
    """No baseline yet."""
    STEADY = "steady"
    DRIFTING = "drifting"
    """An alarm was raised and the excess is still there."""
    OUT_OF_RANGE = "out_of_range"
    """The load has left what the baseline learned from: set a new baseline."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A drift found: on `day`, beginning about `since_day`, mean excess since then. [days since 1970-01-01, -]"""

    day: int
    since_day: int
    excess_pue: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A facility's drift on its last day.

    Attributes
    ----------
    state
        What can be said.
    alarms
        Every alarm since the baseline.
    baseline
        What it is measured against; None while learning.
    detector
        The test's state after the last day.
    excess_pue
        Mean residual of the last 30 usable days; NaN if there is none. [-]
    """

    state: DriftState
    alarms: tuple[Alarm, ...] = ()
    baseline: Baseline | None = None
    detector: PageHinkley = PageHinkley()
    excess_pue: float = math.nan


def assess(days: DailyEnergy) -> Drift:
    """Learn a baseline from the first year of days and watch the days after it.

    Parameters
    ----------
    days
        Beginning where the baseline begins: the first day, or the day a person set.

    References
    ----------
    METHOD.md, "Drift".
    """
    # The sum of one day is that day, and 0 if there is none.
    training = days.select(days.day < days.day[:1].sum() + TRAINING_DAYS)
    # Days ascend, so those of training come first.
    after = days.select(slice(len(training.day), None))
    if training.usable.sum() < MIN_VALID_DAYS or len(after.day) == 0:
        return Drift(DriftState.LEARNING)
    baseline = fit_baseline(training)
    residual = baseline.residual(after)
    detector, alarms = watch(after.day, residual, tuned(baseline))
    # NaN is the one number that does not equal itself: what is left are days with a residual.
    recent = residual[residual == residual][-_RECENT_DAYS:]
    excess = float(recent.mean()) if len(recent) else math.nan
    return Drift(_state(baseline, after, alarms, excess, detector.delta), alarms, baseline, detector, excess)


def tuned(baseline: Baseline) -> PageHinkley:
    """Set a test for a baseline's noise: dead band of half of it, threshold of twelve times it.

    Never finer than 0.005 and 0.15 PUE-days. For a residual of long-run noise s the rate of false alarms falls with
    exp(-2 delta threshold / s^2) = exp(-12). Without weather, years that differ look like drift: coarser.
    """
    if baseline.has_weather:
        return PageHinkley(delta=max(0.005, baseline.noise / 2), threshold=max(0.15, 12 * baseline.noise))
    return PageHinkley(delta=max(0.012, baseline.noise / 2), threshold=max(0.4, 22 * baseline.noise))


def watch(day: Int64, residual: Float64, detector: PageHinkley) -> tuple[PageHinkley, tuple[Alarm, ...]]:
    """Run a test over days; a day without residual changes nothing."""
    alarms: list[Alarm] = []
    since: list[tuple[int, float]] = []
    for today, value in zip(day.tolist(), residual.tolist(), strict=True):
        if math.isnan(value):
            continue
        detector = detector.update(value)
        # A drift begins on the first day of the excess that is still running: once it is 0 the days before are
        # forgotten.
        since = [*since, (today, value)] if detector.excess > 0 else []
        if detector.alarm:
            level = sum(excess for _, excess in since) / len(since)
            alarms.append(Alarm(today, since[0][0], level))
            # From the level reached on, or the same drift would alarm again and again.
            detector = detector.restart(level)
            since = []
    return detector, tuple(alarms)


def _state(
    baseline: Baseline, after: DailyEnergy, alarms: Sequence[Alarm], excess: float, dead_band: float
) -> DriftState:
    recent = after.select(after.usable).select(slice(-_STATE_DAYS, None))
    # Less than half of them; without any day nothing has left the range.
    if 2 * int(baseline.believes(recent).sum()) < len(recent.day):
        return DriftState.OUT_OF_RANGE
    return DriftState.DRIFTING if alarms and excess > dead_band else DriftState.STEADY
