"""The plant's energies add up, and its true PUE is what independent arithmetic says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.series import SLOT_MS
from simulators.facilities import FACILITIES, KUNMING
from simulators.plant import DAY_MS, Plant
from simulators.scenario import trailing_year
from tests.unit.simulators.worlds import UNTIL_MS, world

EVERY = tuple(spec.id for spec in FACILITIES)


def edges(plant: Plant) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(plant.start_ms, plant.end_ms, SLOT_MS, dtype=np.int64)


@pytest.mark.parametrize("name", EVERY)
def test_what_comes_in_is_what_is_used_to_the_joule(name: str) -> None:
    plant = world()[name].plant
    at = edges(plant)
    into = plant.energy_j("main-a", at) + plant.energy_j("main-b", at)
    used = sum(plant.energy_j(feed, at) for feed in ("it", "cooling", "losses", "office"))
    assert np.array_equal(into, used)


@pytest.mark.parametrize("name", EVERY)
def test_sides_and_rows_add_up_to_the_it_load(name: str) -> None:
    plant = world()[name].plant
    at = edges(plant)
    for side in ("a", "b"):
        rows = plant.energy_j(f"it-{side}1", at) + plant.energy_j(f"it-{side}2", at)
        assert np.array_equal(rows, plant.energy_j(f"it-{side}", at))
    assert np.array_equal(plant.energy_j("it-a", at) + plant.energy_j("it-b", at), plant.energy_j("it", at))


@pytest.mark.parametrize("name", EVERY)
def test_true_pue_is_the_ratio_of_sums_over_the_incomers(name: str) -> None:
    site = world()[name]
    window = trailing_year(UNTIL_MS)
    sums = dict.fromkeys(("main-a", "main-b", "office", "it-a", "it-b"), 0)
    for feed in sums:
        first, last = site.plant.energy_j(feed, np.array(window, np.int64)).tolist()
        sums[feed] = last - first
    by_hand = Fraction(sums["main-a"] + sums["main-b"] - sums["office"], sums["it-a"] + sums["it-b"])
    assert site.plant.true_pue(*window) == by_hand
    assert float(by_hand) == pytest.approx(site.spec.plant.pue_ttm, abs=1e-9)


def test_the_trailing_year_is_the_twelve_complete_months_in_china() -> None:
    begin, end = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in trailing_year(UNTIL_MS))
    assert (begin, end) == ("2025-10-31T16:00:00+00:00", "2026-10-31T16:00:00+00:00")


def test_drift_brings_the_last_30_days_to_its_target_and_leaves_the_first_months_alone() -> None:
    site = world()["yx01"]
    end_ms = UNTIL_MS // SLOT_MS * SLOT_MS
    assert float(site.plant.true_pue(end_ms - 30 * DAY_MS, end_ms)) == pytest.approx(1.335, abs=1e-6)
    assert site.plant.true_pue(end_ms - 390 * DAY_MS, end_ms - 360 * DAY_MS) < Fraction(126, 100)


def test_power_is_the_slope_of_energy() -> None:
    plant = world()["km01"].plant
    at = np.array([UNTIL_MS, UNTIL_MS + 60_000], np.int64)
    first, last = plant.energy_j("main-a", at).tolist()
    assert (last - first) / 60 == pytest.approx(float(plant.power_w("main-a", at[:1])[0]), rel=1e-9)


def test_load_has_a_day_and_a_week_and_grows() -> None:
    plant = world()["km01"].plant
    week = np.arange(UNTIL_MS - 371 * DAY_MS, UNTIL_MS, SLOT_MS, dtype=np.int64)
    power = plant.power_w("it", week).reshape(-1, 96)
    hours = (week.reshape(-1, 96)[0] + 8 * 3_600_000) % DAY_MS // 3_600_000
    assert power[:, hours == 14].mean() > 1.05 * power[:, hours == 2].mean()
    weekday = (week.reshape(-1, 96)[:, 48] // DAY_MS + 3) % 7
    assert power[weekday < 5].mean() > 1.01 * power[weekday == 6].mean()
    assert power[-30:].mean() > 1.02 * power[:30].mean()


def test_cooling_follows_the_wet_bulb() -> None:
    plant = world()["km01"].plant
    at = edges(plant)[: 400 * 96]
    ratio = plant.power_w("cooling", at) / plant.power_w("it", at)
    assert np.corrcoef(ratio, plant.wet_bulb_c(at))[0, 1] > 0.9
    months = np.array([datetime.fromtimestamp(ms / 1000, UTC).month for ms in at.tolist()])
    assert plant.wet_bulb_c(at)[months == 7].mean() > plant.wet_bulb_c(at)[months == 1].mean() + 5


def test_the_same_seed_gives_the_same_plant_and_another_one_another() -> None:
    at = np.array([UNTIL_MS], np.int64)
    again = Plant(KUNMING.plant, world()["km01"].plant.seed, UNTIL_MS, trailing_year(UNTIL_MS))
    other = Plant(KUNMING.plant, 8, UNTIL_MS, trailing_year(UNTIL_MS))
    truth = world()["km01"].plant.energy_j("main-a", at)
    assert np.array_equal(again.energy_j("main-a", at), truth)
    assert not np.array_equal(other.energy_j("main-a", at), truth)


def test_size_does_not_change_pue() -> None:
    big = replace(KUNMING.plant, it_kw=20_000, office_kw=0)
    plant = Plant(big, 3, UNTIL_MS, trailing_year(UNTIL_MS))
    assert float(plant.true_pue(*trailing_year(UNTIL_MS))) == pytest.approx(1.25, abs=1e-9)


def test_a_time_outside_the_plant_is_refused() -> None:
    plant = world()["km01"].plant
    with pytest.raises(Fatal, match="start a new demo"):
        plant.energy_j("it", np.array([plant.end_ms], np.int64))
