"""Slots on a window's grid, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.grid import UNBOUNDED_J, Term, lay
from pue.energy.slots import Int64, Slots
from tests.unit.pue.meters import int64, made_slots, term

FIRST = 10
"""Number of the first slot of `slots`."""


def slots(
    energy: Sequence[int], unknown: Sequence[int] = (), below: Sequence[int] = (), above: Sequence[int] = ()
) -> Slots:
    """Slots whose bounds of edges are the same with and without caps."""
    nothing = [0] * len(energy)
    return made_slots(
        *energy,
        first=FIRST,
        unknown_j=unknown or nothing,
        below_j=below or nothing,
        above_j=above or nothing,
        below_capped_j=below or nothing,
        above_capped_j=above or nothing,
    )


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


@pytest.mark.parametrize("last", [None, 12], ids=["laid whole", "laid one by one"])
def test_bounds_of_edges_are_the_capped_ones(last: int | None) -> None:
    laid = replace(slots([1, 1, 1]), below_j=int64(9, 9, 9), above_j=int64(9, 9, 9), below_capped_j=int64(1, 2, 3))
    row = lay(laid, within(0, last), grid(10, 12))
    assert row.below_j.tolist()[:2] == [1, 2]
    assert row.above_j.tolist()[:2] == [0, 0]


@pytest.mark.parametrize("last", [None, 12], ids=["laid whole", "laid one by one"])
def test_what_known_energy_leaves_open_is_in_the_slots_bounds_and_not_exact(last: int | None) -> None:
    laid = made_slots(5, 5, 5, first=FIRST, under_j=[1, 0, 0], over_j=[2, 3, 0], unknown_j=[0, 10, 0])
    row = lay(laid, within(0, last), grid(10, 12))
    assert (row.low_j.tolist(), row.high_j.tolist()) == ([-1, 0], [2, 13])
    assert (row.known.tolist(), row.is_exact) == ([True, False], False)
    under = made_slots(5, 5, first=FIRST, under_j=[1, 0])
    over = made_slots(5, 5, first=FIRST, over_j=[1, 0])
    assert lay(under, term("m"), grid(10, 11)).is_exact is lay(over, term("m"), grid(10, 11)).is_exact is False


# Limits that the slots refute


REFUTED = made_slots(
    5,
    5,
    5,
    first=FIRST,
    unknown_j=[7, 0, 0],
    above_j=[8, 8, 8],
    above_capped_j=[1, 1, 1],
    flags=[0, int(Flag.LIMIT_REFUTED), 0],
)


@pytest.mark.parametrize("last", [None, 12], ids=["laid whole", "laid one by one"])
def test_a_row_whose_limit_was_refuted_has_another_without_it(last: int | None) -> None:
    row = lay(REFUTED, within(0, last), grid(10, 12))
    assert row.free is not None
    assert (row.above_j.tolist()[:2], row.free.above_j.tolist()[:2]) == ([1, 1], [8, 8])
    assert (row.high_j.tolist()[0], row.free.high_j.tolist()[0]) == (7, 0)
    assert row.unbounded.tolist() == [False, False]
    assert row.free.unbounded.tolist() == [True, False]
    assert lay(slots([1, 2, 3]), term("m"), grid(10, 12)).free is None


def test_a_row_without_its_limit_keeps_what_other_meters_say() -> None:
    laid = slots([5, 5, 5, 5], unknown=[7, 7, 0, 0])
    row = lay(laid, term("m"), grid(10, 13)).bounded(
        int64(0, 0, 0), int64(UNBOUNDED_J, 9, UNBOUNDED_J), int64(UNBOUNDED_J, 9, UNBOUNDED_J)
    )
    free = row.without_limit()
    assert free.unbounded.tolist() == [True, False, False]
    assert free.high_j.tolist() == [0, 9 - 5, 0]


# Doubt


def test_energy_in_doubt_is_unknown_up_to_the_limit() -> None:
    row = lay(slots([5, 6, 7, 0], unknown=[0, 1, 0, 0]), within(10, 12, max_power_w=2), grid(10, 13))
    doubted = row.doubted(np.array([True, False, True]), Flag.BALANCE)
    assert doubted.energy_j.tolist() == [0, 6, 0]
    assert doubted.high_j.tolist() == [1800, 1, 0]
    assert doubted.known.tolist() == [False, False, False]
    assert doubted.flags.tolist() == [int(Flag.BALANCE), 0, 0]
    assert doubted.is_exact is False


def test_energy_in_doubt_of_a_meter_without_a_limit_is_unbounded() -> None:
    doubted = lay(slots([5, 6, 0]), term("m", max_power_w=0), grid(10, 12)).doubted(
        np.array([True, False]), Flag.BALANCE
    )
    assert (doubted.unbounded.tolist(), doubted.high_j.tolist()) == ([True, False], [0, 0])


def test_energy_in_doubt_has_no_limit_where_the_window_refutes_it() -> None:
    doubted = lay(REFUTED, term("m"), grid(10, 12)).doubted(np.array([False, True]), Flag.BALANCE)
    assert doubted.free is not None
    assert doubted.free.energy_j.tolist() == [5, 0]
    assert doubted.free.unbounded.tolist() == [True, True]


# Calibration


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        pytest.param({}, [False, False], id="a certificate without an end"),
        pytest.param({"calibrated_to_ms": 12 * SLOT_MS}, [False, False], id="until the end"),
        pytest.param({"calibrated_to_ms": 12 * SLOT_MS - 1}, [False, True], id="until the second slot"),
        pytest.param({"calibrated_to_ms": 0}, [True, True], id="expired before"),
        pytest.param({"is_calibration_known": False}, [True, True], id="none registered"),
        pytest.param(
            {"is_calibration_known": False, "to_ms": 11 * SLOT_MS}, [True, False], id="while the weight holds"
        ),
    ],
)
def test_slots_for_which_no_certificate_holds_are_marked(changes: dict[str, object], marked: list[bool]) -> None:
    meter = replace(term("m"), **changes)  # type: ignore[arg-type]  # fields a test chooses
    row = lay(slots([1, 2, 3]), meter, grid(10, 12))
    assert [bool(mark & Flag.UNCALIBRATED) for mark in row.flags.tolist()] == marked


# What other meters say


def test_bounds_of_other_meters_hold_less_what_the_edges_leave_open() -> None:
    """Least 500 - 100 - 2 - 30 = 368 and 500 - 200 - 3 - 40 = 257; most 900 - 100 + 20 + 3 and 900 - 200 + 30 + 4."""
    laid = slots([100, 200, 0], [5000, 5000, 0], below=[2, 3, 4], above=[20, 30, 40])
    row = lay(laid, term("m"), grid(10, 12)).bounded(int64(500, 500), int64(900, 900), int64(900, 900))
    assert row.is_borrowed.tolist() == [True, True]
    assert row.low_j.tolist() == [368, 257]
    assert row.high_j.tolist() == [823, 734]


def test_bounds_of_other_meters_change_nothing_that_is_known() -> None:
    row = lay(slots([100, 200, 0], [0, 50, 0]), term("m"), grid(10, 12)).bounded(
        int64(150, 210), int64(150, 220), int64(150, 220)
    )
    assert (row.low_j.tolist(), row.high_j.tolist()) == ([0, 10], [0, 20])
    assert row.is_borrowed.tolist() == [False, True]
    assert (row.borrows(0, 1), row.borrows(0, 2)) == (False, True)


def test_bounds_no_narrower_than_a_meters_own_are_not_borrowed() -> None:
    row = lay(slots([100, 0], [50, 0]), term("m"), grid(10, 11)).bounded(int64(100), int64(150), int64(150))
    assert (row.low_j.tolist(), row.high_j.tolist(), row.is_borrowed.tolist()) == ([0], [50], [False])
    narrower = lay(slots([100, 0], [50, 0]), term("m"), grid(10, 11)).bounded(int64(101), int64(150), int64(150))
    assert narrower.is_borrowed.tolist() == [True]


def test_what_a_slot_holds_taken_alone_is_what_both_its_edges_leave() -> None:
    """Least 100 - 20 - 3 and 200 - 30 - 4; most 100 + 50 + 2 + 30, and no bound."""
    laid = slots([100, 200, 0], [50, MAX_ENERGY_J, 0], below=[2, 3, 4], above=[20, 30, 40])
    row = lay(laid, term("m"), grid(10, 12))
    assert row.least_j.tolist() == [77, 166]
    assert row.most_j.tolist() == [182, UNBOUNDED_J]
    assert lay(slots([5, 0], above=[6, 0]), term("m"), grid(10, 11)).least_j.tolist() == [0]


def test_an_unbounded_slot_takes_the_bound_of_other_meters_if_they_have_one() -> None:
    laid = slots([100, 100, 0], [MAX_ENERGY_J, MAX_ENERGY_J, 0])
    row = lay(laid, term("m"), grid(10, 12)).bounded(int64(0, 0), int64(150, UNBOUNDED_J), int64(150, UNBOUNDED_J))
    assert (row.high_j.tolist(), row.unbounded.tolist()) == ([50, 0], [False, True])
    assert row.is_borrowed.tolist() == [True, False]
