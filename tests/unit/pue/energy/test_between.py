"""Bounds of the energy between two edges, by hand.

Meters are of 1 W: 900 J a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.between import Bounds, MeterBounds, all_bounds, sums, weighted_bounds
from pue.energy.grid import UNBOUNDED_J, Row, lay
from pue.energy.registers import register_slots
from pue.energy.slots import Int64, Samples, Slots
from tests.unit.pue.meters import KWH, asked, int64, made_slots, term, version


def row(slots: Slots | None, count: int, **changes: object) -> Row:
    """A meter's slots on a grid of so many slots."""
    limited = replace(term("m", max_power_w=1), **changes)  # type: ignore[arg-type]  # fields a test chooses
    return lay(slots, limited, np.arange(count + 1, dtype=np.int64) * SLOT_MS)


def meter_bounds(row: Row, first: Int64, last: Int64) -> MeterBounds:
    """Bounds of one meter by itself."""
    return all_bounds([row], first, last)[0]


def pairs(bounds: Bounds) -> list[tuple[int, int]]:
    return list(zip(bounds.lower_j.tolist(), bounds.upper_j.tolist(), strict=True))


def between(meter: Row, *windows: tuple[int, int]) -> list[tuple[int, int]]:
    """Bounds of windows given by their edges; each window alone has the same."""
    first, last = (int64(*edges) for edges in zip(*windows, strict=True))
    found = pairs(meter_bounds(meter, first, last))
    assert [pairs(meter_bounds(meter, int64(a), int64(b)))[0] for a, b in windows] == found
    return found


# One meter


EDGED = made_slots(100, 200, 300, 0, below_capped_j=[1, 2, 3, 4], above_capped_j=[10, 20, 30, 40], flags=[0, 0, 0, 0])


def test_only_the_two_edges_of_a_window_leave_its_energy_open() -> None:
    """Lower: less what the end lies below and the start above; upper: more what the end lies above and the start below.

    0 to 3: 600 - 4 - 10 and 600 + 40 + 1. 1 to 2: 200 - 3 - 20 and 200 + 30 + 2.
    """
    assert between(row(EDGED, 3), (0, 3), (1, 2)) == [(586, 641), (177, 232)]


def test_what_is_unknown_in_between_adds_to_both_bounds() -> None:
    slots = made_slots(100, 200, 0, under_j=[5, 0, 0], over_j=[0, 6, 0], unknown_j=[50, 0, 0])
    assert between(row(slots, 2), (0, 1), (1, 2), (0, 2)) == [(95, 150), (200, 206), (295, 356)]


def test_nothing_joins_energy_across_a_slot_in_doubt() -> None:
    """Up to 900 J in it. The slot before is open by 2 and 20 at its end, the one after by 30 and 3 at its start.

    0 to 3: 100 + 300, less 10 + 2 + 30 + 4; and 900 more, with 1 + 20 + 3 + 40. 2 to 3 begins where nothing joins.
    """
    doubted = row(EDGED, 3).doubted(np.array([False, True, False]), Flag.BALANCE)
    assert between(doubted, (0, 3), (2, 3)) == [(400 - 46, 1300 + 64), (300 - 34, 300 + 43)]
    assert pairs(meter_bounds(doubted.doubted(np.array([False, True, False]), Flag.BALANCE), int64(0), int64(3))) == [
        (400 - 46, 1300 + 64)
    ]


def test_a_doubt_leaves_what_other_meters_say_of_other_slots() -> None:
    """Both slots are unknown and bounded by others; the first is in doubt, and then nobody bounds it."""
    unknown = made_slots(0, 0, 0, unknown_j=[500, 500, 0])
    bounded = row(unknown, 2).bounded(int64(0, 0), int64(300, 300), int64(300, 300))
    assert bounded.is_borrowed.tolist() == [True, True]
    doubted = bounded.doubted(np.array([True, False]), Flag.BALANCE)
    assert doubted.is_borrowed.tolist() == [False, True]
    assert between(doubted, (0, 1), (1, 2)) == [(0, 900), (0, 300)]
    unlimited = doubted.without_limit()
    assert (unlimited.unbounded.tolist(), int(unlimited.high_j[1])) == ([True, False], 300)


