"""Slots that new readings reach, slots that change, and slots that go."""

from __future__ import annotations

import numpy as np
import pytest

from collector.progress import SeriesState
from collector.slotting import NAMES, REVISION, Extent, compute, extent, missing_slots, revise, surroundings
from collector.store import Table, empty, overlay, slots_of
from pue.contract.quality import Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.slots import Int64, Slots
from pue.energy.versions import RegisterVersion
from tests.unit.pue.meters import MINUTE_MS, key, version

NO_TIMES = np.empty(0, np.int64)


def slot(index: int, **columns: int) -> Int64:
    row = dict.fromkeys(NAMES, 0) | {"start_ms": index * SLOT_MS} | columns
    return np.array([[row[name]] for name in NAMES], np.int64)


def slots(*rows: Int64) -> Slots:
    return slots_of(np.concatenate(rows, axis=1))


def said(columns: Int64, index: int = 0) -> dict[str, int]:
    return dict(zip(NAMES, columns[:, index].tolist(), strict=True))


def test_what_a_lost_slot_held_or_could_hold_becomes_unknown_and_its_edge_stays_as_open() -> None:
    held = slot(
        3, energy_j=700, unknown_j=40, under_j=5, over_j=6, below_j=7, above_j=8, below_capped_j=3, above_capped_j=4,
        gap_ms=9, flags=int(Flag.RESET), revision=2, topology=1,
    )  # fmt: skip
    gone = missing_slots(slots(held, slot(4)), slots(slot(4)), topology=5)
    assert gone.shape == (Table.SLOT.width, 1)
    assert said(gone) == said(held) | {
        "energy_j": 0, "unknown_j": 746, "under_j": 0, "over_j": 0, "gap_ms": SLOT_MS,
        "flags": int(Flag.MISSING), "revision": 3, "topology": 5,
    }  # fmt: skip


def test_a_lost_slot_without_a_bound_keeps_having_none() -> None:
    gone = missing_slots(slots(slot(1, energy_j=MAX_ENERGY_J - 1, unknown_j=MAX_ENERGY_J)), Slots.empty(), topology=1)
    assert said(gone)["unknown_j"] == MAX_ENERGY_J


def test_a_slot_that_is_missing_already_is_not_lost_again() -> None:
    gone = missing_slots(slots(slot(1, flags=int(Flag.MISSING))), Slots.empty(), topology=1)
    assert gone.shape == (Table.SLOT.width, 0)


def test_every_column_before_the_revision_makes_a_slot_another_one() -> None:
    before = slots(slot(1), slot(2))
    for name in NAMES[1:REVISION]:
        changed = revise(slots(slot(1), slot(2, **{name: 1})), before, 2 * SLOT_MS + 1, NO_TIMES, [])
        assert said(changed) == said(slot(2, **{name: 1}, revision=1)), name
        assert changed.shape[1] == 1


def test_another_topology_alone_changes_no_slot() -> None:
    assert revise(slots(slot(1, topology=2)), slots(slot(1)), SLOT_MS + 1, NO_TIMES, []).shape[1] == 0


def test_an_open_slot_changes_without_a_revision() -> None:
    changed = revise(slots(slot(1, energy_j=1)), slots(slot(1)), SLOT_MS, NO_TIMES, [])
    assert said(changed)["revision"] == 0


def test_no_slots_give_no_rows() -> None:
    assert revise(Slots.empty(), Slots.empty(), 0, NO_TIMES, []).shape == empty(Table.SLOT).shape


# What has to be read and computed again
#
# The meter can carry 1 kW and counts joules; read every minute and idle, four pairs behind sixteen readings drain its
# bucket (tests/unit/pue/energy/test_context.py).

FIRST, LATE, HEAD = 0, 500, 1000
"""In minutes."""


