"""Figures of drift, forecast and uncertainty on seeded synthetic data."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue.energy.uncertainty import relative_uncertainty, u_pue
from pue.outlook.baseline import Baseline, DailyEnergy, Float64, fit_baseline
from pue.outlook.drift import PageHinkley, tuned, watch
from pue.outlook.forecast import forecast
from tests.bench.fleet import YEAR, Plant, fleet, ramp
from tests.bench.rows import Row, row

SIZE, YEARS, SEED = 300, 3, 2026
NEVER = 10_000


def watched(plant: Plant, baseline: Baseline, detector: PageHinkley, start: int | None) -> list[int]:
    """Days after the training year on which it alarms; a drift starts on `start`."""
    size = len(plant.load)
    days = plant.days(0.0 if start is None else ramp(size, YEAR + start))
    residual = baseline.residual(days)[YEAR:]
    _, alarms = watch(np.arange(len(residual)), residual, detector)
    return [alarm.day for alarm in alarms]


def rates(
    plants: list[Plant], detector: Callable[[Baseline], PageHinkley]
) -> tuple[float, npt.NDArray[np.int64], float]:
    """False alarms per facility-year, delay of each ramp, share of days out of range."""
    rng = np.random.default_rng(SEED + 1)
    false_alarms, watched_days, all_days, delays = 0, 0, 0, []
    for plant in plants:
        baseline = fit_baseline(plant.days().select(slice(0, YEAR)))
        test = detector(baseline)
        false_alarms += len(watched(plant, baseline, test, None))
        believed = baseline.believes(plant.days().select(slice(YEAR, None)))
        watched_days, all_days = watched_days + int(believed.sum()), all_days + len(believed)
        start = int(rng.integers(60, 500))
        found = [day for day in watched(plant, baseline, test, start) if day >= start]
        delays.append(found[0] - start if found else NEVER)
    return false_alarms / (watched_days / YEAR), np.array(delays), 1 - watched_days / all_days


def drift_rows() -> list[Row]:
    plants = fleet(SIZE, YEARS, SEED)
    blind = [Plant(p.load, np.full(len(p.load), np.nan), p.pue) for p in plants]
    rate, delays, silent = rates(plants, tuned)
    fixed_rate, fixed_delays, _ = rates(plants, lambda _: PageHinkley())
    blind_rate, blind_delays, _ = rates(blind, tuned)
    median, p90 = np.quantile(delays, (0.5, 0.9))
    return [
        row("drift: false alarms", rate, "per facility-year", "<= 0.05"),
        row("drift: +0.03 over 30 days found, median", median, "days", "<= 28"),
        row("drift: +0.03 over 30 days found, p90", p90, "days", "<= 40"),
        row("drift: never found", (delays == NEVER).mean(), "share"),
        row("drift: days with load out of the baseline's range", silent, "share"),
        row("drift: alarms after a 30 % fall of load", load_drop_share(plants), "share"),
        row("drift, fixed 0.005 / 0.3: false alarms", fixed_rate, "per facility-year"),
        row("drift, fixed 0.005 / 0.3: median", np.median(fixed_delays), "days"),
        row("drift, fixed 0.005 / 0.3: p90", np.quantile(fixed_delays, 0.9), "days"),
        row("drift without wet bulb: false alarms", blind_rate, "per facility-year"),
        row("drift without wet bulb: median", np.median(blind_delays), "days"),
        row("drift without wet bulb: p90", np.quantile(blind_delays, 0.9), "days"),
    ]


def load_drop_share(plants: list[Plant]) -> float:
    """Share of plants that alarm within 60 days of losing 30 % of their load."""
    alarmed = 0
    for plant in plants:
        load = np.where(np.arange(len(plant.load)) < YEAR + 100, plant.load, 0.7 * plant.load)
        fallen = Plant(load, plant.wet_bulb_c, plant.pue + 0.07 / load - 0.07 / plant.load)
        baseline = fit_baseline(fallen.days().select(slice(0, YEAR)))
        found = [day for day in watched(fallen, baseline, tuned(baseline), None) if 100 <= day < 160]
        alarmed += bool(found)
    return alarmed / len(plants)


def forecast_rows() -> list[Row]:
    """Plants of which half get steadily worse, seen from the end of their second year."""
    rng = np.random.default_rng(SEED + 2)
    errors, held, day_errors, false_crossings, crossings, clear = [], [], [], 0, 0, 0
    for plant in fleet(150, YEARS, SEED + 3):
        slope = rng.uniform(0, 0.12) if rng.random() < 0.5 else 0.0
        days = plant.days(slope * np.arange(YEARS * YEAR) / YEAR)
        year, truth = forecast(days.select(slice(0, 2 * YEAR))), trailing(days)
        error = np.abs(year.pue - truth)
        errors.append(error[[29, 89, 179, 364]])
        held.append((error <= year.half_width)[[29, 89, 179, 364]])
        limit = Fraction(round(float(truth[0]) * 1000) + 15, 1000)
        above, found = np.flatnonzero(truth > float(limit)), year.crossing_day(limit)
        if len(above):
            crossings += 1
            day_errors += [] if found is None else [abs(found - int(year.day[above[0]]))]
        else:
            clear += 1
            false_crossings += found is not None
    mean, share = np.mean(errors, 0), np.mean(held, 0)
    return [
        *(
            row(f"forecast: mean error {ahead} days ahead", 1000 * value, "0.001 PUE")
            for ahead, value in zip((30, 90, 180, 365), mean, strict=True)
        ),
        row("forecast: interval holds, 30 days ahead", share[0], "share", ">= 0.9"),
        row("forecast: interval holds, 365 days ahead", share[3], "share", ">= 0.9"),
        row("forecast: crossings of +0.015 found", len(day_errors) / crossings, "share"),
        row("forecast: crossings that did not come", false_crossings / clear, "share"),
        row("forecast: crossing day off by, median", np.median(day_errors), "days"),
    ]


def trailing(days: DailyEnergy) -> Float64:
    """True PUE of the year that ends with each day of the third."""
    total, it = (np.cumsum(np.concatenate(([0], column))) for column in (days.total_j, days.it_j))
    end = 2 * YEAR + 1 + np.arange(YEAR)
    return np.asarray((total[end] - total[end - YEAR]) / (it[end] - it[end - YEAR]))


def uncertainty_rows() -> list[Row]:
    """The formula against draws of every meter's error, over random layouts."""
    rng = np.random.default_rng(SEED + 4)
    worst = max(_against_monte_carlo(rng) for _ in range(15))
    return [row("u(PUE) against Monte-Carlo, worst of 15 layouts", worst, "relative", "<= 0.02")]