def test_a_slot_between_two_in_doubt_is_open_at_both_its_ends() -> None:
    doubted = row(EDGED, 3).doubted(np.array([True, False, True]), Flag.BALANCE)
    assert between(doubted, (1, 2)) == [(200 - 20 - 3, 200 + 2 + 30)]


def test_what_is_no_number_of_joules_never_gets_in() -> None:
    """Whole numbers, as floats err beyond 2**53; and truth values, where there is no limit to refute."""
    absent = row(None, 1, max_power_w=0)
    bounds = meter_bounds(absent, int64(0), int64(1))
    columns = (absent.low_j, absent.doubted(np.array([True]), Flag.BALANCE).high_j, bounds.lower_j, bounds.upper_j)
    assert {column.dtype for column in columns} == {np.dtype(np.int64)}
    assert bounds.refuted.dtype == np.dtype(np.bool_)


def test_energy_is_never_less_than_nothing() -> None:
    assert between(row(made_slots(5, 0, above_capped_j=[9, 0]), 1), (0, 1)) == [(0, 5)]


def test_a_window_of_no_time_holds_no_energy() -> None:
    assert between(row(EDGED, 3), (2, 2)) == [(0, 0)]


def test_no_meter_carries_more_than_its_maximum_power_in_a_window() -> None:
    """890 known and 50 unknown in the first slot are at most 900; in both, 1000 of 1800."""
    slots = made_slots(890, 60, 0, unknown_j=[50, 0, 0])
    assert between(row(slots, 2), (0, 1), (0, 2)) == [(890, 900), (950, 1000)]


def test_a_meter_carries_nothing_while_its_weight_does_not_hold() -> None:
    """From the second slot to the third: 800 and 500 known, and 400 that may be unknown in each."""
    slots = made_slots(700, 800, 500, 700, 0, unknown_j=[0, 400, 400, 0, 0])
    limited = row(slots, 4, from_ms=SLOT_MS, to_ms=3 * SLOT_MS)
    assert between(limited, (0, 4), (0, 2), (2, 4), (0, 1)) == [(1300, 1800), (800, 900), (500, 900), (0, 0)]


def test_a_meter_without_a_limit_is_bounded_by_its_readings_only() -> None:
    slots = made_slots(5000, 60, 0, unknown_j=[50, MAX_ENERGY_J, 0])
    assert between(row(slots, 2, max_power_w=0), (0, 1), (0, 2)) == [(5000, 5050), (5060, MAX_ENERGY_J)]


def test_unknown_energy_without_a_number_is_at_most_what_the_meter_carries() -> None:
    slots = made_slots(5, 60, 0, unknown_j=[0, MAX_ENERGY_J, 0])
    assert between(row(slots, 2), (1, 2), (0, 2)) == [(60, 900), (65, 1800)]


def test_a_missing_meter_carries_up_to_its_limit() -> None:
    assert between(row(None, 3), (0, 3), (1, 2)) == [(0, 2700), (0, 900)]


# A limit that the readings refute


REFUTED = made_slots(
    100,
    500,
    100,
    100,
    0,
    unknown_j=[0, 0, 50, 0, 0],
    below_j=[0, 90, 80, 0, 0],
    above_j=[0, 70, 60, 0, 0],
    below_capped_j=[0, 9, 8, 0, 0],
    above_capped_j=[0, 7, 6, 0, 0],
    flags=[0, int(Flag.LIMIT_REFUTED), 0, 0, 0],
)


def test_a_window_that_holds_a_refuting_rise_is_bounded_without_the_limit() -> None:
    """By edges without caps, and not at all where something is unknown: 0 to 2 by the edge at 2 only, 500 + 100."""
    meter = row(REFUTED, 4)
    assert between(meter, (0, 2), (1, 2)) == [(600 - 80, 600 + 60), (500 - 80 - 70, 500 + 60 + 90)]
    assert between(meter, (0, 3)) == [(700, MAX_ENERGY_J)]


