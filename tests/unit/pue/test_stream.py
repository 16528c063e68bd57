"""Streams: which slots a reading touches, and that they end up as in the batch."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from pue.days import DAY_MS
from pue.quality import Flag, Quality
from pue.registers import RegisterVersion, power_slots, register_slots
from pue.series import SLOT_MS
from pue.slots import Slots
from pue.stream import NOTHING, MeterStream, SiteStream
from tests.unit.pue.meters import MINUTE_MS, int64, samples, version


def same(a: Slots, b: Slots) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Slots))


def stream_of(readings: list[tuple[int, int]], *versions: RegisterVersion) -> MeterStream:
    stream = MeterStream(versions or [version()])
    for order, (time, count) in enumerate(readings):
        stream.add(time, time, count, 0, order)
    return stream


MINUTES = [(place * MINUTE_MS, 10 * place) for place in range(60)]


def test_a_reading_in_order_touches_the_slots_it_reaches() -> None:
    stream = stream_of(MINUTES)
    assert stream.add(60 * MINUTE_MS, 60 * MINUTE_MS, 600, 0, 60) == (3 * SLOT_MS, 5 * SLOT_MS)
    assert stream.add(61 * MINUTE_MS, 61 * MINUTE_MS, 610, 0, 61) == (4 * SLOT_MS, 5 * SLOT_MS)
    assert stream.slots().energy_j.tolist() == [150, 150, 150, 150, 10]


def test_slots_asked_for_twice_are_the_same() -> None:
    stream = stream_of(MINUTES)
    assert same(stream.slots(), stream.slots())
    assert same(stream.slots(), register_slots(samples(*MINUTES), [version()]))


def test_the_same_reading_again_and_one_without_a_value_touch_nothing() -> None:
    stream = stream_of(MINUTES)
    assert stream.add(5 * MINUTE_MS, 5 * MINUTE_MS, 50, 0, 5) == NOTHING
    assert stream.add(59 * MINUTE_MS, 59 * MINUTE_MS, 590, 0, 59) == NOTHING
    assert stream.add(10**9, 10**9, 0, int(Quality.TIMEOUT), 99) == NOTHING
    assert same(stream.slots(), register_slots(samples(*MINUTES), [version()]))


def test_a_late_reading_touches_only_the_slots_around_it() -> None:
    readings = [(place * MINUTE_MS, 10 * place) for place in range(600) if place != 300]
    stream = stream_of(readings)
    stream.slots()
    start, end = stream.add(300 * MINUTE_MS, 300 * MINUTE_MS, 2995, 0, 999)
    assert 19 * SLOT_MS <= start <= 20 * SLOT_MS
    assert 21 * SLOT_MS <= end <= 22 * SLOT_MS
    assert same(stream.slots(), register_slots(samples(*readings, (300 * MINUTE_MS, 2995)), [version()]))


def test_a_reading_before_the_first_puts_slots_in_front() -> None:
    stream = stream_of(MINUTES)
    stream.slots()
    stream.add(-DAY_MS, -DAY_MS, 0, 0, 99)
    assert same(stream.slots(), register_slots(samples(*MINUTES, (-DAY_MS, 0)), [version()]))


def test_a_conflicting_reading_of_an_earlier_batch_takes_the_place_of_the_later() -> None:
    stream = MeterStream([version()])
    for order, (time, count) in enumerate(MINUTES, start=10):
        stream.add(time, time, count, 0, order)
    stream.add(5 * MINUTE_MS, 5 * MINUTE_MS, 55, 0, 1)
    assert stream.slots().flags[0] & Flag.CONFLICT


def test_a_last_reading_that_turns_out_wrong_takes_its_slot_away() -> None:
    stream = stream_of([(0, 5), (MINUTE_MS, 6), (SLOT_MS, 7)])
    assert len(stream.slots()) == 2
    stream.add(SLOT_MS, SLOT_MS, -1, 0, -1)
    assert stream.slots().start_ms.tolist() == [0]
    stream.add(MINUTE_MS, MINUTE_MS, -1, 0, -1)
    stream.add(0, 0, -1, 0, -1)
    assert len(stream.slots()) == 0


def test_a_late_reading_that_reveals_a_wrap_changes_no_other_slot() -> None:
    row = version(1, 10, modulus=1000)
    readings = [(place * MINUTE_MS, (900 + 10 * place) % 1000) for place in range(200) if place not in (9, 10, 11)]
    stream = stream_of(readings, row)
    before = stream.slots()
    start, end = stream.add(10 * MINUTE_MS, 10 * MINUTE_MS, 0, 0, 999)
    after = stream.slots()
    assert same(after, register_slots(samples(*readings, (10 * MINUTE_MS, 0)), [row]))
    outside = (after.start_ms < start) | (after.start_ms >= end)
    assert same(before.select(outside), after.select(outside))


def test_a_replacement_declared_late_restores_its_energy_and_touches_nothing_else() -> None:
    moment = 100 * MINUTE_MS + 1
    readings = [(place * MINUTE_MS, 10 * place if place <= 100 else 10 * (place - 100)) for place in range(300)]
    stream = stream_of(readings)
    assert int(stream.slots().energy_j.sum()) == 2980
    rows = [version(to_ms=moment), version(from_ms=moment, replacement=(1005, 5))]
    start, end = stream.declare(rows)
    assert (start, end) == (5 * SLOT_MS, 8 * SLOT_MS)
    assert int(stream.slots().energy_j.sum()) == 2990
    assert same(stream.slots(), register_slots(samples(*readings), rows))


def test_versions_that_say_the_same_or_speak_of_other_times_touch_nothing() -> None:
    stream = stream_of(MINUTES)
    assert stream.declare([version(to_ms=5), version(from_ms=5)]) == NOTHING
    assert stream.declare([version(to_ms=10**12), version(2, from_ms=10**12)]) == NOTHING
    assert MeterStream([version()]).declare([version(2)]) == NOTHING


def test_a_new_ratio_touches_everything_since() -> None:
    stream = stream_of(MINUTES)
    rows = [version(to_ms=30 * MINUTE_MS), version(2, from_ms=30 * MINUTE_MS)]
    start, end = stream.declare(rows)
    assert (start, end) == (SLOT_MS, 4 * SLOT_MS)
    assert same(stream.slots(), register_slots(samples(*MINUTES), rows))


def test_power_readings_are_integrated_as_they_come() -> None:
    stream = MeterStream([version(1, 1000)], gauge=True, max_gap_ms=5 * MINUTE_MS, topology=3)
    readings = [(place * MINUTE_MS, 500 if place % 7 else -3) for place in range(40)]
    for order, (time, power) in enumerate(readings):
        stream.add(time, time, power, 0, order)
    batch = power_slots(samples(*readings), [version(1, 1000)], max_gap_ms=5 * MINUTE_MS, topology=3)
    assert same(stream.slots(), batch)


def test_readings_on_many_days_are_found_again() -> None:
    readings = [(place * 6 * SLOT_MS, place) for place in range(100)]
    stream = stream_of(readings)
    assert same(stream.slots(), register_slots(samples(*readings), [version()]))


def test_readings_after_the_last_version_are_kept_for_a_later_one() -> None:
    closed = version(to_ms=30 * MINUTE_MS)
    stream = stream_of(MINUTES, closed)
    assert same(stream.slots(), register_slots(samples(*MINUTES), [closed]))
    stream.declare([version()])
    assert same(stream.slots(), register_slots(samples(*MINUTES), [version()]))


@pytest.mark.parametrize("ticks", [2, 7, 64])
def test_a_site_reads_all_meters_in_one_tick(ticks: int) -> None:
    rows = [version(), version(1, 10, modulus=1000)]
    site = SiteStream([MeterStream([row]) for row in rows], ticks=ticks)
    zeros = int64(0, 0)
    for place in range(40):
        time = int64(place * MINUTE_MS, place * MINUTE_MS)
        count = int64(10 * place, (700 + 10 * place) % 1000)
        start, end = site.tick(time, time, count, zeros, zeros + place)
    assert (start.tolist()[0], end.tolist()[0]) == (2 * SLOT_MS, 3 * SLOT_MS)
    for meter, row in enumerate(rows):
        counts = [(10 * place, (700 + 10 * place) % 1000)[meter] for place in range(40)]
        readings = [(place * MINUTE_MS, count) for place, count in enumerate(counts)]
        assert same(site.slots(meter), register_slots(samples(*readings), [row]))
        assert same(site.slots(meter), register_slots(samples(*readings), [row]))


def test_three_readings_of_one_time_keep_the_order_of_their_batches() -> None:
    stream = MeterStream([version()])
    for order in (5, 9, 7, 6):
        stream.add(MINUTE_MS, MINUTE_MS, order, 0, order)
    stream.add(SLOT_MS, SLOT_MS, 8, 0, 10)
    assert stream.slots().energy_j.tolist() == [3, 0]