def rows(*readings: tuple[int, int], quality: int = 0) -> Int64:
    """Stored readings as (minute, count)."""
    columns = [(minute * MINUTE_MS, minute * MINUTE_MS - 100, count, quality, 7) for minute, count in readings]
    return np.array(columns, np.int64).reshape(-1, 5).T


def idle(*, without: int | None = None) -> Int64:
    return rows(*((minute, 5) for minute in range(FIRST, HEAD + 1) if minute != without))


class Asked:
    """Stored readings, and the minutes between which they were asked for."""

    def __init__(self, columns: Int64) -> None:
        self.columns = columns
        self.minutes: list[tuple[float, float]] = []

    def __call__(self, since: int, until: int) -> Int64:
        self.minutes.append((since / MINUTE_MS, (until - 1) / MINUTE_MS))
        return self.columns[:, (self.columns[0] >= since) & (self.columns[0] < until)]

    def extent(self, new: Int64, *versions: RegisterVersion, quantity: str = "energy_import") -> Extent:
        state = SeriesState(key("m"), int(self.columns[0, 0]), int(self.columns[0, -1]), "")
        around = surroundings(quantity, versions)
        return extent(int(new[0, 0]), int(new[0, -1]), new, self, state, around)


def minutes(found: Extent) -> tuple[float, float, float, float]:
    """First and last reading, start and end of the slots."""
    times = (int(found.readings[0, 0]), int(found.readings[0, -1]), found.from_ms, found.to_ms)
    first, last, start, end = (time / MINUTE_MS for time in times)
    return first, last, start, end


def test_a_late_reading_touches_twenty_on_each_side_and_their_slots_need_twenty_one_more() -> None:
    """The minutes 480, asked for in 479, and 520 are in the slots from 465 to 525."""
    stored = Asked(idle(without=LATE))
    found = stored.extent(rows((LATE, 5)), version())
    assert minutes(found) == (464 - 20, 525 + 20, 465, 525)
    assert np.array_equal(found.readings[0], np.arange(444, 546) * MINUTE_MS)
    assert stored.minutes == [(470, 530), (380, 620)]


def test_readings_of_a_while_touch_what_lies_around_all_of_them() -> None:
    found = Asked(idle()).extent(rows((LATE, 5), (LATE + 100, 5)), version())
    assert minutes(found) == (444, 650, 465, 630)


def test_of_a_value_learned_anew_the_new_one_is_taken() -> None:
    found = Asked(idle()).extent(rows((LATE, 6)), version())
    assert found.readings[2, LATE - 444] == 6
    assert minutes(found) == (444, 545, 465, 525)


def test_power_touches_and_needs_as_many_readings_as_decide() -> None:
    """The seventeenth on each side: 483 and 517; then 463 and 541."""
    found = Asked(idle(without=LATE)).extent(rows((LATE, 5)), version(), quantity="power")
    assert minutes(found) == (463, 541, 480, 525)


@pytest.mark.parametrize("quality", [0, int(Quality.TIMEOUT)])
def test_readings_without_a_value_do_not_count_but_come_along(quality: int) -> None:
    """Ten minutes later, 510 to 519, nobody answered: with a value they are twenty's half."""
    stored = Asked(overlay(idle(without=LATE), rows(*((minute, 5) for minute in range(510, 520)), quality=quality)))
    found = stored.extent(rows((LATE, 5)), version())
    assert minutes(found) == ((444, 560, 465, 540) if quality else (444, 545, 465, 525))
    assert np.array_equal(found.readings[0], np.arange(444, (561 if quality else 546)) * MINUTE_MS)


def test_a_meter_at_its_limit_is_computed_from_its_first_reading_to_its_last() -> None:
    rising = [(minute, 60_000 * minute) for minute in range(FIRST, HEAD + 1)]
    stored = Asked(rows(*rising))
    assert minutes(stored.extent(rows(rising[LATE]), version())) == (FIRST, HEAD, 0, 1005)
    assert stored.minutes == [(470, 530), (380, 620), (FIRST, HEAD)]


