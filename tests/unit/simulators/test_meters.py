"""What virtual meters show: resolution, ratios, errors, rollover, silence."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.profile import builtin_meter_profiles
from pue.contract.series import SLOT_MS
from simulators.facilities import FACILITIES
from simulators.meters import MeterSpec, VirtualMeter
from simulators.plant import DAY_MS
from tests.unit.simulators.worlds import UNTIL_MS, world

EVERY = tuple((spec.id, meter.id) for spec in FACILITIES for meter in spec.meters)


def meter_of(facility: str, meter: str) -> VirtualMeter:
    return next(each for each in world()[facility].meters if each.spec.id == meter)


def behind_transformers() -> VirtualMeter:
    """An incomer of 400/5 A and 10 kV / 100 V that counts on their secondary side."""
    incomer = meter_of("km01", "main-a")
    return VirtualMeter(replace(incomer.spec, ct="400/5", pt="10000/100"), incomer.plant)


def counts(meter: VirtualMeter, *times_ms: int) -> list[int]:
    shown: list[int] = meter.energy_counts(np.array(times_ms, np.int64)).tolist()
    return shown


@pytest.mark.parametrize(("facility", "name"), EVERY)
def test_a_year_of_counts_is_the_true_energy_within_the_class(facility: str, name: str) -> None:
    meter = meter_of(facility, name)
    begin, end = UNTIL_MS - 365 * DAY_MS, UNTIL_MS
    first, last = counts(meter, begin, end)
    modulus = meter.spec.model.energy.modulus
    shown = (last - first) % modulus if modulus else last - first
    true_j = meter.plant.window_j(meter.spec.feed, begin, end)
    wrong_j = abs(float(shown * meter.count_j) - true_j)
    float_steps_j = 2 * 64 * 3600 if meter.spec.model.energy.is_float32 else 0
    assert wrong_j <= meter.spec.error_limit * true_j + 2 * float(meter.count_j) + float_steps_j


def test_a_model_that_counts_its_transformers_itself_is_given_no_ratio() -> None:
    profiles = builtin_meter_profiles()
    meters = [meter_of(*each).spec for each in EVERY]
    assert {spec.ratio for spec in meters if profiles[spec.profile].spec.side == "primary"} == {1}


def test_a_register_behind_transformers_holds_the_secondary_energy() -> None:
    meter = behind_transformers()
    assert meter.count_j == 3600 * Fraction(400, 5) * Fraction(10_000, 100)
    first, last = counts(meter, UNTIL_MS - DAY_MS, UNTIL_MS)
    primary_kwh = meter.plant.window_j("main-a", UNTIL_MS - DAY_MS, UNTIL_MS) / 3_600_000
    assert (last - first) == pytest.approx(primary_kwh / 8, rel=0.006, abs=2)


def test_counts_never_fall_but_at_the_one_rollover() -> None:
    times = np.arange(UNTIL_MS - 399 * DAY_MS, UNTIL_MS, SLOT_MS, dtype=np.int64)
    falls = {}
    for facility, name in EVERY:
        steps = np.diff(meter_of(facility, name).energy_counts(times))
        falls[facility, name] = times[1:][steps < 0].tolist()
    wrapped = falls.pop(("hh01", "pdu-a1"))
    assert len(wrapped) == 1
    assert 0 <= wrapped[0] - (UNTIL_MS - 200 * DAY_MS - 5 * 3_600_000) <= SLOT_MS
    assert not any(falls.values())


def test_the_rollover_is_at_two_to_the_32_watt_hours() -> None:
    meter = meter_of("hh01", "pdu-a1")
    wrap_ms = UNTIL_MS - 200 * DAY_MS - 5 * 3_600_000
    before, after = counts(meter, wrap_ms - 60_000, wrap_ms + 60_000)
    assert 2**32 - 10_000 < before < 2**32
    assert 0 <= after < 10_000


def test_a_float_register_shows_only_what_32_bits_can_hold() -> None:
    meter = meter_of("km01", "office")
    shown = counts(meter, *range(UNTIL_MS, UNTIL_MS + 60_000, 1000))
    kwh = [count / 1000 for count in shown]
    assert all(abs(float(np.float32(value)) - value) < 0.0006 for value in kwh)
    assert set(np.diff(shown).tolist()) <= {0, 31, 32}  # a float's step at 312,090 kWh is 31.25 Wh


def test_power_is_shown_behind_the_ratio() -> None:
    meter = behind_transformers()
    at = np.array([UNTIL_MS], np.int64)
    watts = float(meter.plant.power_w("main-a", at)[0])
    assert int(meter.power_counts(at)[0]) == pytest.approx(watts / 8000, rel=0.006, abs=1)


def test_a_dead_meter_is_silent_for_good_and_a_lost_one_for_eight_hours() -> None:
    dead, lost = meter_of("hh01", "pdu-b2"), meter_of("hh01", "pdu-a2")
    hours = np.arange(UNTIL_MS - 399 * DAY_MS, UNTIL_MS + 30 * DAY_MS, 3_600_000, dtype=np.int64)
    assert dead.is_silent(hours).sum() == pytest.approx(24 * 130, abs=1)
    assert lost.is_silent(hours).sum() == 8


def test_errors_are_seeded_and_within_the_class() -> None:
    for facility, name in EVERY:
        meter = meter_of(facility, name)
        assert abs(meter.error_ppm) <= 1e6 * meter.spec.error_limit
    other = next(each for each in world(8)["km01"].meters if each.spec.id == "main-a")
    assert other.error_ppm != meter_of("km01", "main-a").error_ppm


def test_a_meter_needs_a_feed_that_exists() -> None:
    spec = MeterSpec("x", "x", "x", "steam", "abb-b23", "bus1", 1)
    with pytest.raises(Fatal, match="steam"):
        VirtualMeter(spec, world()["km01"].plant)
