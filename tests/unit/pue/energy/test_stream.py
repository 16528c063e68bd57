"""Streams: which slots a reading touches, and that they end up as in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest

from pue.contract.quality import NO_VALUE, Flag, Quality
from pue.contract.series import SLOT_MS
from pue.energy.days import DAY_MS
from pue.energy.power import power_slots
from pue.energy.registers import RegisterVersion, register_slots
from pue.energy.slots import Samples, Slots
from pue.energy.stream import NOTHING, MeterStream, SiteStream
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
    # Sixteen readings on each side, and four pairs that drain a bucket: those of minutes 280 and 320, and the minute
    # before 280 in which that was asked for.
    assert stream.add(300 * MINUTE_MS, 300 * MINUTE_MS, 2995, 0, 999) == (18 * SLOT_MS, 22 * SLOT_MS)
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
    assert stream.declare(rows) == (5 * SLOT_MS, 9 * SLOT_MS)
    assert int(stream.slots().energy_j.sum()) == 2990
    assert same(stream.slots(), register_slots(samples(*readings), rows))


def test_versions_that_say_the_same_or_speak_of_other_times_touch_nothing() -> None:
    stream = stream_of(MINUTES)
    assert stream.declare([version(to_ms=5), version(from_ms=5)]) == NOTHING
    assert stream.declare([version(to_ms=10**12), version(2, from_ms=10**12)]) == NOTHING
    assert MeterStream([version()]).declare([version(2)]) == NOTHING


def test_a_new_ratio_touches_everything_since() -> None:
    readings = [(place * MINUTE_MS, 10 * place) for place in range(100)]
    stream = stream_of(readings)
    rows = [version(to_ms=60 * MINUTE_MS), version(2, from_ms=60 * MINUTE_MS)]
    assert stream.declare(rows) == (2 * SLOT_MS, 7 * SLOT_MS)
    assert same(stream.slots(), register_slots(samples(*readings), rows))


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


# Readings that follow the last one touch the slots from its request on. Others touch those of sixteen readings before
# and of three pairs that drain a bucket: the one between two ends is enough, for the meters here can carry 2 counts per
# ms, and a quarter of an hour leaves 1,800,000,000 mJ less 1000 per count of a bucket of 60,000 x 2000 + 1000 x 1. So
# the nineteenth reading before is the farthest, and as it was asked for before its slot began, so is the slot before.
#
# A rise up to 2 x 900,000 from slot to slot is plain, and floats leave the last count out. Where a meter that can carry
# 1 kW counts 2/3 J, 1,349,998 counts are 899,998.67 J, and levels that are rounded may rise by one more; that leaves no
# room for another count within 900,000 J.

FULL = 1 << 30
MOST = 1_799_999
REACH = 19
LAST = 94
"""Slot of the newest reading, the last but one of a day."""
RISING = tuple(FULL + 100 * place for place in range(30))

Asked = tuple[int, int, int, int, int]


def asked(number: int, count: int, *, took_ms: int = 30_000, order: int = 0) -> Asked:
    """A reading at the start of a slot."""
    return number * SLOT_MS - took_ms, number * SLOT_MS, count, 0, order


def fast(**changes: object) -> RegisterVersion:
    return version(1, 2000, **changes)


def batch(readings: Sequence[Asked], *versions: RegisterVersion) -> Slots:
    return register_slots(Samples(*np.array(readings, np.int64).reshape(-1, 5).T), versions)


def fed(readings: Sequence[Asked], *versions: RegisterVersion, gauge: bool = False) -> MeterStream:
    stream = MeterStream(versions, gauge=gauge)
    for reading in readings:
        stream.add(*reading)
    return stream


class Next(NamedTuple):
    """A reading of a meter that has shown some counts, one per slot, and whether it follows them."""

    follows: bool
    t0_ms: int
    t1_ms: int
    shown: int
    quality: int = 0
    counts: tuple[int, ...] = RISING
    version: RegisterVersion = fast()

    @property
    def before(self) -> list[Asked]:
        return [asked(LAST - 29 + place, count, order=place) for place, count in enumerate(self.counts)]

    @property
    def reading(self) -> Asked:
        return self.t0_ms, self.t1_ms, self.shown, self.quality, 99

    @property
    def touched(self) -> tuple[int, int]:
        if self.quality & NO_VALUE:
            return NOTHING
        newest = LAST - 1 if self.t1_ms == LAST * SLOT_MS else LAST
        start = newest - 1 if self.follows else newest - REACH
        return start * SLOT_MS, (self.t1_ms // SLOT_MS + 1) * SLOT_MS


END = (LAST + 1) * SLOT_MS
MIDNIGHT = END + SLOT_MS
SO_FAR = RISING[-1]
TOP = (1 << 62) - 1
NEXT = {
    "no rise": Next(True, END, END, SO_FAR),
    "the most": Next(True, END, END, SO_FAR + MOST),
    "more": Next(False, END, END, SO_FAR + MOST + 2),
    "the most since a request that came sooner": Next(True, END - 40_000, END, SO_FAR + 1_779_999),
    "more since a request that came sooner": Next(False, END - 40_000, END, SO_FAR + 1_780_001),
    "the most since a request that came later": Next(True, END - 20_000, END, SO_FAR + MOST),
    "the most in counts of 2/3 J": Next(True, END, END, SO_FAR + 1_349_998, version=version(Fraction(2, 3))),
    "more in counts of 2/3 J": Next(False, END, END, SO_FAR + 1_349_999, version=version(Fraction(2, 3))),
    "a fall": Next(False, END, END, SO_FAR - 1),
    "a fall to little": Next(False, END, END, 600, counts=tuple(range(0, 30_000, 1000))),
    "under way for a minute": Next(True, END - 60_000, END, SO_FAR),
    "too slow": Next(False, END - 60_001, END, SO_FAR),
    "asked after the reply": Next(False, END + 1, END, SO_FAR),
    "of a clock without a master": Next(False, END, END, SO_FAR, int(Quality.CLOCK_UNSYNCED)),
    "of the same time": Next(False, LAST * SLOT_MS, LAST * SLOT_MS, SO_FAR + 1),
    "just before midnight": Next(True, MIDNIGHT - 1, MIDNIGHT - 1, SO_FAR),
    "at midnight": Next(False, MIDNIGHT, MIDNIGHT, SO_FAR),
    "just before the version ends": Next(True, END, END, SO_FAR, version=fast(to_ms=END + 1)),
    "when the version ends": Next(False, END, END, SO_FAR, version=fast(to_ms=END)),
    "zero after zeros": Next(True, END, END, 0, counts=(0,) * 30),
    "the highest there is": Next(True, END, END, 999, counts=(999,) * 30, version=fast(modulus=1000)),
    "the modulus": Next(False, END, END, 1000, counts=(999,) * 30, version=fast(modulus=1000)),
    "the highest of all": Next(True, END, END, TOP, counts=(TOP,) * 30),
    "out of range": Next(False, END, END, TOP + 1, counts=(TOP,) * 30),
    "a failed read": Next(False, END, END, SO_FAR, int(Quality.TIMEOUT)),
}


@pytest.mark.parametrize("then", NEXT.values(), ids=NEXT)
def test_a_reading_that_follows_touches_slots_from_the_last_request_and_any_other_those_far_before(then: Next) -> None:
    stream = fed(then.before, then.version)
    assert stream.add(*then.reading) == then.touched
    assert same(stream.slots(), batch([*then.before, then.reading], then.version))


def test_a_site_tells_readings_that_follow_from_others_as_its_meters_do() -> None:
    cases = list(NEXT.values())
    site = SiteStream([MeterStream([case.version]) for case in cases])
    for tick in zip(*(case.before for case in cases), strict=True):
        site.tick(*np.array(tick, np.int64).T)
    start, end = site.tick(*np.array([case.reading for case in cases], np.int64).T)
    assert list(zip(start.tolist(), end.tolist(), strict=True)) == [case.touched for case in cases]
    assert {start.dtype, end.dtype} == {np.dtype(np.int64)}
    for meter, case in enumerate(cases):
        assert same(site.slots(meter), batch([*case.before, case.reading], case.version))


class Sixteen(NamedTuple):
    """Sixteen readings, one per slot, that rise by `rise` between the eighth and the ninth, and whether the next one,
    with the count of the last, is taken to follow."""

    follows: bool
    rise: int
    took_ms: int = 30_000
    first: int = FULL
    version: RegisterVersion = fast()

    @property
    def readings(self) -> list[Asked]:
        counts = [self.first] * 8 + [self.first + self.rise] * 8
        return [asked(LAST - 15 + place, count, took_ms=self.took_ms) for place, count in enumerate(counts)]


# From a request half a minute before to the next reply a rise of 2 x (900,000 + 30,000) is possible, the step that is
# cut off, and a float32 register's resolution: 2**30 / 2**23 = 128, or 131,071 just below 2**40.

LARGE = 1 << 40
SIXTEEN = {
    "the most": Sixteen(True, 1_860_129),
    "more": Sixteen(False, 1_860_130),
    "the most since a request a minute before": Sixteen(True, 1_920_129, took_ms=60_000),
    "more since a request a minute before": Sixteen(False, 1_920_130, took_ms=60_000),
    "the most without a request": Sixteen(True, 1_800_129, took_ms=0),
    "more without a request": Sixteen(False, 1_800_130, took_ms=0),
    "no rise of a register that wraps": Sixteen(True, 0, version=fast(modulus=LARGE)),
    "a fall": Sixteen(False, -1),
    "a wrap": Sixteen(True, 1_991_072 - LARGE, first=LARGE - 1000, version=fast(modulus=LARGE)),
    "a wrap too far": Sixteen(False, 1_991_073 - LARGE, first=LARGE - 1000, version=fast(modulus=LARGE)),
    "readings that are set aside for their time": Sixteen(False, 0, took_ms=60_001),
}


@pytest.mark.parametrize("case", SIXTEEN.values(), ids=SIXTEEN)
def test_a_reading_follows_sixteen_of_which_each_can_follow_the_one_before(case: Sixteen) -> None:
    stream = fed(case.readings, case.version)
    start, _ = stream.add(*asked(LAST + 1, case.readings[-1][2]))
    followed = (LAST * SLOT_MS - case.took_ms) // SLOT_MS
    assert start == (followed if case.follows else LAST - 15) * SLOT_MS


STEADY = [asked(LAST - 29 + place, FULL) for place in range(30)]


def follows(stream: MeterStream) -> bool:
    """Whether one more reading without a rise is only appended."""
    return stream.add(*asked(LAST + 1, FULL))[0] == (LAST - 1) * SLOT_MS


def test_readings_follow_again_after_a_late_one() -> None:
    stream = fed(STEADY, fast())
    stream.add(*asked(LAST - 30, FULL))
    assert follows(stream)


@pytest.mark.parametrize(("slot", "calm"), [(LAST - 3, False), (LAST - 14, False), (LAST - 15, True)])
def test_no_reading_follows_sixteen_among_which_a_late_fall_came(slot: int, calm: bool) -> None:
    """It came just after the reading of a slot: after LAST - 15 it is the sixteenth itself, and all others rise."""
    stream = fed(STEADY, fast())
    late = slot * SLOT_MS + 1
    stream.add(late, late, FULL - 1, 0, 0)
    assert follows(stream) is calm
    assert same(stream.slots(), batch([*STEADY, (late, late, FULL - 1, 0, 0), asked(LAST + 1, FULL)], fast()))


def test_no_reading_follows_one_of_which_another_value_is_learned() -> None:
    stream = fed(STEADY[:-1], fast())
    stream.add(*asked(LAST, FULL, order=5))
    stream.add(*asked(LAST, FULL - 1, order=2))
    assert not follows(stream)


@pytest.mark.parametrize(("slot", "calm"), [(LAST - 15, False), (LAST - 16, True)])
def test_no_reading_follows_sixteen_of_which_one_has_another_value_now(slot: int, calm: bool) -> None:
    stream = fed(STEADY, fast())
    stream.add(*asked(slot, FULL + 1, order=-1))
    assert follows(stream) is calm


def test_two_readings_of_one_time_are_one_of_the_sixteen() -> None:
    readings = [asked(LAST - 14 + place, FULL) for place in range(15)]
    stream = fed([*readings, asked(LAST - 5, FULL, order=1)], fast())
    assert stream.add(*asked(LAST + 1, FULL)) == ((LAST - 14) * SLOT_MS, (LAST + 2) * SLOT_MS)


@pytest.mark.parametrize(("since", "calm"), [(LAST - 15, True), (LAST - 14, False)])
def test_sixteen_readings_are_of_one_version(since: int, calm: bool) -> None:
    moment = since * SLOT_MS
    versions = [version(2, 4000, to_ms=moment), fast(from_ms=moment)]
    assert follows(fed(STEADY[-16:], *versions)) is calm


@pytest.mark.parametrize(
    ("took_ms", "then_took_ms", "most"),
    [
        pytest.param(30_000, 30_000, MOST, id="both asked half a minute before"),
        pytest.param(30_000, 0, MOST, id="replied to at once"),
        pytest.param(0, 60_000, 1_679_999, id="asked a minute sooner"),
        pytest.param(-5000, 0, MOST, id="after one asked for after its reply"),
        pytest.param(-5000, 5000, 1_789_999, id="after one asked for after its reply, and asked sooner"),
    ],
)
def test_the_next_reading_may_rise_by_what_is_plain(took_ms: int, then_took_ms: int, most: int) -> None:
    sixteen = [asked(LAST - 15 + place, FULL, took_ms=took_ms) for place in range(16)]
    for more, start in ((0, (LAST * SLOT_MS - max(took_ms, 0)) // SLOT_MS), (2, LAST - 15)):
        then = asked(LAST + 1, FULL + most + more, took_ms=then_took_ms)
        assert fed(sixteen, fast()).add(*then)[0] == start * SLOT_MS


@pytest.mark.parametrize(("power_w", "follows"), [(0, True), (1001, True), (1002, False), (-1, False)])
def test_power_follows_whatever_it_was_as_long_as_the_meter_can_carry_it(power_w: int, follows: bool) -> None:
    """Another touches as many readings as decide, and one more: it was asked for in the slot before."""
    readings = [asked(LAST - 19 + place, 1000 - place % 3 * 500) for place in range(20)]
    stream = fed(readings, version(1, 1000), gauge=True)
    start, _ = stream.add(*asked(LAST + 1, power_w))
    assert start == (LAST - 1 if follows else LAST - 17) * SLOT_MS


def test_power_follows_whatever_its_requests_were() -> None:
    """A site tells it as its meters do, although no time has passed between two requests."""
    power = version(1, 1000)
    readings = [(MINUTE_MS, MINUTE_MS + place, 500 + place, 0, place) for place in range(5)]
    site = SiteStream([MeterStream([power], gauge=True)])
    for reading in readings:
        start, _ = site.tick(*(int64(value) for value in reading))
    assert start.tolist() == [0]
    expected = power_slots(Samples(*np.array(readings, np.int64).T), [power])
    assert same(site.slots(0), expected)
    assert same(fed(readings, power, gauge=True).slots(), expected)


HOLE = [fast(to_ms=25 * SLOT_MS), fast(from_ms=28 * SLOT_MS)]
POWER = [version(1, FULL)]


@pytest.mark.parametrize(
    ("versions", "gauge", "odd", "first", "end"),
    [
        pytest.param([fast()], False, asked(0, FULL), 10, 49, id="all usable"),
        pytest.param(HOLE, False, asked(0, FULL), 7, 49, id="three of no version"),
        pytest.param([fast()], False, asked(0, -1), 7, 49, id="three below zero"),
        pytest.param([fast()], False, asked(0, FULL, took_ms=60_001), 7, 49, id="three too slow"),
        pytest.param(POWER, True, asked(0, -1), 12, 47, id="three of negative power"),
        pytest.param(POWER, True, asked(0, FULL + 2), 9, 47, id="three of power beyond the limit"),
        pytest.param(POWER, True, asked(0, FULL, took_ms=60_001), 9, 47, id="three of power too slow"),
    ],
)
def test_a_late_reading_touches_as_many_usable_ones_on_both_sides(
    versions: list[RegisterVersion], gauge: bool, odd: Asked, first: int, end: int
) -> None:
    """Nineteen of a register, seventeen of a gauge, and to the left the slot in which the last was asked for.

    The readings 25, 26 and 27 are odd. Those that lost in 22 and 35 were asked for first; the one that was too slow in
    23 did not win.
    """
    readings = [asked(place, FULL) for place in range(61)]
    for place in (25, 26, 27):
        readings[place] = odd[0] + place * SLOT_MS, place * SLOT_MS, odd[2], 0, 0
    lost = [asked(place, -FULL - 2, took_ms=50_000, order=1) for place in (22, 35)]
    slow = asked(23, -FULL - 2, took_ms=60_001, order=-1)
    stream = fed([*readings, *lost, slow], *versions, gauge=gauge)
    late = (30 * SLOT_MS - 1, 30 * SLOT_MS - 1, FULL, 0, 0)
    assert stream.add(*late) == (first * SLOT_MS, end * SLOT_MS)


def test_a_late_reading_of_a_meter_near_its_limit_touches_more() -> None:
    """A minute at 50 of 60 kJ drains 10,000,000 mJ: between two ends it takes seven of them for 60,001,000."""
    readings = [(place * MINUTE_MS, 50_000 * place) for place in range(200) if place != 100]
    stream = stream_of(readings)
    # Sixteen readings and nine pairs away are the minutes 75 and 125, the first of which was asked for in minute 74.
    assert stream.add(100 * MINUTE_MS, 100 * MINUTE_MS, 5_000_001, 0, 999) == (4 * SLOT_MS, 9 * SLOT_MS)
    assert same(stream.slots(), register_slots(samples(*readings, (100 * MINUTE_MS, 5_000_001)), [version()]))


def test_a_late_reading_of_a_meter_at_its_limit_touches_everything() -> None:
    readings = [(place * MINUTE_MS, 60_000 * place) for place in range(200) if place != 100]
    assert stream_of(readings).add(100 * MINUTE_MS, 100 * MINUTE_MS, 6_000_000) == (0, 14 * SLOT_MS)


def test_power_follows_no_reading_beyond_the_limit() -> None:
    readings = [*(asked(LAST - 20 + place, 500) for place in range(20)), asked(LAST, 1002)]
    stream = fed(readings, version(1, 1000), gauge=True)
    assert stream.add(*asked(LAST + 1, 500)) == ((LAST - 18) * SLOT_MS, (LAST + 2) * SLOT_MS)


def test_no_reading_follows_one_that_was_too_slow() -> None:
    stream = fed([*STEADY[:-2], asked(LAST - 1, FULL, took_ms=60_001)], fast())
    assert stream.add(*asked(LAST, FULL)) == ((LAST - 1 - REACH - 1) * SLOT_MS, (LAST + 1) * SLOT_MS)
    assert follows(stream)


def test_a_new_ratio_touches_nothing_before_the_first_reading() -> None:
    stream = stream_of([(DAY_MS + place * SLOT_MS, place) for place in range(3)])
    assert stream.declare([version(2)]) == (DAY_MS, DAY_MS + 3 * SLOT_MS)


def test_a_replacement_taken_back_touches_the_slots_it_touched() -> None:
    moment = 100 * MINUTE_MS + 1
    readings = [(place * MINUTE_MS, 10 * place) for place in range(300)]
    stream = stream_of(readings, version(to_ms=moment), version(from_ms=moment, replacement=(1005, 1005)))
    stream.slots()
    assert stream.declare([version()]) == (5 * SLOT_MS, 9 * SLOT_MS)
    assert same(stream.slots(), register_slots(samples(*readings), [version()]))


def test_readings_that_are_known_to_follow_are_appended_together() -> None:
    sixteen = [asked(place, FULL) for place in range(16)]
    together = [asked(place, FULL + place) for place in (16, 17, 18)]
    stream = fed(sixteen, fast())
    stream.slots()
    stream.extend(np.array(together, np.int64).T)
    assert same(stream.slots(), batch([*sixteen, *together], fast()))
    assert stream.add(*asked(19, FULL + 18 + MOST))[0] == 17 * SLOT_MS


def test_a_reading_is_good_and_of_the_first_batch_unless_said_otherwise() -> None:
    stream = MeterStream([version()])
    for reading in ((0, 0, 0), (SLOT_MS, SLOT_MS, 6), (SLOT_MS, SLOT_MS, 5, 0, 1)):
        stream.add(*reading)
    slots = stream.slots()
    assert (slots.energy_j.tolist(), slots.flags.tolist()) == ([6, 0], [0, Flag.MISSING | Flag.CONFLICT])


def test_the_longest_gap_is_the_streams_own() -> None:
    stream = MeterStream([version()], max_gap_ms=MINUTE_MS)
    for reading in (asked(0, 0), asked(1, 10)):
        stream.add(*reading)
    assert stream.slots().gap_ms.tolist() == [SLOT_MS, SLOT_MS]


def test_no_readings_are_no_slots() -> None:
    slots = MeterStream([version()]).slots()
    assert {(column.dtype, len(column)) for column in (getattr(slots, row.name) for row in fields(Slots))} == {
        (np.dtype(np.int64), 0)
    }


def test_a_reading_in_the_slot_before_the_first_puts_one_slot_in_front() -> None:
    readings = [asked(place, place) for place in range(5, 45)]
    stream = fed(readings, version())
    stream.slots()
    stream.add(*asked(4, 1))
    assert same(stream.slots(), batch([*readings, asked(4, 1)], version()))
