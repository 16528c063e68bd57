"""Registers: what must hold whatever the meters and the network do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pue.contract.quality import NO_VALUE, Flag
from pue.contract.series import SLOT_MS, slot_of
from pue.energy.context import Surroundings
from pue.energy.power import power_slots
from pue.energy.registers import RegisterVersion, merged, register_slots
from pue.energy.slots import Slots
from tests.property.meters import (
    POWER_W,
    honest_readings,
    reading_lists,
    samples_of,
    truths,
    version,
    version_lists,
)
from tests.property.plain import Reading, plain_slots, usable

COLUMNS = (
    "energy_j",
    "unknown_j",
    "under_j",
    "over_j",
    "gap_ms",
    "below_j",
    "above_j",
    "below_capped_j",
    "above_capped_j",
    "flags",
)


def same(a: Slots, b: Slots) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Slots))


@settings(max_examples=200)
@given(reading_lists(), version_lists(), st.sampled_from([SLOT_MS, 60_000]))
def test_arrays_agree_with_the_plain_rules(
    readings: list[Reading], versions: list[RegisterVersion], max_gap_ms: int
) -> None:
    slots = register_slots(samples_of(readings), versions, max_gap_ms=max_gap_ms)
    plain = plain_slots(readings, merged(versions), max_gap_ms)
    assert slots.start_ms.tolist() == list(plain)
    for column in COLUMNS:
        assert getattr(slots, column).tolist() == [getattr(slot, column) for slot in plain.values()], column


def energy_j(slots: Slots) -> int:
    return int(slots.energy_j.sum())


@settings(max_examples=80)
@given(reading_lists(), version_lists(), st.data())
def test_order_of_arrival_and_duplicates_change_nothing(
    readings: list[Reading], versions: list[RegisterVersion], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(readings), max_size=5)) if readings else []
    shuffled = data.draw(st.permutations(readings + again))
    assert same(register_slots(samples_of(readings), versions), register_slots(samples_of(shuffled), versions))


@settings(max_examples=80)
@given(reading_lists(), version_lists(), st.data())
def test_a_later_conflicting_duplicate_only_marks_its_slot(
    readings: list[Reading], versions: list[RegisterVersion], data: st.DataObject
) -> None:
    valued = [reading for reading in readings if not reading[3] & int(NO_VALUE) and reading[1] - reading[0] <= 60_000]
    assume(valued)
    chosen = data.draw(st.sampled_from(valued))
    other = (*chosen[:2], chosen[2] + data.draw(st.integers(1, 10**6)), 0, 10**6)
    alone = register_slots(samples_of(readings), versions)
    both = register_slots(samples_of([*readings, other]), versions)
    here = both.start_ms == slot_of(chosen[1])
    assert np.array_equal(both.flags, np.where(here, alone.flags | int(Flag.CONFLICT), alone.flags))
    assert same(alone, replace(both, flags=alone.flags))


@settings(max_examples=80)
@given(reading_lists(), version_lists(), st.sampled_from([register_slots, power_slots]))
def test_energy_never_runs_backwards_and_marks_stay_in_range(
    readings: list[Reading], versions: list[RegisterVersion], compute: Callable[..., Slots]
) -> None:
    slots = compute(samples_of(readings), versions)
    for column in COLUMNS[:-1]:
        assert (getattr(slots, column) >= 0).all(), column
    assert (slots.gap_ms <= SLOT_MS).all()
    assert (np.diff(slots.start_ms) == SLOT_MS).all()
    assert ((slots.unknown_j == 0) | (slots.gap_ms > 0) | (slots.flags != 0)).all()


@settings(max_examples=60)
@given(st.data(), st.integers(0, 30))
def test_a_reset_never_adds_energy(data: st.DataObject, place: int) -> None:
    readings = data.draw(honest_readings(data.draw(truths(2))))
    fallen = [
        (t0, t1, count - readings[place][2] if n >= place else count, quality, order)
        for n, (t0, t1, count, quality, order) in enumerate(readings)
    ]
    clean = register_slots(samples_of(readings), [version()])
    reset = register_slots(samples_of(fallen), [version()])
    assert energy_j(reset) <= energy_j(clean)


@settings(max_examples=60)
@given(reading_lists(), version_lists(), st.integers(-1000, 1000))
def test_a_shift_in_time_by_whole_slots_shifts_the_slots(
    readings: list[Reading], versions: list[RegisterVersion], shift: int
) -> None:
    by_ms = shift * SLOT_MS
    moved = [(t0 + by_ms, t1 + by_ms, count, quality, order) for t0, t1, count, quality, order in readings]
    later = [
        replace(row, from_ms=row.from_ms + by_ms, to_ms=None if row.to_ms is None else row.to_ms + by_ms)
        for row in versions
    ]
    here, there = register_slots(samples_of(readings), versions), register_slots(samples_of(moved), later)
    assert same(here, replace(there, start_ms=there.start_ms - by_ms))


@settings(max_examples=60)
@given(st.data(), st.integers(1, 10_000))
def test_a_ct_ratio_scales_energy_to_the_joule(data: st.DataObject, ratio: int) -> None:
    readings = data.draw(honest_readings(data.draw(truths(2))))
    slots = register_slots(samples_of(readings), [version()])
    scaled = register_slots(samples_of(readings), [version(step_j=Fraction(ratio), max_power_w=POWER_W * ratio)])
    assert energy_j(scaled) == ratio * energy_j(slots)
    assert (abs(scaled.energy_j - ratio * slots.energy_j) <= ratio).all()


@settings(max_examples=80, deadline=None)
@given(reading_lists(max_size=80), version_lists(), st.integers(0, 60), st.integers(1, 10))
def test_a_range_computed_from_its_context_equals_the_whole(
    readings: list[Reading], versions: list[RegisterVersion], first: int, width: int
) -> None:
    """What the collector does when a reading arrives late."""
    rows = merged(versions)
    good = [(point.t0, point.t1, point.count, point.quality) for point in usable(readings, rows)[0]]
    assume(good)
    start = slot_of(good[0][1]) + first * SLOT_MS
    end = start + width * SLOT_MS
    around = Surroundings(rows, gauge=False)
    from_ms = around.needed(point for point in reversed(good) if point[1] < start)
    to_ms = around.needed(point for point in good if point[1] >= end)
    near = [
        reading
        for reading in readings
        if (from_ms is None or reading[1] >= from_ms) and (to_ms is None or reading[1] <= to_ms)
    ]
    whole, part = (register_slots(samples_of(chosen), versions) for chosen in (readings, near))
    inside = [(slots.start_ms >= start) & (slots.start_ms < end) for slots in (whole, part)]
    assert same(whole.select(inside[0]), part.select(inside[1]))