def test_a_series_without_slots_is_taken_whole() -> None:
    assert minutes(Asked(idle()).extent(rows((LATE, 5)), quantity="frequency")) == (FIRST, HEAD, 0, 1005)


@pytest.mark.parametrize(
    ("minute", "expected"),
    [
        pytest.param(-40, (-40, 50, -45, 30), id="before the first: 20 up to minute 19, and to the end of its slot"),
        pytest.param(10, (0, 65, 0, 45), id="near the first"),
        pytest.param(990, (939, 1000, 960, 1005), id="near the last"),
        pytest.param(1030, (954, 1030, 975, 1035), id="after the last"),
    ],
)
def test_near_an_end_of_a_series_all_readings_up_to_it_are_taken(
    minute: int, expected: tuple[int, int, int, int]
) -> None:
    assert minutes(Asked(idle()).extent(rows((minute, 5)), version(from_ms=-(10**9)))) == expected


def test_the_first_reading_of_a_series_touches_its_slot() -> None:
    new = rows((20, 5))
    state = SeriesState(key("m"), 20 * MINUTE_MS, 20 * MINUTE_MS, "")
    found = extent(20 * MINUTE_MS, 20 * MINUTE_MS, new, lambda *_: empty(Table.READING), state, _AROUND)
    assert minutes(found) == (20, 20, 15, 30)


def test_where_nothing_is_left_to_read_the_slot_of_what_arrived_is_touched() -> None:
    state = SeriesState(key("m"), 20 * MINUTE_MS, 20 * MINUTE_MS, "")
    nothing = empty(Table.READING)
    found = extent(20 * MINUTE_MS, 20 * MINUTE_MS, nothing, lambda *_: nothing, state, _AROUND)
    assert (found.readings.shape[1], found.from_ms, found.to_ms) == (0, SLOT_MS, 2 * SLOT_MS)


_AROUND = surroundings("energy_import", [version()])


@pytest.mark.parametrize("seed", range(24))
def test_slots_of_a_part_are_those_of_the_whole_and_others_do_not_change(seed: int) -> None:
    """A meter with leaps, falls, slow and failed reads, at a load that changes; some readings come later."""
    random = np.random.default_rng(seed)
    t1 = np.cumsum(random.choice([15_000, 60_000, 300_000], 400, p=[0.3, 0.6, 0.1]))
    took = random.choice([0, 100, 59_000, 61_000], 400, p=[0.5, 0.4, 0.05, 0.05])
    load = np.repeat(random.choice([0.1, 0.6, 0.95], 8), 50)
    count = np.cumsum(np.diff(t1, prepend=0) * load).astype(np.int64)
    odd = random.random(400) < 0.03
    count[odd] += random.integers(-50_000, 200_000, odd.sum())
    quality = np.where(random.random(400) < 0.03, int(Quality.TIMEOUT), 0)
    whole = np.stack([t1, t1 - took, np.maximum(count, 0), quality, np.zeros_like(t1)])
    late = np.zeros(400, np.bool_)
    late[200 : 200 + seed % 3 + 1] = True
    state = SeriesState(key("m"), int(t1[0]), int(t1[-1]), "")
    stored = Asked(whole[:, ~late])
    found = extent(int(t1[late][0]), int(t1[late][-1]), whole[:, late], stored, state, _AROUND)
    no_losers = empty(Table.READING)
    part, after, before = (
        np.stack([getattr(made, name) for name in NAMES])
        for made in (
            compute("energy_import", columns, no_losers, [version()], 0)
            for columns in (found.readings, whole, stored.columns)
        )
    )
    inside, others = ((columns[0] >= found.from_ms) & (columns[0] < found.to_ms) for columns in (part, after))
    assert np.array_equal(part[:, inside], after[:, others])
    unchanged = (before[0] < found.from_ms) | (before[0] >= found.to_ms)
    assert np.array_equal(before[:, unchanged], after[:, ~others])
    assert found.readings.shape[1] < 400
