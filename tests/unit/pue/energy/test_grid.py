"""Slots on a window's grid, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.grid import UNBOUNDED_J, Row, Term, lay
from pue.energy.slots import Int64, Slots
from tests.unit.pue.meters import int64, term

FIRST = 10
"""Number of the first slot of `slots`."""


def slots(
    energy: Sequence[int], unknown: Sequence[int] = (), below: Sequence[int] = (), above: Sequence[int] = ()
) -> Slots:
    nothing = [0] * len(energy)
    start = int64(*((FIRST + place) * SLOT_MS for place in range(len(energy))))
    columns = (energy, unknown or nothing, nothing, below or nothing, above or nothing, nothing, nothing, nothing)
    return Slots(start, *(int64(*column) for column in columns))


def grid(first: int, last: int) -> Int64:
    """Edges of slots [first, last)."""
    return int64(*(number * SLOT_MS for number in range(first, last + 1)))


def within(first: int, last: int | None, max_power_w: int = 1_000_000) -> Term:
    """A term that is valid from one slot to another."""
    return term("m", from_ms=first * SLOT_MS, to_ms=None if last is None else last * SLOT_MS, max_power_w=max_power_w)


@pytest.mark.parametrize("start", [10, 11, 12])
def test_slots_that_cover_the_grid_and_the_slot_after_it_are_exact(start: int) -> None:
    row = lay(slots([1, 2, 3, 4, 5], below=[6, 7, 8, 9, 10]), term("m"), grid(start, start + 2))
    skipped = start - FIRST
    assert row.energy_j.tolist() == [1, 2, 3, 4, 5][skipped : skipped + 2]
    assert row.below_j.tolist() == [6, 7, 8, 9, 10][skipped : skipped + 3]
    assert row.is_exact is True
    assert (row.high_j.tolist(), row.known.tolist(), row.unbounded.tolist()) == ([0, 0], [True] * 2, [False] * 2)


def test_slots_of_which_something_is_unknown_are_not_exact() -> None:
    row = lay(slots([1, 2, 3], unknown=[0, 4, 0]), term("m"), grid(10, 12))
    assert row.is_exact is False
    assert (row.high_j.tolist(), row.known.tolist()) == ([0, 4], [True, False])


@pytest.mark.parametrize("length", [2, 1, 0])
def test_slots_that_end_with_the_grid_or_before_it_are_laid_one_by_one(length: int) -> None:
    row = lay(slots([1, 2][:length]), term("m", max_power_w=1), grid(10, 12))
    known = [True] * length + [False] * (2 - length)
    assert row.energy_j.tolist() == [1, 2][:length] + [0] * (2 - length)
    assert row.known.tolist() == known
    assert row.high_j.tolist() == [0 if there else 900 for there in known]
    assert row.flags.tolist() == [0 if there else int(Flag.MISSING) for there in known]


def test_a_hole_between_slots_is_found_whatever_the_number_of_slots() -> None:
    parts = slots([1, 2, 3, 4, 5], below=[1, 2, 3, 4, 5], above=[10, 20, 30, 40, 50]).select(int64(0, 2, 3, 4))
    row = lay(parts, term("m", max_power_w=1), grid(10, 13))
    assert row.energy_j.tolist() == [1, 0, 3]
    assert (row.low_j.tolist(), row.high_j.tolist()) == ([0, 0, 0], [0, 900, 0])
    assert (row.below_j.tolist(), row.above_j.tolist()) == ([1, 0, 3, 4], [10, 0, 30, 40])


@pytest.mark.parametrize("last", [None, 12])
def test_a_slot_without_an_upper_bound_has_no_number_for_it(last: int | None) -> None:
    row = lay(slots([1, 2, 3], unknown=[MAX_ENERGY_J, 4, 0]), within(0, last), grid(10, 12))
    assert (row.high_j.tolist(), row.unbounded.tolist()) == ([0, 4], [True, False])
    row = lay(slots([1, 2, 3], unknown=[4, MAX_ENERGY_J, 0]), within(11, last), grid(10, 12))
    assert (row.high_j.tolist(), row.unbounded.tolist()) == ([0, 0], [False, True])


def test_a_missing_meter_without_a_limit_is_unbounded_only_while_its_weight_holds() -> None:
    row = lay(None, within(11, 12, max_power_w=0), grid(10, 13))
    assert row.unbounded.tolist() == [False, True, False]


def test_bounds_of_an_edge_at_which_a_weight_starts_or_ends_go_into_the_slot_beside_it() -> None:
    """What the edge lets the first slot hold more, slot 11: 2; less: 20. The last slot, 12, more: 40, less: 4."""
    laid = slots([1, 1, 1, 1, 1], [0, 7, 9, 0, 0], below=[1, 2, 3, 4, 5], above=[10, 20, 30, 40, 50])
    row = lay(laid, within(11, 13), grid(10, 14))
    assert row.energy_j.tolist() == [0, 1, 1, 0]
    assert row.low_j.tolist() == [0, -20, -4, 0]
    assert row.high_j.tolist() == [0, 7 + 2, 9 + 40, 0]
    assert (row.below_j.tolist(), row.above_j.tolist()) == ([0, 0, 3, 0, 0], [0, 0, 30, 0, 0])


def over_j(row: Row) -> int:
    return row.overshoot_j(0, len(row.energy_j))[1]


@pytest.mark.parametrize(
    ("power_w", "energy_j", "unknown_j", "edge_j", "over"),
    [
        pytest.param(1, 0, 1000, 0, 100, id="one watt is 900 J in a slot"),
        pytest.param(0, 0, 1000, 0, 0, id="no limit"),
        pytest.param(1000, 900_000, 0, 5, 5, id="nothing to spare"),
        pytest.param(1000, 900_001, 0, 5, 0, id="limit passed by what is known"),
        pytest.param(1000, 899_000, 400, 605, 5, id="edges and unknown energy together"),
        pytest.param(10**15 + 1, 0, 9 * 10**17 + 910, 0, 10, id="exact where no float is"),
    ],
)
def test_bounds_that_pass_what_the_meter_can_carry_are_over_by_the_rest(
    power_w: int, energy_j: int, unknown_j: int, edge_j: int, over: int
) -> None:
    row = lay(slots([energy_j, 0], [unknown_j, 0], below=[edge_j, 0]), term("m", max_power_w=power_w), grid(10, 11))
    assert over_j(row) == over


def test_bounds_of_other_meters_hold_less_what_the_edges_leave_open() -> None:
    """Least 500 - 100 - 2 - 30 = 368 and 500 - 200 - 3 - 40 = 257; most 900 - 100 + 20 + 3 and 900 - 200 + 30 + 4."""
    laid = slots([100, 200, 0], [5000, 5000, 0], below=[2, 3, 4], above=[20, 30, 40])
    row = lay(laid, term("m"), grid(10, 12)).bounded(int64(500, 500), int64(900, 900))
    assert row.low_j.tolist() == [368, 257]
    assert row.high_j.tolist() == [823, 734]


def test_bounds_of_other_meters_change_nothing_that_is_known() -> None:
    row = lay(slots([100, 200, 0], [0, 50, 0]), term("m"), grid(10, 12)).bounded(int64(150, 210), int64(150, 220))
    assert (row.low_j.tolist(), row.high_j.tolist()) == ([0, 10], [0, 20])


def test_an_unbounded_slot_takes_the_bound_of_other_meters_if_they_have_one() -> None:
    laid = slots([100, 100, 0], [MAX_ENERGY_J, MAX_ENERGY_J, 0])
    row = lay(laid, term("m"), grid(10, 12)).bounded(int64(0, 0), int64(150, UNBOUNDED_J))
    assert (row.high_j.tolist(), row.unbounded.tolist()) == ([50, 0], [False, True])