def test_a_window_without_the_refuting_rise_believes_the_limit() -> None:
    """Before and after the slot with the rise, by capped edges; what is unknown has its bound."""
    assert between(row(REFUTED, 4), (0, 1), (2, 3), (3, 4)) == [(91, 107), (94, 158), (100, 100)]


def test_windows_of_both_kinds_are_each_bounded_as_alone() -> None:
    assert between(row(REFUTED, 4), (0, 1), (0, 2), (2, 3)) == [(91, 107), (520, 660), (94, 158)]


def test_a_window_in_which_more_was_counted_than_the_limit_allows_refutes_it_itself() -> None:
    """No slot is marked, as the energy was declared: 1000 of 900 J; in both slots 1800 of 1800 is no refutation."""
    slots = made_slots(1000, 800, 0, unknown_j=[0, 0, 0], over_j=[3, 0, 0])
    meter = row(slots, 2)
    assert between(meter, (0, 1), (0, 2)) == [(1000, 1003), (1800, 1800)]
    assert meter_bounds(meter, int64(0, 0), int64(1, 2)).refuted.tolist() == [True, False]


def test_what_is_unknown_has_no_bound_in_a_window_that_refutes_the_limit() -> None:
    slots = made_slots(1000, 900, 0, unknown_j=[0, 7, 0])
    assert between(row(slots, 2), (0, 2)) == [(1900, MAX_ENERGY_J)]


def test_a_slot_before_the_first_reading_does_not_pass_for_known_where_the_limit_is_refuted() -> None:
    """10 kW through a meter of 1 kW in steps of 1 kWh: by 1 kW its lag had used up all the time before the reading."""
    t1_ms = np.arange(899_000, 3_600_000, 15_000)
    counts = t1_ms * 10 // 3_600_000
    nothing = np.zeros_like(t1_ms)
    slots = register_slots(Samples(t1_ms, t1_ms, counts, nothing, nothing), [version(KWH, 1_000)])
    meter = row(slots, 4, max_power_w=1_000)
    assert not meter.known[0]
    assert between(meter, (0, 4)) == [((9 - 2) * KWH - KWH, MAX_ENERGY_J)]


STRAGGLERS = [
    pytest.param(((880, 880, 82), (890, 910, 83)), 183_000, id="answered behind the edge"),
    pytest.param(((880, 880, 82), (890, 900, 83)), 183_000, id="answered at the edge"),
    pytest.param(((880, 880, 82), (890, 910, 83), (1000, 1000, 0), (1100, 1100, 1)), 183_000, id="before a reset"),
]


@pytest.mark.parametrize(("readings", "truth_j"), STRAGGLERS)
def test_what_a_reading_under_way_at_the_end_had_not_shown_has_no_bound_without_the_limit(
    readings: tuple[tuple[int, int, int], ...], truth_j: int
) -> None:
    """No load for 1 min, 100 W to 890 s, 10 kW to 900 s, on a meter of 10 W: true when it was asked for, at 890 s."""
    before = ((0, 0, 0), (60, 60, 0), (300, 300, 24), (600, 600, 54))
    rows = [(t0 * 1000, t1 * 1000, count) for t0, t1, count in (*before, *readings)]
    slots = register_slots(asked(*rows), [version(1000, 10)])
    ((lower, upper),) = between(row(slots, 1, max_power_w=10), (0, 1))
    assert lower <= truth_j <= upper == MAX_ENERGY_J


def test_an_edge_without_a_bound_opens_the_slots_on_both_its_sides() -> None:
    """Up to the edge nothing bounds the energy, and behind it all of the slot's 200 J may have flowed before."""
    open_edge = made_slots(100, 200, 300, 0, above_j=[0, MAX_ENERGY_J, 0, 7], above_capped_j=[0, 5, 0, 0])
    meter = row(open_edge, 3)
    assert between(meter, (0, 1), (1, 3)) == [(100, 105), (495, 500)]
    unlimited = (meter.bare or meter).without_limit()
    assert between(replace(unlimited, bare=None), (1, 3)) == [(300, 507)]
    assert (unlimited.known.tolist(), unlimited.unbounded.tolist()) == ([False, True, True], [True, False, False])


