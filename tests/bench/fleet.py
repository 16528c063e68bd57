"""A seeded synthetic fleet of plants unlike the model: seasons, years that differ, load steps, autocorrelated noise.

PUE = 1 + fixed / load + proportional + a smooth, plant-specific cooling curve + AR(1) noise. The wet-bulb sensor is off
by 1 K a day. Nothing of this is in the baseline's model but the shape 1/load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pue.outlook.baseline import DailyEnergy

Float64 = npt.NDArray[np.float64]
YEAR = 365
IT_J_PER_DAY = 86_400 * 5_000_000


@dataclass(frozen=True)
class Plant:
    """One facility without drift: relative load, wet bulb as measured, PUE by day."""

    load: Float64
    wet_bulb_c: Float64
    pue: Float64

    def days(self, excess: Float64 | float = 0.0) -> DailyEnergy:
        """Its days with an excess added to the PUE."""
        it_j = np.round(self.load * IT_J_PER_DAY).astype(np.int64)
        total_j = np.round(it_j * (self.pue + excess)).astype(np.int64)
        day = 20_000 + np.arange(len(it_j), dtype=np.int64)
        return DailyEnergy(day, total_j, it_j, self.wet_bulb_c, np.ones(len(it_j), np.bool_))


def fleet(size: int, years: int, seed: int) -> list[Plant]:
    """So many plants over so many years; one seed, one fleet."""
    rng = np.random.default_rng(seed)
    return [_plant(years * YEAR, rng) for _ in range(size)]


def ramp(days: int, start: int, height: float = 0.03, length: int = 30) -> Float64:
    """An excess that grows from 0 at `start` to its height."""
    return np.asarray(np.clip((np.arange(days) - start) / length, 0, 1) * height)


def _plant(days: int, rng: np.random.Generator) -> Plant:
    t = np.arange(days)
    wet_bulb = _weather(days, rng)
    load = _load(days, rng)
    balance, softness, slope = rng.uniform(7, 15), rng.uniform(1, 3), rng.uniform(0.006, 0.012)
    cooling = slope * softness * np.logaddexp(0, (wet_bulb - balance) / softness)
    fixed, proportional = rng.uniform(0.04, 0.10), rng.uniform(0.05, 0.10)
    noise = _autoregressive(days, rng.uniform(0.5, 0.85), rng.uniform(0.004, 0.010), rng)
    pue = 1 + fixed / load + proportional + cooling + noise
    return Plant(load, wet_bulb + rng.normal(0, 1, len(t)), pue)


def _weather(days: int, rng: np.random.Generator) -> Float64:
    t = np.arange(days)
    season = rng.uniform(8, 18) + rng.uniform(5, 10) * np.cos(2 * np.pi * (t - 200) / 365.25)
    years = np.repeat(rng.normal(0, 1, days // YEAR + 1), YEAR)[:days]
    return np.asarray(season + years + _autoregressive(days, 0.7, 2.5, rng))


def _load(days: int, rng: np.random.Generator) -> Float64:
    t = np.arange(days)
    load = (1 + rng.uniform(-0.05, 0.15) * t / YEAR) * (1 + 0.03 * np.cos(2 * np.pi * t / 7 + rng.uniform(0, 6)))
    load = load * (1 + rng.normal(0, 0.01, days))
    for _ in range(rng.poisson(days / YEAR)):
        load[rng.integers(0, days) :] *= 1 + rng.uniform(-0.15, 0.15)
    return np.asarray(load)


def _autoregressive(days: int, phi: float, deviation: float, rng: np.random.Generator) -> Float64:
    shocks = rng.normal(0, deviation * np.sqrt(1 - phi**2), days)
    values = np.empty(days)
    value = rng.normal(0, deviation)
    for day in range(days):
        value = phi * value + shocks[day]
        values[day] = value
    return values