def _against_monte_carlo(rng: np.random.Generator, draws: int = 100_000) -> float:
    it_meters, others = int(rng.integers(1, 20)), int(rng.integers(0, 5))
    a = np.array([1, *rng.choice((0, 0, 1), it_meters), *rng.choice((-1, 1), others)])
    b = np.array([0, *np.ones(it_meters), *np.zeros(others)])
    energy = np.array([1e15, *rng.uniform(0.5, 1.5, it_meters) * 8e14 / it_meters, *rng.uniform(1e12, 5e13, others)])
    u_rel = rng.choice([relative_uncertainty(*c) for c in (("0.2S", "0.2S"), ("1", "0.5"), ("2", "1"))], len(a))
    group = rng.choice(["", "batch-1", "batch-2"], len(a))
    errors = rng.standard_normal((draws, len(a)))
    for name in ("batch-1", "batch-2"):
        members = np.flatnonzero(group == name)
        errors[:, members] = errors[:, members[:1]]
    read = energy * (1 + errors * u_rel)
    simulated = float(np.std((read * a).sum(1) / (read * b).sum(1)))
    return abs(float(u_pue(energy, list(a), list(b), list(u_rel), group=list(group))) / simulated - 1)


def speed_rows() -> list[Row]:
    """One window of each of 1,000 facilities with 50 meters: judged figures for a whole province."""
    energy = np.random.default_rng(SEED).uniform(1e12, 2e12, (1_000, 50))
    a, b = [1.0] * 5 + [0.0] * 45, [0.0] * 5 + [1.0] * 45
    start = time.process_time()
    u_pue(energy, a, b, [0.004] * 50)
    return [row("u(PUE), 1,000 windows of 50 meters", 1000 * (time.process_time() - start), "ms")]


def rows() -> list[Row]:
    return [*drift_rows(), *forecast_rows(), *uncertainty_rows(), *speed_rows()]