def test_other_meters_bound_what_is_unknown_although_the_limit_is_refuted() -> None:
    slots = made_slots(1000, 900, 0, unknown_j=[0, 70, 0])
    bounded = row(slots, 2).bounded(int64(0, 905), int64(UNBOUNDED_J, 930), int64(UNBOUNDED_J, 930))
    assert between(bounded, (0, 2)) == [(1905, 1930)]


@pytest.mark.parametrize(
    ("first", "last", "power_w", "expected"),
    [(0, 1, 1, False), (1, 2, 1, True), (0, 4, 1, True), (2, 4, 1, False), (1, 2, 0, False)],
)
def test_a_window_refutes_a_limit_there_is_and_only_where_the_rise_was(
    first: int, last: int, power_w: int, expected: bool
) -> None:
    meter = row(REFUTED, 4, max_power_w=power_w)
    assert meter_bounds(meter, int64(first), int64(last)).refuted.tolist() == [expected]


# Weighted sums


def weighted(*parts: tuple[Slots | None, Fraction | int], **changes: object) -> list[tuple[int, int]]:
    """Bounds of two slots of meters."""
    rows = [row(slots, 2, **changes) for slots, _ in parts]
    return pairs(weighted_bounds(rows, [Fraction(weight) for _, weight in parts], int64(0), int64(2)))


def open_slots(energy_j: int, more_j: int) -> Slots:
    return made_slots(energy_j, 0, 0, unknown_j=[more_j, 0, 0])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 1), (30, 45), id="10 to 15 and 20 to 30"),
        pytest.param((2, 1), (40, 60), id="twice the first"),
        pytest.param((1, 0), (10, 15), id="the first alone"),
        pytest.param((-1, 1), (5, 20), id="a negative weight swaps the bounds: 20 - 15 and 30 - 10"),
        pytest.param((1, -1), (0, 0), id="never less than nothing"),
        pytest.param((0, 0), (0, 0), id="nothing"),
        pytest.param((Fraction(1, 2), 1), (24, 39), id="25 and 37.5 rounded outwards, with 1 J to spare"),
        pytest.param((Fraction(1, 3), Fraction(1, 2)), (12, 21), id="13 1/3 and 20, with 1 J to spare"),
    ],
)
def test_a_sum_is_bounded_by_the_bounds_of_its_parts(
    weights: tuple[Fraction | int, Fraction | int], expected: tuple[int, int]
) -> None:
    assert weighted((open_slots(10, 5), weights[0]), (open_slots(20, 10), weights[1])) == [expected]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 1), (10, MAX_ENERGY_J), id="no upper bound"),
        pytest.param((1, -1), (0, 15), id="no lower bound but nothing"),
        pytest.param((1, Fraction(1, 2)), (9, MAX_ENERGY_J), id="of a half neither"),
    ],
)
def test_a_part_without_a_bound_leaves_its_sum_without_one(
    weights: Sequence[Fraction | int], expected: tuple[int, int]
) -> None:
    assert weighted((open_slots(10, 5), weights[0]), (None, weights[1]), max_power_w=0) == [expected]


def test_sums_are_of_each_window() -> None:
    column = int64(1, 2, 4, 8)
    assert sums(column, int64(0, 1, 2), int64(4, 3, 2)).tolist() == [15, 6, 0]
    assert sums(column, int64(1), int64(3)).tolist() == [6]
    assert sums(np.array([True, True, False]), int64(0), int64(3)).tolist() == [2]


def test_counted_energy_beyond_the_limit_frees_the_edges_too() -> None:
    """1000 J in a slot of at most 900 refute the limit: its end may lie 50 J lower, not 10 as the limit would say."""
    slots = made_slots(1000, 0, below_j=[0, 50], below_capped_j=[0, 10])
    assert between(row(slots, 1), (0, 1)) == [(950, 1000)]
